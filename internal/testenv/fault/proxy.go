package fault

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
)

// Proxy is a reverse proxy before a service, with its faults.
type Proxy struct {
	Set
	// URL is where it listens: http, a host and a port of its own.
	URL string

	forward http.Handler
}

// NewProxy starts a proxy before the service whose address is given, a URL without a path; it ends with the test. Paths,
// queries and the name that the client called the service by go through as they are.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{forward: Forward(to)}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

// onward keeps as many connections as its clients have, as the front of a service does: with the default, which is two, a
// client that asks several things at a time would wait for new ones.
var onward = func() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, 64
	return t
}()

// Forward sends requests on to a service.
func Forward(to *url.URL) http.Handler {
	return &httputil.ReverseProxy{
		Transport: onward,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
		},
		ErrorLog: log.New(io.Discard, "", 0), // clients that are killed are part of the tests
	}
}

// ServeHTTP answers as the service does, with the faults.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.Serve(w, r, p.forward) }
