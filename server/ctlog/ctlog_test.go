package ctlog

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/server/internal/treelog"
	"github.com/bulla-sign/bulla/tlog"
	"github.com/bulla-sign/bulla/trust"
)

// The SCT of a precertificate verifies in the certificate, by the code that verifies signatures, and its index leads to the
// entry.
func TestPrecertificate(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	for i := range 3 {
		precert, finish := w.ca.precert(t)
		sct, signed, err := s.AddPreChain(t.Context(), w.ca.chain(precert))
		if err != nil {
			t.Fatal(err)
		}
		cert, err := identity.FromX509(finish(sct))
		if err != nil {
			t.Fatal(err)
		}
		scts, err := cert.EmbeddedSCTs()
		if err != nil || len(scts) != 1 {
			t.Fatalf("%d SCTs, %v", len(scts), err)
		}
		at, err := cert.VerifyEmbeddedSCT(scts[0], w.ca.cert, w.key.Public())
		if err != nil || !at.Equal(present.Add(time.Second)) {
			t.Errorf("SCT of %v: %v", at, err)
		}
		if _, err := cert.VerifyEmbeddedSCT(scts[0], w.root.cert, w.key.Public()); err == nil {
			t.Error("the SCT verifies for another issuer")
		}
		if demanded, err := cert.EmbeddedSCTInput(scts[0], w.ca.cert); err != nil || !bytes.Equal(demanded, signed) {
			t.Errorf("signed is %x, want %x (%v)", signed, demanded, err)
		}
		if again, old, err := s.AddPreChain(t.Context(), w.ca.chain(precert)); err != nil || old != nil || !bytes.Equal(again, sct) {
			t.Errorf("the same precertificate again: %x, over %x, %v", again, old, err)
		}
		if index := indexOf(t, sct); index != uint64(i) {
			t.Errorf("index %d, want %d", index, i)
		}
		checkEntry(t, s, sct, precert)
	}
}

// checkEntry checks that the log has what an SCT says, under its checkpoint.
func checkEntry(t *testing.T, s *Server, sct []byte, precert *x509.Certificate) {
	t.Helper()
	index := indexOf(t, sct)
	head, err := s.tree.Await(t.Context(), index)
	if err != nil {
		t.Fatal(err)
	}
	data, err := s.tree.Entry(index)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := parseTileLeaf(data)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(leaf.precertificate, precert.Raw) || len(leaf.fingerprints) != 2 {
		t.Errorf("entry %d has another precertificate, or %d issuers", index, len(leaf.fingerprints))
	}
	hash, err := treelog.CT.LeafHash(data)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := s.tree.InclusionProof(index, head.Size)
	if err != nil {
		t.Fatal(err)
	}
	if err := tlog.VerifyInclusion(int64(index), int64(head.Size), hash, head.Root, proof); err != nil {
		t.Error(err)
	}
}

func TestCertificate(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	leaf := w.ca.leaf(t, nil)
	for name, chain := range map[string][][]byte{
		"whole":        w.ca.chain(leaf),
		"without root": w.ca.chain(leaf)[:2],
	} {
		tls, err := s.AddChain(t.Context(), chain)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sct, err := identity.ParseSCT(tls)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := identity.FromX509(leaf)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cert.VerifyDetachedSCT(sct, w.key.Public()); err != nil {
			t.Error(err)
		}
	}
	direct := w.root.leaf(t, nil)
	for _, chain := range [][][]byte{{direct.Raw}, {direct.Raw, w.root.cert.Raw}} {
		if _, err := s.AddChain(t.Context(), chain); err != nil {
			t.Error(err)
		}
	}
}

// The same certificate again gets the same SCT, and the log does not grow.
func TestRepeated(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	precert, _ := w.ca.precert(t)
	first, _, err := s.AddPreChain(t.Context(), w.ca.chain(precert))
	if err != nil {
		t.Fatal(err)
	}
	w.set(present.Add(time.Minute))
	second, _, err := s.AddPreChain(t.Context(), w.ca.chain(precert))
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("%x, then %x, %v", first, second, err)
	}
	if scts := w.fill(t, s, 1); indexOf(t, scts[0]) != 1 {
		t.Errorf("the next entry has index %d", indexOf(t, scts[0]))
	}
}

func TestRecentForgetsTheOldest(t *testing.T) {
	r := newRecent()
	key := func(n int) [32]byte { return sha256.Sum256(fmt.Append(nil, n)) }
	for n := range maxRecent + 3 {
		r.put(key(n), &sct{timestamp: uint64(n)})
	}
	if r.get(key(2)) != nil || r.get(key(3)) == nil || r.get(key(maxRecent+2)) == nil {
		t.Error("not the oldest were forgotten")
	}
	if len(r.scts) != maxRecent || len(r.ring) != maxRecent {
		t.Errorf("%d SCTs, %d keys", len(r.scts), len(r.ring))
	}
}

