package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/testenv/services"
	"github.com/bulla-sign/bulla/trust"
)

// person is somebody at a terminal, who answers what is asked.
type person struct {
	t        *testing.T
	s        *services.Services
	now      time.Time
	env      map[string]string
	terminal bool
	services []string // flags
	logged   int      // entries that the log held before
}

func newPerson(t *testing.T) *person {
	t.Helper()
	dir := t.TempDir()
	p := &person{t: t, s: services.New(t), now: time.Now(), env: map[string]string{"HOME": dir, "XDG_RUNTIME_DIR": dir, "COSIGN_PASSWORD": ""}}
	p.logged = len(p.s.World.V2.Leaves())
	p.s.Now = func() time.Time { return p.now }
	p.services = []string{"--signing-config", p.file("config.json", configFile(t, p.s, "v2.json")), "--trusted-root", p.file("root.json", p.s.World.RootJSON(t))}
	return p
}

func configFile(t *testing.T, s *services.Services, name string) []byte {
	t.Helper()
	data, err := signingConfigFiles(s)
	if err != nil {
		t.Fatal(err)
	}
	return data[name]
}

func (p *person) path(name string) string { return filepath.Join(p.env["HOME"], name) }

func (p *person) file(name string, data []byte) string {
	p.t.Helper()
	if err := os.WriteFile(p.path(name), data, 0o600); err != nil {
		p.t.Fatal(err)
	}
	return p.path(name)
}

// want runs the program as name, typing answers, and checks its status and that each of the words is in what it says.
func (p *person) want(status int, words, answers string, args ...string) string {
	p.t.Helper()
	var out bytes.Buffer
	sys := &cli.System{
		In: strings.NewReader(answers), Out: &out, Err: &out, Now: func() time.Time { return p.now }, Environ: func() []string { return nil },
		LookupEnv:  func(name string) (string, bool) { v, ok := p.env[name]; return v, ok },
		Executable: os.Executable, IsTerminal: func(any) bool { return p.terminal }, Width: func() int { return 80 },
	}
	if got := newApp(sys).Main(context.Background(), args); got != status || !strings.Contains(out.String(), words) {
		p.t.Errorf("%s: status %d, want %d and %q\n%s", strings.Join(args, " "), got, status, words, out.String())
	}
	return out.String()
}

// count checks how many entries the log has taken.
func (p *person) count(want int) {
	p.t.Helper()
	if got := len(p.s.World.V2.Leaves()) - p.logged; got != want {
		p.t.Errorf("the log took %d entries, want %d", got, want)
	}
}

// A session serves as long as a signature with it can be made in time, and who comes later is told that it is over.
func TestSessionLife(t *testing.T) {
	p := newPerson(t)
	artifact, token := p.file("a.txt", []byte("hello")), p.file("token.jwt", []byte(p.s.Token(nil)))
	sign := append([]string{"bulla", "sign-blob", "--bundle", p.path("a.json"), artifact}, p.services...)
	p.want(0, "logged in as "+p.s.Email, "", append([]string{"bulla", "login", "--identity-token", token}, p.services...)...)
	p.want(0, "signing as "+p.s.Email, "", sign...)
	p.count(1)
	kept := p.now
	for after, c := range map[time.Duration]struct {
		explained, who, sign string
		whoami               int
	}{
		9 * time.Minute:  {"but it is over", p.s.Email + " of " + p.s.Issuer + ", until", "and is not used any more", 0},
		30 * time.Minute: {"but it is over", "ended at", "and is not used any more", 1},
		48 * time.Hour:   {"but it is over", "ended at", "no identity token is at hand", 1},
	} {
		p.now = kept.Add(after)
		if said := p.want(0, c.explained, "", "bulla", "login", "--explain"); strings.Contains(said, "used") {
			t.Errorf("after %s: %s", after, said)
		}
		p.want(c.whoami, c.who, "", "bulla", "whoami")
		p.want(cli.ExitUsage, c.sign, "", append(sign, "--yes")...)
	}
	p.now = kept
	p.want(cli.ExitInput, `there is no instance "nosuch"`, "", "bulla", "login", "--instance", "nosuch", "--signing-config", p.path("config.json"), "--identity-token", token)
	p.want(0, "there: used", "", "bulla", "login", "--explain")
	if said := p.want(0, "not asked: --oidc-provider", "", "bulla", "login", "--explain", "--oidc-provider", "google"); strings.Contains(said, "there: used") {
		t.Errorf("with a flag that goes before it: %s", said)
	}
	p.count(1)
}

