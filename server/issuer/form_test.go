package issuer_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/server/issuer"
)

// A form counts only when this issuer made it, for this browser, this purpose and this request, not long ago.
func TestForgedForms(t *testing.T) {
	in := start(t, nil)
	page := in.url + "/auth?" + asking(nil).Encode()
	victim, attacker := newBrowser(t), newBrowser(t)
	theirs := attacker.get(page).form(t, "development")
	alice := url.Values{"email": {"alice@example.com"}}

	refused := func(name string, got shown) {
		t.Helper()
		if got.StatusCode != http.StatusForbidden || got.Header.Get("Location") != "" {
			t.Errorf("%s: status %d, location %q", name, got.StatusCode, got.Header.Get("Location"))
		}
	}
	refused("a browser without cookie", newBrowser(t).send(theirs, alice))
	victim.get(page)
	refused("another browser's form", victim.send(theirs, alice))

	own := victim.get(page).form(t, "development")
	for name, edit := range map[string]url.Values{
		"no token":         {"token": {""}},
		"a broken token":   {"token": {own.fields.Get("token")[1:]}},
		"another client":   {"to": {strings.Replace(own.fields.Get("to"), "client_id=sigstore", "client_id=x", 1)}},
		"another redirect": {"to": {strings.Replace(own.fields.Get("to"), "43210", "43211", 1)}},
		"no request":       {"to": {""}},
	} {
		f := pageForm{own.to, url.Values{"email": {"alice@example.com"}}}
		for k, v := range own.fields {
			f.fields[k] = v
		}
		refused(name, victim.send(f, edit))
	}
	devicePage := victim.get(in.url + "/device").forms(t)[0]
	f := pageForm{own.to, url.Values{"to": {""}, "method": {"development"}, "email": {"alice@example.com"}, "token": devicePage.fields["token"]}}
	refused("another page's token", victim.send(f, nil))

	in.clock.advance(16 * time.Minute)
	refused("an old form", victim.send(own, alice))
	in.clock.advance(-16 * time.Minute)
	if got := victim.send(own, alice); got.StatusCode != http.StatusSeeOther {
		t.Errorf("the form itself: status %d", got.StatusCode)
	}
}

// Browsers say where a form comes from.
func TestFormsOfOtherSites(t *testing.T) {
	in := start(t, nil)
	b := newBrowser(t)
	f := b.get(in.url+"/auth?"+asking(nil).Encode()).form(t, "development")
	f.fields.Set("email", "alice@example.com")
	for path, v := range map[string]url.Values{f.to: f.fields, in.url + "/device": {}, in.url + "/dev/token": {"email": {"alice@example.com"}}} {
		for _, header := range [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.test"}, {"Origin", "null"}} {
			r, _ := http.NewRequest("POST", path, strings.NewReader(v.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set(header[0], header[1])
			if got := b.do(r); got.StatusCode != http.StatusBadRequest {
				t.Errorf("%s with %v: status %d", path, header, got.StatusCode)
			}
		}
	}
}

func TestPageHeaders(t *testing.T) {
	in := start(t, nil)
	b := newBrowser(t)
	login := b.get(in.url + "/auth?" + asking(nil).Encode())
	pages := map[string]shown{
		"login":  login,
		"device": b.get(in.url + "/device"),
		"error":  b.get(in.url + "/auth"),
		"done":   b.send(login.form(t, "deny"), url.Values{"to": {login.form(t, "deny").fields.Get("to")}}),
	}
	for name, p := range pages {
		if p.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: may be cached", name)
		}
		if name == "done" { // a redirect
			continue
		}
		csp := p.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: the policy lacks %s: %s", name, want, csp)
			}
		}
		for _, never := range []string{"unsafe", "*", "script-src"} {
			if strings.Contains(csp, never) {
				t.Errorf("%s: the policy has %s: %s", name, never, csp)
			}
		}
		if p.Header.Get("X-Content-Type-Options") != "nosniff" || p.Header.Get("X-Frame-Options") != "DENY" || p.Header.Get("Referrer-Policy") != "same-origin" {
			t.Errorf("%s: headers are %v", name, p.Header)
		}
		for _, never := range []string{"<script", "style=\"", "onclick"} {
			if strings.Contains(p.body, never) {
				t.Errorf("%s: the page has %s", name, never)
			}
		}
	}
	if csp := login.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' http://localhost:43210") {
		t.Errorf("browsers would not follow the answer to the form: %s", csp)
	}
	cookie := login.Header.Get("Set-Cookie")
	for _, want := range []string{"HttpOnly", "SameSite=Lax", "Path=/oidc/"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie lacks %s: %s", want, cookie)
		}
	}
}

