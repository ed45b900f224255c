package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/internal/retryafter"
)

const (
	// maxAnswer bounds what a provider answers, in bytes: a discovery document or a token with its siblings.
	maxAnswer = 256 << 10
	// timeout is what one attempt may take.
	timeout = 20 * time.Second
	// usualPatience outlasts a provider that restarts or is overloaded for a minute.
	usualPatience = 90 * time.Second
	// maxPause bounds the growing pauses between attempts, so that a provider that is back is noticed soon.
	maxPause = 15 * time.Second
)

// ErrUnavailable is wrapped by the errors of providers that did not answer, or said "not now".
var ErrUnavailable = errors.New("the provider did not answer")

// asking is how providers are asked, see [Environment].
type asking struct {
	transport http.RoundTripper
	userAgent string
	patience  time.Duration
	notify    func(error, time.Duration)
}

// fetcher does requests. None is redirected: what it carries is for the address that was asked.
type fetcher struct {
	asking
	client http.Client
	pause  time.Duration // before the second attempt
}

func newFetcher(a asking) *fetcher {
	f := &fetcher{asking: a, pause: time.Second}
	if f.patience == 0 {
		f.patience = usualPatience
	}
	f.client.Transport = a.transport
	f.client.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		return &redirectError{clean(req.URL.Scheme + "://" + req.URL.Host)}
	}
	return f
}

// redirectError is a redirect, which is not followed. It will be there the next time.
type redirectError struct{ to string }

func (e *redirectError) Error() string { return "it redirects to " + e.to + ", which is not followed" }

// statusError is an answer that says no.
type statusError struct {
	status int
	body   []byte
	wait   time.Duration // what Retry-After asks for; 0: nothing that can be used
}

// Error says the status, and the reason where the answer is an error by RFC 6749 5.2 or a plain sentence.
func (e *statusError) Error() string {
	code, text := e.oauth()
	switch {
	case code != "" && text != "":
		return fmt.Sprintf("HTTP %d: %s: %s", e.status, clean(code), clean(text))
	case code != "":
		return fmt.Sprintf("HTTP %d: %s", e.status, clean(code))
	}
	body := strings.Join(strings.Fields(string(e.body[:min(len(e.body), 400)])), " ")
	if body == "" {
		body = strings.ToLower(http.StatusText(e.status))
	}
	return fmt.Sprintf("HTTP %d: %s", e.status, clean(body))
}

// Is makes answers that mean "not now" unavailable.
func (e *statusError) Is(target error) bool { return target == ErrUnavailable && temporary(e.status) }

func (e *statusError) oauth() (code, text string) {
	var v struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(e.body, &v) != nil {
		return "", ""
	}
	return v.Error, v.Description
}

func temporary(status int) bool {
	return status == http.StatusTooManyRequests || status >= 500 && status != http.StatusNotImplemented
}

// call is one request.
type call struct {
	method, url string
	header      map[string]string
	body        string
	contentType string
}

// do makes the request until there is an answer, and reads the JSON object in it into v.
func (f *fetcher) do(ctx context.Context, c call, v any) error {
	body, err := f.text(ctx, c)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%s: the answer is not the JSON that it should be", where(c.url))
	}
	return nil
}

// text is do for answers that are text.
func (f *fetcher) text(ctx context.Context, c call) ([]byte, error) {
	start := time.Now()
	for pause, last := f.pause, false; ; pause = min(2*pause, maxPause) {
		body, err := f.once(ctx, c)
		if err == nil {
			return body, nil
		}
		var status *statusError
		wait := pause
		if errors.As(err, &status) && status.wait > 0 {
			wait = status.wait
		}
		err = fmt.Errorf("%s: %w", where(c.url), err)
		left := f.patience - time.Since(start)
		if left <= 0 || last || !errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
			return nil, err
		}
		if wait > left {
			if status != nil && status.wait > 0 {
				return nil, fmt.Errorf("%w; it asks to come back in %s, which is too late", err, wait)
			}
			wait, last = left, true
		}
		if f.notify != nil {
			f.notify(err, wait)
		}
		if sleep(ctx, wait) != nil {
			return nil, err
		}
	}
}

func (f *fetcher) once(ctx context.Context, c call) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, c.method, c.url, strings.NewReader(c.body))
	if err != nil {
		return nil, errors.New("it is not a URL")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", f.userAgent)
	if c.contentType != "" {
		req.Header.Set("Content-Type", c.contentType)
	}
	for name, value := range c.header {
		req.Header.Set(name, value)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		var told *url.Error
		if errors.As(err, &told) {
			err = told.Err // without the address: its query may be a secret
		}
		if redirect := (*redirectError)(nil); errors.As(err, &redirect) {
			return nil, redirect
		}
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: reading its answer: %w", ErrUnavailable, err)
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return nil, &statusError{resp.StatusCode, body, retryafter.Read(resp.Header, time.Now()).Round(time.Second)}
	}
	return body, nil
}

// where shows an address without what may be secret in it.
func where(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(not a URL)"
	}
	return clean((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String())
}

// private says whether what is sent to an address can be read by nobody else: it goes over TLS, or stays on this computer.
func private(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil {
		return fmt.Errorf("%s is not the address of a provider", where(address))
	}
	if u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()) {
		return nil
	}
	return fmt.Errorf("%s is not an https address: what is sent there could be read on the way", where(address))
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
