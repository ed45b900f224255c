package issuer_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/bulla-sign/bulla/server/issuer"
)

// federation is an issuer that stands on another one.
func federation(t *testing.T) (in, up *instance) {
	t.Helper()
	var upURL string
	in = start(t, func(c *issuer.Config) {
		up = start(t, func(u *issuer.Config) {
			u.Clients = []issuer.Client{{ID: "downstream", SecretHash: argonOf("between us"), Redirects: []string{c.URL + "/callback"}}}
		})
		upURL = up.url
		c.DevelopmentLogin = false
		c.Upstreams = []issuer.Upstream{{ID: "https://accounts.test", Name: "Accounts", Issuer: upURL, ClientID: "downstream", ClientSecret: "between us"}}
	})
	return in, up
}

// Somebody signs in at the upstream provider, in one browser all along.
func TestFederation(t *testing.T) {
	in, _ := federation(t)
	b := newBrowser(t)
	page := b.get(in.url + "/auth?" + asking(nil).Encode())
	buttons := page.buttons(t)
	if len(buttons) != 1 || !strings.Contains(page.body, "Continue with Accounts") {
		t.Fatalf("buttons: %v", buttons)
	}
	away := b.get(buttons[0]).location(t)
	if q := away.Query(); q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" || q.Get("state") == "" || q.Get("state") == "xyz" {
		t.Errorf("sent to the upstream with %s", away)
	}
	back := b.signIn(away.String(), "carol@example.org").location(t)
	to := b.get(back.String()).location(t)
	if !strings.HasPrefix(to.String(), callback) || to.Query().Get("state") != "xyz" {
		t.Fatalf("sent back to %s", to)
	}
	_, a := in.call("/token", redeeming(to.Query().Get("code"), nil))
	raw, _ := a["id_token"].(string)
	if _, err := in.verify(raw, "sigstore"); err != nil {
		t.Fatal(err)
	}
	c := claimsOf(t, raw)
	fed, _ := c["federated_claims"].(map[string]any)
	if c["email"] != "carol@example.org" || c["email_verified"] != true || fed["connector_id"] != "https://accounts.test" || fed["user_id"] == "" {
		t.Errorf("claims are %v", c)
	}
	if again := b.get(back.String()); again.StatusCode != http.StatusForbidden {
		t.Errorf("the upstream's answer counts twice: status %d", again.StatusCode)
	}
}

// A device is served by somebody who signs in at the upstream provider.
func TestFederatedDevice(t *testing.T) {
	in, _ := federation(t)
	dev := in.deviceAsks(nil)
	b := newBrowser(t)
	login := b.send(b.get(dev["verification_uri_complete"].(string)).forms(t)[0], nil)
	back := b.signIn(b.get(login.buttons(t)[0]).location(t).String(), "carol@example.org").location(t)
	if got := b.get(back.String()); got.StatusCode != http.StatusOK || !strings.Contains(got.body, "You are signed in") {
		t.Fatalf("status %d:\n%s", got.StatusCode, got.body)
	}
	if got := in.poll(dev, nil); got != "" {
		t.Errorf("poll: %q", got)
	}
}

// What is not the answer to what this browser asked is refused.
func TestForgedUpstreamAnswers(t *testing.T) {
	in, up := federation(t)
	begin := func(b *browser) *url.URL {
		return b.get(b.get(in.url + "/auth?" + asking(nil).Encode()).buttons(t)[0]).location(t)
	}
	b := newBrowser(t)
	mine := b.signIn(begin(b).String(), "mallory@example.org").location(t)

	victim := newBrowser(t)
	victim.get(in.url + "/auth?" + asking(nil).Encode())
	if got := victim.get(mine.String()); got.StatusCode != http.StatusForbidden {
		t.Errorf("another browser's answer (login CSRF): status %d", got.StatusCode)
	}
	edit := func(name, value string) string {
		b := newBrowser(t)
		away := begin(b)
		to := b.signIn(away.String(), "alice@example.org").location(t)
		q := to.Query()
		q.Set(name, value)
		if value == "" {
			q.Del(name)
		}
		to.RawQuery = q.Encode()
		got := b.get(to.String())
		if got.StatusCode != http.StatusForbidden || got.Header.Get("Location") != "" {
			t.Errorf("%s=%q: status %d, location %q", name, value, got.StatusCode, got.Header.Get("Location"))
		}
		return got.body
	}
	edit("state", "invented")
	edit("state", "")
	edit("code", "invented")
	edit("code", "")
	edit("iss", "https://evil.test")
	edit("iss", "")
	edit("error", "server_error")
	if body := edit("error", "access_denied"); !strings.Contains(body, "was cancelled") {
		t.Errorf("cancelled upstream:\n%s", body)
	}
	// A code that the upstream gave to the attacker, injected into the victim's sign-in.
	attacker := newBrowser(t)
	stolen := attacker.signIn(begin(attacker).String(), "mallory@example.org").location(t).Query().Get("code")
	if body := edit("code", stolen); !strings.Contains(body, "did not say who you are") {
		t.Errorf("injected code:\n%s", body)
	}
	b = newBrowser(t)
	late := b.signIn(begin(b).String(), "alice@example.org").location(t)
	in.clock.advance(11 * time.Minute)
	if got := b.get(late.String()); got.StatusCode != http.StatusForbidden {
		t.Errorf("too late: status %d", got.StatusCode)
	}
	if strings.Contains(in.log.String(), stolen) || strings.Contains(up.log.String(), "between us") {
		t.Error("codes or secrets in the log")
	}
}

