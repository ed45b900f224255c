package issuer_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/server/issuer"
)

// Nobody is redirected to where a stranger wants: these requests end on a page.
func TestNoOpenRedirect(t *testing.T) {
	in := start(t, nil)
	b := newBrowser(t)
	for _, to := range []string{
		"", "https://evil.test/auth/callback", "http://evil.test/auth/callback", "http://localhost.evil.test:1/auth/callback",
		"http://localhost@evil.test/auth/callback", "http://localhost:1@evil.test/auth/callback", "http://localhost:1/auth/callback@evil.test",
		"http://localhost:43210/auth/callback/", "http://localhost:43210/auth/callback/../x", "http://localhost:43210//auth/callback",
		"http://localhost:43210/auth/callback?x=1", "http://localhost:43210/auth/callback#x", "http://localhost:43210/auth%2fcallback",
		"http://localhost:43210/AUTH/callback", "HTTP://localhost:43210/auth/callback", "http://LOCALHOST:43210/auth/callback",
		"https://localhost:43210/auth/callback", "//localhost:43210/auth/callback", "http:localhost:43210/auth/callback",
		"http://localhost:/auth/callback", "http://localhost:0/auth/callback", "http://localhost:65536/auth/callback", "http://localhost:080/auth/callback",
		"http://localhost:+80/auth/callback", "http://localhost:80:80/auth/callback", "http://localhost:80x/auth/callback", "http://localhost:8 0/auth/callback",
		"http://localhost:80\\@evil.test/auth/callback", "http://localhost\n:80/auth/callback", "http://127.1:80/auth/callback", "http://127.0.0.2:80/auth/callback",
		"http://[::2]:80/auth/callback", "javascript:alert(1)", "data:text/html,x", "urn:ietf:wg:oauth:2.0:oob:auto", "urn:ietf:wg:oauth:2.0:oob ",
	} {
		for _, edit := range []url.Values{{"redirect_uri": {to}}, {"redirect_uri": {to}, "response_type": {"token"}}} {
			got := b.get(in.url + "/auth?" + asking(edit).Encode())
			if got.StatusCode != http.StatusBadRequest || got.Header.Get("Location") != "" {
				t.Errorf("redirect_uri %q: status %d, location %q", to, got.StatusCode, got.Header.Get("Location"))
			}
			if strings.Contains(got.body, "<form") {
				t.Errorf("redirect_uri %q: there is a form", to)
			}
		}
	}
	for _, to := range []string{
		"http://localhost/auth/callback", "http://localhost:1/auth/callback", "http://127.0.0.1:65535/auth/callback", "http://[::1]:8080/auth/callback",
	} {
		if got := b.get(in.url + "/auth?" + asking(url.Values{"redirect_uri": {to}}).Encode()); got.StatusCode != http.StatusOK {
			t.Errorf("redirect_uri %q: status %d", to, got.StatusCode)
		}
	}
}

// Redirect URIs of an operator's client are compared byte by byte.
func TestRegisteredRedirect(t *testing.T) {
	in := start(t, func(c *issuer.Config) {
		c.Clients = []issuer.Client{{ID: "sigstore", Redirects: []string{"https://app.test/cb?a=1", "http://localhost:7000/cb"}}}
	})
	b := newBrowser(t)
	for to, want := range map[string]int{
		"https://app.test/cb?a=1": 200, "http://localhost:7000/cb": 200,
		"https://app.test/cb": 400, "https://app.test/cb?a=1&b=2": 400, "https://app.test:443/cb?a=1": 400, "https://x.app.test/cb?a=1": 400,
		"http://localhost:7001/cb": 400, "http://localhost/cb": 400, "http://localhost:43210/auth/callback": 400,
	} {
		if got := b.get(in.url + "/auth?" + asking(url.Values{"redirect_uri": {to}}).Encode()); got.StatusCode != want {
			t.Errorf("redirect_uri %q: status %d, not %d", to, got.StatusCode, want)
		}
	}
	got := b.signIn(in.url+"/auth?"+asking(url.Values{"redirect_uri": {"https://app.test/cb?a=1"}}).Encode(), "alice@example.com").location(t)
	if q := got.Query(); got.Host != "app.test" || q.Get("a") != "1" || q.Get("code") == "" || q.Get("state") != "xyz" {
		t.Errorf("sent to %s", got)
	}
}

