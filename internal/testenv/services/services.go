// Package services runs the services of a world over HTTP on the loopback interface, in the wire formats of Fulcio, Rekor
// v1 and v2, RFC 3161 and OpenID Connect, for tests of whatever calls them. They check what they are sent as the real ones
// do: tokens, proofs of possession, signatures. Faults make them fail in the ways that networks and servers do.
package services

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/fault"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/world"
)

// Services are one of each kind, at one address.
type Services struct {
	fault.Set
	World *world.World
	// URL is the base address of the authority and both logs, TSA the full one of the timestamp authority, Issuer the
	// identity provider's.
	URL, TSA, Issuer string
	// Now is what the services take for the present time.
	Now func() time.Time
	// Leaf is the last word on a certificate that is about to be issued.
	Leaf func(*mint.LeafOptions)
	// NoProof leaves the inclusion proof out of the v1 log's answer to an upload; Conflict makes the v2 log answer a
	// repeated upload with 409, as the stock server does, in place of the entry.
	NoProof, Conflict bool
	// Email and Subject are in the tokens of the identity provider.
	Email, Subject string

	t        testing.TB
	mu       sync.Mutex
	byName   map[string]int // leaf hash → index in the log; v1 and v2 have different bodies
	bodies   map[string][]byte
	entries  map[string]json.RawMessage // v1, by UUID
	tokenKey *ecdsa.PrivateKey
	logins   logins
}

// Fault is something that goes wrong with requests.
type Fault = fault.Fault

// New starts the services of a new world; they end with the test.
func New(t testing.TB) *Services {
	t.Helper()
	s := &Services{
		World: world.New(t), Now: time.Now, Email: mint.Email, Subject: "subject-of-alice", t: t,
		byName: map[string]int{}, bodies: map[string][]byte{}, entries: map[string]json.RawMessage{},
		tokenKey: testenv.ECDSAKey(t, elliptic.P256()),
	}
	s.logins.init()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	s.TSA = s.URL + "/api/v1/timestamp"
	s.Issuer = s.URL + "/oidc"
	return s
}

// ServeHTTP answers all services, with their faults.
func (s *Services) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	s.Serve(w, req, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		s.mu.Lock() // the world is not made for several at once
		defer s.mu.Unlock()
		s.mux().ServeHTTP(w, req)
	}))
}

func (s *Services) mux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v2/signingCert", s.signingCert)
	mux.HandleFunc("POST /api/v2/log/entries", s.createV2)
	mux.HandleFunc("GET /api/v2/checkpoint", s.checkpointV2)
	mux.HandleFunc("GET /api/v2/tile/{path...}", s.tileV2)
	mux.HandleFunc("GET /checkpoint", s.checkpointV2)
	mux.HandleFunc("GET /tile/{path...}", s.tileV2)
	mux.HandleFunc("POST /api/v1/log/entries", s.createV1)
	mux.HandleFunc("POST /api/v1/log/entries/retrieve", s.retrieveV1)
	mux.HandleFunc("GET /api/v1/log/entries/{uuid}", s.getV1)
	mux.HandleFunc("POST /api/v1/index/retrieve", s.indexV1)
	mux.HandleFunc("POST /api/v1/timestamp", s.timestamp)
	s.registerIssuer(mux)
	return mux
}

// refuse answers with a google.rpc.Status.
func refuse(w http.ResponseWriter, status int, message string) {
	reply(w, status, map[string]any{"code": 3, "message": message, "details": []any{}})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a recorder does not fail
}

// object is a JSON object; encoding/json sorts its names.
type object map[string]any
