package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bulla-sign/bulla/internal/retryafter"
	"github.com/bulla-sign/bulla/trust"
)

// Options are what all services are called with.
type Options struct {
	// Root is the trusted root that verifiers will use. With one, an answer that does not hold under it is an error; nil
	// checks answers only as far as they contradict the request or themselves.
	Root *trust.Root
	// Transport does the requests; nil for [NewTransport] without TLS settings of its own. Clients that share one share its
	// connections.
	Transport http.RoundTripper
	// UserAgent is sent along.
	UserAgent string
	// Timeout is what one attempt may take; 0 for the service's own.
	Timeout time.Duration
	// Patience is how long to go on trying; 0 for a minute and a half, negative for a single attempt. The context of a call
	// ends it earlier. Once it was in vain the same client tries once each time, until it gets an answer.
	Patience time.Duration
	// Pause is the longest first pause before another attempt; 0 for half a second.
	Pause time.Duration
	// Notify is told before each pause; nil tells nobody.
	Notify func(Retry)
	// Now is the present time; nil takes the system's clock.
	Now func() time.Time
}

// Retry is an attempt that failed and will be repeated.
type Retry struct {
	Service, URL string
	Err          error         // why it failed
	Pause        time.Duration // until the next attempt
}

// Defaults of Options, and limits of the transport.
const (
	// defaultPatience outlasts a service that restarts or is overloaded for a minute.
	defaultPatience = 90 * time.Second
	defaultPause    = 500 * time.Millisecond
	// maxPause bounds the growing pauses, so that a service that is back is noticed soon.
	maxPause = 15 * time.Second
	// maxRedirects bounds the redirects within one host: a slash too many is one.
	maxRedirects = 3
	// maxHeader bounds the header of an answer, in bytes.
	maxHeader = 64 << 10
	// maxErrorBody bounds what is read of an answer that says no: a Status message in JSON.
	maxErrorBody = 16 << 10
	// maxDrain is how much of an unread answer is read to keep the connection.
	maxDrain = 64 << 10
	// maxURL bounds the address of a service.
	maxURL = 2048
)

// NewTransport returns a transport of one's own for the services. tls may be nil. HTTP_PROXY and its siblings are honoured.
func NewTransport(settings *tls.Config) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = settings
	t.ForceAttemptHTTP2 = true
	t.MaxResponseHeaderBytes = maxHeader
	t.TLSHandshakeTimeout = 10 * time.Second
	t.DialContext = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	return t
}

// service is one service at one address.
type service struct {
	Options
	kind string // "transparency log"
	base string // address without a slash at its end
	http *http.Client
	vain atomic.Int64 // calls in a row that nothing came of
}

func newService(kind, address string, o Options, timeout time.Duration) (*service, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil, u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "", len(address) > maxURL:
		return nil, fmt.Errorf("%s: %s is not an http or https URL with a host", kind, printable(withoutSecrets(address)))
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("%s: the address %s has a user, a query or a fragment", kind, withoutSecrets(address))
	}
	if o.Transport == nil {
		o.Transport = NewTransport(nil)
	}
	if o.Timeout == 0 {
		o.Timeout = timeout
	}
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	if o.Pause == 0 {
		o.Pause = defaultPause
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &service{
		Options: o, kind: kind, base: strings.TrimRight(address, "/"),
		http: &http.Client{Transport: o.Transport, CheckRedirect: sameHost},
	}, nil
}

// withoutSecrets cuts what may open an address: user, query, fragment.
func withoutSecrets(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(not a URL)"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// redirectError is a redirect that is not followed.
type redirectError struct{ text string }

func (e *redirectError) Error() string { return e.text }

// sameHost follows redirects within the host that was asked, with the method that was asked: the credentials and the
// signature of a request are for that host alone.
func sameHost(req *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case req.URL.Scheme != first.URL.Scheme || req.URL.Host != first.URL.Host:
		return &redirectError{fmt.Sprintf("it redirects to %s, another host, which is not followed", printable(req.URL.Scheme+"://"+req.URL.Host))}
	case req.Method != first.Method:
		return &redirectError{fmt.Sprintf("it answers a %s with a redirect that turns it into a %s, which is not followed", first.Method, req.Method)}
	case len(via) > maxRedirects:
		return &redirectError{fmt.Sprintf("it redirects more than %d times", maxRedirects)}
	}
	return nil
}

