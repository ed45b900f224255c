package oidc_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/oidc"
)

// A token is accepted at the end of a login if it is for that login: of its provider, for this client, with its nonce, and
// in its time.
func TestTokenOfAnotherLogin(t *testing.T) {
	nonce, change := "", func(map[string]any) {}
	mux := http.NewServeMux()
	web := httptest.NewServer(mux)
	defer web.Close()
	answer := func(w http.ResponseWriter, v any) {
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{
			"issuer": web.URL, "authorization_endpoint": web.URL + "/auth", "token_endpoint": web.URL + "/token",
			"code_challenge_methods_supported": []string{"S256"},
		})
	})
	mux.HandleFunc("GET /auth", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		nonce = q.Get("nonce")
		http.Redirect(w, r, q.Get("redirect_uri")+"?code=x&state="+q.Get("state"), http.StatusSeeOther)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, _ *http.Request) {
		claims := map[string]any{"iss": web.URL, "sub": "a", "aud": "sigstore", "nonce": nonce, "exp": time.Now().Add(time.Hour).Unix()}
		change(claims)
		payload, err := json.Marshal(claims)
		if err != nil {
			t.Error(err)
		}
		part := base64.RawURLEncoding.EncodeToString
		answer(w, map[string]any{"id_token": part([]byte(`{"alg":"ES256"}`)) + "." + part(payload) + ".AAAA"})
	})
	for name, c := range map[string]struct {
		change func(map[string]any)
		want   string // in the error; empty: none
	}{
		"this one":         {func(map[string]any) {}, ""},
		"another nonce":    {func(c map[string]any) { c["nonce"] = "another" }, "nonce"},
		"no nonce":         {func(c map[string]any) { delete(c, "nonce") }, "nonce"},
		"another provider": {func(c map[string]any) { c["iss"] = "https://evil.example" }, "not of the provider"},
		"with a slash":     {func(c map[string]any) { c["iss"] = web.URL + "/" }, "not of the provider"},
		"another client":   {func(c map[string]any) { c["aud"] = "another" }, "it is for another"},
		"expired":          {func(c map[string]any) { c["exp"] = 1 }, "expired"},
	} {
		change = c.change
		l := &oidc.Login{Issuer: web.URL, ClientID: "sigstore", UserAgent: "bulla/test", Out: new(strings.Builder), Open: browse(t, nil)}
		_, err := l.Browser(context.Background())
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
