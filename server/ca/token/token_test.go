package token_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/server/ca/issuerconfig"
	"github.com/bulla-sign/bulla/server/ca/token"
	"github.com/go-jose/go-jose/v4"
)

// clock is settable.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// mint signs a token of the issuer.
func mint(t testing.TB, key crypto.Signer, kid, iss string, now time.Time) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(map[string]any{"iss": iss, "aud": "sigstore", "sub": "x", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix()})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// site is an issuer's web site.
type site struct {
	*httptest.Server
	mu     sync.Mutex
	keys   map[string]crypto.Signer
	pages  map[string]http.HandlerFunc // instead of the usual ones
	hits   atomic.Int64
	secret atomic.Bool // whether a request brought credentials
}

func newSite(t testing.TB, tls bool) *site {
	t.Helper()
	s := &site{keys: map[string]crypto.Signer{"1": newKey(t)}, pages: map[string]http.HandlerFunc{}}
	if tls {
		s.Server = httptest.NewTLSServer(s)
	} else {
		s.Server = httptest.NewServer(s)
	}
	t.Cleanup(s.Close)
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.hits.Add(1)
	if r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" {
		s.secret.Store(true)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if page, ok := s.pages[r.URL.Path]; ok {
		page(w, r)
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": s.URL, "jwks_uri": s.URL + "/keys"})
	case "/keys":
		_, _ = w.Write(s.jwks())
	default:
		http.NotFound(w, r)
	}
}

func (s *site) jwks() []byte {
	set := jose.JSONWebKeySet{}
	for kid, key := range s.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: kid, Use: "sig", Algorithm: "ES256"})
	}
	data, err := json.Marshal(set)
	if err != nil {
		panic(err)
	}
	return data
}

func (s *site) page(path string, h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages[path] = h
}

func (s *site) caPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

// verifier accepts the issuers.
func verifier(t testing.TB, c *clock, edit func(*token.Config), issuers ...issuerconfig.Issuer) *token.Verifier {
	t.Helper()
	cfg, err := issuerconfig.New(issuers...)
	if err != nil {
		t.Fatal(err)
	}
	config := token.Config{Issuers: cfg, Now: c.now}
	if edit != nil {
		edit(&config)
	}
	v, err := token.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func issuer(url string) issuerconfig.Issuer {
	return issuerconfig.Issuer{URL: url, ClientID: "sigstore", Type: issuerconfig.URI, SubjectDomain: url}
}

func kindOf(t testing.TB, err error) token.Kind {
	t.Helper()
	var e *token.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is not a token.Error", err)
	}
	return e.Kind
}

func TestRemote(t *testing.T) {
	for _, tls := range []bool{false, true} {
		s, c := newSite(t, tls), newClock()
		is := issuer(s.URL)
		if tls {
			is.CACert = s.caPEM()
		}
		v := verifier(t, c, nil, is)
		got, err := v.Verify(t.Context(), mint(t, s.keys["1"], "1", s.URL, c.now()))
		if err != nil || got.Issuer != s.URL || got.Subject != "x" {
			t.Fatal(got, err)
		}
		if s.secret.Load() {
			t.Fatal("the request had credentials")
		}
		// Without the authority's certificate the site is not believed.
		if tls {
			_, err = verifier(t, c, nil, issuer(s.URL)).Verify(t.Context(), mint(t, s.keys["1"], "1", s.URL, c.now()))
			if kindOf(t, err) != token.Unavailable || strings.Contains(err.Error(), "127.0.0.1:") && !strings.Contains(err.Error(), s.URL) {
				t.Fatal(err)
			}
		}
	}
}

