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

// registryKind is a registry that runs, and the fewest requests that can be asked of it. The ping of /v2/ is not counted.
type registryKind struct {
	name, addr  string
	verify, all int   // to verify one, and beside 2n for n
	sign        int64 // see fewestAPI and fewestTag
}

// inRegistries runs a part in a registry of both kinds: with the referrers API, and without it.
func (b *bench) inRegistries(part func(registryKind) error) error {
	memory, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	api := &http.Server{Handler: registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))), ReadHeaderTimeout: time.Minute}
	go func() { _ = api.Serve(memory) }() // ends with Close
	defer func() { _ = api.Close() }()    // nobody reads from it any more
	dir, err := os.MkdirTemp(b.dir, "registry-")
	if err != nil {
		return err
	}
	real, err := realregistry.Start(dir, os.Stderr)
	if err != nil {
		return err
	}
	defer real.Close()
	if err := part(registryKind{name: "referrers", addr: memory.Addr().String(), verify: 3, all: 2, sign: fewestAPI}); err != nil {
		return err
	}
	return part(registryKind{name: "fallback tag", addr: real.Addr, verify: 4, all: 3, sign: fewestTag})
}

// distance is a proxy before a registry: it counts what is asked and lets it take its time.
type distance struct {
	addr    string // what the programs ask
	forward http.Handler
	server  *http.Server
	delay   atomic.Int64 // nanoseconds
	asked   atomic.Int64 // without the ping of /v2/
}

// front starts a proxy before the registry at a host and port.
func front(addr string) (*distance, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &distance{addr: l.Addr().String(), forward: fault.Forward(&url.URL{Scheme: "http", Host: addr})}
	d.server = &http.Server{Handler: d, ReadHeaderTimeout: time.Minute}
	go func() { _ = d.server.Serve(l) }() // ends with close
	return d, nil
}

func (d *distance) close() { _ = d.server.Close() }

// ServeHTTP sends a request on.
func (d *distance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v2/" {
		d.asked.Add(1)
	}
	time.Sleep(time.Duration(d.delay.Load()))
	d.forward.ServeHTTP(w, r)
}
