package main

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/bulla-sign/bulla/internal/testenv/fault"
	"github.com/bulla-sign/bulla/internal/tools/realregistry"
)

// registryKind is a registry that runs, and the fewest requests that can be asked of it. The first contact is not counted.
type registryKind struct {
	name, addr  string
	verify, all int   // to verify one, and beside 2n for n
	sign        int64 // see fewestAPI and fewestTag
	hello       int64 // requests of the first contact: the ping of /v2/, and where that says so a token
}

// inMemory is a registry with the referrers API.
func inMemory() http.Handler {
	return registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0)))
}

// serve has a handler answer on a port of its own until end is called.
func serve(h http.Handler) (addr string, end func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }()                          // ends with Close
	return l.Addr().String(), func() { _ = s.Close() }, nil // nobody reads from it any more
}

// inRegistries runs a part in a registry of both kinds: with the referrers API, and without it.
func (b *bench) inRegistries(part func(registryKind) error) error {
	addr, end, err := serve(inMemory())
	if err != nil {
		return err
	}
	defer end()
	dir, err := os.MkdirTemp(b.dir, "registry-")
	if err != nil {
		return err
	}
	real, err := realregistry.Start(dir, os.Stderr)
	if err != nil {
		return err
	}
	defer real.Close()
	if err := part(registryKind{name: "referrers", addr: addr, verify: 3, all: 2, sign: fewestAPI, hello: 1}); err != nil {
		return err
	}
	return part(registryKind{name: "fallback tag", addr: real.Addr, verify: 4, all: 3, sign: fewestTag, hello: 1})
}

// distance is a proxy before a registry or a service: it counts what is asked and lets it take its time.
type distance struct {
	addr    string // what the programs ask
	forward http.Handler
	close   func()
	delay   atomic.Int64 // nanoseconds
	asked   atomic.Int64 // without the first contact
	greeted atomic.Int64 // pings of /v2/, and tokens
}

// front starts a proxy before the registry at a host and port.
func front(addr string) (*distance, error) {
	d := &distance{forward: fault.Forward(&url.URL{Scheme: "http", Host: addr})}
	var err error
	d.addr, d.close, err = serve(d)
	return d, err
}

// ServeHTTP sends a request on.
func (d *distance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v2/" || r.URL.Path == tokenPath {
		d.greeted.Add(1)
	} else {
		d.asked.Add(1)
	}
	time.Sleep(time.Duration(d.delay.Load()))
	d.forward.ServeHTTP(w, r)
}