// TestRotation: a new key is found at once, a withdrawn one is not used for longer than an hour, and forged key ids do not
// make requests.
func TestRotation(t *testing.T) {
	s, c := newSite(t, false), newClock()
	v := verifier(t, c, nil, issuer(s.URL))
	old := s.keys["1"]
	check := func(kid string, key crypto.Signer, want string) {
		t.Helper()
		_, err := v.Verify(t.Context(), mint(t, key, kid, s.URL, c.now()))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Fatalf("%v, want %q", err, want)
		}
	}
	check("1", old, "")
	if got := s.hits.Load(); got != 2 {
		t.Fatalf("%d requests for the first token", got)
	}
	c.add(time.Minute)
	for range 50 {
		check("forged", old, `no key with id "forged"`)
	}
	if got := s.hits.Load(); got != 4 {
		t.Fatalf("%d requests after forged ids", got)
	}
	next := newKey(t)
	s.mu.Lock()
	s.keys = map[string]crypto.Signer{"2": next}
	s.mu.Unlock()
	check("2", next, `no key with id "2"`) // just asked
	c.add(time.Minute)
	check("2", next, "")
	check("1", old, `no key with id "1"`)
	// The site goes away; known keys last for their hour and no longer.
	s.page("/keys", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	c.add(30 * time.Minute)
	check("2", next, "")
	check("3", next, `no key with id "3"`)
	c.add(31 * time.Minute)
	check("2", next, "status 503")
	hits := s.hits.Load()
	check("2", next, "status 503")
	if s.hits.Load() != hits {
		t.Fatal("asked again at once")
	}
}

// TestSites is about what an issuer's site may answer.
func TestSites(t *testing.T) {
	canary := newSite(t, false)
	evil := newSite(t, false)
	for name, c := range map[string]struct {
		path string
		page func(s *site) http.HandlerFunc
		want string
	}{
		"redirect to another host": {"/.well-known/openid-configuration", func(*site) http.HandlerFunc {
			return http.RedirectHandler(canary.URL+"/.well-known/openid-configuration", http.StatusFound).ServeHTTP
		}, "redirects to another host"},
		"redirect of the keys": {"/keys", func(*site) http.HandlerFunc {
			return http.RedirectHandler(canary.URL+"/keys", http.StatusTemporaryRedirect).ServeHTTP
		}, "redirects to another host"},
		"redirect to another port by name": {"/keys", func(*site) http.HandlerFunc {
			return http.RedirectHandler(strings.Replace(canary.URL, "127.0.0.1", "localhost", 1)+"/keys", http.StatusFound).ServeHTTP
		}, "redirects to another host"},
		"redirect without end": {"/keys", func(s *site) http.HandlerFunc {
			return http.RedirectHandler("/keys", http.StatusFound).ServeHTTP
		}, "redirects too often"},
		"keys elsewhere": {"/.well-known/openid-configuration", func(s *site) http.HandlerFunc {
			return document(s.URL, "http://192.0.2.1/keys")
		}, "on this machine, but its key set is not"},
		"keys in a file": {"/.well-known/openid-configuration", func(s *site) http.HandlerFunc {
			return document(s.URL, "file:///etc/passwd")
		}, "no usable jwks_uri"},
		"no keys": {"/.well-known/openid-configuration", func(s *site) http.HandlerFunc { return document(s.URL, "") }, "no usable jwks_uri"},
		"document of another": {"/.well-known/openid-configuration", func(s *site) http.HandlerFunc {
			return document(evil.URL, s.URL+"/keys")
		}, "is that of another issuer"},
		"document with a slash": {"/.well-known/openid-configuration", func(s *site) http.HandlerFunc {
			return document(s.URL+"/", s.URL+"/keys")
		}, "is that of another issuer"},
		"not JSON":     {"/.well-known/openid-configuration", text("<html>"), "not JSON"},
		"not found":    {"/.well-known/openid-configuration", func(*site) http.HandlerFunc { return http.NotFound }, "status 404"},
		"endless":      {"/keys", text(strings.Repeat(" ", 2<<20)), "longer than"},
		"keys no JSON": {"/keys", text("x"), "key set"},
		"empty set":    {"/keys", text(`{"keys":[]}`), "none of its 0 keys"},
		"secrets only": {"/keys", text(`{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"1"}]}`), "none of its 1 keys"},
		"many keys":    {"/keys", text(`{"keys":[` + strings.Repeat("{},", 200) + `{}]}`), "more than 100"},
	} {
		t.Run(name, func(t *testing.T) {
			s, clk := newSite(t, false), newClock()
			s.page(c.path, c.page(s))
			before := canary.hits.Load()
			_, err := verifier(t, clk, nil, issuer(s.URL)).Verify(t.Context(), mint(t, s.keys["1"], "1", s.URL, clk.now()))
			if err == nil || !strings.Contains(err.Error(), c.want) || kindOf(t, err) != token.Unavailable {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if canary.hits.Load() != before || canary.secret.Load() {
				t.Fatal("the other host was asked")
			}
		})
	}
}

func document(issuer, keys string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": issuer, "jwks_uri": keys})
	}
}

