package testenv

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// RegistryOptions say what the registry in memory can do.
type RegistryOptions struct {
	Referrers   bool // has the referrers API (without filter and without the OCI-Subject header)
	OCISubject  bool // answers a manifest that has a subject with the OCI-Subject header
	ETag        bool // sends an ETag with manifests, and honours If-Match and If-None-Match
	IgnoreMatch bool // with ETag: sends it, and ignores the conditions, as most registries do
	Lag         int  // so many reads of a tag or a list of referrers after a write still show what was there before
	TLS         bool
	User        string // with Password: ask for basic credentials
	Password    string
	Bearer      bool // with User: ask for a token, which its token server gives for these credentials
	Quirks      Quirks
}

// Registry is an OCI registry in memory on a loopback port, that counts requests and fails on demand.
//
//	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
//	img := reg.PushImage(t, "app:v1")            // "127.0.0.1:1234/app@sha256:…"
//	reg.Fail(testenv.Fault{Path: "/referrers/", Status: 429, Code: "TOOMANYREQUESTS"})
//	… reg.Total() …
type Registry struct {
	Host   string // "127.0.0.1:port"
	Server *httptest.Server
	// Storage is where redirects of the quirks lead.
	Storage *httptest.Server

	options RegistryOptions
	inner   http.Handler
	writes  sync.Mutex // held during a manifest PUT, so that conditions are checked and applied together

	mu     sync.Mutex
	counts map[string]int
	aside  map[string]int
	log    []string
	agents map[string]bool
	faults []*Fault
	stale  map[string]*staleAnswer
	quirks quirkState
}

// Fault is one way to fail. Zero fields do nothing; several may be combined. The first fault that matches is used.
type Fault struct {
	Method string // empty: any
	Path   string // a part of the path; empty: any path below /v2/ except the ping
	Not    string // a part that the path does not have
	Skip   int    // let so many matching requests pass first
	Times  int    // fail so many requests; 0: all

	Status    int               // answer with this status, without asking the registry
	Code      string            // the error code in the answer's document
	Body      string            // the answer's body, in place of an error document
	Header    map[string]string // headers of the answer
	Truncate  bool              // send half of the registry's answer and break off
	Corrupt   bool              // change the last byte of the registry's answer
	LoseWrite bool              // answer 201 with a location to a PUT or POST, and store nothing
	Reached   chan<- struct{}   // gets a value when the fault takes effect
	Wait      <-chan struct{}   // wait until it is closed before anything else

	seen int
}

// NewRegistry starts a registry that is stopped when the test ends.
func NewRegistry(t testing.TB, o RegistryOptions) *Registry {
	t.Helper()
	quiet := log.New(io.Discard, "", 0)
	r := &Registry{
		options: o, inner: registry.New(registry.Logger(quiet), registry.WithReferrersSupport(o.Referrers)),
		counts: map[string]int{}, aside: map[string]int{}, agents: map[string]bool{}, stale: map[string]*staleAnswer{},
		quirks: quirkState{history: map[string][]version{}},
	}
	r.SetQuirks(o.Quirks)
	r.Storage = httptest.NewServer(http.HandlerFunc(r.serveStorage))
	t.Cleanup(r.Storage.Close)
	r.Server = httptest.NewUnstartedServer(r)
	r.Server.Config.ErrorLog = quiet // TLS handshakes of clients that try HTTPS first
	if o.TLS {
		r.Server.StartTLS()
	} else {
		r.Server.Start()
	}
	t.Cleanup(r.Server.Close)
	r.Host = r.Server.Listener.Addr().String()
	return r
}

// Door is a second way into the same registry, on a port of its own, without quirks and faults.
func (r *Registry) Door(t testing.TB) *Registry {
	t.Helper()
	door := NewRegistry(t, RegistryOptions{})
	door.inner = r.inner
	return door
}

// Fail adds a fault.
func (r *Registry) Fail(f Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, &f)
}

// Heal removes all faults.
func (r *Registry) Heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = nil
}

// HealPath removes the faults of one path.
func (r *Registry) HealPath(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = slices.DeleteFunc(r.faults, func(f *Fault) bool { return f.Path == path })
}

// Reset forgets the counts.
func (r *Registry) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts, r.aside, r.log = map[string]int{}, map[string]int{}, nil
}

// Apart is the number of requests since the start or Reset that Total does not count: of "ping", "token" or "redirect".
func (r *Registry) Apart(kind string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.aside[kind]
}

func (r *Registry) apart(kind string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.aside[kind]++
}

// Total is the number of requests since the start or Reset, without the ping of /v2/, the exchange of tokens and what a
// redirect leads to.
func (r *Registry) Total() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.log)
}

// Count is the number of requests of a kind: a method and one of "manifests", "blobs", "uploads", "referrers", "tags", such
// as "GET manifests".
func (r *Registry) Count(kind string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[kind]
}

// Log lists the requests counted, as "GET /v2/app/manifests/v1 200".
func (r *Registry) Log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.log, "\n")
}

// Agents lists the User-Agent headers seen.
func (r *Registry) Agents() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var agents []string
	for agent := range r.agents {
		agents = append(agents, agent)
	}
	return agents
}

func (r *Registry) match(req *http.Request) *Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.faults {
		if (f.Method != "" && f.Method != req.Method) || !strings.Contains(req.URL.Path, f.Path) ||
			(f.Not != "" && strings.Contains(req.URL.Path, f.Not)) {
			continue
		}
		f.seen++
		if f.seen > f.Skip && (f.Times == 0 || f.seen <= f.Skip+f.Times) {
			return f
		}
	}
	return nil
}

func requestKind(req *http.Request) string {
	for _, part := range []string{"manifests", "uploads", "blobs", "referrers", "tags"} {
		if strings.Contains(req.URL.Path, "/"+part+"/") {
			return req.Method + " " + part
		}
	}
	return req.Method + " other"
}
