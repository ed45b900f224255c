package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/fault"
	"github.com/bulla-sign/bulla/internal/testenv/services"
	"github.com/bulla-sign/bulla/trust"
)

// theater is the services behind one proxy each, a registry, and a signer's files.
type theater struct {
	*services.Services
	dir      string
	proxy    map[string]*fault.Proxy // by the service's name
	registry *testenv.Registry
	services []string // flags that name the services
	token    string   // what nobody but the certificate authority may see
	log      string   // the name of the log that signatures go to
}

// errand is something that is signed, with an identity or with a key.
type errand struct {
	name         string
	sign, verify []string // commands and their flags, without those that say who signs and of what
	image, key   bool
	most         []string // the ways to fail that are played without BULLA_SOAK; nil for all
}

// landed are the ways to fail after which the service has done what it was asked for, or has said something else.
var landed = []string{"dropped after it was done", "cut off once", "another's answer"}

func errands() []errand {
	typed := []string{"--type", "https://example.com/predicate/v1"}
	return []errand{
		{name: "blob", sign: []string{"sign-blob"}, verify: []string{"verify-blob"}},
		{name: "blob attestation", sign: append([]string{"attest-blob", "--predicate", "predicate.json"}, typed...), verify: append([]string{"verify-blob-attestation"}, typed...), most: landed},
		{name: "image", sign: []string{"sign"}, verify: []string{"verify"}, image: true, most: landed},
		{name: "image attestation", sign: append([]string{"attest", "--predicate", "predicate.json"}, typed...), verify: append([]string{"verify-attestation"}, typed...), image: true, most: landed},
		{name: "blob by key", sign: []string{"sign-blob"}, verify: []string{"verify-blob"}, key: true, most: landed},
	}
}

// actors are the services that a signer calls, and their requests that fail.
var actors = []fault.Service{
	{Name: "certificate authority", Method: "POST", Path: "/api/v2/signingCert"},
	{Name: "log v1", Method: "POST", Path: "/api/v1/log/entries"},
	{Name: "log v2", Method: "POST", Path: "/api/v2/log/entries"},
	{Name: "timestamp authority", Method: "POST", Path: "/api/v1/timestamp"},
	{Name: "identity provider", Method: "POST", Path: "/oidc/token"},
}

func newTheater(t *testing.T, of fault.Service) *theater {
	t.Helper()
	th := &theater{
		Services: services.New(t), dir: t.TempDir(), proxy: map[string]*fault.Proxy{}, log: "log v2",
		registry: testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true, OCISubject: true}),
	}
	for _, a := range actors {
		th.proxy[a.Name] = fault.NewProxy(t, th.URL)
	}
	version := uint32(2)
	if of.Name == "log v1" {
		th.log, version = "log v1", 1
	}
	th.Issuer = th.proxy["identity provider"].URL + "/oidc"
	at := func(name, path string, version uint32) []trust.Service {
		return []trust.Service{{URL: th.proxy[name].URL + path, MajorAPIVersion: version, Operator: "bulla.test", Window: trust.Window{Start: time.Unix(0, 0).UTC()}}}
	}
	any := trust.Selection{Selector: trust.SelectAny}
	config, err := trust.NewSigningConfig(trust.SigningConfig{
		CAs: at("certificate authority", "", 1), OIDC: at("identity provider", "/oidc", 1), Logs: at(th.log, "", version), LogConfig: any,
		TSAs: at("timestamp authority", "/api/v1/timestamp", 1), TSAConfig: any,
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := config.Encode()
	if err != nil {
		t.Fatal(err)
	}
	th.token = th.Token(nil)
	th.services = []string{"--yes", "--signing-config", th.file(t, "config.json", data), "--trusted-root", th.file(t, "root.json", th.World.RootJSON(t))}
	if of.Name == "identity provider" {
		th.token = services.Secret
		th.file(t, "secret", []byte(services.Secret))
	}
	th.file(t, "token.jwt", []byte(th.token))
	th.file(t, "predicate.json", []byte(`{"built":true}`))
	return th
}

// as are the flags that say who signs, and as whom is verified.
func (th *theater) as(e *errand) (signs, verifies []string) {
	if e.key {
		return []string{"--key", "key.key"}, []string{"--key", "key.pub", "--trusted-root", "root.json"}
	}
	verifies = []string{"--trusted-root", "root.json", "--certificate-identity", th.Email, "--certificate-oidc-issuer", th.Issuer}
	if th.token == services.Secret {
		return []string{"--fulcio-auth-flow=client_credentials", "--oidc-client-id=secretive", "--oidc-client-secret-file=secret"}, verifies
	}
	return []string{"--identity-token", "token.jwt"}, verifies
}

// subject makes something new to sign, and returns the arguments that name it, and how to see what was written about it.
func (th *theater) subject(t *testing.T, e *errand, name string) (args []string, written func() int) {
	t.Helper()
	if e.image {
		image := th.registry.PushImage(t, "app:"+name)
		repository, digest, _ := strings.Cut(strings.TrimPrefix(image, th.registry.Host+"/"), "@")
		return []string{image}, func() int {
			resp, err := http.Get("http://" + th.registry.Host + "/v2/" + repository + "/referrers/" + digest)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var list struct{ Manifests []json.RawMessage }
			if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
				t.Fatal(err)
			}
			return len(list.Manifests)
		}
	}
	file, bundle := th.file(t, name+".txt", []byte("this is "+name+"\n")), name+".json"
	return []string{"--bundle", bundle, file}, func() int {
		if _, err := os.Stat(filepath.Join(th.dir, bundle)); err != nil {
			return 0
		}
		return 1
	}
}