func text(s string) func(*site) http.HandlerFunc {
	return func(*site) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) }
	}
}

// TestMixedKeySet: keys that cannot be used do not hide the one that can, and a key of the wrong use or algorithm is none.
func TestMixedKeySet(t *testing.T) {
	s, c := newSite(t, false), newClock()
	good := jose.JSONWebKey{Key: s.keys["1"].Public(), KeyID: "1"}
	encryption := good
	encryption.KeyID, encryption.Use = "enc", "enc"
	other := good
	other.KeyID, other.Algorithm = "rs", "RS256"
	var raw []string
	for _, key := range []jose.JSONWebKey{encryption, other, good} {
		data, err := json.Marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		raw = append(raw, string(data))
	}
	s.page("/keys", text(`{"keys":[{"kty":"FUTURE","kid":"f"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},null,7,`+strings.Join(raw, ",")+`]}`)(s))
	v := verifier(t, c, nil, issuer(s.URL))
	for kid, want := range map[string]string{"1": "", "": "", "enc": "no key with id", "rs": "no key with id", "f": "no key with id"} {
		_, err := v.Verify(t.Context(), mint(t, s.keys["1"], kid, s.URL, c.now()))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", kid, err)
		}
	}
}

// TestFamilies: whatever tokens claim, nobody is asked who does not match, nobody at a private address, and not too many.
func TestFamilies(t *testing.T) {
	c := newClock()
	family := issuerconfig.Issuer{Pattern: "https://oidc.eks.*.bulla.test/id/*", ClientID: "sigstore", Type: issuerconfig.Kubernetes}
	key := newKey(t)
	var mu sync.Mutex
	var dialled []string
	dial := func(_ context.Context, _, address string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		dialled = append(dialled, address)
		return nil, errors.New("no network here")
	}
	v := verifier(t, c, func(cfg *token.Config) { cfg.DialContext = dial }, family)
	for _, iss := range []string{
		"https://oidc.eks.evil.test#.bulla.test/id/x", "https://oidc.eks.x@evil.test/.bulla.test/id/x", "http://localhost:1?https://oidc.eks.a.bulla.test/id/x",
		"https://evil.test", "https://oidc.eks.a.b.bulla.test/id/x", "http://169.254.169.254/",
	} {
		if _, err := v.Verify(t.Context(), mint(t, key, "1", iss, c.now())); kindOf(t, err) != token.Invalid {
			t.Errorf("%s: %v", iss, err)
		}
	}
	if len(dialled) > 0 {
		t.Fatalf("connected to %q", dialled)
	}
	busy := 0
	for i := range 60 {
		_, err := v.Verify(t.Context(), mint(t, key, "1", fmt.Sprintf("https://oidc.eks.a.bulla.test/id/%d", i), c.now()))
		switch kindOf(t, err) {
		case token.Busy:
			busy++
		case token.Unavailable:
			if strings.Contains(err.Error(), "no network here") {
				t.Fatal("the client learns of the network")
			}
		default:
			t.Fatal(err)
		}
	}
	if busy < 30 || len(dialled) > 30 || dialled[0] != "oidc.eks.a.bulla.test:443" {
		t.Fatalf("%d refused, %d connections", busy, len(dialled))
	}
}

