package access

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// machine is a home directory and an environment of its own.
type machine struct {
	t    *testing.T
	home string
	env  map[string]string
}

func newMachine(t *testing.T) *machine {
	return &machine{t, t.TempDir(), map[string]string{}}
}

func (m *machine) write(path, content string) string {
	m.t.Helper()
	path = filepath.Join(m.home, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		m.t.Fatal(err)
	}
	return path
}

func (m *machine) keychain() *Keychain {
	return NewKeychain(Options{Home: m.home, LookupEnv: func(name string) (string, bool) { v, ok := m.env[name]; return v, ok }})
}

func (m *machine) resolve(k *Keychain, repository string) (*Credential, error) {
	m.t.Helper()
	repo, err := name.NewRepository(repository)
	if err != nil {
		m.t.Fatal(err)
	}
	found, err := authn.Resolve(m.t.Context(), k, repo)
	if err != nil {
		return nil, err
	}
	return found.(*Credential), nil
}

// want says what a repository's credential must be: "user:password", "token TOKEN", "identity TOKEN" or "".
func (m *machine) want(repository, want, source string) {
	m.t.Helper()
	found, err := m.resolve(m.keychain(), repository)
	if err != nil {
		m.t.Errorf("%s: %v", repository, err)
		return
	}
	config, got := found.config, ""
	switch {
	case config.RegistryToken != "":
		got = "token " + config.RegistryToken
	case config.IdentityToken != "":
		got = "identity " + config.IdentityToken
	case config.Username != "":
		got = config.Username + ":" + config.Password
	}
	if got != want || !strings.Contains(found.Source(), source) || found.Anonymous() != (want == "") {
		m.t.Errorf("%s: got %q from %q, want %q from %q", repository, got, found.Source(), want, source)
	}
	for _, text := range []string{found.String(), fmt.Sprintf("%v %+v %#v", found, found, found)} {
		for _, secret := range []string{config.Password, config.IdentityToken, config.RegistryToken} {
			if secret != "" && strings.Contains(text, secret) {
				m.t.Errorf("%s: the secret is in %q", repository, text)
			}
		}
	}
}

