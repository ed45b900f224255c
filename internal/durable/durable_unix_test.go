//go:build unix

package durable

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

func TestPipesAreWrittenTo(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skip(err)
	}
	var got []byte
	var wg sync.WaitGroup
	wg.Go(func() { got, _ = os.ReadFile(fifo) })
	if err := WriteFile(fifo, []byte("through"), 0o600); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if string(got) != "through" {
		t.Errorf("got %q", got)
	}
}

// What is behind /dev/stdout is written to, whatever it is; a log that it goes to keeps what it had.
func TestStandardOutput(t *testing.T) {
	if os.Getenv("DURABLE_TEST_CHILD") != "" {
		if err := WriteFile("/dev/stdout", []byte("new\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Exit(0)
	}
	if _, err := os.Stat("/dev/stdout"); err != nil {
		t.Skip(err)
	}
	child := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-test.run=^TestStandardOutput$")
		cmd.Env = append(os.Environ(), "DURABLE_TEST_CHILD=1")
		return cmd
	}
	if out, err := child().Output(); err != nil || string(out) != "new\n" {
		t.Errorf("a pipe: %q, %v", out, err)
	}
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := child()
	cmd.Stdout = log
	if err := cmd.Run(); err != nil || content(t, path) != "old\nnew\n" {
		t.Errorf("a log: %q, %v", content(t, path), err)
	}
}