// Where each signature goes to one of several logs, the session is good for each of those that the user was told of, and for
// no other.
func TestSessionOfSeveralLogs(t *testing.T) {
	p := newPerson(t)
	config := func(name string, logs ...string) string {
		cfg := signingConfigs(p.s)["v2.json"]
		of := cfg.Logs[0]
		cfg.Logs = nil
		for i, url := range logs {
			of.URL, of.Operator = url, string(rune('a'+i))
			cfg.Logs = append(cfg.Logs, of)
		}
		made, err := trust.NewSigningConfig(cfg)
		if err != nil {
			t.Fatal(err)
		}
		data, err := made.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return p.file(name, data)
	}
	same := strings.Replace(p.s.URL, "127.0.0.1", "localhost", 1)
	both, third := config("both.json", p.s.URL, same), config("third.json", p.s.URL+"/third")
	artifact, token := p.file("a.txt", []byte("hello")), p.file("token.jwt", []byte(p.s.Token(nil)))
	p.want(0, "in the entries of the transparency log "+p.s.URL+" or "+same, "", "bulla", "login", "--identity-token", token, "--signing-config", both, "--trusted-root", p.path("root.json"))
	for i := range 12 { // the odds of the same log each time are 1 in 2,048
		p.want(0, "signing as "+p.s.Email, "", "bulla", "sign-blob", "--yes", "--bundle", p.path("a.json"), "--signing-config", both, "--trusted-root", p.path("root.json"), artifact)
		p.count(i + 1)
	}
	p.want(cli.ExitUsage, "is one of other services", "", "bulla", "sign-blob", "--bundle", p.path("b.json"), "--signing-config", third, "--trusted-root", p.path("root.json"), artifact)
}

// A job's token is for the client that the flag names, and is taken from the job's own provider.
func TestClientIDIsTheAudience(t *testing.T) {
	p := newPerson(t)
	asked := ""
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked += r.URL.Query().Get("audience") + " " + r.Header.Get("Authorization") + ";"
		if err := json.NewEncoder(w).Encode(map[string]string{"value": p.s.Token(services.Claims{"email": nil, "sub": "https://ci.example/job"})}); err != nil {
			t.Error(err)
		}
	}))
	defer provider.Close()
	p.env["ACTIONS_ID_TOKEN_REQUEST_URL"], p.env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = provider.URL, "canary"
	sign := append([]string{"bulla", "sign-blob", "--bundle", p.path("a.json"), p.file("a.txt", []byte("hello"))}, p.services...)
	said := p.want(0, "https://ci.example/job will be public for ever: the name and whatever else the token says of the job", "", sign...)
	said += p.want(0, "", "", append(sign, "--yes", "--verbose", "--oidc-client-id", "other")...)
	if asked != "sigstore Bearer canary;other Bearer canary;" || strings.Contains(said, "canary") {
		t.Errorf("asked for %s\n%s", asked, said)
	}
	p.env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = ""
	p.want(0, "the variables ACTIONS_ID_TOKEN_REQUEST_URL", "", "bulla", "login", "--explain")
	p.want(cli.ExitUsage, "no identity token is at hand", "", append(sign, "--yes")...)
}

