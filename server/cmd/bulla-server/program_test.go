package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/tools/process"
	"github.com/bulla-sign/bulla/keys"
	serverconfig "github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/keyring"
	"github.com/bulla-sign/bulla/server/internal/rotation"
	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/server/internal/testclient"
	"github.com/bulla-sign/bulla/server/internal/upkeep"
)

var program struct {
	sync.Once
	path string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if program.path != "" {
		_ = os.RemoveAll(filepath.Dir(program.path)) // temporary
	}
	os.Exit(code)
}

// built is the program, built once for all tests of its command line.
func built(t testing.TB) string {
	t.Helper()
	program.Do(func() {
		dir, err := os.MkdirTemp("", "bulla-server-test-")
		if err != nil {
			program.err = err
			return
		}
		program.path = filepath.Join(dir, "bulla-server")
		if out, err := exec.Command("go", "build", "-o", program.path, ".").CombinedOutput(); err != nil {
			program.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if program.err != nil {
		t.Fatal(program.err)
	}
	return program.path
}

// operator works in a directory, with commands.
type operator struct {
	t   testing.TB
	dir string
}

func (o *operator) path(name string) string { return filepath.Join(o.dir, name) }

// run runs a command and returns its exit status, and what it printed.
func (o *operator) run(args ...string) (code int, stdout, stderr string) {
	o.t.Helper()
	cmd := exec.Command(built(o.t), args...)
	cmd.Dir = o.dir
	cmd.Env = []string{"HOME=" + o.dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + o.dir}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		o.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func (o *operator) must(args ...string) string {
	o.t.Helper()
	code, out, errs := o.run(args...)
	if code != 0 {
		o.t.Fatalf("bulla-server %s: exit status %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// daemon is a running server.
type daemon struct {
	cmd *exec.Cmd
	log *lockedBuffer
}

// serve starts the server of a state and waits until it is ready.
func (o *operator) serve(dir, address string) *daemon {
	o.t.Helper()
	return o.serveTo(http.DefaultClient, dir, address)
}

// serveTo starts the server and waits until a client has its answer.
func (o *operator) serveTo(client *http.Client, dir, address string) *daemon {
	o.t.Helper()
	d := &daemon{cmd: exec.Command(built(o.t), "serve", "--config", o.path(dir+"/bulla-server.yaml")), log: new(lockedBuffer)}
	d.cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	d.cmd.Stderr = d.log
	if err := d.cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = d.cmd.Process.Kill() }) // if the test has not ended it
	for range 1000 {
		resp, err := client.Get(address + "/healthz")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return d
			}
		}
		if d.cmd.Process.Signal(syscall.Signal(0)) != nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	o.t.Fatalf("the server does not answer\n%s", tail(d.log.String()))
	return nil
}

func (d *daemon) stop(t testing.TB) {
	t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Wait(); err != nil {
		t.Fatalf("it did not end well: %v\n%s", err, tail(d.log.String()))
	}
}

func (d *daemon) kill() {
	_ = d.cmd.Process.Kill() // gone is as good
	_ = d.cmd.Wait()         // "killed", as it should be
}

// sign signs with what a state publishes.
func (o *operator) sign(dir, artifact string) (*testclient.Signed, error) {
	root, services := testclient.Trusted(o.t, o.path(dir+"/public/trusted_root.json"), o.path(dir+"/public/signing_config.json"))
	return testclient.Sign(context.Background(), root, services, artifact)
}

func (o *operator) mustSign(dir, artifact string) *testclient.Signed {
	o.t.Helper()
	s, err := o.sign(dir, artifact)
	if err != nil {
		o.t.Fatal(err)
	}
	return s
}

func (o *operator) verify(dir string, all ...*testclient.Signed) {
	o.t.Helper()
	root, services := testclient.Trusted(o.t, o.path(dir+"/public/trusted_root.json"), o.path(dir+"/public/signing_config.json"))
	for _, s := range all {
		s.Verify(o.t, root, services.OIDC[0].URL)
	}
}

// freePort is an address to listen on, and its port.
func freePort(t testing.TB) (listen, port string) {
	t.Helper()
	ports, err := process.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	port = strconv.Itoa(ports[0])
	return net.JoinHostPort("127.0.0.1", port), port
}

// initialise makes a deployment in dir, and returns its address.
func (o *operator) initialise(dir string, more ...string) string {
	o.t.Helper()
	listen, port := freePort(o.t)
	address := "http://localhost:" + port
	if more == nil {
		more = []string{"--development-login"}
	}
	o.must(append([]string{"init", "--dir", dir, "--url", address, "--listen", listen, "--generate-password"}, more...)...)
	return address
}

// From init to a restored backup: what an operator does.
func TestOperator(t *testing.T) {
	t.Parallel()
	o := &operator{t, t.TempDir()}
	address := o.initialise("d")
	if code, _, errs := o.run("init", "--dir", "d", "--generate-password"); code == 0 || !strings.Contains(errs, "state already") {
		t.Errorf("a second init: exit status %d, %s", code, errs)
	}
	config := "--config=d/bulla-server.yaml"
	server := o.serve("d", address)
	one := o.mustSign("d", "one")
	o.must("backup", config, "old.tar")
	two := o.mustSign("d", "two")
	o.verify("d", one, two)
	var status struct {
		Ready bool
		Logs  []struct{ Size int }
	}
	err := json.Unmarshal([]byte(o.must("status", config, "-o", "json")), &status)
	for end := time.Now().Add(time.Minute); err == nil && len(status.Logs) == 2 && status.Logs[0].Size < 2 && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond) // nobody waits for the CT log's checkpoints
		err = json.Unmarshal([]byte(o.must("status", config, "-o", "json")), &status)
	}
	if err != nil || !status.Ready || len(status.Logs) != 2 || status.Logs[0].Size != 2 {
		t.Errorf("status: %+v, %v", status, err)
	}
	o.must("backup", config, "new.tar")
	if code, _, errs := o.run("backup", config, "new.tar"); code == 0 {
		t.Errorf("a backup is overwritten: %s", errs)
	}
	server.stop(t)
	o.must("status", config)

	o.restoreNewer(address, one, two)
	o.restoreOlder(address, one, two)
	o.damage(config)
}

// restoreNewer: a backup that has all that was signed goes on where the log was.
func (o *operator) restoreNewer(address string, all ...*testclient.Signed) {
	o.t.Helper()
	o.must("restore", "--dir", "r", "--lock", "d/lock", "new.tar")
	o.adopt("r")
	server := o.serve("r", address)
	o.verify("r", append(all, o.mustSign("r", "after a restore"))...)
	server.stop(o.t)
}

// adopt brings the password and the lock store of d to a restored state, neither of which is in a backup.
func (o *operator) adopt(dir string) {
	o.t.Helper()
	for _, name := range []string{"password", "lock"} {
		if _, err := os.Lstat(o.path(dir + "/" + name)); err == nil {
			o.t.Errorf("%s is in the backup", name)
		}
		if out, err := exec.Command("cp", "-a", o.path("d/"+name), o.path(dir+"/"+name)).CombinedOutput(); err != nil {
			o.t.Fatalf("%v: %s", err, out)
		}
	}
}

// restoreOlder: a backup from before the last signature is refused; taken nevertheless, its logs take no entries until
// there are new shards.
func (o *operator) restoreOlder(address string, all ...*testclient.Signed) {
	o.t.Helper()
	code, _, errs := o.run("restore", "--dir", "older", "--lock", "d/lock", "old.tar")
	if code != 22 || !strings.Contains(errs, "older than the log") || !strings.Contains(errs, "hint:") {
		o.t.Errorf("an older backup: exit status %d, %s", code, errs)
	}
	if _, err := os.Lstat(o.path("older")); err == nil {
		o.t.Error("what was refused is there")
	}
	o.must("restore", "--dir", "older", "--lock", "d/lock", "--older-logs", "old.tar")
	o.adopt("older")
	server := o.serve("older", address)
	if _, err := o.sign("older", "refused"); err == nil {
		o.t.Error("a log that was set back takes entries")
	}
	if code, out, errs := o.run("status", "--config", "older/bulla-server.yaml"); code != 1 || !strings.Contains(errs, "not ready") ||
		!strings.Contains(out, "`bulla-server rotate log --now`") || !strings.Contains(out, "`bulla-server rotate ctlog --now`") {
		o.t.Errorf("status of logs that were set back: exit status %d, %s, does not say what to do:\n%s", code, errs, out)
	}
	for _, kind := range []string{"ctlog", "log"} {
		o.must("rotate", "--config", "older/bulla-server.yaml", "--now", kind)
	}
	o.verify("older", append(all, o.mustSign("older", "in new shards"))...)
	server.stop(o.t)
}

// underWay waits until a rotation has begun.
func (o *operator) underWay(kind state.Kind) {
	o.t.Helper()
	dir, err := state.Open(o.path("d"))
	if err != nil {
		o.t.Fatal(err)
	}
	for range 10000 {
		h, err := dir.Load()
		if err != nil {
			o.t.Fatal(err)
		}
		if len(h.Instances[kind]) > 1 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	o.t.Fatalf("the rotation of %s does not begin", kind)
}

// damage: fsck finds what was changed.
func (o *operator) damage(config string) {
	o.t.Helper()
	file, err := serverconfig.Load(o.path("d/bulla-server.yaml"))
	if err != nil {
		o.t.Fatal(err)
	}
	dir, err := state.Open(file.State)
	if err != nil {
		o.t.Fatal(err)
	}
	// One keyring for all, since opening keys takes a while.
	ring := keyring.New(file.State, keys.Environment{
		LookupEnv: func(string) (string, bool) { return "", false }, Password: keyring.PasswordFile(file.PasswordFile),
	})
	wrong := func() (n int) {
		findings, err := upkeep.Check(o.t.Context(), upkeep.Deployment{File: file, Dir: dir, Ring: ring, Now: time.Now})
		if err != nil {
			o.t.Fatal(err)
		}
		for _, f := range findings {
			if f.Error != "" {
				n++
			}
		}
		return n
	}
	for _, name := range []string{"d/log/*/tile/entries/000.p/2", "d/ctlog/*/tile/0/000.p/2", "d/tuf/1.targets.json", "d/public/trusted_root.json", "d/lock/log/*/*.checkpoint"} {
		o.flipped(name, func() {
			if wrong() == 0 {
				o.t.Errorf("%s was changed, and nothing is wrong", name)
			}
		})
	}
	if n := wrong(); n != 0 {
		o.t.Errorf("all is as it was, and %d checks fail", n)
	}
	o.flipped("d/keys/ca-2*.key", func() {
		if code, out, _ := o.run("fsck", config); code != 22 || !strings.Contains(out, "WRONG key of ca") {
			o.t.Errorf("a key was changed: exit status %d\n%s", code, out)
		}
	})
}

// flipped calls do while a bit in the middle of a file is the other one.
func (o *operator) flipped(pattern string, do func()) {
	o.t.Helper()
	files, err := filepath.Glob(o.path(pattern))
	if err != nil || len(files) != 1 {
		o.t.Fatalf("%s: %v, %v", pattern, files, err)
	}
	good, err := os.ReadFile(files[0])
	if err != nil {
		o.t.Fatal(err)
	}
	bad := bytes.Clone(good)
	bad[len(bad)/2] ^= 1
	if err := os.WriteFile(files[0], bad, 0o600); err != nil {
		o.t.Fatal(err)
	}
	do()
	if err := os.WriteFile(files[0], good, 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// The server is killed at growing distances from the beginning of a rotation, and each time another one goes on.
func TestKilledWhileRotating(t *testing.T) {
	t.Parallel()
	o := &operator{t, t.TempDir()}
	address := o.initialise("d")
	config := "--config=d/bulla-server.yaml"
	server := o.serve("d", address)
	all := []*testclient.Signed{o.mustSign("d", "before")}
	for i, kind := range []string{"log", "ca", "ctlog"} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			o.run("rotate", config, "--now", kind) // it fails when the server is killed meanwhile
		}()
		o.underWay(state.Kind(kind))
		time.Sleep(time.Duration(i) * 40 * time.Millisecond)
		server.kill()
		<-done
		server = o.serve("d", address)
		var p rotation.Progress
		out := o.must("rotate", config, "--continue", "--now", "-o", "json", kind)
		if err := json.Unmarshal([]byte(out), &p); err != nil || p.Step != rotation.Done || strings.HasSuffix(p.Next, "-1") {
			t.Fatalf("after a kill the rotation of %s is at %s", kind, out)
		}
		all = append(all, o.mustSign("d", "after a kill"))
		o.verify("d", all...)
		t.Logf("%s: %s is in use", kind, p.Next)
	}
	server.stop(t)
	o.must("fsck", config)
}

// The targets key lies in a safe: a rotation waits for its signature, and goes on when that is brought.
func TestOfflineKey(t *testing.T) {
	t.Parallel()
	o := &operator{t, t.TempDir()}
	address := o.initialise("d")
	config := "--config=d/bulla-server.yaml"
	keys, err := filepath.Glob(o.path("d/keys/tuf-targets-*.key"))
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	if err := os.Rename(keys[0], o.path("safe.key")); err != nil {
		t.Fatal(err)
	}
	server := o.serve("d", address)
	before := o.mustSign("d", "before")
	if code, _, errs := o.run("rotate", config, "--now", "tsa"); code == 0 || !strings.Contains(errs, "tuf pending") {
		t.Fatalf("without the targets key: exit status %d, %s", code, errs)
	}
	doc := strings.TrimSpace(o.must("tuf", "pending", config))
	if code, _, errs := o.run("tuf", "import", config, doc); code == 0 {
		t.Fatalf("an unsigned document is taken: %s", errs)
	}
	password, err := os.ReadFile(o.path("d/password"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(built(t), "tuf", "sign", "--key", "safe.key", doc)
	cmd.Dir, cmd.Env = o.dir, []string{"BULLA_PASSWORD=" + strings.TrimSpace(string(password))}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	o.must("tuf", "import", config, doc)
	// The switch needs nothing of the targets key: the address is the same. The end of the old window does.
	if code, _, errs := o.run("rotate", config, "--continue", "--now", "tsa"); code == 0 || !strings.Contains(errs, "step close") {
		t.Fatalf("after the import: exit status %d, %s", code, errs)
	}
	var status struct {
		Keys []struct{ Kind, Name, Phase string }
	}
	if err := json.Unmarshal([]byte(o.must("status", config, "-o", "json")), &status); err != nil {
		t.Fatal(err)
	}
	for _, k := range status.Keys {
		if k.Kind == "tsa" && strings.HasSuffix(k.Name, "-2") && k.Phase != "active" {
			t.Errorf("the new key is %s", k.Phase)
		}
	}
	o.verify("d", before, o.mustSign("d", "after"))
	server.stop(t)
}

func TestUp(t *testing.T) {
	t.Parallel()
	o := &operator{t, t.TempDir()}
	for _, args := range [][]string{{"--ephemeral"}, {"--dir", "state", "--port", "0"}, {"--dir", "state"}} {
		lines := o.upOnce(args)
		if len(lines) != 2 || !strings.HasPrefix(lines[0], "cosign initialize --mirror http://localhost:") || !strings.HasPrefix(lines[1], "bulla initialize ") {
			t.Errorf("up %v says %q", args, lines)
		}
	}
	if left, err := filepath.Glob(o.path("bulla-up-*")); err != nil || len(left) > 0 {
		t.Errorf("what was ephemeral is there: %v, %v", left, err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, _ := strings.Cut(l.Addr().String(), ":")
	if code, _, errs := o.run("up", "--ephemeral", "--port", port); code != 23 || !strings.Contains(errs, "in use") || !strings.Contains(errs, "hint:") {
		t.Errorf("a port that is taken: exit status %d, %s", code, errs)
	}
	if code, _, errs := o.run("up", "--dir", "state", "--port", "1"); code != 21 || !strings.Contains(errs, "is for port") {
		t.Errorf("another port: exit status %d, %s", code, errs)
	}
	for _, args := range [][]string{{"--port", "65536"}, {"--ephemeral", "--dir", "x"}, {"--port", "-1"}} {
		if code, _, errs := o.run(append([]string{"up"}, args...)...); code != 21 {
			t.Errorf("up %v: exit status %d, %s", args, code, errs)
		}
	}
}

// upOnce runs up until it has said what there is to say, and ends it.
func (o *operator) upOnce(args []string) []string {
	o.t.Helper()
	cmd := exec.Command(built(o.t), append([]string{"up"}, args...)...)
	cmd.Dir = o.dir
	cmd.Env = []string{"HOME=" + o.dir, "TMPDIR=" + o.dir}
	out, log := new(lockedBuffer), new(lockedBuffer)
	cmd.Stdout, cmd.Stderr = out, log
	if err := cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); strings.Count(out.String(), "\n") < 2; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			o.t.Fatalf("it says nothing\n%s", log.String())
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		o.t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		o.t.Errorf("up %v did not end well: %v\n%s", args, err, log.String())
	}
	return strings.Split(strings.TrimSpace(out.String()), "\n")
}

func TestRefused(t *testing.T) {
	t.Parallel()
	o := &operator{t, t.TempDir()}
	o.initialise("d")
	config, err := os.ReadFile(o.path("d/bulla-server.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.path("d/wrong"), []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	with := func(from, to string) {
		t.Helper()
		changed := strings.Replace(string(config), from, to, 1)
		if changed == string(config) {
			t.Fatalf("%q is not in the configuration", from)
		}
		if err := os.WriteFile(o.path("d/changed.yaml"), []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name, from, to, says string
		code                 int
	}{
		{"unknown key", "rotation:", "rotations:", `there is no key "rotations"`, 22},
		{"development login in public", `address: "127.0.0.1:`, `address: "0.0.0.0:`, "development-login", 22},
		{"no state", "state: .", "state: elsewhere", "there is no state", 22},
		{"wrong password", "password-file: password", "password-file: wrong", "wrong password", 22},
	} {
		with(tt.from, tt.to)
		code, _, errs := o.run("serve", "--config", "d/changed.yaml")
		if code != tt.code || !strings.Contains(errs, tt.says) {
			t.Errorf("%s: exit status %d, %s", tt.name, code, errs)
		}
	}
	if err := os.Chmod(o.path("d/password"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := o.run("serve", "--config", "d/bulla-server.yaml"); code == 0 || !strings.Contains(errs, "may be read by others") {
		t.Errorf("an open password file: exit status %d, %s", code, errs)
	}
	for _, args := range [][]string{
		{"init"},
		{"init", "--dir", "x", "--url", "https://a/b"},
		{"init", "--dir", "x", "--key", "nonsense=a"},
		{"init", "--dir", "x", "--listen", ":80"},
		{"init", "--dir", "x", "--development-login", "--listen", "0.0.0.0:80"},
		{"rotate", "everything"},
		{"rotate"},
		{"restore", "x.tar"},
	} {
		if code, _, errs := o.run(args...); code != 21 {
			t.Errorf("%v: exit status %d, %s", args, code, errs)
		}
	}
	if code, _, errs := o.run("serve", "--config", "nosuch.yaml"); code != 23 || !strings.Contains(errs, "hint:") {
		t.Errorf("no configuration: exit status %d, %s", code, errs)
	}
	if code, _, errs := o.run("rotate", "--config", "d/bulla-server.yaml", "log"); code != 20 || !strings.Contains(errs, "hint:") {
		t.Errorf("rotate without a server: exit status %d, %s", code, errs)
	}
}

// Without the development login somebody must be able to sign in in another way.
func TestUsers(t *testing.T) {
	t.Parallel()
	o := &operator{t, t.TempDir()}
	address := o.initialise("d", "--services", "issuer")
	if code, _, errs := o.run("serve", "--config", "d/bulla-server.yaml"); code == 0 || !strings.Contains(errs, "nobody could sign in") {
		t.Errorf("an issuer without people: exit status %d, %s", code, errs)
	}
	hash := exec.Command(built(t), "hash-password")
	hash.Stdin = strings.NewReader("correct horse\n")
	out, err := hash.Output()
	if err != nil || !strings.HasPrefix(string(out), "$2") {
		t.Fatalf("%s, %v", out, err)
	}
	config, err := os.ReadFile(o.path("d/bulla-server.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(config), "  #users:", "  users:\n    - email: alice@example.com\n      password-hash: "+strings.TrimSpace(string(out)), 1)
	if err := os.WriteFile(o.path("d/bulla-server.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o.serve("d", address).stop(t)
	hash = exec.Command(built(t), "hash-password")
	hash.Stdin = strings.NewReader("short\n")
	if err := hash.Run(); err == nil {
		t.Error("a short password is hashed")
	}
}

// BenchmarkReady measures from the start of the process to the two lines: everything answers then.
func BenchmarkReady(b *testing.B) {
	o := &operator{b, b.TempDir()}
	built(b)
	for _, kind := range []struct {
		name string
		args []string
	}{{"ephemeral", []string{"--ephemeral"}}, {"again", []string{"--dir", "again", "--port", "0"}}} {
		b.Run(kind.name, func(b *testing.B) {
			if kind.name == "again" {
				o.upOnce(kind.args)
			}
			b.ResetTimer()
			for range b.N {
				o.upOnce(kind.args)
			}
		})
	}
}