// A client that is known is told what is wrong with its request.
func TestAuthorizationErrors(t *testing.T) {
	in := start(t, nil)
	b := newBrowser(t)
	for name, c := range map[string]struct {
		edit url.Values
		want string
	}{
		"no response type": {url.Values{"response_type": nil}, "invalid_request"},
		"implicit flow":    {url.Values{"response_type": {"id_token"}}, "unsupported_response_type"},
		"hybrid flow":      {url.Values{"response_type": {"code id_token"}}, "unsupported_response_type"},
		"fragment":         {url.Values{"response_mode": {"fragment"}}, "invalid_request"},
		"no openid":        {url.Values{"scope": {"email"}}, "invalid_scope"},
		"no scope":         {url.Values{"scope": nil}, "invalid_scope"},
		"no PKCE":          {url.Values{"code_challenge": nil, "code_challenge_method": nil}, "invalid_request"},
		"no challenge":     {url.Values{"code_challenge": nil}, "invalid_request"},
		"plain":            {url.Values{"code_challenge_method": {"plain"}, "code_challenge": {verifier}}, "invalid_request"},
		"no method":        {url.Values{"code_challenge_method": nil}, "invalid_request"},
		"short challenge":  {url.Values{"code_challenge": {"abc"}}, "invalid_request"},
		"padded challenge": {url.Values{"code_challenge": {challenge(verifier) + "="}}, "invalid_request"},
		"loose last bits":  {url.Values{"code_challenge": {strings.Repeat("A", 42) + "B"}}, "invalid_request"},
		"no person":        {url.Values{"prompt": {"none"}}, "login_required"},
		"request object":   {url.Values{"request": {"x.y.z"}}, "request_not_supported"},
		"request by URL":   {url.Values{"request_uri": {"https://evil.test/"}}, "request_uri_not_supported"},
		"endless nonce":    {url.Values{"nonce": {strings.Repeat("n", 513)}}, "invalid_request"},
	} {
		got := b.get(in.url + "/auth?" + asking(c.edit).Encode())
		to := got.location(t)
		if q := to.Query(); !strings.HasPrefix(to.String(), callback+"?") || q.Get("error") != c.want || q.Get("state") != "xyz" || q.Get("iss") != in.url || q.Has("code") {
			t.Errorf("%s: %s", name, to)
		}
	}
}

func TestUnreadableRequests(t *testing.T) {
	in := start(t, nil)
	b := newBrowser(t)
	good := asking(nil).Encode()
	for name, query := range map[string]string{
		"nothing":        "",
		"client unknown": asking(url.Values{"client_id": {"other"}}).Encode(),
		"state twice":    good + "&state=abc",
		"client twice":   good + "&client_id=sigstore",
		"bad escape":     good + "&x=%zz",
		"semicolon":      good + "&x=1;y=2",
		"no UTF-8":       good + "&x=%ff",
		"too long":       good + "&x=" + strings.Repeat("y", 9000),
		"long state":     asking(url.Values{"state": {strings.Repeat("y", 2049)}}).Encode(),
		"too many":       good + strings.Repeat("&", 1) + manyParams(50),
	} {
		got := b.get(in.url + "/auth?" + query)
		if got.StatusCode != http.StatusBadRequest || got.Header.Get("Location") != "" {
			t.Errorf("%s: status %d", name, got.StatusCode)
		}
	}
}

func manyParams(n int) string {
	v := url.Values{}
	for i := range n {
		v.Set("p"+strings.Repeat("q", i), "1")
	}
	return v.Encode()
}

// What is wrong with a code or with who presents it; afterwards the code is worthless.
func TestCodeIsBound(t *testing.T) {
	in := start(t, func(c *issuer.Config) {
		other := issuer.DefaultClient()
		other.ID = "other"
		c.Clients = []issuer.Client{issuer.DefaultClient(), other}
	})
	for name, edit := range map[string]url.Values{
		"PKCE left out":        {"code_verifier": nil},
		"another verifier":     {"code_verifier": {strings.Repeat("a", 43)}},
		"challenge for itself": {"code_verifier": {challenge(verifier)}},
		"short verifier":       {"code_verifier": {"abc"}},
		"long verifier":        {"code_verifier": {strings.Repeat("a", 129)}},
		"another client":       {"client_id": {"other"}},
		"another redirect":     {"redirect_uri": {"http://localhost:43211/auth/callback"}},
		"no redirect":          {"redirect_uri": nil},
	} {
		code := in.code(nil)
		resp, a := in.call("/token", redeeming(code, edit))
		if resp.StatusCode != http.StatusBadRequest || a["error"] != "invalid_grant" || a["id_token"] != nil {
			t.Errorf("%s: status %d: %v", name, resp.StatusCode, a)
		}
		if _, a := in.call("/token", redeeming(code, nil)); a["error"] != "invalid_grant" {
			t.Errorf("%s: the code is good afterwards: %v", name, a)
		}
	}
}

