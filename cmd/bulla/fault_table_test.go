package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/fault"
	"github.com/bulla-sign/bulla/internal/testenv/services"
	"github.com/bulla-sign/bulla/trust"
)

// theater is the services behind one proxy each, and a signer's files.
type theater struct {
	*services.Services
	dir   string
	proxy map[string]*fault.Proxy // by the service's name
	flags []string
	token string // what nobody but the certificate authority may see
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
	th := &theater{Services: services.New(t), dir: t.TempDir(), proxy: map[string]*fault.Proxy{}}
	for _, a := range actors {
		th.proxy[a.Name] = fault.NewProxy(t, th.URL)
	}
	log, version := "log v2", uint32(2)
	if of.Name == "log v1" {
		log, version = "log v1", 1
	}
	th.Issuer = th.proxy["identity provider"].URL + "/oidc"
	at := func(name, path string, version uint32) []trust.Service {
		return []trust.Service{{URL: th.proxy[name].URL + path, MajorAPIVersion: version, Operator: "bulla.test", Window: trust.Window{Start: time.Unix(0, 0).UTC()}}}
	}
	any := trust.Selection{Selector: trust.SelectAny}
	config, err := trust.NewSigningConfig(trust.SigningConfig{
		CAs: at("certificate authority", "", 1), OIDC: at("identity provider", "/oidc", 1), Logs: at(log, "", version), LogConfig: any,
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
	th.flags = []string{"--signing-config", th.file(t, "config.json", data), "--trusted-root", th.file(t, "root.json", th.World.RootJSON(t))}
	if of.Name == "identity provider" {
		th.token = services.Secret
		th.flags = append(th.flags, "--fulcio-auth-flow=client_credentials", "--oidc-client-id=secretive", "--oidc-client-secret-file", th.file(t, "secret", []byte(services.Secret)))
	} else {
		th.flags = append(th.flags, "--identity-token", th.file(t, "token.jwt", []byte(th.token)))
	}
	th.file(t, "a.txt", []byte("hello\n"))
	return th
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
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + th.dir}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), errs.String()
}

// logged is how many entries the logs hold.
func (th *theater) logged() int { return len(th.World.V1.Leaves()) + len(th.World.V2.Leaves()) }

// play signs while the service fails, and holds what comes of it against the table.
func (th *theater) play(t *testing.T, of fault.Service, way fault.Way, stage *fault.Stage) {
	t.Helper()
	want := fault.Wanted(of.Name, way.Name)
	before := th.logged()
	status, stderr := th.run(t, append(append([]string{"sign-blob", "--bundle", "out.json", "a.txt"}, th.flags...), way.Flags()...)...)
	if status != want.Status || !regexp.MustCompile(want.Says).MatchString(stderr) {
		t.Errorf("ended with status %d, want %d and %q:\n%s", status, want.Status, want.Says, stderr)
	}
	entries := th.logged() - before
	_, err := os.Stat(filepath.Join(th.dir, "out.json"))
	switch {
	case status == 0 && (err != nil || entries != 1):
		t.Errorf("it succeeded, with %d log entries and a bundle (%v)", entries, err)
	case status != 0 && (err == nil || entries > 1):
		t.Errorf("it failed, and left %d log entries and a bundle (%v)", entries, err)
	case status == 0:
		if status, stderr := th.run(t, "verify-blob", "--trusted-root", "root.json", "--certificate-identity", th.Email, "--certificate-oidc-issuer", th.Issuer, "--bundle", "out.json", "a.txt"); status != 0 {
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

// TestFaultTable plays every fault of every service, see docs/design/faults.md.
func TestFaultTable(t *testing.T) {
	t.Parallel()
	testenv.Watched(t)
	for _, of := range actors {
		t.Run(of.Name, func(t *testing.T) {
			t.Parallel()
			th := newTheater(t, of)
			stage := fault.NewStage(t, th.Impostor())
			if of.Name == "identity provider" {
				stage.Impostor = nil // whose tokens the certificate authority judges
			}
			proxy := th.proxy[of.Name]
			// An answer to keep, and proof that it works at all.
			proxy.Fail(fault.Fault{Method: of.Method, Path: of.Path, Edit: stage.Keep})
			if status, stderr := th.run(t, append([]string{"sign-blob", "--bundle", "first.json", "a.txt"}, th.flags...)...); status != 0 {
				t.Fatal(stderr)
			}
			for _, way := range fault.Ways() {
				faults, want := way.Make(of, stage), fault.Wanted(of.Name, way.Name)
				if faults == nil || of.Name == "identity provider" && way.Name != "dropped after it was done" && want.Status != 22 && os.Getenv("BULLA_SOAK") == "" {
					continue // a provider is asked again after seconds
				}
				proxy.Fail(faults...)
				t.Run(way.Name, func(t *testing.T) { th.play(t, of, way, stage) })
				proxy.Heal()
				if err := os.RemoveAll(filepath.Join(th.dir, "out.json")); err != nil {
					t.Fatal(err)
				}
			}
			th.secrets(t)
		})
	}
}
