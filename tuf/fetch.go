package tuf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

var (
	// ErrNoAnswer is wrapped by errors that say that the mirror could not be asked, or did not deliver: nothing is known then.
	ErrNoAnswer = errors.New("the mirror did not deliver it")
	// errAbsent says that the mirror has no such file.
	errAbsent = errors.New("the mirror does not have it")
)

// remote is a repository on a web server.
type remote struct {
	base  *url.URL
	http  *http.Client
	agent string
}

// newRemote checks the mirror's address and makes the client that may not leave it.
func newRemote(mirror, agent string, client *http.Client) (*remote, error) {
	base, err := parseMirror(mirror)
	if err != nil {
		return nil, err
	}
	own := http.Client{}
	if client != nil {
		own = *client
	} else {
		own.Transport = newTransport()
	}
	own.CheckRedirect = stayAt(base)
	own.Jar = nil
	if agent == "" {
		agent = "bulla"
	}
	return &remote{base: base, http: &own, agent: agent}, nil
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 15 * time.Second,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   2,
		IdleConnTimeout:       30 * time.Second,
	}
}

func parseMirror(mirror string) (*url.URL, error) {
	base, err := url.Parse(mirror)
	switch {
	case err != nil:
		return nil, fmt.Errorf("mirror %q is not a URL: %w", mirror, err)
	case base.Scheme != "https" && base.Scheme != "http":
		return nil, fmt.Errorf("mirror %q: the URL must begin with https:// or http://", mirror)
	case base.Hostname() == "" || strings.Trim(base.Hostname(), ".") == "":
		return nil, fmt.Errorf("mirror %q: the URL names no host", mirror)
	case base.User != nil || base.RawQuery != "" || base.ForceQuery || base.Fragment != "":
		return nil, fmt.Errorf("mirror %q: the URL must have neither a user, nor a query, nor a fragment", base.Redacted())
	case len(mirror) > maxMirror:
		return nil, fmt.Errorf("mirror %q: the URL has more than %d bytes", mirror, maxMirror)
	}
	return base, nil
}

// stayAt refuses redirects away from the mirror: what it says is signed, but who asks for it is nobody else's business,
// and a service must not be led to addresses of an attacker's choice.
func stayAt(base *url.URL) func(*http.Request, []*http.Request) error {
	return func(r *http.Request, via []*http.Request) error {
		switch {
		case len(via) > maxRedirects:
			return fmt.Errorf("more than %d redirects", maxRedirects)
		case r.URL.Host != base.Host:
			return fmt.Errorf("redirect to another host, %s", r.URL.Host)
		case r.URL.Scheme != base.Scheme:
			return fmt.Errorf("redirect from %s to %s", base.Scheme, r.URL.Scheme)
		}
		return nil
	}
}

// fetch reads a file of at most limit bytes. The name's parts are this package's own, never a mirror's.
func (r *remote) fetch(ctx context.Context, limit int64, name ...string) ([]byte, error) {
	at := r.base.JoinPath(name...).String()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", r.agent)
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoAnswer, err) // names the address
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusOK:
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusForbidden:
		// Object stores answer 403 for what is not there.
		return nil, fmt.Errorf("%s: %w (status %d)", at, errAbsent, resp.StatusCode)
	default:
		return nil, fmt.Errorf("%w: %s: status %d", ErrNoAnswer, at, resp.StatusCode)
	}
	if resp.ContentLength > limit {
		return nil, fmt.Errorf("%s has %d bytes, the limit is %d", at, resp.ContentLength, limit)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %s: %w", ErrNoAnswer, at, err)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("%s has more than %d bytes", at, limit)
	}
	return data, nil
}