// A code is good once, and not for long.
func TestCodeIsUsedUp(t *testing.T) {
	in := start(t, nil)
	code := in.code(nil)
	if resp, a := in.call("/token", redeeming(code, nil)); resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %v", resp.StatusCode, a)
	}
	if _, a := in.call("/token", redeeming(code, nil)); a["error"] != "invalid_grant" {
		t.Errorf("replayed: %v", a)
	}
	late := in.code(nil)
	in.clock.advance(time.Minute)
	if _, a := in.call("/token", redeeming(late, nil)); a["error"] != "invalid_grant" {
		t.Errorf("after a minute: %v", a)
	}
	if _, a := in.call("/token", redeeming(late[:len(late)-1], nil)); a["error"] != "invalid_grant" {
		t.Errorf("invented: %v", a)
	}
}

// Of many who present one code at once, one gets a token.
func TestCodeRace(t *testing.T) {
	in := start(t, nil)
	code := in.code(nil)
	var wg sync.WaitGroup
	var mu sync.Mutex
	tokens := 0
	for range 16 {
		wg.Go(func() {
			_, a := in.call("/token", redeeming(code, nil))
			mu.Lock()
			defer mu.Unlock()
			if a["id_token"] != nil {
				tokens++
			}
		})
	}
	wg.Wait()
	if tokens != 1 {
		t.Errorf("%d tokens for one code", tokens)
	}
}

func TestTokenRequests(t *testing.T) {
	in := start(t, nil)
	basic := func(id, secret string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) }
	}
	for name, c := range map[string]struct {
		form   url.Values
		edit   func(*http.Request)
		status int
		want   string
	}{
		"no grant type":       {redeeming("x", url.Values{"grant_type": nil}), nil, 400, "invalid_request"},
		"password grant":      {redeeming("x", url.Values{"grant_type": {"password"}}), nil, 400, "unsupported_grant_type"},
		"no code":             {redeeming("x", url.Values{"code": nil}), nil, 400, "invalid_request"},
		"code twice":          {redeeming("x", url.Values{"code": {"x", "y"}}), nil, 400, "invalid_request"},
		"no client":           {redeeming("x", url.Values{"client_id": nil}), nil, 401, "invalid_client"},
		"unknown client":      {redeeming("x", url.Values{"client_id": {"y"}}), nil, 401, "invalid_client"},
		"secret of a public":  {redeeming("x", url.Values{"client_secret": {"y"}}), nil, 401, "invalid_client"},
		"public as a machine": {redeeming("", url.Values{"grant_type": {"client_credentials"}}), nil, 400, "unauthorized_client"},
		"no form":             {redeeming("x", nil), func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 400, "invalid_request"},
		"other header":        {redeeming("x", nil), func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, 401, "invalid_client"},
		"two clients":         {redeeming("x", nil), basic("other", ""), 400, "invalid_request"},
		"by header, no code":  {redeeming("x", url.Values{"client_id": nil}), basic("sigstore", ""), 400, "invalid_grant"},
		"too large":           {redeeming(strings.Repeat("x", 40<<10), nil), nil, 400, "invalid_request"},
	} {
		var edits []func(*http.Request)
		if c.edit != nil {
			edits = append(edits, c.edit)
		}
		resp, a := in.call("/token", c.form, edits...)
		if resp.StatusCode != c.status || a["error"] != c.want {
			t.Errorf("%s: status %d: %v", name, resp.StatusCode, a)
		}
		if resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: may be cached", name)
		}
		if (resp.Header.Get("WWW-Authenticate") != "") != (c.status == 401) {
			t.Errorf("%s: WWW-Authenticate is %q", name, resp.Header.Get("WWW-Authenticate"))
		}
	}
	// Parameters in the URL are none: URLs are logged.
	code := in.code(nil)
	if resp, _ := in.call("/token?"+redeeming(code, nil).Encode(), url.Values{}); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("parameters in the URL: status %d", resp.StatusCode)
	}
}

// A scope without email gets none.
func TestScope(t *testing.T) {
	in := start(t, nil)
	_, a := in.call("/token", redeeming(in.code(url.Values{"scope": {"openid offline_access"}}), nil))
	raw, _ := a["id_token"].(string)
	if c := claimsOf(t, raw); c["email"] != nil || c["email_verified"] != nil || c["sub"] == "" || a["scope"] != "openid" {
		t.Errorf("claims are %v, scope %v", c, a["scope"])
	}
}
