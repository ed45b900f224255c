package interop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/tools/process"
	"github.com/bulla-sign/bulla/internal/tools/toolcache"
)

const (
	providerUser, providerPassword = "alice", "correct horse"
	providerClient                 = "native" // the one of the program that needs no secret
)

// startProvider starts an identity provider by others, as it comes (the example server of zitadel/oidc), with one user. It
// returns its address, as its tokens have it.
func startProvider(t *testing.T) (address string) {
	t.Helper()
	exe, err := toolcache.Path("zitadel-oidc", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(t.TempDir(), "users.json")
	text := fmt.Sprintf(`{"1":{"ID":%q,"Username":%q,"Password":%q,"Email":%q,"EmailVerified":true,"PreferredLanguage":"en"}}`, providerUser, providerUser, providerPassword, identity)
	if err := os.WriteFile(users, []byte(strings.Replace(text, `"1"`, `"`+providerUser+`"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	server, err := process.Start(1, func(ports []int) (process.Spec, error) {
		address = fmt.Sprintf("http://localhost:%d/", ports[0])
		return process.Spec{
			Path: exe, Env: []string{fmt.Sprintf("PORT=%d", ports[0]), "USERS_FILE=" + users}, Ready: address + ".well-known/openid-configuration",
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	return address
}

// behindProvider is a deployment whose identities come from a provider, and from nobody else: of the client and of the kind
// that the lines say, as the authority's file of issuers has them.
func behindProvider(t *testing.T, provider, lines string) *instance {
	t.Helper()
	in := &instance{Issuer: provider}
	dir := filepath.Join(t.TempDir(), "d")
	p := &program{name: "bulla-server", exe: bullaServer(t), world: theWorld}
	server, err := process.Start(1, func(ports []int) (process.Spec, error) {
		own := fmt.Sprintf("%s-%d", dir, ports[0]) // the port may be taken by another when it is used
		in.URL = fmt.Sprintf("http://localhost:%d", ports[0])
		in.Mirror = in.URL + "/tuf"
		made := p.run("init", "--dir", own, "--url", in.URL, "--listen", fmt.Sprintf("127.0.0.1:%d", ports[0]), "--generate-password", "--oidc-issuer", provider, "--output", "json")
		made.wantOK(t)
		if err := json.Unmarshal([]byte(made.stdout), in); err != nil {
			return process.Spec{}, err
		}
		issuers := fmt.Sprintf("oidc-issuers:\n  %q:\n    issuer-url: %q\n%s", provider, provider, lines)
		if err := os.WriteFile(filepath.Join(own, "issuers.yaml"), []byte(issuers), 0o600); err != nil {
			return process.Spec{}, err
		}
		config := filepath.Join(own, "bulla-server.yaml")
		text, err := os.ReadFile(config)
		if err == nil {
			err = os.WriteFile(config, []byte(strings.Replace(string(text), "  #issuers: issuers.yaml", "  issuers: issuers.yaml", 1)), 0o600)
		}
		return process.Spec{Path: p.exe, Args: []string{"serve", "--config", config}, Ready: in.URL + "/readyz"}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	return in
}

// TestOtherProvider has an identity provider by others in the place of our issuer: clients find it in the signing config
// alone, people sign in there with a password, and the authority takes its tokens, and takes none of it that are for
// another client.
func TestOtherProvider(t *testing.T) {
	t.Parallel()
	provider := startProvider(t)
	in := behindProvider(t, provider, "    client-id: "+providerClient+"\n    type: username\n    subject-domain: localhost\n")
	who := []string{"--certificate-identity", providerUser + "!localhost", "--certificate-oidc-issuer", provider}
	for _, p := range []*program{theWorld.bulla, theWorld.cosign} {
		t.Run(p.name, func(t *testing.T) {
			trusting := in.trusting(t, p)
			artifact, bundle := toSign(t)
			call, page := trusting.signInBrowser(t, "sign-blob", "--yes", "--fulcio-auth-flow", "normal", "--oidc-client-id", providerClient, "--bundle", bundle, artifact)
			if !strings.HasPrefix(page, provider) {
				t.Fatalf("the page that is opened is %s, not the provider's", page)
			}
			person := newPerson(t)
			person.get(page)
			person.submit(person.page, "password", url.Values{"username": {providerUser}, "password": {providerPassword}})
			call.wantOK(t)
			for _, v := range []*program{theWorld.bulla, theWorld.cosign} {
				trusting := in.trusting(t, v)
				trusting.run(join([]string{"verify-blob", "--bundle", bundle}, who, []string{artifact})...).wantOK(t)
				trusting.run("verify-blob", "--bundle", bundle, "--certificate-identity", "bob!localhost", "--certificate-oidc-issuer", provider, artifact).wantRefused(t)
			}
		})
	}
	t.Run("a token for another client", func(t *testing.T) { in.anotherClient(t, provider) })
	t.Run("a device, which this client may not have", func(t *testing.T) {
		artifact, bundle := toSign(t)
		got := in.trusting(t, theWorld.bulla).run("sign-blob", "--yes", "--fulcio-auth-flow", "device", "--oidc-client-id", providerClient, "--bundle", bundle, artifact)
		if got.code == 0 || !strings.Contains(got.stderr, "unauthorized_client") {
			t.Errorf("a client without the device flow: %s", got)
		}
		if _, err := os.Stat(bundle); err == nil {
			t.Error("a bundle was left behind")
		}
	})
	t.Run("our own issuer", func(t *testing.T) {
		resp, err := http.Get(in.URL + "/oidc/.well-known/openid-configuration")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("it answers: %s", resp.Status)
		}
	})
}

// webToken signs in as the client "web" of the provider, with a password that is right, and returns a file with the token.
func webToken(t *testing.T, provider string) (file string) {
	t.Helper()
	person := newPerson(t)
	// The client "web" may have identity tokens without a code (implicit flow), at an address where nobody listens.
	query := url.Values{
		"client_id": {"web"}, "redirect_uri": {"http://localhost:9999/auth/callback"}, "response_type": {"id_token"}, "scope": {"openid email"}, "nonce": {"n"}, "state": {"s"},
	}
	person.get(provider + "auth?" + query.Encode())
	var token string
	person.c.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		if req.URL.Port() != "9999" {
			return nil
		}
		fragment, err := url.ParseQuery(req.URL.Fragment)
		if err != nil {
			return err
		}
		token = fragment.Get("id_token")
		return http.ErrUseLastResponse
	}
	login := attributes(input.FindStringSubmatch(person.page)[1]) // the request that the form is about
	resp, err := person.c.PostForm(provider+"login/username", url.Values{login["name"]: {login["value"]}, "username": {providerUser}, "password": {providerPassword}})
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if token == "" {
		t.Fatal("the provider gave no token")
	}
	file = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestOtherProviderEmail has the same provider vouch for an e-mail address. Its example server puts one into the tokens of
// the client "web" alone, when they come without an access token (OpenID Connect Core, 5.4); that client has a secret, and
// the names of the clients are in its source, so that there is none called sigstore, and none with the device flow.
func TestOtherProviderEmail(t *testing.T) {
	t.Parallel()
	provider := startProvider(t)
	in := behindProvider(t, provider, "    client-id: web\n    type: email\n")
	token := webToken(t, provider)
	for _, p := range []*program{theWorld.bulla, theWorld.cosign} {
		artifact, bundle := toSign(t)
		in.trusting(t, p).run("sign-blob", "--yes", "--identity-token", token, "--bundle", bundle, artifact).wantOK(t)
		for _, v := range []*program{theWorld.bulla, theWorld.cosign} {
			trusting := in.trusting(t, v)
			trusting.run("verify-blob", "--bundle", bundle, "--certificate-identity", identity, "--certificate-oidc-issuer", provider, artifact).wantOK(t)
			trusting.run("verify-blob", "--bundle", bundle, "--certificate-identity", "bob@example.com", "--certificate-oidc-issuer", provider, artifact).wantRefused(t)
		}
	}
}

// anotherClient comes with a token for another client than the authority wants.
func (in *instance) anotherClient(t *testing.T, provider string) {
	t.Helper()
	file := webToken(t, provider)
	artifact, bundle := toSign(t)
	got := in.trusting(t, theWorld.bulla).run("sign-blob", "--yes", "--identity-token", file, "--bundle", bundle, artifact)
	if got.code == 0 || !strings.Contains(got.stderr, "aud") {
		t.Errorf("a token for another client: %s", got)
	}
}
