package oidc_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv/services"
	"github.com/bulla-sign/bulla/oidc"
)

// jwt makes a token with these claims and a signature that nobody made.
func jwt(claims string) string {
	enc := base64.RawURLEncoding
	return enc.EncodeToString([]byte(`{"alg":"ES256"}`)) + "." + enc.EncodeToString([]byte(claims)) + ".c2ln"
}

func TestParse(t *testing.T) {
	token, err := oidc.Parse(jwt(`{"iss":"https://i","sub":"s","aud":["sigstore","x"],"exp":1.7e9,"email":"a@b","email_verified":"true","nonce":"n","groups":[{"deep":[1]}]}`))
	if err != nil || token.Issuer != "https://i" || token.Subject != "s" || len(token.Audience) != 2 || token.Expires.Unix() != 1700000000 || token.Nonce != "n" {
		t.Fatalf("got %+v, %v", token, err)
	}
	if c, err := token.Challenge(); c != "a@b" || err != nil || token.Who() != "a@b" {
		t.Errorf("challenge %q, %v", c, err)
	}
	for claims, want := range map[string]string{
		`{"iss":"i","sub":"s"}`:                                            "s",
		`{"iss":"i","sub":"s","aud":"sigstore"}`:                           "s",
		`{"iss":"i","sub":"s","email":"a@b","email_verified":true}`:        "a@b",
		`{"iss":"i","sub":"s","email":"a@b"}`:                              "",
		`{"iss":"i","sub":"s","email":"a@b","email_verified":false}`:       "",
		`{"iss":"i","sub":"s","email":"a@b","email_verified":"yes"}`:       "",
		`{"iss":"i","sub":"s","email":"","email_verified":false}`:          "s",
		`{"iss":"i","sub":"s","email":"a@b","email_verified":{"true":""}}`: "",
	} {
		token, err := oidc.Parse(jwt(claims))
		if err != nil {
			t.Errorf("%s: %v", claims, err)
			continue
		}
		if got, err := token.Challenge(); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: challenge %q, %v", claims, got, err)
		}
	}
	for _, bad := range []string{
		"", ".", "..", "a.b.c", "a.e30.", jwt(`{}`), jwt(`{"iss":"i"}`), jwt(`[]`), jwt(`{"iss":"i","sub":1}`), jwt(`{"iss":"i","sub":"s","iss":"j"}`),
		jwt(`{"iss":"i","sub":"s","exp":"soon"}`), jwt(`{"iss":"i","sub":"s","exp":-1}`), jwt(`{"iss":"i","sub":"s","exp":1e300}`),
		jwt(`{"iss":"i","sub":"s","aud":{}}`), jwt(`{"iss":"i","sub":"s"}`) + ".x", jwt(`{"iss":"i","sub":"s"}`) + "\r\nX: y", "a b" + jwt(`{"iss":"i","sub":"s"}`), jwt(`{"iss":"i","sub":"s"} {}`),
		jwt(`{"iss":"i","sub":"s","x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`),
		strings.Repeat(".", 1_000_000), strings.Repeat("a", oidc.MaxToken+1),
	} {
		if token, err := oidc.Parse(bad); err == nil {
			t.Errorf("%.60q: %+v", bad, token)
		}
	}
	strange, err := oidc.Parse(jwt(`{"iss":"i","sub":"a\u001b[31mb\u202ec` + strings.Repeat("x", 500) + `"}`))
	if err != nil || strings.ContainsAny(strange.Who(), "\x1b\u202e") || len(strange.Who()) > 300 {
		t.Errorf("%q, %v", strange.Who(), err)
	}
}

// A million dots cost no more than one (CVE-2025-66506).
func TestManyDots(t *testing.T) {
	raw := strings.Repeat(".", oidc.MaxToken)
	if n := testing.AllocsPerRun(10, func() { _, _ = oidc.Parse(raw) }); n > 10 {
		t.Errorf("%v allocations", n)
	}
}

func TestCheck(t *testing.T) {
	token, err := oidc.Parse(jwt(`{"iss":"i","sub":"s","aud":"sigstore","exp":1700000000}`))
	if err != nil {
		t.Fatal(err)
	}
	before, after := time.Unix(1699999999, 0), time.Unix(1700000001, 0)
	if err := token.Check(before, "sigstore"); err != nil {
		t.Error(err)
	}
	if err := token.Check(after, ""); err == nil || !strings.Contains(err.Error(), "expired at 2023-11-14T22:13:20Z") {
		t.Error(err)
	}
	if err := token.Check(before, "other"); err == nil || !strings.Contains(err.Error(), `it is for sigstore, not for "other"`) {
		t.Error(err)
	}
}