// lateError is an attempt that took longer than attempts may.
type lateError struct{ within time.Duration }

func (e *lateError) Error() string { return fmt.Sprintf("no answer within %s", e.within) }

// request is one call to a service.
type request struct {
	asked       string // what for, in messages
	method      string
	url         string
	contentType string // of body
	accept      string
	token       string // bearer token; empty: none
	body        []byte
	limit       int64               // of the answer's body, in bytes
	good        func(int) bool      // statuses that are answers; nil: 200 and 201
	said        func([]byte) string // what an answer that says no says; nil: its text
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func created(status int) bool { return status == http.StatusOK || status == http.StatusCreated }

// once does one attempt. again says that another one may succeed; wait is the pause that the service asked for.
func (s *service) once(ctx context.Context, r *request) (a *answer, wait time.Duration, again bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timeout, &lateError{s.Timeout})
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(r.body))
	if err != nil {
		return nil, 0, false, &cause{ErrAnswer, errors.New("its address is not a URL")}
	}
	if len(r.body) > 0 {
		req.Header.Set("Content-Type", r.contentType)
	}
	req.Header.Set("Accept", r.accept)
	req.Header.Set("User-Agent", s.UserAgent)
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		err, again := s.failed(ctx, err)
		return nil, 0, again, err
	}
	defer func() {
		_, _ = io.CopyN(io.Discard, resp.Body, maxDrain) // only to keep the connection
		resp.Body.Close()
	}()
	good := r.good
	if good == nil {
		good = created
	}
	limit := int64(maxErrorBody)
	if good(resp.StatusCode) {
		limit = r.limit
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	a = &answer{resp.StatusCode, resp.Header, body}
	switch {
	case !good(resp.StatusCode):
		return a, retryafter.Read(resp.Header, s.Now()), temporary(resp.StatusCode), s.refused(a, r)
	case err != nil:
		err, again := s.failed(ctx, err)
		return a, 0, again, err
	case int64(len(body)) > limit:
		return a, 0, false, wrong("the answer has more than %d bytes", limit)
	}
	return a, 0, false, nil
}

// failed makes an error of one that came instead of an answer, and says whether to try again.
func (s *service) failed(ctx context.Context, err error) (error, bool) {
	var told *url.Error
	if errors.As(err, &told) {
		err = told.Err // without the address, which may hold what opens it
	}
	var redirect *redirectError
	var certificate *tls.CertificateVerificationError
	var name *net.DNSError
	var late *lateError
	switch {
	case errors.As(err, &redirect):
		return &cause{ErrAnswer, redirect}, false
	case errors.As(err, &certificate), errors.Is(err, http.ErrSchemeMismatch):
		return &cause{ErrUnavailable, err}, false
	case errors.As(err, &name) && name.IsNotFound:
		return &cause{ErrUnavailable, err}, false
	case errors.As(context.Cause(ctx), &late):
		return &cause{ErrUnavailable, late}, true
	case ctx.Err() != nil: // the caller's
		return &cause{ErrUnavailable, errors.New("no answer yet")}, true
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &cause{ErrUnavailable, errors.New("the answer was cut off")}, true
	case errors.Is(err, io.EOF):
		return &cause{ErrUnavailable, errors.New("the connection was closed before an answer came")}, true
	}
	return &cause{ErrUnavailable, fmt.Errorf("no answer: %w", err)}, true
}

// refused makes an error of an answer that says no.
func (s *service) refused(a *answer, r *request) error {
	text := ""
	if len(a.body) <= maxErrorBody {
		if r.said != nil {
			text = r.said(a.body)
		} else {
			text = string(a.body)
		}
	}
	if text = printable(text); text == "" {
		text = strings.ToLower(http.StatusText(a.status))
	}
	kind := ErrRefused
	switch {
	case temporary(a.status) || a.status >= 500:
		kind = ErrUnavailable
	case a.status < 400:
		kind = ErrAnswer
	}
	return &cause{kind, errors.New(text)}
}

// temporary says whether a status means that another attempt may succeed.
func temporary(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
