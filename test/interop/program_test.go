package interop

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// password protects every key file of these tests.
const password = "pw"

// runLimit bounds one call of a program; the slowest takes about a second on an idle machine.
const runLimit = 2 * time.Minute

// program is one of the programs under test; the same arguments work for all of them.
type program struct {
	name  string
	exe   string
	world *world
	env   []string // in addition to the clean environment
	once  sync.Once
	words map[string]bool
}

// result is what a call of a program left behind.
type result struct {
	args           []string
	code           int
	stdout, stderr string
	err            error // the program could not be run, or was ended
}

func (r result) String() string {
	var failure string
	if r.err != nil {
		failure = " (" + r.err.Error() + ")"
	}
	return fmt.Sprintf("exit %d%s\n$ %s\n%s%s", r.code, failure, strings.Join(r.args, " "), indent(r.stdout), indent(r.stderr))
}

// command is a call of the program with a clean environment: no credentials, no caches, no settings of the person who
// tests.
func (p *program) command(args ...string) *exec.Cmd {
	home := filepath.Join(p.world.dir, "home-"+p.name)
	cmd := exec.Command(p.exe, args...)
	if err := os.MkdirAll(home, 0o755); err != nil {
		cmd.Err = err
	}
	cmd.Dir = p.world.dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + p.world.dir, "DOCKER_CONFIG=" + home,
		// A dead proxy: no test may leave the machine. Go does not use it for loopback addresses.
		"HTTP_PROXY=http://127.0.0.1:9", "HTTPS_PROXY=http://127.0.0.1:9",
		"COSIGN_PASSWORD=" + password, "TUF_ROOT=" + filepath.Join(home, "tuf"),
	}, p.env...)
	return cmd
}

// run calls the program and waits for it.
func (p *program) run(args ...string) result {
	cmd := p.command(args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	cmd.WaitDelay = runLimit // a busy machine may be slow to hand over the last words
	timer := time.AfterFunc(runLimit, func() { _ = cmd.Process.Kill() })
	err := cmd.Start()
	if err == nil {
		err = cmd.Wait()
	}
	timer.Stop()
	r := result{args: append([]string{p.name}, args...), stdout: out.String(), stderr: errOut.String()}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		r.code = exit.ExitCode()
		if r.code < 0 {
			r.err = err
		}
	case err != nil:
		r.code, r.err = -1, err
	}
	return r
}

// needs skips the test while the program lacks a command, or fails it once the commands are complete.
func needs(t *testing.T, p *program, commands ...string) {
	t.Helper()
	missing := func(what string) {
		if complete {
			t.Fatal(what)
		}
		t.Skip("skipped: " + what)
	}
	if p == nil {
		missing(theWorld.why)
		return
	}
	for _, c := range commands {
		if !p.has(c) {
			missing(p.name + " has no command " + c + " yet")
		}
	}
}

// has asks the program's own help for a command.
func (p *program) has(command string) bool {
	p.once.Do(func() {
		p.words = map[string]bool{}
		r := p.run("help")
		for _, m := range regexp.MustCompile(`(?m)^\s*([a-z][a-z-]+)\s+[A-Z]`).FindAllStringSubmatch(r.stdout+r.stderr, -1) {
			p.words[m[1]] = true
		}
	})
	return p.words[command]
}

// wantOK fails the test unless the call succeeded.
func (r result) wantOK(t *testing.T) {
	t.Helper()
	if r.code != 0 || r.err != nil {
		t.Fatalf("should succeed: %s", r)
	}
}

// crash matches what a program says that died rather than decided.
var crash = regexp.MustCompile(`(?m)^panic: |^fatal error: |goroutine \d+ \[running\]`)

// notAVerdict matches words of a program that never came to a verdict: a refusal must be for the right reason.
var notAVerdict = regexp.MustCompile(`unknown flag|unknown command|no such file or directory|connection refused|dial tcp|proxyconnect`)

// wantRefused fails the test unless the call came to the verdict "no", for a reason and not by accident; it returns r.
func (r result) wantRefused(t *testing.T) result {
	t.Helper()
	switch {
	case r.code == 0:
		t.Fatalf("should be refused: %s", r)
	case r.err != nil || r.code > 128 || crash.MatchString(r.stderr):
		t.Fatalf("should be refused, but crashed: %s", r)
	case notAVerdict.MatchString(r.stderr):
		t.Fatalf("should be refused, but came to no verdict: %s", r)
	case strings.TrimSpace(r.stderr) == "" && strings.TrimSpace(r.stdout) == "":
		t.Fatalf("refused without a word: %s", r)
	}
	return r
}

func indent(s string) string {
	if s == "" {
		return ""
	}
	return "  | " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n  | ") + "\n"
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