func TestFromFlag(t *testing.T) {
	raw := jwt(`{"iss":"i","sub":"s"}`)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(raw+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{raw, file} {
		if token, err := oidc.FromFlag(t.Context(), value); err != nil || token.Raw != raw {
			t.Errorf("%.40s: %v", value, err)
		}
	}
	// Neither a broken token nor a missing file is repeated in full.
	for _, bad := range []string{"nosuch", raw[:40], "eyJx.!.sig", strings.Repeat("secret", 100)} {
		_, err := oidc.FromFlag(t.Context(), bad)
		if err == nil || len(bad) > 200 && strings.Contains(err.Error(), bad) {
			t.Errorf("%.40s: %v", bad, err)
		}
	}
	if err := os.WriteFile(file, make([]byte, oidc.MaxToken+10), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := oidc.FromFlag(t.Context(), file); err == nil || !strings.Contains(err.Error(), "more than 32768 bytes") {
		t.Error(err)
	}
}

// vars is an environment of these variables only.
func vars(pairs ...string) *oidc.Environment {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return &oidc.Environment{LookupEnv: func(name string) (string, bool) { v, ok := m[name]; return v, ok }, UserAgent: "bulla/test", Root: "/nonexistent"}
}

func TestFileAndVariable(t *testing.T) {
	inFile, inVariable := jwt(`{"iss":"i","sub":"file"}`), jwt(`{"iss":"i","sub":"variable"}`)
	e := vars("SIGSTORE_ID_TOKEN", inVariable+"\n")
	token, name, err := oidc.Ambient(context.Background(), e, "")
	if err != nil || token.Subject != "variable" || name != "envvar" {
		t.Errorf("got %v from %s, %v", token, name, err)
	}
	e.Root = t.TempDir()
	if err := os.MkdirAll(e.Root+"/var/run/sigstore/cosign", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(e.Root+"/var/run/sigstore/cosign/oidc-token", []byte(inFile), 0o600); err != nil {
		t.Fatal(err)
	}
	for asked, want := range map[string]string{"": "file", "filesystem": "file", "kubernetes": "file", "envvar": "variable", "gitlab": "variable"} {
		if token, _, err := oidc.Ambient(context.Background(), e, asked); err != nil || token.Subject != want {
			t.Errorf("%q: %v, %v", asked, token, err)
		}
	}
	if _, _, err := oidc.Ambient(context.Background(), e, "gcp"); err == nil || errors.Is(err, oidc.ErrNone) || !strings.Contains(err.Error(), "github-actions") {
		t.Errorf("a name that is none: %v", err)
	}
	if _, _, err := oidc.Ambient(context.Background(), e, "github-actions"); !errors.Is(err, oidc.ErrNone) || !strings.Contains(err.Error(), "id-token: write") {
		t.Errorf("a source that is not there: %v", err)
	}
	if _, _, err := oidc.Ambient(context.Background(), vars("SIGSTORE_ID_TOKEN", ""), ""); !errors.Is(err, oidc.ErrNone) {
		t.Errorf("nothing: %v", err)
	}
	// What is there and broken is an error, not a reason to go on to another identity.
	e = vars("SIGSTORE_ID_TOKEN", "broken", "ACTIONS_ID_TOKEN_REQUEST_URL", "http://127.0.0.1:1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "x")
	if _, name, err := oidc.Ambient(context.Background(), e, ""); err == nil || name != "envvar" || errors.Is(err, oidc.ErrNone) {
		t.Errorf("broken: %s, %v", name, err)
	}
	found := map[string]bool{}
	for _, f := range oidc.Look(t.Context(), e) {
		found[f.Name] = f.Found
		if f.Looked == "" {
			t.Errorf("%s does not say what it looks for", f.Name)
		}
	}
	if len(found) != len(oidc.Names()) || !found["envvar"] || !found["github-actions"] || found["spiffe"] || found["filesystem"] {
		t.Errorf("found %v", found)
	}
}

func login(s *services.Services, out *strings.Builder) *oidc.Login {
	return &oidc.Login{Issuer: s.Issuer, ClientID: "sigstore", UserAgent: "bulla/test", Out: out}
}

// browse is a browser that follows redirects.
func browse(t *testing.T, header func(*http.Request)) func(context.Context, string) error {
	return func(_ context.Context, address string) error {
		go func() {
			req, err := http.NewRequest(http.MethodGet, address, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if header != nil {
				header(req)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			if resp.Header.Get("Referrer-Policy") != "no-referrer" {
				t.Errorf("the page's header: %v", resp.Header)
			}
		}()
		return nil
	}
}

type writerFunc func(p []byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

// The program that opens browsers says by its status that there is none, as where there is no display.
func TestOpenBrowser(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there it has another name")
	}
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	if err := oidc.OpenBrowser(t.Context(), "https://issuer.example/"); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("without the program: %v", err)
	}
	for status, want := range map[string]string{"0": "", "3": "xdg-open: exit status 3"} {
		script := "#!/bin/sh\n[ \"$*\" = https://issuer.example/ ] || exit 9\nexit " + status + "\n"
		if err := os.WriteFile(filepath.Join(bin, "xdg-open"), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := oidc.OpenBrowser(t.Context(), "https://issuer.example/"); want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("status %s: %v", status, err)
		}
	}
	for _, bad := range []string{"", "-h", "file:///etc/passwd", "javascript:alert(1)"} {
		if err := oidc.OpenBrowser(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "not a web address") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestBrowser(t *testing.T) {
	s := services.New(t)
	for _, redirect := range []string{"", "http://localhost:0/auth/callback", "http://127.0.0.1:0/x"} {
		var out strings.Builder
		l := login(s, &out)
		l.RedirectURL, l.Open = redirect, browse(t, nil)
		token, err := l.Browser(context.Background())
		if err != nil || token.Email != s.Email || token.Nonce == "" {
			t.Errorf("%s: %v, %v", redirect, token, err)
		}
		if !strings.HasPrefix(out.String(), "Your browser will now be opened to:\n"+s.Issuer+"/auth?") {
			t.Errorf("said %q", out.String())
		}
	}
	// No browser can be started: the address is told all the same, and used by hand.
	var out strings.Builder
	l := login(s, &out)
	hand, page := browse(t, nil), ""
	l.Open = func(_ context.Context, address string) error {
		page = address
		return errors.New("no display")
	}
	l.Out = writerFunc(func(p []byte) {
		if out.Write(p); strings.HasPrefix(string(p), "No browser could be started (no display)") {
			_ = hand(t.Context(), page)
		}
	})
	if _, err := l.Browser(context.Background()); err != nil {
		t.Errorf("%v, %s", err, out.String())
	}
	for _, bad := range []string{"https://localhost/x", "http://evil.example/x", "http://u:p@localhost/", "http://localhost/?x", "::"} {
		l.RedirectURL = bad
		if _, err := l.Browser(context.Background()); err == nil || !strings.Contains(err.Error(), "is not one of this computer") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// Strangers who find the port change nothing; what the provider says, counts.
func TestBrowserCallback(t *testing.T) {
	s := services.New(t)
	redirect := func(address string) string {
		_, q, _ := strings.Cut(address, "?")
		req, err := http.NewRequest(http.MethodGet, "http://x/?"+q, nil)
		if err != nil {
			t.Fatal(err)
		}
		return req.URL.Query().Get("redirect_uri") + " " + req.URL.Query().Get("state")
	}
	visit := func(address string) int {
		resp, err := http.Get(address)
		if err != nil {
			t.Error(err)
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	var out strings.Builder
	l := login(s, &out)
	l.Open = func(ctx context.Context, address string) error {
		back, state, _ := strings.Cut(redirect(address), " ")
		go func() {
			for _, path := range []string{"", "?code=evil&state=wrong", "?state=" + state[1:] + "&code=evil", "/more?code=evil&state=" + state} {
				if status := visit(back + path); status != 400 && status != 404 {
					t.Errorf("%q: %d", path, status)
				}
			}
			_ = browse(t, nil)(ctx, address)
		}()
		return nil
	}
	if _, err := l.Browser(context.Background()); err != nil {
		t.Error(err)
	}
	for query, want := range map[string]string{
		"error=access_denied&error_description=no%1b": "the provider refused: access_denied no\uFFFD",
		"x=1":       "without a code",
		"code=evil": "invalid_grant",
	} {
		l.Open = func(_ context.Context, address string) error {
			back, state, _ := strings.Cut(redirect(address), " ")
			go visit(back + "?" + query + "&state=" + state)
			return nil
		}
		if _, err := l.Browser(context.Background()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", query, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.Open = func(context.Context, string) error { cancel(); return nil }
	if _, err := l.Browser(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
}

func TestClientCredentials(t *testing.T) {
	s := services.New(t)
	var out strings.Builder
	l := login(s, &out)
	l.ClientID, l.ClientSecret = "secretive", services.Secret
	if token, err := l.ClientCredentials(context.Background()); err != nil || token.Issuer != s.Issuer {
		t.Errorf("%v, %v", token, err)
	}
	l.ClientSecret = "wrong"
	if _, err := l.ClientCredentials(context.Background()); err == nil || !strings.Contains(err.Error(), "HTTP 400: invalid_client: wrong secret") {
		t.Error(err)
	}
	l.ClientSecret = ""
	if _, err := l.ClientCredentials(context.Background()); err == nil {
		t.Error("without a secret")
	}
}