// A link to the upstream is worth something in the browser that it was made for only.
func TestForgedUpstreamLinks(t *testing.T) {
	in, _ := federation(t)
	link := newBrowser(t).get(in.url + "/auth?" + asking(nil).Encode()).buttons(t)[0]
	if got := newBrowser(t).get(link); got.StatusCode != http.StatusForbidden {
		t.Errorf("another browser: status %d", got.StatusCode)
	}
	b := newBrowser(t)
	link = b.get(in.url + "/auth?" + asking(nil).Encode()).buttons(t)[0]
	if got := b.get(strings.Replace(link, "connector=https%3A%2F%2Faccounts.test", "connector=other", 1)); got.StatusCode != http.StatusBadRequest {
		t.Errorf("another provider: status %d", got.StatusCode)
	}
	if got := b.get(strings.Replace(link, "43210", "43211", 1)); got.StatusCode != http.StatusForbidden {
		t.Errorf("another redirect: status %d", got.StatusCode)
	}
}

func TestUpstreamAway(t *testing.T) {
	in := start(t, func(c *issuer.Config) {
		c.Upstreams = []issuer.Upstream{{ID: "gone", Issuer: "http://localhost:1/", ClientID: "x"}}
	})
	b := newBrowser(t)
	page := b.get(in.url + "/auth?" + asking(nil).Encode())
	if got := b.get(page.buttons(t)[0]); got.StatusCode != http.StatusBadGateway {
		t.Errorf("status %d", got.StatusCode)
	}
	if got := b.get(page.buttons(t)[0]); got.StatusCode != http.StatusBadGateway || strings.Count(in.log.String(), "upstream not reached") != 2 {
		t.Errorf("at once again: status %d", got.StatusCode)
	}
	if got := b.send(page.form(t, "development"), url.Values{"email": {"alice@example.com"}}); got.StatusCode != http.StatusSeeOther {
		t.Errorf("others cannot sign in: status %d", got.StatusCode)
	}
}

