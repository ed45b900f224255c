package access

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// detour sends every request to one server, and notes for which host it was.
type detour struct {
	to    *url.URL
	mu    sync.Mutex
	hosts []string
}

func (d *detour) RoundTrip(r *http.Request) (*http.Response, error) {
	d.mu.Lock()
	d.hosts = append(d.hosts, r.URL.Scheme+"://"+r.URL.Host)
	d.mu.Unlock()
	out := r.Clone(r.Context())
	out.Host, out.URL.Scheme, out.URL.Host = r.URL.Host, d.to.Scheme, d.to.Host
	return http.DefaultTransport.RoundTrip(out)
}

// clouds is a keychain whose clouds are answered by handler.
func (m *machine) clouds(handler http.HandlerFunc) (*Keychain, *detour) {
	server := httptest.NewServer(handler)
	m.t.Cleanup(server.Close)
	to, err := url.Parse(server.URL)
	if err != nil {
		m.t.Fatal(err)
	}
	d := &detour{to: to}
	k := m.keychain()
	k.options.Clouds, k.options.Transport = true, d
	return k, d
}

// withoutPrograms takes the credential programs of this machine out of PATH.
func withoutPrograms(t *testing.T) { t.Setenv("PATH", t.TempDir()) }

func TestGitHub(t *testing.T) {
	withoutPrograms(t)
	m := newMachine(t)
	m.env["GITHUB_TOKEN"], m.env["GITHUB_ACTOR"] = "ghsecret", "octo"
	k, d := m.clouds(http.NotFound)
	found, err := m.resolve(k, "ghcr.io/acme/app")
	if err != nil || found.config.Username != "octo" || found.config.Password != "ghsecret" || found.Source() != "the variable GITHUB_TOKEN, for registries of GitHub" {
		t.Errorf("%v, %v", found, err)
	}
	for _, other := range []string{"ghcr.io.evil.test/a", "evil-ghcr.io/a", "docker.io/a/b", "ghcr.io:5000/a"} {
		if found, err := m.resolve(k, other); err != nil || !found.Anonymous() {
			t.Errorf("%s: %v, %v", other, found, err)
		}
	}
	if len(d.hosts) != 0 {
		t.Errorf("asked %v", d.hosts)
	}
	// Without the flag no cloud is asked, and what is in a file comes first.
	m.want("ghcr.io/acme/app", "", "")
	m.write(".docker/config.json", `{"auths":{"ghcr.io":{"auth":"`+basic("file", "secretfile")+`"}}}`)
	k, _ = m.clouds(http.NotFound)
	if found, err := m.resolve(k, "ghcr.io/acme/app"); err != nil || found.config.Username != "file" {
		t.Errorf("%v, %v", found, err)
	}
}

func TestGoogle(t *testing.T) {
	withoutPrograms(t)
	m := newMachine(t)
	flavor := "Google"
	k, d := m.clouds(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata-Flavor") != "Google" || r.URL.Path != "/computeMetadata/v1/instance/service-accounts/default/token" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Metadata-Flavor", flavor)
		fmt.Fprint(w, `{"access_token":"gsecret","expires_in":3599,"token_type":"Bearer"}`)
	})
	for _, host := range []string{"gcr.io/p/a", "eu.gcr.io/p/a", "europe-docker.pkg.dev/p/r/a"} {
		found, err := m.resolve(k, host)
		if err != nil || found.config.Username != "oauth2accesstoken" || found.config.Password != "gsecret" {
			t.Errorf("%s: %v, %v", host, found, err)
		}
	}
	for _, host := range []string{"evilgcr.io/a", "gcr.io.evil.test/a", "pkg.dev.evil.test/a", "a.test/gcr.io/a"} {
		if found, err := m.resolve(k, host); err != nil || !found.Anonymous() {
			t.Errorf("%s: %v, %v", host, found, err)
		}
	}
	if len(d.hosts) != 3 || d.hosts[0] != "http://metadata.google.internal" {
		t.Errorf("asked %v", d.hosts)
	}
	flavor = "other"
	found, err := m.resolve(k, "us.gcr.io/p/a")
	if err != nil || !found.Anonymous() || !strings.Contains(found.Source(), "docker-credential-gcr (not installed)") || !strings.Contains(found.Source(), "not Google's metadata service") {
		t.Errorf("%v, %v", found, err)
	}
}

