package issuer_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/net/html"
	"golang.org/x/oauth2"

	"github.com/bulla-sign/bulla/server/issuer"
)

const callback = "http://localhost:43210/auth/callback"

// clock is a clock that tests set.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// instance is an issuer on a real port.
type instance struct {
	*issuer.Issuer
	t     *testing.T
	url   string
	clock *clock
	log   *lockedBuffer
	http  *httptest.Server
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var sharedKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// sharedKeys is a store with a key that is made once, since making one takes long.
func sharedKeys(t *testing.T, from time.Time) issuer.KeyStore {
	t.Helper()
	key, err := sharedKey()
	if err != nil {
		t.Fatal(err)
	}
	store := &issuer.MemoryKeys{}
	if err := store.Save(t.Context(), []issuer.Key{{Signer: key, From: from}}); err != nil {
		t.Fatal(err)
	}
	return store
}

// start runs an issuer with the development login unless edit says otherwise.
func start(t *testing.T, edit func(*issuer.Config)) *instance {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	in := &instance{t: t, url: "http://localhost:" + port + "/oidc", clock: &clock{at: time.Now().Truncate(time.Second)}, log: &lockedBuffer{}}
	cfg := issuer.Config{
		URL: in.url, Keys: sharedKeys(t, in.clock.now()), DevelopmentLogin: true, DeviceInterval: time.Second, Now: in.clock.now,
		Log: slog.New(slog.NewTextHandler(in.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if edit != nil {
		edit(&cfg)
	}
	if in.Issuer, err = issuer.New(t.Context(), cfg); err != nil {
		_ = l.Close()
		t.Fatal(err)
	}
	in.http = &httptest.Server{Listener: l, Config: &http.Server{Handler: in.Issuer}}
	in.http.Start()
	t.Cleanup(in.http.Close)
	return in
}

func (in *instance) provider() *oidc.Provider {
	in.t.Helper()
	p, err := oidc.NewProvider(context.Background(), in.url)
	if err != nil {
		in.t.Fatal(err)
	}
	return p
}

// verify checks a token as a relying party does.
func (in *instance) verify(raw, audience string) (*oidc.IDToken, error) {
	return in.provider().Verifier(&oidc.Config{ClientID: audience, Now: in.clock.now}).Verify(context.Background(), raw)
}

func (in *instance) config() oauth2.Config {
	return oauth2.Config{ClientID: "sigstore", Endpoint: in.provider().Endpoint(), RedirectURL: callback, Scopes: []string{"openid", "email"}}
}

// browser does what a person's browser does: keeps cookies, sends forms, stops where it is sent elsewhere.
type browser struct {
	t      *testing.T
	client *http.Client
}

func newBrowser(t *testing.T) *browser {
	jar, _ := cookiejar.New(nil)
	return &browser{t, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

type shown struct {
	*http.Response
	url  *url.URL
	body string
}

func (b *browser) do(r *http.Request) shown {
	b.t.Helper()
	resp, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return shown{resp, r.URL, string(body)}
}

func (b *browser) get(to string) shown {
	b.t.Helper()
	r, err := http.NewRequest("GET", to, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(r)
}

func (b *browser) post(to string, v url.Values) shown {
	b.t.Helper()
	r, err := http.NewRequest("POST", to, strings.NewReader(v.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(r)
}

// forms are the forms of a page: where each goes, and its fields.
func (s shown) forms(t *testing.T) (out []pageForm) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(s.body))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		switch n.Data {
		case "form":
			to, err := s.url.Parse(attr(n, "action"))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, pageForm{to.String(), url.Values{}})
		case "input":
			out[len(out)-1].fields.Set(attr(n, "name"), attr(n, "value"))
		}
	}
	return out
}

// buttons are the targets of the page's buttons.
func (s shown) buttons(t *testing.T) (out []string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(s.body))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Data == "a" && strings.HasPrefix(attr(n, "class"), "button") {
			to, err := s.url.Parse(attr(n, "href"))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, to.String())
		}
	}
	return out
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

type pageForm struct {
	to     string
	fields url.Values
}

// form is the page's form with this way to sign in.
func (s shown) form(t *testing.T, method string) pageForm {
	t.Helper()
	for _, f := range s.forms(t) {
		if f.fields.Get("method") == method {
			return f
		}
	}
	t.Fatalf("status %d: no form with method %q on the page:\n%s", s.StatusCode, method, s.body)
	return pageForm{}
}

func (b *browser) send(f pageForm, edit url.Values) shown {
	b.t.Helper()
	for name, v := range edit {
		f.fields[name] = v
	}
	return b.post(f.to, f.fields)
}

// signIn opens the page and signs in as the address; it returns the answer.
func (b *browser) signIn(page, email string) shown {
	b.t.Helper()
	return b.send(b.get(page).form(b.t, "development"), url.Values{"email": {email}})
}

// location is where an answer sends the browser.
func (s shown) location(t *testing.T) *url.URL {
	t.Helper()
	to, err := s.Location()
	if err != nil || s.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d is no redirect (%v):\n%s", s.StatusCode, err, s.body)
	}
	return to
}

const (
	verifier = "0123456789012345678901234567890123456789-verifier"
	nonce    = "n-0S6_WzA2Mj"
)

func challenge(v string) string {
	sum := sha256.Sum256([]byte(v))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// asking is an authorization request as clients make it.
func asking(edit url.Values) url.Values {
	v := url.Values{
		"client_id": {"sigstore"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid email"},
		"state": {"xyz"}, "nonce": {nonce}, "access_type": {"online"},
		"code_challenge": {challenge(verifier)}, "code_challenge_method": {"S256"},
	}
	for name, value := range edit {
		if value == nil {
			delete(v, name)
		} else {
			v[name] = value
		}
	}
	return v
}

// code signs alice in and returns her code.
func (in *instance) code(edit url.Values) string {
	in.t.Helper()
	to := newBrowser(in.t).signIn(in.url+"/auth?"+asking(edit).Encode(), "alice@example.com").location(in.t)
	code := to.Query().Get("code")
	if code == "" {
		in.t.Fatalf("no code in %s", to)
	}
	return code
}

// redeeming is a token request for a code.
func redeeming(code string, edit url.Values) url.Values {
	v := url.Values{"grant_type": {"authorization_code"}, "client_id": {"sigstore"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
	for name, value := range edit {
		if value == nil {
			delete(v, name)
		} else {
			v[name] = value
		}
	}
	return v
}

// call posts to an endpoint for clients and reads the JSON.
func (in *instance) call(path string, v url.Values, edit ...func(*http.Request)) (*http.Response, map[string]any) {
	in.t.Helper()
	r, err := http.NewRequest("POST", in.url+path, strings.NewReader(v.Encode()))
	if err != nil {
		in.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, e := range edit {
		e(r)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		in.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	out := map[string]any{}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		in.t.Fatalf("POST %s: status %d: %v", path, resp.StatusCode, err)
	}
	return resp, out
}

// claimsOf reads a token's payload without checking anything.
func claimsOf(t *testing.T, raw string) map[string]any {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %q", raw)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(payload, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