// A provider that was away is asked again, but not by everybody at once.
func TestUpstreamComesBack(t *testing.T) {
	var away atomic.Bool
	var asked atomic.Int32
	var up *httptest.Server
	up = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"issuer":"` + up.URL + `","authorization_endpoint":"` + up.URL + `/auth","token_endpoint":"` + up.URL + `/token","jwks_uri":"` + up.URL + `/keys"}`))
	}))
	defer up.Close()
	in := start(t, func(c *issuer.Config) {
		c.Upstreams = []issuer.Upstream{{ID: "up", Issuer: up.URL, ClientID: "x"}}
	})
	b := newBrowser(t)
	link := b.get(in.url + "/auth?" + asking(nil).Encode()).buttons(t)[0]
	away.Store(true)
	for range 3 {
		if got := b.get(link); got.StatusCode != http.StatusBadGateway {
			t.Errorf("away: status %d", got.StatusCode)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times", asked.Load())
	}
	away.Store(false)
	in.clock.advance(5 * time.Second)
	if got := b.get(link); got.StatusCode != http.StatusSeeOther {
		t.Errorf("back: status %d", got.StatusCode)
	}
	if b.get(link); asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}
}

// provider is an upstream whose tokens a test writes.
func provider(t *testing.T, claims func(nonce string) map[string]any) *httptest.Server {
	t.Helper()
	key, err := sharedKey()
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	nonce := ""
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"issuer":"` + s.URL + `","authorization_endpoint":"` + s.URL + `/auth","token_endpoint":"` + s.URL + `/token","jwks_uri":"` + s.URL + `/keys","id_token_signing_alg_values_supported":["RS256"]}`))
	})
	mux.HandleFunc("/auth", func(w http.ResponseWriter, r *http.Request) {
		nonce = r.URL.Query().Get("nonce")
		http.Redirect(w, r, r.URL.Query().Get("redirect_uri")+"?code=c&state="+url.QueryEscape(r.URL.Query().Get("state")), http.StatusFound)
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		data, _ := (&jose.JSONWebKey{Key: key.Public(), KeyID: "k", Algorithm: "RS256", Use: "sig"}).MarshalJSON()
		_, _ = w.Write([]byte(`{"keys":[` + string(data) + `]}`))
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, _ *http.Request) {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
		if err != nil {
			t.Error(err)
			return
		}
		c := map[string]any{"iss": s.URL, "aud": "x", "sub": "0042", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "nonce": nonce}
		for k, v := range claims(nonce) {
			c[k] = v
		}
		raw, err := jwt.Signed(signer).Claims(c).Serialize()
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"access_token":"a","token_type":"Bearer","id_token":"` + raw + `"}`))
	})
	return s
}

// The upstream's word on the address decides; what it does not say is not assumed.
func TestUpstreamClaims(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		claims map[string]any
		assume bool
		want   string // on the page; "" for success
	}{
		"verified":             {map[string]any{"email": "a@b.test", "email_verified": true}, false, ""},
		"verified as a string": {map[string]any{"email": "a@b.test", "email_verified": "true"}, false, ""},
		"unsaid, assumed":      {map[string]any{"email": "a@b.test"}, true, ""},
		"unsaid":               {map[string]any{"email": "a@b.test"}, false, "does not say whether"},
		"null":                 {map[string]any{"email": "a@b.test", "email_verified": nil}, false, "does not say whether"},
		"unverified":           {map[string]any{"email": "a@b.test", "email_verified": false}, false, "is not verified"},
		"unverified, assumed":  {map[string]any{"email": "a@b.test", "email_verified": false}, true, "is not verified"},
		"nonsense, assumed":    {map[string]any{"email": "a@b.test", "email_verified": 1}, true, "is not verified"},
		"no address":           {map[string]any{"email_verified": true}, true, "does not tell"},
		"not an address":       {map[string]any{"email": "a@b@c", "email_verified": true}, false, "cannot stand"},
		"an object":            {map[string]any{"email": map[string]any{"x": 1}, "email_verified": true}, false, "did not say who"},
		"another nonce":        {map[string]any{"email": "a@b.test", "email_verified": true, "nonce": "other"}, false, "did not say who"},
		"no nonce":             {map[string]any{"email": "a@b.test", "email_verified": true, "nonce": ""}, false, "did not say who"},
		"another audience":     {map[string]any{"email": "a@b.test", "email_verified": true, "aud": "y"}, false, "did not say who"},
		"another issuer":       {map[string]any{"email": "a@b.test", "email_verified": true, "iss": "https://evil.test"}, false, "did not say who"},
		"expired":              {map[string]any{"email": "a@b.test", "email_verified": true, "exp": now.Add(-time.Minute).Unix()}, false, "did not say who"},
		"no subject":           {map[string]any{"email": "a@b.test", "email_verified": true, "sub": ""}, false, "did not say who"},
		"another access token": {map[string]any{"email": "a@b.test", "email_verified": true, "at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, false, "did not say who"},
	} {
		t.Run(name, func(t *testing.T) {
			up := provider(t, func(string) map[string]any { return c.claims })
			in := start(t, func(cfg *issuer.Config) {
				cfg.Upstreams = []issuer.Upstream{{ID: "up", Name: "Up", Issuer: up.URL, ClientID: "x", AssumeVerified: c.assume}}
			})
			b := newBrowser(t)
			away := b.get(b.get(in.url + "/auth?" + asking(nil).Encode()).buttons(t)[0]).location(t)
			got := b.get(b.get(away.String()).Header.Get("Location"))
			if c.want == "" {
				_, a := in.call("/token", redeeming(got.location(t).Query().Get("code"), nil))
				if c := claimsOf(t, a["id_token"].(string)); c["email"] != "a@b.test" || c["email_verified"] != true || c["sub"] != "CgQwMDQyEgJ1cA" {
					t.Errorf("claims are %v", c)
				}
				return
			}
			if got.StatusCode != http.StatusForbidden || !strings.Contains(got.body, c.want) {
				t.Errorf("status %d:\n%s", got.StatusCode, got.body)
			}
		})
	}
}

// A provider that redirects elsewhere, or answers without end, is not followed.
func TestUpstreamIsBounded(t *testing.T) {
	var unbounded atomic.Bool
	asked := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer elsewhere.Close()
	for name, answer := range map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) },
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"issuer":"`))
			for range 64 { // MiB; buffers on the way hold a few
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
			unbounded.Store(true)
		},
	} {
		up := httptest.NewServer(answer)
		in := start(t, func(cfg *issuer.Config) {
			cfg.Upstreams = []issuer.Upstream{{ID: "up", Issuer: up.URL, ClientID: "x"}}
		})
		b := newBrowser(t)
		if got := b.get(b.get(in.url + "/auth?" + asking(nil).Encode()).buttons(t)[0]); got.StatusCode != http.StatusBadGateway {
			t.Errorf("%s: status %d", name, got.StatusCode)
		}
		up.Close()
	}
	if unbounded.Load() {
		t.Error("an endless answer was read")
	}
	if asked {
		t.Error("another host was asked")
	}
}
