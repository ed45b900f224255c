package oidc_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv/services"
	"github.com/bulla-sign/bulla/oidc"
)

// What a provider says of itself is not believed: another's name, addresses in the clear, no PKCE.
func TestDiscovery(t *testing.T) {
	s := services.New(t)
	doc := func(edit string) string {
		fields := map[string]string{
			"issuer": s.Issuer, "authorization_endpoint": s.Issuer + "/auth", "token_endpoint": s.Issuer + "/token", "device_authorization_endpoint": s.Issuer + "/device/code",
		}
		name, value, _ := strings.Cut(edit, "=")
		fields[name] = value
		challenges := `["S256"]`
		if name == "challenges" {
			challenges = value
		}
		return fmt.Sprintf(`{"issuer":%q,"authorization_endpoint":%q,"token_endpoint":%q,"device_authorization_endpoint":%q,"code_challenge_methods_supported":%s}`,
			fields["issuer"], fields["authorization_endpoint"], fields["token_endpoint"], fields["device_authorization_endpoint"], challenges)
	}
	for edit, want := range map[string]string{
		"issuer=https://other.example":                      "says that it is https://other.example",
		"issuer=" + s.Issuer + "/":                          "says that it is",
		"token_endpoint=http://evil.example/token":          "is not an https address",
		"authorization_endpoint=javascript:alert(1)":        "is not the address of a provider",
		"device_authorization_endpoint=http://10.0.0.1/x":   "is not an https address",
		"token_endpoint=":                                   "names no token endpoint",
		"authorization_endpoint=":                           "names no authorization endpoint",
		`challenges=["plain"]`:                              "does not offer PKCE",
		"challenges=null":                                   "does not offer PKCE",
		"token_endpoint=https://user:canary@evil.example/x": "is not the address of a provider",
	} {
		s.Heal()
		s.Fail(services.Fault{Path: "/oidc/.well-known", Status: 200, Body: doc(edit), Times: -1})
		var out strings.Builder
		l := login(s, &out)
		l.Open = func(context.Context, string) error { t.Errorf("%s: opened", edit); return nil }
		if _, err := l.Browser(context.Background()); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", edit, err)
		}
	}
	s.Heal()
	s.Fail(services.Fault{Path: "/oidc/.well-known", Status: 302, Header: map[string]string{"Location": "https://evil.example/"}, Times: -1})
	var out strings.Builder
	if _, err := login(s, &out).Device(context.Background()); err == nil || !strings.Contains(err.Error(), "it redirects to https://evil.example, which is not followed") {
		t.Error(err)
	}
	for _, bad := range []string{"", "http://issuer.example", "ftp://x", "https://u:p@x"} {
		l := login(s, &out)
		l.Issuer = bad
		if _, err := l.Device(context.Background()); err == nil {
			t.Errorf("%q was used", bad)
		}
	}
}

// Microsoft's provider checks PKCE and does not say so. Nobody else is believed to.
func TestSilentProvider(t *testing.T) {
	const microsoft = "https://login.microsoftonline.com/tenant/v2.0"
	for issuer, want := range map[string]string{
		microsoft: "names no authorization endpoint",
		"https://login.microsoftonline.com.evil.example/tenant": "does not offer PKCE",
		"https://login.evil.example/login.microsoftonline.com":  "does not offer PKCE",
	} {
		l := &oidc.Login{Issuer: issuer, ClientID: "sigstore", Out: new(strings.Builder), Transport: answering(func(w http.ResponseWriter) {
			fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":%q}`, issuer, issuer+"/token")
		})}
		if _, err := l.Browser(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", issuer, err)
		}
	}
	l := &oidc.Login{Issuer: microsoft, ClientID: "sigstore", Out: new(strings.Builder), Transport: answering(func(w http.ResponseWriter) {
		fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":"https://x/","code_challenge_methods_supported":["plain"]}`, microsoft)
	})}
	if _, err := l.Browser(t.Context()); err == nil || !strings.Contains(err.Error(), "does not offer PKCE") {
		t.Errorf("when it says that it offers another: %v", err)
	}
}

// answering is a transport that reaches one page only.
type answering func(w http.ResponseWriter)

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	a(w)
	return w.Result(), nil
}

// TestLoginCanary: neither the code, nor its verifier, nor the client's secret follows a redirect.
func TestLoginCanary(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("somebody else was asked %s %s %v", r.Method, r.URL, r.Header)
	}))
	defer other.Close()
	s := services.New(t)
	for _, path := range []string{"/oidc/.well-known", "/oidc/token", "/oidc/device/code"} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			s.Heal()
			s.Fail(services.Fault{Path: path, Status: status, Header: map[string]string{"Location": other.URL + "/"}, Times: -1})
			for name, flow := range map[string]func(l *oidc.Login) (*oidc.Token, error){
				"browser":            func(l *oidc.Login) (*oidc.Token, error) { return l.Browser(t.Context()) },
				"device":             func(l *oidc.Login) (*oidc.Token, error) { return l.Device(t.Context()) },
				"client credentials": func(l *oidc.Login) (*oidc.Token, error) { return l.ClientCredentials(t.Context()) },
			} {
				if path == "/oidc/device/code" && name != "device" {
					continue
				}
				l := login(s, new(strings.Builder))
				l.ClientSecret, l.Open = services.Secret, browse(t, nil)
				if name == "client credentials" {
					l.ClientID = "secretive"
				}
				_, err := flow(l)
				if err == nil || !strings.Contains(err.Error(), "which is not followed") || strings.Contains(err.Error(), services.Secret) {
					t.Errorf("%s, %s, HTTP %d: %v", name, path, status, err)
				}
			}
		}
	}
}
