package oidc_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/oidc"
)

const robot = "robot@p.iam.gserviceaccount.com"

// google is Google's token endpoint and its service of impersonation, for a person and for a service account with this key.
func google(t *testing.T, key *rsa.PrivateKey, raw string) string {
	t.Helper()
	server := httptest.NewServer(nil)
	t.Cleanup(server.Close)
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token" && r.Method == http.MethodPost && r.ParseForm() == nil:
			f := r.PostForm
			person := f.Get("grant_type") == "refresh_token" && f.Get("client_id") == "gcloud" && f.Get("client_secret") == "canary-secret" && f.Get("refresh_token") == "canary-refresh"
			if !person && !asserts(f, &key.PublicKey, server.URL+"/token") {
				t.Errorf("asked for a token with %v", f)
				http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
				return
			}
			_, _ = io.WriteString(w, `{"access_token":"canary-access"}`)
		case r.URL.Path == "/v1/projects/-/serviceAccounts/a@b:generateIdToken" && r.Header.Get("Authorization") == "Bearer canary-access":
			_, _ = io.WriteString(w, `{"token":"`+raw+`"}`)
		default:
			t.Errorf("asked %s %s %v", r.Method, r.URL, r.Header)
		}
	})
	return server.URL
}

// asserts checks a service account's word as Google does (RFC 7523 3).
func asserts(f url.Values, key *rsa.PublicKey, audience string) bool {
	parts := strings.Split(f.Get("assertion"), ".")
	if f.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || len(parts) != 3 {
		return false
	}
	var claims struct {
		Issuer   string `json:"iss"`
		Scope    string `json:"scope"`
		Audience string `json:"aud"`
		Issued   int64  `json:"iat"`
		Expires  int64  `json:"exp"`
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(data, &claims) != nil {
		return false
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	return err == nil && rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil && claims.Issuer == robot && claims.Audience == audience &&
		claims.Scope == "https://www.googleapis.com/auth/cloud-platform" && claims.Expires > claims.Issued && claims.Expires <= claims.Issued+3600
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Away from Google's machines the credentials of a person, or the key of a service account, may impersonate another one.
func TestGoogleCredentials(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	inPEM := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	web := google(t, key, jwt(`{"iss":"https://accounts.google.com","sub":"1","email":"a@b","email_verified":true}`))
	home := t.TempDir()
	file := filepath.Join(home, ".config", "gcloud", "application_default_credentials.json")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if f := oidc.Look(t.Context(), vars("GOOGLE_SERVICE_ACCOUNT_NAME", "a@b", "HOME", home))[6]; f.Found || f.Lacks == "" {
		t.Errorf("without a file: %+v", f)
	}
	person := map[string]string{"type": "authorized_user", "client_id": "gcloud", "client_secret": "canary-secret", "refresh_token": "canary-refresh", "token_uri": web + "/token"}
	account := map[string]string{"type": "service_account", "client_email": robot, "private_key": inPEM("PRIVATE KEY", pkcs8), "private_key_id": "1", "token_uri": web + "/token"}
	older := map[string]string{"type": "service_account", "client_email": robot, "private_key": inPEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), "token_uri": web + "/token"}
	with := func(c map[string]string, name, value string) []byte {
		changed := map[string]string{name: value}
		for n, v := range c {
			if n != name {
				changed[n] = v
			}
		}
		return marshal(t, changed)
	}
	for name, c := range map[string]struct {
		data []byte
		want string // in the error; empty: none
	}{
		"person":           {marshal(t, person), ""},
		"service account":  {marshal(t, account), ""},
		"older key":        {marshal(t, older), ""},
		"another type":     {[]byte(`{"type":"gdch_service_account"}`), `"gdch_service_account" are not supported`},
		"somebody else's":  {with(account, "token_uri", "https://evil.example/token"), "not an address of Google's"},
		"much like":        {with(person, "token_uri", "https://oauth2.googleapis.com.evil.example/token"), "not an address of Google's"},
		"in the clear":     {with(person, "token_uri", "http://oauth2.googleapis.com/token"), "is not an https address"},
		"not a URL":        {with(person, "token_uri", "::"), "token_uri"},
		"no refresh token": {with(person, "refresh_token", ""), "lacks"},
		"no key":           {with(account, "private_key", "canary"), "lacks"},
		"broken key":       {with(account, "private_key", inPEM("PRIVATE KEY", []byte("canary"))), "is not an RSA key"},
		"not JSON":         {[]byte("canary"), "does not hold credentials"},
		"huge":             {make([]byte, 65<<10), "more than 65536 bytes"},
	} {
		if err := os.WriteFile(file, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, e := range []*oidc.Environment{
			vars("GOOGLE_SERVICE_ACCOUNT_NAME", "a@b", "HOME", home),
			vars("GOOGLE_SERVICE_ACCOUNT_NAME", "a@b", "CLOUDSDK_CONFIG", filepath.Dir(file)),
			vars("GOOGLE_SERVICE_ACCOUNT_NAME", "a@b", "GOOGLE_APPLICATION_CREDENTIALS", file),
		} {
			e.GoogleIAM, e.Patience = web, -1
			token, from, err := oidc.Ambient(t.Context(), e, "")
			switch {
			case from != "google-impersonate":
				t.Errorf("%s: from %q, %v", name, from, err)
			case c.want == "" && (err != nil || token.Email != "a@b"):
				t.Errorf("%s: %v, %v", name, token, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary")):
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, _, err := oidc.Ambient(t.Context(), vars("GOOGLE_SERVICE_ACCOUNT_NAME", "a@b", "GOOGLE_APPLICATION_CREDENTIALS", home+"/nosuch"), ""); err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("a file that is not there: %v", err)
	}
}
