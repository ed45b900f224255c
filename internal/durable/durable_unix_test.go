//go:build unix

package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// owned is the information about a file with another owner.
type owned struct {
	fs.FileInfo
	uid uint32
}

func (o owned) Sys() any { return &syscall.Stat_t{Uid: o.uid} }

// In a directory like /tmp only the links of its owner and of ourselves are followed.
func TestWhoseLinksAreFollowed(t *testing.T) {
	us := uint32(os.Geteuid())
	for _, tt := range []struct {
		mode fs.FileMode
		link uint32
		ok   bool
	}{
		{0o777 | fs.ModeSticky, us, true}, // the directory is ours as well
		{0o777 | fs.ModeSticky, us + 1, false},
		{0o722 | fs.ModeSticky, us + 1, false},
		{0o775 | fs.ModeSticky, us + 1, true},
		{0o777, us + 1, true},
		{0o755, us + 1, true},
	} {
		dir := t.TempDir()
		if err := os.Chmod(dir, tt.mode); err != nil {
			t.Fatal(err)
		}
		if err := mayFollow(filepath.Join(dir, "link"), owned{uid: tt.link}); (err == nil) != tt.ok {
			t.Errorf("%v, link of %d (we are %d): %v", tt.mode, tt.link, us, err)
		}
	}
}

// The same with real links, also with one that lies behind another: nothing is written, and nothing stays behind.
func TestForeignLinks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving a file away takes privileges")
	}
	const stranger = 12345
	home, public := t.TempDir(), t.TempDir()
	if err := os.Chmod(public, 0o777|fs.ModeSticky); err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(home, "victim")
	planted, own := filepath.Join(public, "planted"), filepath.Join(home, "own")
	for _, err := range []error{
		os.WriteFile(victim, []byte("old"), 0o600), os.Symlink(victim, planted), os.Lchown(planted, stranger, stranger), os.Symlink(planted, own),
		os.Symlink(os.DevNull, planted+"device"), os.Lchown(planted+"device", stranger, stranger),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{planted, own, planted + "device"} {
		err := WriteFile(path, []byte("new"), 0o600)
		var pe *fs.PathError
		if !errors.Is(err, errForeignLink) || !errors.As(err, &pe) || !strings.HasPrefix(pe.Path, planted) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if got := content(t, victim); got != "old" {
		t.Errorf("the file behind the link now holds %q", got)
	}
	only(t, home, "own", "victim")
	// The directory's owner may put links there.
	if err := os.Chown(public, stranger, stranger); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(own, []byte("new"), 0o600); err != nil || content(t, victim) != "new" {
		t.Errorf("the owner's link: %v", err)
	}
}

func TestChainsOfLinks(t *testing.T) {
	dir := t.TempDir()
	for name, to := range map[string]string{
		"0": "0", "there": "sub/down", "sub/down": "../far/../real", "sub/up": "..", "inner": "sub/deep/../real2", "sub/deep": filepath.Join(dir, "far"),
	} {
		if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, "far"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	// "sub/deep/.." is the folder above the one that deep points to, which is dir itself.
	for link, real := range map[string]string{"there": "real", "inner": "real2"} {
		at := filepath.Join(dir, real)
		if err := os.WriteFile(at, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := WriteFile(filepath.Join(dir, link), []byte("new"), 0o600); err != nil {
			t.Error(err)
		}
		if got := content(t, at); got != "new" {
			t.Errorf("%s: %q", link, got)
		}
	}
	if err := WriteFile(filepath.Join(dir, "0"), nil, 0o600); err == nil {
		t.Error("a link to itself was written to")
	}
	if err := WriteFile(filepath.Join(dir, "sub", "up"), nil, 0o600); err == nil || !strings.Contains(fmt.Sprint(err), "is a directory") {
		t.Errorf("a link to a directory: %v", err)
	}
}

// A link below /dev/shm leads to a file like any other, which is replaced and not added to.
func TestLinksInMemory(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "durable-")
	if err != nil {
		t.Skipf("no /dev/shm: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	link, file := filepath.Join(dir, "link"), filepath.Join(dir, "file")
	if err := errors.Join(os.WriteFile(file, []byte("old"), 0o600), os.Symlink("file", link), WriteFile(link, []byte("new"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if got := content(t, file); got != "new" {
		t.Errorf("got %q", got)
	}
}