func basic(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

func TestForms(t *testing.T) {
	m := newMachine(t)
	m.write(".docker/config.json", `{
		"auths": {
			"https://index.docker.io/v1/": {"auth": "`+basic("hubuser", "hubsecret1")+`"},
			"plain.test": {"username": "u", "password": "plainsecret"},
			"https://scheme.test/v2/": {"auth": "`+basic("u", "with:colon")+`"},
			"unpadded.test": {"auth": "`+strings.TrimRight(basic("user", "unpadded1"), "=")+`"},
			"nul.test": {"auth": "`+base64.StdEncoding.EncodeToString([]byte("u:nulsecret\x00\x00"))+`"},
			"identity.test": {"auth": "`+basic("00000000-0000-0000-0000-000000000000", "")+`", "identitytoken": "idsecret"},
			"token.test": {"registrytoken": "toksecret"},
			"port.test:5000": {"auth": "`+basic("p", "portsecret")+`"},
			"empty.test": {},
			"registry.test/team": {"auth": "`+basic("team", "teamsecret")+`"},
			"registry.test/team/app": {"auth": "`+basic("app", "appsecret")+`"},
			"registry.test": {"auth": "`+basic("all", "allsecret")+`"}
		},
		"HttpHeaders": {"User-Agent": "x"}, "currentContext": "y"
	}`)
	const file = ".docker/config.json"
	m.want("alpine", "hubuser:hubsecret1", "entry https://index.docker.io/v1/ of ")
	m.want("docker.io/me/app", "hubuser:hubsecret1", file)
	m.want("plain.test/a", "u:plainsecret", file)
	m.want("scheme.test/a", "u:with:colon", file)
	m.want("unpadded.test/a", "user:unpadded1", file)
	m.want("nul.test/a", "u:nulsecret", file)
	m.want("identity.test/a", "identity idsecret", file)
	m.want("token.test/a", "token toksecret", file)
	m.want("port.test:5000/a", "p:portsecret", file)
	m.want("port.test/a", "", "no credential: none in ")
	m.want("port.test:5001/a", "", "")
	m.want("empty.test/a", "", file)
	m.want("registry.test/team/app", "app:appsecret", "entry registry.test/team/app of ")
	m.want("registry.test/team/app/sub", "app:appsecret", "")
	m.want("registry.test/team/app2", "team:teamsecret", "")
	m.want("registry.test/teams/app", "all:allsecret", "entry registry.test of ")
	m.want("evil.registry.test/a", "", "")
	m.want("registry.test.evil/a", "", "")
}

// Each place is looked at when those before have nothing for the repository.
func TestPlaces(t *testing.T) {
	m := newMachine(t)
	m.want("a.test/x", "", "there is no file of credentials")
	entry := func(user string) string { return `{"auths":{"a.test":{"auth":"` + basic(user, "secret99") + `"}}}` }
	m.write(".config/containers/auth.json", entry("five"))
	m.want("a.test/x", "five:secret99", ".config/containers/auth.json")
	m.env["XDG_CONFIG_HOME"] = filepath.Join(m.home, "xdg")
	m.want("a.test/x", "", "")
	m.write("xdg/containers/auth.json", entry("xdg"))
	m.want("a.test/x", "xdg:secret99", "xdg/containers/auth.json")
	m.write("run/containers/auth.json", entry("four"))
	m.env["XDG_RUNTIME_DIR"] = filepath.Join(m.home, "run")
	m.want("a.test/x", "four:secret99", "run/containers/auth.json")
	m.env["REGISTRY_AUTH_FILE"] = m.write("mounted/.dockerconfigjson", entry("three"))
	m.want("a.test/x", "three:secret99", "mounted/.dockerconfigjson")
	m.write(".docker/config.json", entry("two"))
	m.want("a.test/x", "two:secret99", ".docker/config.json")
	m.env["DOCKER_CONFIG"] = filepath.Join(m.home, "secret")
	m.want("a.test/x", "three:secret99", "mounted/.dockerconfigjson")
	m.write("secret/.dockerconfigjson", entry("pull"))
	m.want("a.test/x", "pull:secret99", "secret/.dockerconfigjson")
	m.env["DOCKER_AUTH_CONFIG"] = entry("one")
	m.want("a.test/x", "one:secret99", "DOCKER_AUTH_CONFIG")
	m.env["DOCKER_AUTH_CONFIG"] = `{"auths":{"b.test":{"auth":"` + basic("b", "secret99") + `"}}}`
	m.want("a.test/x", "pull:secret99", "secret/.dockerconfigjson")
}

// What is there and cannot be understood is an error that names it, and repeats no secret.
func TestDamaged(t *testing.T) {
	for text, detail := range map[string]string{
		`{"auths":`: "not valid JSON",
		`[]`:        "another type",
		`{"auths":{"a.test":{"auth":5}},"x":"topsecret"}`:                "another type",
		`{"auths":{"a.test":{"auth":"topsecret!"}}}`:                     "entry a.test: its auth is not base64",
		`{"auths":{"a.test":{"auth":"dG9wc2VjcmV0"}}}`:                   "not the base64 of user:password",
		`{"auths":{"a.test":{"auth":"OnRvcHNlY3JldA=="}}}`:               "not the base64 of user:password",
		`{"credHelpers":{"a.test":"../../bin/sh"}}`:                      "is not the name of a credential program",
		`{"credsStore":"a b"}`:                                           "is not the name of a credential program",
		`{"credHelpers":{"a.test":"none-such-here"}}`:                    "docker-credential-none-such-here: the program cannot be found",
		`{"auths":{"a.test":{},"a.test":{}}}`:                            "names a member twice",
		`{"auths":{},"pad":"` + strings.Repeat("x", maxConfig) + `"}`:    "it has more than",
		`{"auths":{"a.test":{"password":"topsecret","username":["x"]}}}`: "another type",
	} {
		m := newMachine(t)
		m.write(".docker/config.json", text)
		_, err := m.resolve(m.keychain(), "a.test/x")
		if err == nil || !strings.Contains(err.Error(), detail) || !strings.Contains(err.Error(), "config.json: ") {
			t.Errorf("%.60s: got %v, want %q", text, err, detail)
		}
		if err != nil && (strings.Contains(err.Error(), "topsecret") || strings.Contains(err.Error(), "dG9wc2Vj")) {
			t.Errorf("%.60s: the error repeats the secret: %v", text, err)
		}
	}
	m := newMachine(t)
	m.write(".docker/config.json/x", "a directory is no file")
	if _, err := m.resolve(m.keychain(), "a.test/x"); err == nil {
		t.Error("a directory in place of the file: no error")
	}
	m = newMachine(t)
	m.write(".docker/config.json", " \n")
	m.want("a.test/x", "", "")
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw","identitytoken":"x"}},"credHelpers":{"gcr.io":"gcloud"},"credsStore":"pass"}`))
	f.Add([]byte(`{"auths":{"host.test:5000/a/b":{"username":"u","password":"p","registrytoken":"t"}}}`))
	f.Add([]byte(`{"auths":{"a":{"auth":"dTpwAAA="}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseConfig(data)
		if err != nil {
			if c != nil {
				t.Error("a result beside an error")
			}
			return
		}
		for key, e := range c.Auths {
			if _, _, err := e.credential(); err != nil && len(e.Auth) > 8 && strings.Contains(err.Error(), e.Auth) {
				t.Errorf("the error repeats the secret: %v", err)
			}
			host, _, _ := strings.Cut(canonical(key), "/")
			if again := canonical(host); again != host && strings.Count(key, "://") < 2 && !strings.Contains(key, "http") {
				t.Errorf("%q: %q becomes %q", key, host, again)
			}
		}
		for _, program := range c.Helpers {
			if strings.ContainsAny(program, `/\ `) {
				t.Errorf("program %q", program)
			}
		}
	})
}