func (th *theater) file(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(th.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (th *theater) run(t *testing.T, args ...string) (status int, stderr string) {
	t.Helper()
	var errs bytes.Buffer
	cmd := exec.Command("bulla", args...)
	cmd.Dir, cmd.Stderr = th.dir, &errs
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + th.dir, "COSIGN_PASSWORD=pw"}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), errs.String()
}

// logged is how many entries the logs hold.
func (th *theater) logged() int { return len(th.World.V1.Leaves()) + len(th.World.V2.Leaves()) }

// play signs something new while the service fails, and holds what comes of it against the table.
func (th *theater) play(t *testing.T, e *errand, of fault.Service, way fault.Way, stage *fault.Stage) {
	t.Helper()
	want := fault.Wanted(of.Name, way.Name)
	subject, written := th.subject(t, e, strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, way.Name))
	signs, verifies := th.as(e)
	before := th.logged()
	status, stderr := th.run(t, slices.Concat(e.sign, th.services, signs, way.Flags(), subject)...)
	if status != want.Status || !regexp.MustCompile(want.Says).MatchString(stderr) {
		t.Errorf("ended with status %d, want %d and %q:\n%s", status, want.Status, want.Says, stderr)
	}
	entries := th.logged() - before
	switch n := written(); {
	case status == 0 && (n != 1 || entries != 1):
		t.Errorf("it succeeded, with %d log entries, and wrote %d signatures", entries, n)
	case status != 0 && (n != 0 || entries > 1):
		t.Errorf("it failed, left %d log entries, and wrote %d signatures", entries, n)
	case status == 0:
		if status, stderr := th.run(t, slices.Concat(e.verify, verifies, subject)...); status != 0 {
			t.Errorf("what was signed does not verify: %s", stderr)
		}
	}
	if n := stage.Reached(); n != 0 {
		t.Errorf("another host got %d requests", n)
	}
}

// secrets sees that what opens something was shown to its owner alone: the token to the certificate authority, or the
// client's secret to the identity provider.
func (th *theater) secrets(t *testing.T) {
	t.Helper()
	for name, p := range th.proxy {
		for _, r := range p.Requests() {
			owner := name == "certificate authority" && th.token != services.Secret || name == "identity provider" && th.token == services.Secret
			if shown := strings.Contains(r.Authorization+string(r.Body), th.token); shown && !owner || r.Authorization != "" && name != "certificate authority" && name != "identity provider" {
				t.Errorf("the %s was shown a credential: %s %s", name, r.Method, r.Path)
			}
		}
	}
}

// TestFaultTable plays every fault of every service, see docs/design/faults.md, for a file that is signed with an identity.
func TestFaultTable(t *testing.T) {
	t.Parallel()
	testenv.Watched(t)
	for _, of := range actors {
		t.Run(of.Name, func(t *testing.T) { t.Parallel(); everyWay(t, of, errands()[0]) })
	}
}

// TestFaultsOfErrands plays, for everything else that is signed, the faults after which something is done already; all of
// them with BULLA_SOAK.
func TestFaultsOfErrands(t *testing.T) {
	t.Parallel()
	testenv.Unwatched(t)
	for _, of := range actors {
		for _, e := range errands()[1:] {
			if of.Name == "identity provider" || e.key && of.Name == "certificate authority" {
				continue // which is asked before anything is known of what is signed, or not at all
			}
			t.Run(of.Name+"/"+e.name, func(t *testing.T) { t.Parallel(); everyWay(t, of, e) })
		}
	}
}

func everyWay(t *testing.T, of fault.Service, e errand) {
	th := newTheater(t, of)
	stage := fault.NewStage(t, th.Impostor())
	if of.Name == "identity provider" {
		stage.Impostor = nil // whose tokens the certificate authority judges
	}
	if e.key {
		if status, stderr := th.run(t, "generate-key-pair", "--output-key-prefix", "key"); status != 0 {
			t.Fatal(stderr)
		}
	}
	proxy := th.proxy[of.Name]
	// An answer to keep, and proof that it works at all.
	proxy.Fail(fault.Fault{Method: of.Method, Path: of.Path, Edit: stage.Keep})
	subject, _ := th.subject(t, &e, "first")
	signs, _ := th.as(&e)
	if status, stderr := th.run(t, slices.Concat(e.sign, th.services, signs, subject)...); status != 0 {
		t.Fatal(stderr)
	}
	for _, way := range fault.Ways() {
		faults, want := way.Make(of, stage), fault.Wanted(of.Name, way.Name)
		switch {
		case faults == nil:
			continue
		case os.Getenv("BULLA_SOAK") != "":
		case e.most != nil && !slices.Contains(e.most, way.Name), of.Name == "identity provider" && way.Name != "dropped after it was done" && want.Status != 22:
			continue // a provider is asked again after seconds
		}
		proxy.Fail(faults...)
		t.Run(way.Name, func(t *testing.T) { th.play(t, &e, of, way, stage) })
		proxy.Heal()
	}
	th.secrets(t)
}
