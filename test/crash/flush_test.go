//go:build linux

package crash

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/fault"
	"github.com/bulla-sign/bulla/internal/testenv/services"
	"github.com/bulla-sign/bulla/trust"
)

var theProgram struct {
	once sync.Once
	exe  string
	err  error
}

// program builds bulla once.
func program(t *testing.T) string {
	t.Helper()
	p := &theProgram
	p.once.Do(func() {
		p.exe = filepath.Join(house.dir, "bulla")
		cmd := exec.Command("go", "build", "-trimpath", "-o", p.exe, "./cmd/bulla")
		cmd.Dir = testenv.Root()
		cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			p.err = fmt.Errorf("bulla does not build: %w\n%s", err, out)
		}
	})
	if p.err != nil {
		t.Fatal(p.err)
	}
	return p.exe
}

// post is what deferred signatures are flushed to: a log and a registry, each behind a proxy that can see the program killed.
type post struct {
	*services.Services
	exe, dir      string
	log, front    *fault.Proxy
	registry      *testenv.Registry
	signs, judges []string // flags
	made          int
}

func newPost(t *testing.T, o testenv.RegistryOptions) *post {
	t.Helper()
	p := &post{Services: services.New(t), exe: program(t), dir: t.TempDir(), registry: testenv.NewRegistry(t, o)}
	p.log, p.front = fault.NewProxy(t, p.URL), fault.NewProxy(t, p.registry.Server.URL)
	at := func(url string, version uint32) []trust.Service {
		return []trust.Service{{URL: url, MajorAPIVersion: version, Operator: "bulla.test", Window: trust.Window{Start: time.Unix(0, 0).UTC()}}}
	}
	any := trust.Selection{Selector: trust.SelectAny}
	config, err := trust.NewSigningConfig(trust.SigningConfig{
		CAs: at(p.URL, 1), OIDC: at(p.Issuer, 1), Logs: at(p.log.URL, 2), LogConfig: any, TSAs: at(p.TSA, 1), TSAConfig: any,
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := config.Encode()
	if err != nil {
		t.Fatal(err)
	}
	root := p.file(t, "root.json", p.World.RootJSON(t))
	p.signs = []string{"--signing-config", p.file(t, "config.json", data), "--trusted-root", root, "--identity-token", p.file(t, "token.jwt", []byte(p.Token(nil)))}
	p.judges = []string{"--trusted-root", root, "--certificate-identity", p.Email, "--certificate-oidc-issuer", p.Issuer}
	return p
}

func (p *post) file(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (p *post) command(args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = p.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "DOCKER_CONFIG=" + p.dir}
	return cmd
}

// run runs bulla, which must end with the status.
func (p *post) run(t *testing.T, status int, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	cmd := p.command(append([]string{p.exe}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Fatalf("bulla %s: status %d, want %d\n%s", strings.Join(args, " "), got, status, out.String())
	}
	return out.String()
}

// letter is one signature of an image, and of a file, that waits in a spool of its own.
type letter struct {
	image, repository, file, spool string
	logged                         int // entries of the log before
}

func (p *post) write(t *testing.T) letter {
	t.Helper()
	p.made++
	repository := fmt.Sprintf("app%d", p.made)
	_, digest, _ := strings.Cut(p.registry.PushImage(t, repository+":v1"), "@")
	l := letter{
		image: strings.TrimPrefix(p.front.URL, "http://") + "/" + repository + "@" + digest, repository: repository,
		file: p.file(t, fmt.Sprintf("file%d", p.made), fmt.Appendf(nil, "content %d", p.made)), spool: filepath.Join(p.dir, fmt.Sprintf("spool%d", p.made)),
	}
	deferred := append([]string{"--log=defer", "--spool", l.spool}, p.signs...)
	p.run(t, 24, append(append([]string{"sign"}, deferred...), l.image)...)
	p.run(t, 24, append(append([]string{"sign-blob"}, deferred...), l.file)...)
	l.logged = len(p.World.V2.Leaves())
	return l
}

func (p *post) flush(l letter) []string {
	return []string{"flush", "--spool", l.spool, "--trusted-root", filepath.Join(p.dir, "root.json")}
}

// delivered runs flush again and sees that everything is there once.
func (p *post) delivered(t *testing.T, l letter, how string) {
	t.Helper()
	p.run(t, 0, p.flush(l)...)
	left, err := filepath.Glob(filepath.Join(l.spool, "*.json"))
	if err != nil || len(left) > 0 {
		t.Errorf("%s: %v stay in the spool, %v", how, left, err)
	}
	if n := len(p.World.V2.Leaves()) - l.logged; n != 2 {
		t.Errorf("%s: two signatures have %d entries", how, n)
	}
	p.run(t, 0, append(append([]string{"verify"}, p.judges...), l.image)...)
	p.run(t, 0, append(append([]string{"verify-blob"}, p.judges...), l.file)...)
	text := p.run(t, 0, "tree", "-o", "json", l.image)
	if n := strings.Count(text, `"artifactType": "application/vnd.dev.sigstore.bundle`); n != 1 {
		t.Errorf("%s: %d bundles are attached\n%s", how, n, text)
	}
}

// killedAt runs flush and has it killed at the n-th request that a proxy sees: before it is sent on, or when it has been
// served and the answer is still to go out. reached says that there were so many.
func (p *post) killedAt(t *testing.T, l letter, proxy *fault.Proxy, n int, served bool) bool {
	t.Helper()
	cmd := p.command(append([]string{p.exe}, p.flush(l)...)...)
	var reached atomic.Bool
	started, dead := make(chan struct{}), make(chan struct{})
	kill := func() {
		reached.Store(true)
		<-started
		_ = cmd.Process.Kill() // gone already is as good
		<-dead
	}
	f := fault.Fault{After: n, Refuse: true, Before: kill}
	if served {
		f = fault.Fault{After: n, Drop: true, Done: kill}
	}
	proxy.Fail(f)
	defer proxy.Heal()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	close(started)
	_, err := cmd.Process.Wait()
	close(dead)
	if err != nil {
		t.Fatal(err)
	}
	return reached.Load()
}

// TestFlushKilledAtEveryRequest kills flush at each request that it makes to the log and to the registry, of both kinds, and
// runs it again: each signature is logged and attached once.
func TestFlushKilledAtEveryRequest(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		name  string
		o     testenv.RegistryOptions
		every int // of the points one in so many is tried in CI; where a list lies under a tag each takes seconds
	}{
		{"referrers-api", testenv.RegistryOptions{Referrers: true, OCISubject: true}, 5},
		{"fallback-tag", testenv.RegistryOptions{}, 10},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			p := newPost(t, kind.o)
			died, point := 0, 0
			if soak {
				kind.every = 1
			}
			for name, proxy := range map[string]*fault.Proxy{"log": p.log, "registry": p.front} {
				for _, served := range []bool{false, true} {
					for n := 0; n < 100; n, point = n+1, point+1 {
						if point%kind.every != 0 {
							continue
						}
						l := p.write(t)
						if !p.killedAt(t, l, proxy, n, served) {
							break
						}
						died++
						p.delivered(t, l, fmt.Sprintf("killed at request %d to the %s, served %v", n+1, name, served))
					}
				}
			}
			t.Logf("it died at %d points", died)
			if died < 3 {
				t.Error("too few points: little was tested")
			}
		})
	}
}

// TestFlushKilledAtEveryCall kills flush at each call that changes what is on the disk.
func TestFlushKilledAtEveryCall(t *testing.T) {
	t.Parallel()
	strace := needStrace(t)
	p := newPost(t, testenv.RegistryOptions{Referrers: true, OCISubject: true})
	died := 0
	for _, calls := range []string{"fsync,fdatasync", "rename,renameat,renameat2", "unlink,unlinkat"} {
		for n := 1; n < 100; n++ {
			l := p.write(t)
			cmd := p.command(append([]string{
				strace, "-f", "-qqq", "-o", "/dev/null", "-e", "trace=" + calls, "-e", "signal=none",
				"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", calls, n), p.exe,
			}, p.flush(l)...)...)
			err := cmd.Run()
			p.delivered(t, l, fmt.Sprintf("killed at call %d of %s", n, calls))
			if err == nil {
				break
			}
			died++
		}
	}
	t.Logf("it died at %d points", died)
	if died < fewest {
		t.Error("too few points: little was tested")
	}
}
