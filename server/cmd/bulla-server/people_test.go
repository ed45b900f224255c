package main_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

const (
	redirect = "http://localhost:43210/auth/callback"
	verifier = "0123456789012345678901234567890123456789-verifier"
)

// hashed is what hash-password makes of a password.
func hashed(t testing.TB, password string) string {
	t.Helper()
	cmd := exec.Command(built(t), "hash-password")
	cmd.Stdin = strings.NewReader(password + "\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// configure puts keys of the section issuer into a configuration.
func (o *operator) configure(dir, keys string) {
	o.t.Helper()
	path := o.path(dir + "/bulla-server.yaml")
	data, err := os.ReadFile(path)
	if err != nil {
		o.t.Fatal(err)
	}
	changed := strings.Replace(string(data), "\nissuer:\n", "\nissuer:\n"+keys, 1)
	if changed == string(data) {
		o.t.Fatal("the configuration has no section issuer")
	}
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// visitor is somebody at a browser, who stops where a redirect leads.
type visitor struct {
	t *testing.T
	c *http.Client
}

func newVisitor(t *testing.T) *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// page is what the browser got.
type page struct {
	*http.Response
	doc *html.Node
}

func (v *visitor) open(target string, form url.Values) page {
	v.t.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(v.t.Context(), method, target, body)
	if err != nil {
		v.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	resp, err := v.c.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	doc, err := html.Parse(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return page{resp, doc}
}

// to is where the page sends the browser.
func (p page) to(t *testing.T) *url.URL {
	t.Helper()
	u, err := p.Location()
	if err != nil || p.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s: status %d is no redirect: %v", p.Request.URL, p.StatusCode, err)
	}
	return u
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// signIn fills the form of the page for a password and sends it.
func (v *visitor) signIn(p page, email, password string) page {
	v.t.Helper()
	for n := range p.doc.Descendants() {
		if n.Data != "form" {
			continue
		}
		fields := url.Values{}
		for in := range n.Descendants() {
			if in.Data == "input" {
				fields.Set(attribute(in, "name"), attribute(in, "value"))
			}
		}
		if fields.Get("method") != "password" {
			continue
		}
		action, err := p.Request.URL.Parse(attribute(n, "action"))
		if err != nil {
			v.t.Fatal(err)
		}
		fields.Set("email", email)
		fields.Set("password", password)
		return v.open(action.String(), fields)
	}
	v.t.Fatalf("%s: status %d, no form for a password", p.Request.URL, p.StatusCode)
	return page{}
}

// button is where the page's button with a text leads.
func (p page) button(t *testing.T, text string) string {
	t.Helper()
	for n := range p.doc.Descendants() {
		if n.Data == "a" && n.FirstChild != nil && n.FirstChild.Data == text {
			u, err := p.Request.URL.Parse(attribute(n, "href"))
			if err != nil {
				t.Fatal(err)
			}
			return u.String()
		}
	}
	t.Fatalf("%s: status %d, no button %q", p.Request.URL, p.StatusCode, text)
	return ""
}

// authorize is the page at which signing tools let people sign in.
func authorize(address string) string {
	sum := sha256.Sum256([]byte(verifier))
	return address + "/oidc/auth?" + url.Values{
		"client_id": {"sigstore"}, "redirect_uri": {redirect}, "response_type": {"code"}, "scope": {"openid email"}, "state": {"xyz"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}.Encode()
}

// redeem exchanges the code that the browser was sent to the tool with.
func redeem(t *testing.T, address string, sent *url.URL) string {
	t.Helper()
	if !strings.HasPrefix(sent.String(), redirect+"?") || sent.Query().Get("state") != "xyz" {
		t.Fatalf("the browser is sent to %s", sent)
	}
	resp, err := http.PostForm(address+"/oidc/token", url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"sigstore"}, "code": {sent.Query().Get("code")}, "redirect_uri": {redirect}, "code_verifier": {verifier},
	})
	if err != nil {
		t.Fatal(err)
	}
	return idToken(t, resp)
}

// TestPeopleAndMachines: who the configuration names gets a token in every way that there is, and a certificate for it:
// somebody with a password, somebody at an upstream provider, which is another bulla-server, and a machine.
func TestPeopleAndMachines(t *testing.T) {
	t.Parallel()
	o := &operator{t, t.TempDir()}
	provider := o.initialise("up", "--services", "issuer")
	address := o.initialise("d", "--services", "issuer,ca,ctlog")
	hash, secret := hashed(t, "correct horse"), hashed(t, "between the two of us")
	o.configure("up", fmt.Sprintf("  users:\n    - {email: carol@example.org, password-hash: %q}\n"+
		"  clients:\n    - {id: downstream, secret-hash: %q, redirects: [%q]}\n", hash, secret, address+"/oidc/callback"))
	if err := os.WriteFile(o.path("d/upstream.secret"), []byte("between the two of us\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o.configure("d", fmt.Sprintf("  users:\n    - {email: alice@example.com, password-hash: %q}\n"+
		"  upstreams:\n    - {id: \"https://accounts.example.org\", name: Accounts, issuer: %q, client-id: downstream, client-secret-file: upstream.secret}\n"+
		"  clients:\n    - {id: nightly, secret-hash: %q, machine: true, email: nightly@example.com, audience: sigstore}\n",
		hash, provider+"/oidc", secret))
	up, server := o.serve("up", provider), o.serve("d", address)
	for _, who := range []struct {
		email, issuer string
		token         func() string
	}{
		{"alice@example.com", address + "/oidc", func() string {
			v := newVisitor(t)
			if got := v.signIn(v.open(authorize(address), nil), "alice@example.com", "wrong horse"); got.StatusCode != http.StatusForbidden {
				t.Errorf("a wrong password: status %d", got.StatusCode)
			}
			return redeem(t, address, v.signIn(v.open(authorize(address), nil), "alice@example.com", "correct horse").to(t))
		}},
		{"carol@example.org", "https://accounts.example.org", func() string {
			v := newVisitor(t)
			away := v.open(v.open(authorize(address), nil).button(t, "Continue with Accounts"), nil).to(t)
			back := v.signIn(v.open(away.String(), nil), "carol@example.org", "correct horse").to(t)
			return redeem(t, address, v.open(back.String(), nil).to(t))
		}},
		{"nightly@example.com", address + "/oidc", func() string { return o.machine(address) }},
	} {
		cert := certify(t, http.DefaultClient, address, who.token(), who.email)
		if len(cert.EmailAddresses) != 1 || cert.EmailAddresses[0] != who.email || issuerOf(t, cert) != who.issuer {
			t.Errorf("%s: the certificate is for %v by %s, want %s", who.email, cert.EmailAddresses, issuerOf(t, cert), who.issuer)
		}
	}
	resp, err := http.PostForm(address+"/oidc/dev/token", url.Values{"email": {"alice@example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("the development login, which is off: status %d", resp.StatusCode)
	}
	server.stop(t)
	up.stop(t)
}

// machine gets the token of the client nightly, which another secret does not.
func (o *operator) machine(address string) string {
	o.t.Helper()
	ask := func(secret string) *http.Response {
		req, err := http.NewRequest(http.MethodPost, address+"/oidc/token", strings.NewReader("grant_type=client_credentials&scope=openid+email"))
		if err != nil {
			o.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.SetBasicAuth("nightly", url.QueryEscape(secret))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			o.t.Fatal(err)
		}
		return resp
	}
	wrong := ask("another secret")
	_ = wrong.Body.Close()
	if wrong.StatusCode != http.StatusUnauthorized {
		o.t.Errorf("a machine with a wrong secret: status %d", wrong.StatusCode)
	}
	return idToken(o.t, ask("between the two of us"))
}
