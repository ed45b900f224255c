package access

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// install puts a credential program into PATH, before everything else.
func install(t *testing.T, name, script string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the programs of this test are shell scripts")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// say is a program that has a credential for one server.
func say(server, user, secret string) string {
	return `read -r server
[ "$1" = get ] || exit 9
if [ "$server" = "` + server + `" ]; then
	printf '{"ServerURL":"%s","Username":"` + user + `","Secret":"` + secret + `"}' "$server"
else
	echo "credentials not found in native keychain"
	exit 1
fi
`
}

func TestHelpers(t *testing.T) {
	install(t, "one", say("a.test", "one", "secretone"))
	install(t, "store", say("https://index.docker.io/v1/", "hub", "secrethub"))
	install(t, "ident", say("i.test", "<token>", "secretident"))
	install(t, "team", say("a.test/team", "team", "secretteam"))
	m := newMachine(t)
	m.write(".docker/config.json", `{
		"auths": {"a.test": {"auth": "`+basic("file", "secretfile")+`"}, "c.test": {"auth": "`+basic("file", "secretfile")+`"}, "https://index.docker.io/v1/": {}},
		"credHelpers": {"a.test": "one", "a.test/team": "team", "i.test": "ident"},
		"credsStore": "store"
	}`)
	m.want("a.test/x", "one:secretone", "the program docker-credential-one of ")
	m.want("a.test/team/x", "team:secretteam", "docker-credential-team")
	m.want("i.test/x", "identity secretident", "docker-credential-ident")
	m.want("alpine", "hub:secrethub", "docker-credential-store")
	m.want("c.test/x", "file:secretfile", "entry c.test") // the store has nothing for it
	m.want("d.test/x", "", "")
}

// A program is asked once for a repository, however often it is looked up.
func TestHelperOnce(t *testing.T) {
	calls := filepath.Join(t.TempDir(), "calls")
	install(t, "count", "echo call >>"+calls+"\n"+say("a.test", "u", "secretcount"))
	m := newMachine(t)
	m.write(".docker/config.json", `{"credsStore":"count"}`)
	k := m.keychain()
	for range 3 {
		if _, err := m.resolve(k, "a.test/x"); err != nil {
			t.Fatal(err)
		}
	}
	if data, err := os.ReadFile(calls); err != nil || string(data) != "call\n" {
		t.Errorf("calls %q, %v", data, err)
	}
}

func TestHelperFails(t *testing.T) {
	for script, detail := range map[string]string{
		"echo 'the key ring is locked'; exit 1": "status 1: the key ring is locked",
		"printf '\\033[31mred'; exit 2":         "status 2:  [31mred",
		"exit 3":                                "exit status 3",
		"echo '<html>topsecret'":                "not the JSON of a credential",
		"yes topsecret":                         "it says more than",
	} {
		install(t, "bad", script)
		m := newMachine(t)
		m.write(".docker/config.json", `{"credsStore":"bad"}`)
		_, err := m.resolve(m.keychain(), "a.test/x")
		if err == nil || !strings.Contains(err.Error(), detail) || !strings.Contains(err.Error(), "docker-credential-bad: ") {
			t.Errorf("%s: got %v", script, err)
		}
		if err != nil && strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%s: the error repeats the secret: %v", script, err)
		}
	}
}

func FuzzParseHelper(f *testing.F) {
	f.Add([]byte(`{"ServerURL":"a.test","Username":"u","Secret":"s"}`))
	f.Add([]byte(`{"ServerURL":"a.test","Username":"<token>","Secret":"s"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := parseHelper(data)
		if err == nil && config.Password == "" && config.IdentityToken == "" {
			t.Errorf("a credential without a secret: %+v", config)
		}
	})
}
