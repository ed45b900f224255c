package issuer_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/server/issuer"
)

// What is not in order is refused when the issuer is made, and the error says what it is.
func TestConfig(t *testing.T) {
	good := func() issuer.Config {
		return issuer.Config{URL: "http://localhost:1/oidc", Keys: sharedKeys(t, time.Now().Add(-time.Hour)), DevelopmentLogin: true}
	}
	user := func(email, hash string) issuer.User { return issuer.User{Email: email, PasswordHash: hash} }
	argon := func(params, rest string) []issuer.User {
		return []issuer.User{user("a@b.test", "$argon2id$v=19$"+params+"$"+rest)}
	}
	rest := "MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg"
	for want, edit := range map[string]func(*issuer.Config){
		"not an absolute":         func(c *issuer.Config) { c.URL = "localhost:1" },
		"not an absolute http or": func(c *issuer.Config) { c.URL = "ftp://localhost/oidc" },
		"ends with a slash":       func(c *issuer.Config) { c.URL += "/" },
		"a query or a fragment":   func(c *issuer.Config) { c.URL += "?x=1" },
		"a user, a query":         func(c *issuer.Config) { c.URL = "http://a@localhost/oidc" },
		"other characters":        func(c *issuer.Config) { c.URL = "http://localhost/a{b}" },
		"dots to resolve":         func(c *issuer.Config) { c.URL = "http://localhost/a/../b" },
		"plain http":              func(c *issuer.Config) { c.URL, c.AllowDevelopmentLoginAnywhere = "http://sign.test/oidc", true },
		"no key store":            func(c *issuer.Config) { c.Keys = nil },
		"nobody could sign in":    func(c *issuer.Config) { c.DevelopmentLogin = false },
		"but not switched on": func(c *issuer.Config) {
			c.DevelopmentLogin, c.AllowDevelopmentLoginAnywhere = false, true
			c.Users = argon("m=64,t=1,p=1", rest)
		},
		"lifetime of tokens":       func(c *issuer.Config) { c.TokenLifetime = 2 * time.Hour },
		"lead is negative":         func(c *issuer.Config) { c.RotationLead = -1 },
		"device interval":          func(c *issuer.Config) { c.DeviceInterval = 1500 * time.Millisecond },
		"is there twice":           func(c *issuer.Config) { c.Clients = []issuer.Client{{ID: "a"}, {ID: "a"}} },
		"ID is empty":              func(c *issuer.Config) { c.Clients = []issuer.Client{{}} },
		"a machine needs a secret": func(c *issuer.Config) { c.Clients = []issuer.Client{{ID: "a", Machine: true}} },
		"for machines only":        func(c *issuer.Config) { c.Clients = []issuer.Client{{ID: "a", Email: "a@b.test"}} },
		"is no client": func(c *issuer.Config) {
			c.Clients = []issuer.Client{{ID: "a", Machine: true, SecretHash: argonOf("x"), Audience: "b"}}
		},
		"neither https nor": func(c *issuer.Config) {
			c.Clients = []issuer.Client{{ID: "a", Redirects: []string{"http://app.test/cb"}}}
		},
		"or a fragment": func(c *issuer.Config) {
			c.Clients = []issuer.Client{{ID: "a", Redirects: []string{"https://app.test/#"}}}
		},
		"that no URL has": func(c *issuer.Config) {
			c.Clients = []issuer.Client{{ID: "a", Redirects: []string{"https://app.test/{x}"}}}
		},
		"neither bcrypt nor argon2id": func(c *issuer.Config) { c.Users = []issuer.User{user("a@b.test", "secret")} },
		"has not exactly one @":       func(c *issuer.Config) { c.Users = []issuer.User{user("alice", argonOf("x"))} },
		"or has the ID of another": func(c *issuer.Config) {
			c.Users = []issuer.User{user("a@b.test", argonOf("x")), user("A@b.test", argonOf("y"))}
		},
		"m=1 to 262144":             func(c *issuer.Config) { c.Users = argon("m=262145,t=1,p=1", rest) },
		"t=1 to 64":                 func(c *issuer.Config) { c.Users = argon("m=64,t=65,p=1", rest) },
		"p=1 to 64":                 func(c *issuer.Config) { c.Users = argon("m=64,t=1,p=0", rest) },
		"does not state m, t and p": func(c *issuer.Config) { c.Users = argon("m=64,t=1", rest) },
		"a salt that is not":        func(c *issuer.Config) { c.Users = argon("m=64,t=1,p=1", "MDEy$MDEyMzQ1Njc4OWFiY2RlZg") },
		"a sum that is not":         func(c *issuer.Config) { c.Users = argon("m=64,t=1,p=1", "MDEyMzQ1Njc4OWFiY2RlZg$MDEy") },
		"not of the form":           func(c *issuer.Config) { c.Users = argon("m=64,t=1,p=1", "x") },
		"is not an https URL": func(c *issuer.Config) {
			c.Upstreams = []issuer.Upstream{{ID: "u", Issuer: "http://up.test", ClientID: "x"}}
		},
		"one of the issuer's own": func(c *issuer.Config) {
			c.Upstreams = []issuer.Upstream{{ID: "local", Issuer: "https://up.test", ClientID: "x"}}
		},
		"there is no client ID": func(c *issuer.Config) { c.Upstreams = []issuer.Upstream{{ID: "u", Issuer: "https://up.test"}} },
		`upstream "u" is there twice`: func(c *issuer.Config) {
			u := issuer.Upstream{ID: "u", Issuer: "https://up.test", ClientID: "x"}
			c.Upstreams = []issuer.Upstream{u, u}
		},
		"more than 1000 clients, users": func(c *issuer.Config) { c.Users = make([]issuer.User, 1001) },
	} {
		c := good()
		edit(&c)
		if _, err := issuer.New(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	if _, err := issuer.New(t.Context(), good()); err != nil {
		t.Fatal(err)
	}
}

// The patterns are those of the program's table, all below the issuer's path, and each is answered.
func TestPatterns(t *testing.T) {
	in := start(t, func(c *issuer.Config) {
		c.Upstreams = []issuer.Upstream{{ID: "u", Issuer: "https://up.test", ClientID: "x"}}
	})
	got := in.Patterns()
	mux := http.NewServeMux()
	for _, p := range got {
		method, path, _ := strings.Cut(p, " ")
		if !strings.HasPrefix(path, "/oidc/") {
			t.Errorf("pattern %q", p)
		}
		mux.Handle(p, in)
		r, _ := http.NewRequest(method, in.url+strings.TrimPrefix(path, "/oidc"), nil)
		if resp := newBrowser(t).do(r); resp.StatusCode == http.StatusNotFound {
			t.Errorf("%s is not answered", p)
		}
	}
	if !slices.Contains(got, "POST /oidc/dev/token") || !slices.Contains(got, "GET /oidc/callback") {
		t.Errorf("patterns are %v", got)
	}
	if err := in.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	in.clock.advance(-time.Hour)
	if err := in.Ready(t.Context()); err == nil {
		t.Error("ready before any key signs")
	}
	if err := in.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// An issuer at the root of a host has the same paths without prefix.
func TestRootPath(t *testing.T) {
	in := start(t, func(c *issuer.Config) { c.URL = strings.TrimSuffix(c.URL, "/oidc") })
	in.url = strings.TrimSuffix(in.url, "/oidc")
	_, a := in.call("/token", redeeming(in.code(nil), nil))
	if _, err := in.verify(a["id_token"].(string), "sigstore"); err != nil {
		t.Error(err)
	}
}

// What is counted has few labels, whatever clients send.
func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	in := start(t, func(c *issuer.Config) { c.Metrics = reg })
	in.call("/token", redeeming(in.code(nil), nil))
	in.call("/token", redeeming("x", nil))
	b := newBrowser(t)
	f := b.get(in.url+"/auth?"+asking(nil).Encode()).form(t, "development")
	b.send(f, map[string][]string{"method": {"invented"}})
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range families {
		text.WriteString(f.String())
	}
	for _, want := range []string{"bulla_issuer_tokens_total", "bulla_issuer_logins_total", "authorization_code", "development"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the metrics lack %s:\n%s", want, &text)
		}
	}
	if strings.Contains(text.String(), "invented") {
		t.Error("a client makes labels")
	}
}