// After a restart everything is there: entries, issuers, and time goes on.
func TestRestart(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	w.fill(t, s, 5)
	before, err := s.head()
	if err != nil {
		t.Fatal(err)
	}
	closeLog(t, s)
	w.set(present.Add(-time.Hour)) // the clock went back
	s = w.open(t)
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.issuers.get(sha256.Sum256(w.ca.cert.Raw)) == nil {
		t.Error("the issuer is forgotten")
	}
	w.set(present.Add(time.Second / 2))
	w.fill(t, s, 1)
	after, err := s.head()
	if err != nil || after.size != 6 || after.timestamp <= before.timestamp {
		t.Errorf("head %+v after %+v: %v", after, before, err)
	}
}

func TestConcurrent(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	const each, many = 8, 8
	seen := make(map[uint64]bool)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range many {
		wg.Go(func() {
			for range each {
				precert, finish := w.ca.precert(t)
				tls, _, err := s.AddPreChain(t.Context(), w.ca.chain(precert))
				if err != nil {
					t.Error(err)
					return
				}
				cert, err := identity.FromX509(finish(tls))
				if err != nil {
					t.Error(err)
					return
				}
				scts, err := cert.EmbeddedSCTs()
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := cert.VerifyEmbeddedSCT(scts[0], w.ca.cert, w.key.Public()); err != nil {
					t.Error(err)
				}
				checkEntry(t, s, tls, precert)
				mu.Lock()
				seen[indexOf(t, tls)] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != each*many {
		t.Errorf("%d different indices of %d", len(seen), each*many)
	}
}

func postChain(s *Server, path string, chain [][]byte) *httptest.ResponseRecorder {
	body, err := json.Marshal(map[string]any{"chain": chain})
	if err != nil {
		panic(err) // byte strings
	}
	return postBody(s, path, body)
}

func postBody(s *Server, path string, body []byte) *httptest.ResponseRecorder {
	rw := httptest.NewRecorder()
	s.ServeHTTP(rw, httptest.NewRequest(http.MethodPost, testPrefix+path, bytes.NewReader(body)))
	return rw
}

// What HTTP answers is the same SCT, in the JSON of RFC 6962 4.1.
func TestSubmissionOverHTTP(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	precert, finish := w.ca.precert(t)
	rw := postChain(s, "/ct/v1/add-pre-chain", w.ca.chain(precert))
	if rw.Code != http.StatusOK || rw.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("status %d: %s", rw.Code, rw.Body)
	}
	sct, err := identity.ParseSCT(rw.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	tls, _, err := s.AddPreChain(t.Context(), w.ca.chain(precert)) // repeated: the same
	if err != nil {
		t.Fatal(err)
	}
	cert, err := identity.FromX509(finish(tls))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.VerifyEmbeddedSCT(sct, w.ca.cert, w.key.Public()); err != nil {
		t.Error(err)
	}
	if rw := postChain(s, "/ct/v1/add-chain", w.ca.chain(cert.X509)); rw.Code != http.StatusOK {
		t.Errorf("the certificate itself: status %d: %s", rw.Code, rw.Body)
	}
	if rw := postChain(s, "/ct/v1/add-chain", w.ca.chain(precert)); rw.Code != http.StatusBadRequest {
		t.Errorf("a precertificate to add-chain: status %d: %s", rw.Code, rw.Body)
	}
	if rw := postChain(s, "/ct/v1/add-pre-chain", w.ca.chain(cert.X509)); rw.Code != http.StatusBadRequest {
		t.Errorf("a certificate to add-pre-chain: status %d: %s", rw.Code, rw.Body)
	}
}

// The trusted root's description of the log verifies its SCTs.
func TestTrustedLog(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	log, err := trust.NewCTLog(trust.LogSpec{
		URL: "https://" + testOrigin, Key: w.key.Public(), Origin: testOrigin, Operator: "example.com",
		Window: trust.Window{Start: present},
	})
	if err != nil {
		t.Fatal(err)
	}
	sct, err := identity.ParseSCT(w.fill(t, s, 1)[0])
	if err != nil || !bytes.Equal(log.ID, sct.LogID[:]) || !bytes.Equal(log.ID, s.id[:]) {
		t.Errorf("log %x, SCT of %x: %v", log.ID, sct.LogID, err)
	}
}

func TestFreeze(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	w.fill(t, s, 2)
	if err := s.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	precert, _ := w.ca.precert(t)
	if _, _, err := s.AddPreChain(t.Context(), w.ca.chain(precert)); !errors.Is(err, treelog.ErrFrozen) {
		t.Errorf("frozen: %v", err)
	}
	if rw := postChain(s, "/ct/v1/add-pre-chain", w.ca.chain(precert)); rw.Code != http.StatusForbidden {
		t.Errorf("frozen: status %d", rw.Code)
	}
	closeLog(t, s)
	s = w.open(t, func(c *Config) {
		c.Key, c.PublicKey, c.Roots = nil, w.key.Public(), nil
		c.Tree.Frozen, c.Tree.Lock = true, nil
	})
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	for _, path := range []string{"/checkpoint", "/tile/0/000.p/2", "/tile/data/000.p/2", "/ct/v1/get-sth", "/ct/v1/get-entries?start=0&end=1", "/ct/v1/get-roots"} {
		if rw := get(s, "%s", path); rw.Code != http.StatusOK {
			t.Errorf("%s: status %d: %s", path, rw.Code, rw.Body)
		}
	}
	if _, _, err := s.AddPreChain(t.Context(), w.ca.chain(precert)); !errors.Is(err, treelog.ErrFrozen) {
		t.Errorf("opened frozen: %v", err)
	}
}

func TestSetRoots(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	other := newRoot(t, "other root").authority(t, "other", nil)
	precert, _ := other.precert(t)
	if _, _, err := s.AddPreChain(t.Context(), other.chain(precert)); err == nil {
		t.Error("accepted although its root is not")
	}
	if err := s.SetRoots(nil); err == nil {
		t.Error("no roots at all were accepted")
	}
	if err := s.SetRoots([]*x509.Certificate{w.root.cert, other.parent.cert}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.AddPreChain(t.Context(), other.chain(precert)); err != nil {
		t.Error(err)
	}
	var roots struct{ Certificates [][]byte }
	getJSON(t, s, &roots, "/ct/v1/get-roots")
	if len(roots.Certificates) != 2 || !bytes.Equal(roots.Certificates[0], w.root.cert.Raw) {
		t.Errorf("%d roots", len(roots.Certificates))
	}
}

func TestNewRefuses(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*Config){
		"no prefix":             func(c *Config) { c.Prefix = "" },
		"prefix with slash":     func(c *Config) { c.Prefix = "/ct/" },
		"prefix with pattern":   func(c *Config) { c.Prefix = "/ct/{name}" },
		"relative prefix":       func(c *Config) { c.Prefix = "ct/x" },
		"no key":                func(c *Config) { c.Key = nil },
		"P-384":                 func(c *Config) { c.Key = newKey(t, elliptic.P384()) },
		"another public key":    func(c *Config) { c.PublicKey = newKey(t, elliptic.P256()).Public() },
		"no roots":              func(c *Config) { c.Roots = nil },
		"a nil root":            func(c *Config) { c.Roots = []*x509.Certificate{nil} },
		"a leaf as root":        func(c *Config) { c.Roots = []*x509.Certificate{w.ca.leaf(t, nil)} },
		"no origin":             func(c *Config) { c.Tree.Origin = "" },
		"origin with scheme":    func(c *Config) { c.Tree.Origin = "https://x/ct" },
		"origin with a slash":   func(c *Config) { c.Tree.Origin = "x/ct/" },
		"origin with plus":      func(c *Config) { c.Tree.Origin = "x+y" },
		"no lock store":         func(c *Config) { c.Tree.Lock = nil },
		"frozen without public": func(c *Config) { c.Key, c.Tree.Frozen = nil, true },
	} {
		cfg := w.config(t)
		change(&cfg)
		if s, err := New(t.Context(), cfg); err == nil {
			closeLog(t, s)
			t.Errorf("%s: accepted", name)
		} else if !strings.HasPrefix(err.Error(), "CT log ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A log opened with another key than the one that signed its checkpoint does not open.
func TestOtherKey(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	w.fill(t, s, 1)
	closeLog(t, s)
	w.key = newKey(t, elliptic.P256())
	if s, err := New(t.Context(), w.config(t)); err == nil {
		closeLog(t, s)
		t.Error("opened with another key")
	}
}

func TestMetrics(t *testing.T) {
	w := newWorld(t)
	reg := prometheus.NewRegistry()
	s := w.open(t, func(c *Config) { c.Metrics = reg })
	count := func() (n int) {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			n += len(f.GetMetric())
		}
		return n
	}
	before := count()
	w.fill(t, s, 2)
	for i := range 50 {
		postBody(s, fmt.Sprintf("/ct/v1/add-chain%d", i), nil)
		postBody(s, "/ct/v1/add-chain", fmt.Append(nil, i))
	}
	if after := count(); after != before || before == 0 {
		t.Errorf("%d series before, %d after", before, after)
	}
	closeLog(t, s)
	if n := count(); n != 0 {
		t.Errorf("%d series after closing", n)
	}
}