// TestFamilyKeys: an issuer that was matched must have its keys on its own host.
// TestDialer: the check of addresses is that of the connections which are really made (GHSA-59jp-pj84-45mr): an issuer that
// only matched a pattern and is at an address inside is not connected to, one that is configured by name is.
func TestDialer(t *testing.T) {
	s, c := newSite(t, true), newClock()
	iss := s.URL + "/t/1"
	s.page("/t/1/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": iss, "jwks_uri": s.URL + "/keys"})
	})
	raw := mint(t, s.keys["1"], "1", iss, c.now())
	family := issuerconfig.Issuer{Pattern: s.URL + "/t/*", ClientID: "sigstore", Type: issuerconfig.URI, SubjectDomain: s.URL, CACert: s.caPEM()}
	_, err := verifier(t, c, nil, family).Verify(t.Context(), raw)
	if kindOf(t, err) != token.Unavailable || strings.Contains(err.Error(), "127.0.0.1 ") {
		t.Error(err)
	}
	if n := s.hits.Load(); n != 0 {
		t.Errorf("an address inside was asked %d times", n)
	}
	named := issuer(iss)
	named.SubjectDomain, named.CACert = s.URL, s.caPEM()
	if _, err := verifier(t, c, nil, named).Verify(t.Context(), raw); err != nil {
		t.Error(err)
	}
}

func TestFamilyKeys(t *testing.T) {
	s, c := newSite(t, true), newClock()
	elsewhere := newSite(t, true)
	iss := "https://www.example.com/id/7" // for which httptest has a certificate
	family := issuerconfig.Issuer{Pattern: "https://*.example.com/id/*", ClientID: "sigstore", Type: issuerconfig.Kubernetes, CACert: s.caPEM()}
	toSite := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
	}
	for keys, want := range map[string]string{
		"https://www.example.com/keys": "", elsewhere.URL + "/keys": "on another host", "http://www.example.com/keys": "not served over HTTPS",
		"https://www.example.com:8443/keys": "on another host",
	} {
		s.page("/id/7/.well-known/openid-configuration", document(iss, keys))
		v := verifier(t, c, func(cfg *token.Config) { cfg.DialContext = toSite }, family)
		_, err := v.Verify(t.Context(), mint(t, s.keys["1"], "1", iss, c.now()))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", keys, err, want)
		}
	}
	if elsewhere.hits.Load() > 0 {
		t.Fatal("another host was asked")
	}
}

func TestNew(t *testing.T) {
	remotePlain, err := issuerconfig.New(issuerconfig.Issuer{URL: "http://idp.example", ClientID: "x", Type: issuerconfig.Email})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := token.New(token.Config{Issuers: remotePlain}); err == nil || !strings.Contains(err.Error(), "plain HTTP") {
		t.Fatal(err)
	}
	if _, err := token.New(token.Config{Issuers: remotePlain, Keys: map[string]token.KeySet{"http://idp.example": failing{}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := token.New(token.Config{Issuers: remotePlain, Keys: map[string]token.KeySet{"http://idp.example": failing{}, "http://b.example": failing{}}}); err == nil {
		t.Fatal("keys of an issuer that is not configured")
	}
	if _, err := token.New(token.Config{}); err == nil {
		t.Fatal("no issuers")
	}
}

type failing struct{}

func (failing) Keys(context.Context) (jose.JSONWebKeySet, error) {
	return jose.JSONWebKeySet{}, errors.New("disk gone")
}

// TestLocalKeysFail: an issuer in the process that has no keys now is no fault of the client.
func TestLocalKeysFail(t *testing.T) {
	c := newClock()
	v := verifier(t, c, func(cfg *token.Config) { cfg.Keys = map[string]token.KeySet{"https://a.example": failing{}} }, issuer("https://a.example"))
	_, err := v.Verify(t.Context(), mint(t, newKey(t), "1", "https://a.example", c.now()))
	if kindOf(t, err) != token.Unavailable || strings.Contains(err.Error(), "disk") {
		t.Fatal(err)
	}
}

// TestConcurrent: many clients make one request of the issuer.
func TestConcurrent(t *testing.T) {
	s, c := newSite(t, false), newClock()
	v := verifier(t, c, nil, issuer(s.URL))
	raw := mint(t, s.keys["1"], "1", s.URL, c.now())
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := v.Verify(context.Background(), raw); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := s.hits.Load(); got != 2 {
		t.Fatalf("%d requests", got)
	}
	// A client that goes away while it waits is not kept.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := v.Verify(ctx, raw); err != nil && kindOf(t, err) != token.Unavailable {
		t.Fatal(err)
	}
}