// Before anything becomes public it is said what, and whoever can answer is asked: with an identity, with a key, and with a
// certificate that comes with the key. Nobody is asked twice, and without a terminal nobody at all.
func TestConsent(t *testing.T) {
	p := newPerson(t)
	p.terminal = true
	artifact, token, key := p.file("a.txt", []byte("hello")), p.file("token.jwt", []byte(p.s.Token(nil))), p.path("k.key")
	p.want(0, "", "", "bulla", "generate-key-pair", "--output-key-prefix", p.path("k"))
	identity := append([]string{"bulla", "sign-blob", "--identity-token", token, "--bundle", p.path("i.json"), artifact}, p.services...)
	withKey := append([]string{"bulla", "sign-blob", "--key", key, "--bundle", p.path("k.json"), artifact}, p.services...)
	login := append([]string{"bulla", "login", "--identity-token", token}, p.services...)
	name := p.s.Email + " will be public for ever"
	const thing = "the digest of what is signed, the signature and the public key will be public for ever in the transparency log "
	for _, answer := range []string{"", "\n", "n\n", "N\n"} {
		p.want(cli.ExitFailure, name, answer, identity...)
		p.want(cli.ExitFailure, name, answer, login...)
	}
	p.want(cli.ExitFailure, thing+p.s.URL, "n\n", withKey...)
	p.want(cli.ExitUsage, name, "yes please\n", identity...)
	if certificates := p.s.Count("POST", "/api/v2/signingCert"); certificates != 0 {
		t.Errorf("%d certificates without consent", certificates)
	}
	p.count(0)
	p.want(1, "nobody is logged in", "", "bulla", "whoami")

	p.want(0, name, "y\n", login...)
	if said := p.want(0, "", "", "bulla", "whoami"); !strings.Contains(said, p.s.Email) {
		t.Errorf("said %s", said)
	}
	session := append([]string{"bulla", "sign-blob", "--bundle", p.path("s.json"), artifact}, p.services...)
	if said := p.want(0, "signing as "+p.s.Email, "", session...); strings.Contains(said, "public") {
		t.Errorf("asked again: %s", said)
	}
	p.want(0, name, "y\n", append(identity, "--yes=false")...)
	p.want(0, thing, "y\n", append(withKey, "--yes=false")...)
	p.count(3)
	if said := p.want(0, "", "", append(withKey, "--yes")...); strings.Contains(said, "[y/N]") || !strings.Contains(said, thing) {
		t.Errorf("with --yes: %s", said)
	}
	p.terminal = false
	if said := p.want(0, "", "", append(withKey, "--bundle", p.path("k2.json"))...); strings.Contains(said, "[y/N]") || !strings.Contains(said, thing) {
		t.Errorf("without a terminal: %s", said)
	}
	p.terminal = true
	p.env["COSIGN_YES"] = "true"
	if said := p.want(0, "", "", append(identity, "--bundle", p.path("i2.json"))...); strings.Contains(said, "[y/N]") || !strings.Contains(said, name) {
		t.Errorf("with COSIGN_YES: %s", said)
	}
	// In cosign's place, which asks for identities only, a key goes to the log as it does there.
	delete(p.env, "COSIGN_YES")
	inPlace := append([]string{"cosign", "sign-blob", "--key", key, "--bundle", p.path("c.json"), artifact}, p.services...)
	if said := p.want(0, "", "", inPlace...); strings.Contains(said, "public for ever") {
		t.Errorf("as cosign: %s", said)
	}
	p.want(cli.ExitFailure, name, "n\n", append([]string{"cosign", "sign-blob", "--identity-token", token, "--bundle", p.path("ci.json"), artifact}, p.services...)...)
	// What goes into no log is nobody's business.
	unlogged := []string{"bulla", "sign-blob", "--log=none", "--key", key, "--bundle", p.path("n.json"), artifact}
	if said := p.want(0, "", "", unlogged...); strings.Contains(said, "public for ever") {
		t.Errorf("without a log: %s", said)
	}
}
