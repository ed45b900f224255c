package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/network"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/trust/publicgood"
	"github.com/bulla-sign/bulla/tuf"
)

// tufSite is a TUF repository on a loopback port, signed with one key.
type tufSite struct {
	*httptest.Server
	t       *testing.T
	key     crypto.Signer
	version int64
	revoked []byte // published with the rest unless nil

	mu    sync.Mutex
	files map[string][]byte
	down  bool
}

// newTUFSite publishes a trusted root and, unless it is nil, a signing config.
func newTUFSite(t *testing.T, root, config []byte, now time.Time) *tufSite {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &tufSite{t: t, key: key, files: map[string][]byte{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	who := tuf.RoleKeys{Keys: []crypto.PublicKey{key.Public()}, Threshold: 1}
	s.add(tuf.NewRoot(tuf.RootSpec{Version: 1, Expires: now.AddDate(1, 0, 0), Root: who, Targets: who, Snapshot: who, Timestamp: who}))
	s.publish(root, config, now)
	return s
}

func (s *tufSite) publish(root, config []byte, now time.Time) {
	s.t.Helper()
	s.version++
	files := []tuf.Target{{Name: "trusted_root.json", Data: root}}
	if config != nil {
		files = append(files, tuf.Target{Name: "signing_config.v0.2.json", Data: config})
	}
	if s.revoked != nil {
		files = append(files, tuf.Target{Name: "revocations.v1.json", Data: s.revoked})
	}
	for _, f := range files {
		s.files["/tuf/targets/"+f.FileName()] = f.Data
	}
	targets := s.add(tuf.NewTargets(s.version, now.AddDate(0, 6, 0), files))
	snapshot := s.add(tuf.NewSnapshot(s.version, now.AddDate(0, 1, 0), targets))
	s.add(tuf.NewTimestamp(s.version, now.AddDate(0, 0, 7), snapshot))
}

func (s *tufSite) add(d *tuf.Document, err error) *tuf.Document {
	s.t.Helper()
	if err == nil {
		err = d.Sign(s.key)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	data, err := d.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files["/tuf/"+d.FileName()] = data
	return d
}

func (s *tufSite) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *tufSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	data, ok := s.files[r.URL.Path]
	if r.URL.Path == "/tuf/root.json" {
		data, ok = s.files["/tuf/1.root.json"]
	}
	down := s.down
	s.mu.Unlock()
	switch {
	case down:
		http.Error(w, "asleep", http.StatusServiceUnavailable)
	case !ok:
		http.NotFound(w, r)
	default:
		w.Write(data)
	}
}

func (s *tufSite) mirror() string { return s.URL + "/tuf" }

// terminal runs the program in this process, with a home directory and a clock of its own.
type terminal struct {
	t    *testing.T
	home string
	now  time.Time
	env  map[string]string
	dial network.Dial
}

// nowhere is a proxy that answers nobody, so that programs in scripts do not leave this machine by https either.
const nowhere = "http://127.0.0.1:9"

// withinThisMachine is a dialer for which there is nothing else.
func withinThisMachine(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("tests do not leave this machine for %s", address)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

func newTerminal(t *testing.T) *terminal {
	home := t.TempDir()
	return &terminal{t: t, home: home, now: world.SigningTime.Add(time.Hour), env: map[string]string{"HOME": home}, dial: withinThisMachine}
}

func (x *terminal) run(args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	sys := &cli.System{
		In: strings.NewReader(""), Out: &out, Err: &err, Now: func() time.Time { return x.now },
		LookupEnv: func(name string) (string, bool) { v, ok := x.env[name]; return v, ok },
		Environ:   func() []string { return nil },
		Dial:      x.dial, Executable: os.Executable, IsTerminal: func(any) bool { return false }, Width: func() int { return 0 },
	}
	status = newApp(sys).Main(context.Background(), args)
	return status, out.String(), err.String()
}

// want runs the program and checks its status, and that each of the words is in what it says.
func (x *terminal) want(status int, words string, args ...string) string {
	x.t.Helper()
	got, stdout, stderr := x.run(args...)
	if got != status || !strings.Contains(stdout+stderr, words) {
		x.t.Errorf("%s: status %d, want %d and %q\n%s%s", strings.Join(args, " "), got, status, words, stdout, stderr)
	}
	return stdout + stderr
}

// filesBelow lists the files below a directory, with their content's digests.
func filesBelow(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %x\n", strings.TrimPrefix(path, dir), sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestInitializeAndVerify(t *testing.T) {
	w := world.New(t)
	rootJSON := w.RootJSON(t)
	x := newTerminal(t)
	site := newTUFSite(t, rootJSON, testenv.ReadVector(t, "tuf", "root-signing", "targets", "signing_config.v0.2.json"), x.now)
	artifact, bundle := writeEvidence(t, w)
	verify := []string{
		"bulla", "verify-blob", "--certificate-identity", "alice@bulla.test", "--certificate-oidc-issuer", "https://issuer.bulla.test",
		"--bundle", bundle, artifact,
	}
	x.want(1, "public-good, embedded", verify...)

	out := x.want(0, "trusted from now on: "+site.mirror(), "bulla", "initialize", "--mirror", site.mirror(), "--root", site.mirror()+"/root.json")
	if strings.Contains(out, "warning") {
		t.Errorf("a root from this machine is warned of:\n%s", out)
	}
	x.want(0, "trusted root: TUF, "+site.mirror(), verify...)

	// The mirror sleeps: what is kept holds, and its age is said.
	site.setDown(true)
	x.now = x.now.Add(5 * time.Hour)
	x.want(0, "could not be refreshed, and is used as it was 5 hours ago", verify...)
	// Until it has expired; nothing else stands in.
	x.now = x.now.AddDate(0, 0, 7)
	x.want(20, "expired", verify...)
	site.setDown(false)
	x.want(22, "expired", verify...)
	site.publish(rootJSON, nil, x.now)
	x.want(0, "trusted root: TUF, "+site.mirror(), verify...)
	site.setDown(true)
	out = x.want(0, "TUF", append(verify, "--offline")...)
	if strings.Contains(out, "refreshed") {
		t.Errorf("offline, the network was tried:\n%s", out)
	}
	// A named root needs no repository.
	named := filepath.Join(t.TempDir(), "root.json")
	if err := os.WriteFile(named, rootJSON, 0o600); err != nil {
		t.Fatal(err)
	}
	x.want(0, "trusted root: "+named, append(verify, "--trusted-root", named)...)
}

// writeEvidence puts an artifact and its bundle into files.
func writeEvidence(t *testing.T, w *world.World) (artifact, bundle string) {
	t.Helper()
	dir := t.TempDir()
	artifact, bundle = filepath.Join(dir, "artifact"), filepath.Join(dir, "artifact.sigstore.json")
	signed, content, _ := w.Bundle(t, world.Spec{Signer: world.Cert, Log: world.LogV2, Timestamp: true})
	encoded, err := signed.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{artifact: content, bundle: encoded} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return artifact, bundle
}

// Whatever goes wrong, what was trusted before is trusted still.
func TestInitializeChangesNothingWhenItFails(t *testing.T) {
	root := testenv.ReadVector(t, "tuf", "root-signing", "targets", "trusted_root.json")
	x := newTerminal(t)
	good, other := newTUFSite(t, root, nil, x.now), newTUFSite(t, root, nil, x.now)
	bad := newTUFSite(t, []byte("{}"), nil, x.now)
	file := filepath.Join(t.TempDir(), "root.json")
	if err := os.WriteFile(file, other.files["/tuf/1.root.json"], 0o600); err != nil {
		t.Fatal(err)
	}
	x.want(0, "signing with an identity needs --signing-config", "bulla", "initialize", "--mirror", good.mirror(), "--root", good.mirror()+"/root.json")
	before := filesBelow(t, x.home)
	for _, tt := range []struct {
		status int
		words  string
		args   []string
	}{
		{20, "nothing was changed", []string{"--mirror", "http://127.0.0.1:9/tuf", "--root", good.mirror() + "/root.json"}},
		{22, "does not have it", []string{"--mirror", good.URL + "/wrong", "--root", good.mirror() + "/root.json"}},
		{22, "not signed as demanded", []string{"--mirror", good.mirror(), "--root", file}},
		{22, "trusted_root.json", []string{"--mirror", bad.mirror(), "--root", bad.mirror() + "/root.json"}},
		{20, "status 404", []string{"--mirror", good.mirror(), "--root", good.URL + "/nosuch"}},
		{23, "nosuch", []string{"--mirror", good.mirror(), "--root", "nosuch"}},
		{21, "--root is needed", []string{"--mirror", good.mirror()}},
		{21, "http:// or https://", []string{"--mirror", "good", "--root", file}},
		{21, "--staging", []string{"--staging", "--root", file}},
		{21, "--root-checksum", []string{"--root-checksum", strings.Repeat("0", 64)}},
		{21, "no SHA-256", []string{"--mirror", other.mirror(), "--root", file, "--root-checksum", "abc"}},
		{21, "no SHA-256", []string{"--mirror", other.mirror(), "--root", file, "--root-checksum", "md5:00"}},
		{22, "has the checksum", []string{"--mirror", other.mirror(), "--root", file, "--root-checksum", strings.Repeat("0", 64)}},
	} {
		words := tt.words
		if words == "http:// or https://" {
			words = "must begin with"
		}
		x.want(tt.status, words, append([]string{"bulla", "initialize"}, tt.args...)...)
		if after := filesBelow(t, x.home); after != before {
			t.Fatalf("%v changed\n%sto\n%s", tt.args, before, after)
		}
	}
	// With the right checksum, in either form, it goes through.
	data := other.files["/tuf/1.root.json"]
	x.want(0, other.mirror(), "bulla", "initialize", "--mirror", other.mirror(), "--root", file, "--root-checksum", fmt.Sprintf("%X", sha256.Sum256(data)))
	x.want(0, other.mirror(), "cosign", "initialize", "--mirror", other.mirror(), "--root", file, "--root-checksum", fmt.Sprintf("sha512:%x", sha512.Sum512(data)))
	x.want(0, `"mirror": "`+other.mirror()+`"`, "bulla", "initialize", "--mirror", other.mirror(), "--root", file, "-o", "json")
}

// The variables of cosign name a repository that nobody initialized.
func TestRepositoryOfTheEnvironment(t *testing.T) {
	root := testenv.ReadVector(t, "tuf", "root-signing", "targets", "trusted_root.json")
	x := newTerminal(t)
	site := newTUFSite(t, root, nil, x.now)
	file := filepath.Join(t.TempDir(), "root.json")
	if err := os.WriteFile(file, site.files["/tuf/1.root.json"], 0o600); err != nil {
		t.Fatal(err)
	}
	w := world.New(t)
	artifact, bundle := writeEvidence(t, w)
	verify := []string{
		"bulla", "verify-blob", "--certificate-identity", "alice@bulla.test", "--certificate-oidc-issuer", "https://issuer.bulla.test",
		"--bundle", bundle, artifact,
	}
	x.env["TUF_ROOT"] = filepath.Join(x.home, "elsewhere")
	x.env["TUF_MIRROR"] = site.mirror()
	x.want(22, "was not initialized here", verify...)
	x.env["TUF_ROOT_JSON"] = file
	x.want(1, "trusted root: TUF, "+site.mirror(), verify...)
	if !strings.Contains(filesBelow(t, x.home), "/elsewhere/") || strings.Contains(filesBelow(t, x.home), ".sigstore") {
		t.Errorf("TUF_ROOT was not used: %s", filesBelow(t, x.home))
	}
	delete(x.env, "TUF_ROOT_JSON") // the root is kept now
	x.want(1, "trusted root: TUF, "+site.mirror(), verify...)
	delete(x.env, "TUF_MIRROR")
	x.want(1, "trusted root: public-good, embedded of "+publicgood.Date, verify...)
}