// With TLS no other host of the domain can set the browser's cookie.
func TestCookieWithTLS(t *testing.T) {
	s, err := issuer.New(t.Context(), issuer.Config{
		URL: "https://sign.test/oidc", Keys: sharedKeys(t, time.Now().Add(-time.Hour)), Users: []issuer.User{{Email: "a@b.test", PasswordHash: argonOf("x")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "https://sign.test/oidc/device", nil))
	cookie := w.Header().Get("Set-Cookie")
	for _, want := range []string{"__Host-bulla-oidc=", "Path=/;", "Secure", "HttpOnly", "SameSite=Lax"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie lacks %s: %s", want, cookie)
		}
	}
}

// What a client wrote is text on the page, whatever it looks like.
func TestEscaping(t *testing.T) {
	hostile := `"><script>alert(1)</script>`
	in := start(t, func(c *issuer.Config) {
		client := issuer.DefaultClient()
		client.Name = hostile
		c.Clients, c.Name = []issuer.Client{client}, hostile
	})
	b := newBrowser(t)
	for _, edit := range []url.Values{{"state": {hostile}, "nonce": {hostile}, "login_hint": {hostile}, "connector_id": {hostile}}, {"client_id": {hostile}}} {
		if got := b.get(in.url + "/auth?" + asking(edit).Encode()); strings.Contains(got.body, "<script") {
			t.Errorf("a script:\n%s", got.body)
		}
	}
	f := b.get(in.url+"/auth?"+asking(nil).Encode()).form(t, "development")
	got := b.send(f, url.Values{"email": {hostile}})
	if got.StatusCode != http.StatusForbidden || strings.Contains(got.body, "<script") {
		t.Errorf("status %d:\n%s", got.StatusCode, got.body)
	}
}

// Cancelling tells the client so.
func TestCancel(t *testing.T) {
	in := start(t, nil)
	b := newBrowser(t)
	to := b.send(b.get(in.url+"/auth?"+asking(nil).Encode()).form(t, "deny"), nil).location(t)
	if q := to.Query(); q.Get("error") != "access_denied" || q.Get("state") != "xyz" || q.Has("code") {
		t.Errorf("sent to %s", to)
	}
	got := b.send(b.get(in.url+"/auth?"+asking(url.Values{"redirect_uri": {issuer.OutOfBand}}).Encode()).form(t, "deny"), nil)
	if got.StatusCode != http.StatusOK || !strings.Contains(got.body, "Cancelled") {
		t.Errorf("status %d:\n%s", got.StatusCode, got.body)
	}
}

// The development login refuses to exist where others could reach it.
func TestDevelopmentLoginStaysAtHome(t *testing.T) {
	cfg := func(u string) issuer.Config {
		return issuer.Config{URL: u, Keys: sharedKeys(t, time.Now().Add(-time.Hour)), DevelopmentLogin: true}
	}
	for _, u := range []string{"https://sign.example.com/oidc", "https://192.0.2.1/oidc", "https://localhost.example.com/oidc", "https://10.0.0.1", "https://[2001:db8::1]/oidc"} {
		if _, err := issuer.New(t.Context(), cfg(u)); err == nil || !strings.Contains(err.Error(), "AllowDevelopmentLoginAnywhere") {
			t.Errorf("%s: %v", u, err)
		}
		c := cfg(u)
		c.AllowDevelopmentLoginAnywhere = true
		if _, err := issuer.New(t.Context(), c); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
	for _, u := range []string{"http://localhost:1/oidc", "http://127.0.0.9:1", "http://[::1]:1/oidc", "http://bulla.localhost/oidc"} {
		if _, err := issuer.New(t.Context(), cfg(u)); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
}

// Even at a loopback URL a request counts only when it arrived there, under a name that means this machine.
func TestDevelopmentLoginByArrival(t *testing.T) {
	in := start(t, nil)
	anywhere := start(t, func(c *issuer.Config) { c.AllowDevelopmentLoginAnywhere = true })
	for name, c := range map[string]struct {
		local  net.Addr
		host   string
		want   int
		to     http.Handler
		origin string
	}{
		"at home":         {&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, "localhost:1", 200, in, ""},
		"IPv6":            {&net.TCPAddr{IP: net.IPv6loopback, Port: 1}, "[::1]:1", 200, in, ""},
		"from outside":    {&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}, "localhost:1", 403, in, ""},
		"container":       {&net.TCPAddr{IP: net.IPv4(172, 17, 0, 2), Port: 1}, "localhost:1", 403, in, ""},
		"unknown":         {nil, "localhost:1", 403, in, ""},
		"rebound name":    {&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, "evil.test:1", 403, in, ""},
		"allowed outside": {&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}, "sign.test", 200, anywhere, ""},
	} {
		r := httptest.NewRequest("POST", "http://"+c.host+"/oidc/dev/token", strings.NewReader("email=alice%40example.com"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if c.local != nil {
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, c.local))
		}
		w := httptest.NewRecorder()
		c.to.ServeHTTP(w, r)
		if w.Code != c.want || (w.Code == 200) != strings.Contains(w.Body.String(), "id_token") {
			t.Errorf("%s: status %d: %s", name, w.Code, w.Body)
		}
	}
}

func TestDevelopmentLoginSwitchedOff(t *testing.T) {
	in := start(t, func(c *issuer.Config) {
		c.DevelopmentLogin = false
		c.Users = []issuer.User{{Email: "alice@example.com", PasswordHash: bcryptOf(t, "secret")}}
	})
	b := newBrowser(t)
	if got := b.post(in.url+"/dev/token", url.Values{"email": {"alice@example.com"}}); got.StatusCode != http.StatusNotFound {
		t.Errorf("status %d", got.StatusCode)
	}
	f := b.get(in.url+"/auth?"+asking(nil).Encode()).form(t, "password")
	if got := b.send(f, url.Values{"method": {"development"}, "email": {"alice@example.com"}}); got.StatusCode != http.StatusForbidden {
		t.Errorf("status %d", got.StatusCode)
	}
}

func TestAddresses(t *testing.T) {
	in := start(t, nil)
	for _, address := range []string{
		"", "alice", "alice@", "@example.com", "a@b@c.test", "alice @example.com", "alice@exa mple.com", "alice@example..com", "alice@.com", "alice@-x.com",
		".alice@example.com", "alice.@example.com", "al..ice@example.com", "alice@[127.0.0.1]", "\"a b\"@example.com", "alice@example.com\n", "älice@example.com",
		"alice@exämple.com", "alice@example.com,bob@example.com", "<alice@example.com>", "alice\x00@example.com", strings.Repeat("a", 65) + "@example.com",
		"a@" + strings.Repeat(strings.Repeat("b", 60)+".", 5) + "test", "alice@example.com.",
	} {
		if resp, a := in.call("/dev/token", url.Values{"email": {address}}); resp.StatusCode == http.StatusOK {
			t.Errorf("%q is accepted: %v", address, a)
		}
	}
	for _, address := range []string{"a@b", "alice+tag@example.com", "o'brien@sub.example.com", "x_y-z@1.example"} {
		if resp, a := in.call("/dev/token", url.Values{"email": {address}}); resp.StatusCode != http.StatusOK {
			t.Errorf("%q is refused: %v", address, a)
		}
	}
}
