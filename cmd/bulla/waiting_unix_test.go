//go:build unix

package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/cli"
)

// waiting runs the program with a standard input from which nothing comes.
func waiting(t *testing.T, ctx context.Context, args ...string) (status int, said string) {
	t.Helper()
	silent, other := io.Pipe()
	defer other.Close()
	x := newTerminal(t)
	x.env["COSIGN_PASSWORD"] = ""
	var out strings.Builder
	sys := &cli.System{
		In: silent, Out: &out, Err: &out, Now: time.Now, Dial: x.dial, Environ: func() []string { return nil }, Executable: os.Executable,
		LookupEnv:  func(name string) (string, bool) { v, ok := x.env[name]; return v, ok },
		IsTerminal: func(any) bool { return false }, Width: func() int { return 0 },
	}
	done := make(chan int, 1)
	go func() { done <- newApp(sys).Main(ctx, append([]string{"bulla"}, args...)) }()
	select {
	case status = <-done:
		return status, out.String()
	case <-time.After(time.Minute):
		t.Fatalf("bulla %s: still waiting", strings.Join(args, " "))
		return 0, ""
	}
}

// What keeps a command waiting ends when the user gives up and when its time is over: standard input, and a named pipe that
// nobody writes to.
func TestWaitingEnds(t *testing.T) {
	dir := t.TempDir()
	pipe, key := filepath.Join(dir, "pipe.tar"), filepath.Join(dir, "k")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	if code, said := waiting(t, t.Context(), "generate-key-pair", "--output-key-prefix", key); code != 0 {
		t.Fatal(said)
	}
	const image = "localhost:1/app:v1"
	for _, line := range [][]string{
		{"attach", "attestation", "--attestation", "-", image},
		{"attach", "sbom", "--sbom", "-", image},
		{"attach", "signature", "--signature", "-", "--payload", pipe, image},
		{"manifest", "verify", "--key", key + ".pub", "--log=none", "-"},
		{"dockerfile", "verify", "--key", key + ".pub", "--log=none", pipe},
		{"sign", "--key", key + ".key", "--log=none", "--from", "-"},
		{"sign-blob", "-y", "--key", key + ".key", "--log=none", "--bundle", key + ".json", "-"},
		{"sign-blob", "-y", "--key", key + ".key", "--log=none", "--bundle", key + ".json", pipe},
		{"attest-blob", "-y", "--key", key + ".key", "--log=none", "--bundle", key + ".json", "--predicate", "-", key + ".pub"},
		{"verify-blob", "--key", key + ".pub", "--log=none", "--bundle", pipe, key + ".pub"},
		{"verify-blob", "--key", pipe, "--log=none", "--bundle", key + ".pub", key + ".pub"},
		{"inspect", "-"},
		{"inspect", pipe},
		{"login", "-u", "a", "--password-stdin", "localhost:1"},
		{"verify-blob", "--key", key + ".pub", "--trusted-root", pipe, "--bundle", key + ".pub", key + ".pub"},
		{"verify-blob", "--certificate-identity", "a", "--certificate-oidc-issuer", "b", "--ca-roots", pipe, "--bundle", key + ".pub", key + ".pub"},
		{"import-key-pair", "--key", pipe, "--output-key-prefix", key + "2"},
	} {
		t.Run(strings.Join(line[:2], " "), func(t *testing.T) {
			t.Parallel()
			if code, said := waiting(t, t.Context(), append([]string{"--timeout", "20ms"}, line...)...); code != cli.ExitUnknown || !strings.Contains(said, "--timeout") {
				t.Errorf("%q: when its time was over: status %d\n%s", line, code, said)
			}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(20*time.Millisecond, cancel)
			if code, said := waiting(t, ctx, line...); code != 130 || !strings.Contains(said, "interrupted") {
				t.Errorf("%q: interrupted: status %d\n%s", line, code, said)
			}
		})
	}
	// An archive is read here and there, which no pipe allows.
	if code, said := waiting(t, t.Context(), "load", "--file", pipe, image); code != cli.ExitInput || !strings.Contains(said, "regular file") {
		t.Errorf("an archive from a pipe: %d %s", code, said)
	}
}

// A pipe that somebody writes to is read as a file is.
func TestPipesAreRead(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	x := newTerminal(t)
	x.env["COSIGN_PASSWORD"] = "secret"
	x.want(0, "", "bulla", "generate-key-pair")
	feed := func(name, text string) string {
		if err := syscall.Mkfifo(name, 0o600); err != nil {
			t.Skip(err)
		}
		go func() { _ = os.WriteFile(name, []byte(text), 0o600) }() // a test that reads less fails by itself
		return name
	}
	key, err := os.ReadFile("cosign.pub")
	if err != nil {
		t.Fatal(err)
	}
	x.want(0, "", "bulla", "sign-blob", "-y", "--key", "cosign.key", "--log=none", "--bundle", "a.json", feed("first", "hello\n"))
	bundle, err := os.ReadFile("a.json")
	if err != nil {
		t.Fatal(err)
	}
	x.want(0, "verified", "bulla", "verify-blob", "--key", feed("key", string(key)), "--log=none", "--bundle", feed("bundle", string(bundle)), feed("again", "hello\n"))
}