func TestAmazon(t *testing.T) {
	withoutPrograms(t)
	install(t, "ecr-login", "PATH=/bin:/usr/bin\n"+say("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "AWS", "awssecret"))
	m := newMachine(t)
	k, _ := m.clouds(http.NotFound)
	found, err := m.resolve(k, "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app")
	if err != nil || found.config.Password != "awssecret" || !strings.Contains(found.Source(), "docker-credential-ecr-login") {
		t.Errorf("%v, %v", found, err)
	}
	found, err = m.resolve(k, "public.ecr.aws/app/x")
	if err != nil || !found.Anonymous() || !strings.Contains(found.Source(), "it has no credential for this registry") {
		t.Errorf("%v, %v", found, err)
	}
	if found, err = m.resolve(k, "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.test/app"); err != nil || strings.Contains(found.Source(), "ecr-login") {
		t.Errorf("%v, %v", found, err)
	}
}

func TestAzure(t *testing.T) {
	withoutPrograms(t)
	m := newMachine(t)
	federated := filepath.Join(m.home, "token")
	if err := os.WriteFile(federated, []byte("assertsecret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	serve := func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Host == "login.microsoftonline.com" && r.URL.Path == "/tenant/oauth2/v2.0/token" &&
			(r.PostFormValue("client_assertion") == "assertsecret" || r.PostFormValue("client_secret") == "clientsecret"),
			r.Host == "169.254.169.254" && r.Header.Get("Metadata") == "true":
			fmt.Fprint(w, `{"access_token":"adsecret"}`)
		case r.Host == "acme.azurecr.io" && r.URL.Path == "/oauth2/exchange" && r.PostFormValue("access_token") == "adsecret" && r.PostFormValue("service") == r.Host:
			fmt.Fprint(w, `{"refresh_token":"acrsecret"}`)
		default:
			http.NotFound(w, r)
		}
	}
	for _, env := range []map[string]string{
		{"AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "tenant", "AZURE_FEDERATED_TOKEN_FILE": federated},
		{"AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_SECRET": "clientsecret"},
		{},
	} {
		m.env = env
		k, d := m.clouds(serve)
		found, err := m.resolve(k, "acme.azurecr.io/app")
		if err != nil || found.config.IdentityToken != "acrsecret" || len(d.hosts) != 2 || d.hosts[1] != "https://acme.azurecr.io" {
			t.Errorf("%v: %v, %v; asked %v", env, found, err, d.hosts)
		}
		if found, err := m.resolve(k, "acme.azurecr.io.evil.test/app"); err != nil || !found.Anonymous() || slices.Contains(d.hosts, "https://acme.azurecr.io.evil.test") {
			t.Errorf("%v: %v, asked %v", found, err, d.hosts)
		}
	}
	m.env = map[string]string{"AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_SECRET": "wrong"}
	k, _ := m.clouds(serve)
	if found, err := m.resolve(k, "acme.azurecr.io/app"); err != nil || !found.Anonymous() || !strings.Contains(found.Source(), "status 404") {
		t.Errorf("%v, %v", found, err)
	}
	m.env["AZURE_AUTHORITY_HOST"] = "http://login.test"
	k, d := m.clouds(serve)
	if found, err := m.resolve(k, "acme.azurecr.io/app"); err != nil || !found.Anonymous() || len(d.hosts) != 0 {
		t.Errorf("%v, %v, asked %v", found, err, d.hosts)
	}
}

// A redirect of a cloud is not followed: the question carries a secret.
func TestCloudRedirect(t *testing.T) {
	withoutPrograms(t)
	m := newMachine(t)
	k, d := m.clouds(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://evil.test/", http.StatusTemporaryRedirect)
	})
	if found, err := m.resolve(k, "acme.azurecr.io/app"); err != nil || !found.Anonymous() || len(d.hosts) != 1 {
		t.Errorf("%v, %v, asked %v", found, err, d.hosts)
	}
}
