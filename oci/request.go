package oci

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// request is one call to a registry.
type request struct {
	place  string // for errors
	method string
	path   string   // below /v2/<repository>/
	query  string   // goes with path
	url    *url.URL // in place of path: an upload location or a further page
	header map[string]string
	body   []byte
	limit  int64 // of the answer's body, in bytes
	once   bool  // not to be sent again as it is: what it says may be out of date by then
}

// answer is what came back, with its body read.
type answer struct {
	status int
	header http.Header
	body   []byte
	url    *url.URL // after redirects
	moved  bool     // it came from another host than the registry
}

// tries is how often a request is sent when the registry answers that it is busy; waiting longer is for the caller.
const tries = 3

// do sends a request and reads the answer. Every status outside 2xx is an error: *notFound when a 404 carries one of the
// specification's codes, otherwise *UnknownError; the answer is returned beside it when there was one.
func (c *Client) do(ctx context.Context, s *session, r request) (*answer, error) {
	for try := 1; ; try++ {
		a, err := c.once(ctx, s, r)
		wait, again := c.retry(r, a, err, try)
		if !again {
			return a, s.tellCredential(err)
		}
		c.options.Log("%s: %s; trying again in %s", r.place, err, wait.Round(time.Millisecond))
		if sleepErr := c.options.Sleep(ctx, wait); sleepErr != nil {
			return a, err
		}
	}
}

// retry says whether and when to send again: after answers that mean "busy", and after a lost connection for calls that
// change nothing.
func (c *Client) retry(r request, a *answer, err error, try int) (time.Duration, bool) {
	if err == nil || r.once || try >= tries || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return 0, false
	}
	wait := time.Duration(try)*200*time.Millisecond + c.options.Jitter(200*time.Millisecond)
	if a == nil {
		var certificate *tls.CertificateVerificationError
		return wait, (r.method == http.MethodGet || r.method == http.MethodHead) && !errors.As(err, &certificate)
	}
	if r.method == http.MethodGet && errors.Is(err, io.ErrUnexpectedEOF) {
		return wait, true
	}
	if !a.busy() {
		return 0, false
	}
	after, ok := askedToWait(a.header, c.options.Now())
	return max(wait, after), ok
}

// busy says whether an answer means "not now".
func (a *answer) busy() bool {
	switch a.status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

func (c *Client) once(ctx context.Context, s *session, r request) (*answer, error) {
	target := r.url
	if target == nil {
		target = &url.URL{Scheme: s.scheme, Host: s.repo.RegistryStr(), Path: "/v2/" + s.repo.RepositoryStr() + "/" + r.path, RawQuery: r.query}
	}
	u := *target
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), body)
	if err != nil {
		return nil, transportError(r.place, r.method, target, err)
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, transportError(r.place, r.method, req.URL, err)
	}
	defer resp.Body.Close()
	a := &answer{status: resp.StatusCode, header: resp.Header, url: resp.Request.URL}
	a.moved = a.url.Host != target.Host
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		a.body, _ = io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // only for the message
		return a, a.failure(r)
	}
	if r.method == http.MethodHead {
		return a, nil
	}
	return a, a.read(r, resp)
}

// read takes in the body of a good answer, bounded, and whole.
func (a *answer) read(r request, resp *http.Response) error {
	if resp.ContentLength > r.limit {
		return a.unknown(r, fmt.Sprintf("the answer has %d bytes, the limit is %d", resp.ContentLength, r.limit))
	}
	var err error
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, r.limit+1))
	if err != nil {
		unknown := a.unknown(r, "the answer was cut off: "+printable(err.Error(), maxDetail))
		unknown.Err = err
		unknown.Hint = "try again"
		return unknown
	}
	if int64(len(a.body)) > r.limit {
		return a.unknown(r, fmt.Sprintf("the answer is larger than the limit of %d bytes", r.limit))
	}
	return nil
}

// unknown describes an answer that cannot be used.
func (a *answer) unknown(r request, detail string) *UnknownError {
	return &UnknownError{Place: r.place, Method: r.method, URL: safeURL(a.url), Status: a.status, Detail: detail, Hint: hint(a.status)}
}

// failure classifies an answer outside 2xx.
func (a *answer) failure(r request) error {
	var doc registryError
	code, message, ok := doc.parse(a.body)
	// An answer from the place a redirect led to says nothing about what the registry has.
	if a.status == http.StatusNotFound && !a.moved {
		if ok && absentCode(code) {
			return &notFound{code: code, message: message}
		}
		if r.method == http.MethodHead {
			return &notFound{code: "404", message: "no body in answer to HEAD"}
		}
	}
	detail := message
	if !ok {
		detail = "without an error document: " + describeBody(a)
	}
	unknown := a.unknown(r, detail)
	unknown.Code = code
	if hint := waitHint(a.header); hint != "" && a.status != http.StatusNotFound {
		unknown.Hint = hint
	}
	return unknown
}

func describeBody(a *answer) string {
	if len(a.body) == 0 {
		return "empty body"
	}
	if kind := a.mediaType(); kind != "" {
		return "body of type " + printable(kind, 60)
	}
	return fmt.Sprintf("%d bytes of unstated type", len(a.body))
}

// mediaType is the Content-Type without parameters, in lower case.
func (a *answer) mediaType() string {
	kind, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(kind))
}
