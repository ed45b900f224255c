package treelog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rounds is how often a crash test crashes: a few times, or as often as BULLA_CRASH says.
func rounds(t *testing.T, usual int) int {
	t.Helper()
	s := os.Getenv("BULLA_CRASH")
	if s == "" {
		return usual
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestKilledUnderLoad kills the log at any time, again and again.
func TestKilledUnderLoad(t *testing.T) {
	s := newWitnessed(t)
	for range rounds(t, 4) {
		s.run(t, nil, 8, 1<<20, time.Millisecond+rand.N(150*time.Millisecond))
	}
	s.check(t)
	if len(s.entries) == 0 {
		t.Fatal("nothing was acknowledged before the log was killed")
	}
	t.Logf("%d entries and %d checkpoints checked", len(s.entries), len(s.heads))
}

func strace(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("there is no strace")
	}
	if out, err := exec.Command(path, "-f", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Skipf("strace cannot trace here: %v: %s", err, out)
	}
	return path
}

func inject(path, calls, what string, n int) []string {
	return []string{
		path, "-f", "-o", os.DevNull, "-e", "trace=" + calls, "-e", fmt.Sprintf("inject=%s:%s:when=%d", calls, what, n),
	}
}

// TestKilledAtEachCall kills the log when a thread of it enters its n-th call of a kind, for every n until the log gets
// done before.
func TestKilledAtEachCall(t *testing.T) {
	path := strace(t)
	for _, calls := range []string{"fsync", "renameat,rename,renameat2", "write", "mkdirat,mkdir"} {
		t.Run(calls, func(t *testing.T) {
			s := newWitnessed(t)
			killed := 0
			for i := range rounds(t, 4) {
				// Early calls are those of opening, which each round has anew.
				n := 1 + i*(1+i/3)
				if end := s.run(t, inject(path, calls, "signal=SIGKILL", n), 2, 40, 0); !end.whole {
					killed++
				}
			}
			s.check(t)
			if killed == 0 {
				t.Error("the log was never killed")
			}
		})
	}
}

// TestFailedSyncEndsWriting makes the n-th sync of a thread fail.
func TestFailedSyncEndsWriting(t *testing.T) {
	path := strace(t)
	failed := 0
	for i := range rounds(t, 6) {
		s := newWitnessed(t)
		s.run(t, nil, 2, 10, 0)
		end := s.run(t, inject(path, "fsync", "error=EIO", 1+i*3), 2, 200, 0)
		if !end.whole {
			failed++
			if !strings.Contains(end.reported, "input/output error") {
				t.Errorf("the log ended with %q", end.reported)
			}
		}
		s.check(t)
	}
	if failed == 0 {
		t.Error("no sync failed")
	}
}

// TestFullDisk fills the disk of the log, and that of the lock store, and makes room again.
func TestFullDisk(t *testing.T) {
	for _, full := range []string{"log", "lock"} {
		t.Run(full, func(t *testing.T) {
			disk := t.TempDir()
			if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=4m"); err != nil {
				t.Skipf("a small disk cannot be mounted: %v", err)
			}
			t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
			w := newWorld(t)
			if full == "log" {
				w.dir = disk + "/log"
			} else {
				w.lock = disk + "/lock"
			}
			l := w.open(t)
			entries := add(t, l, "before", 10)
			prove(t, l, entries)
			ballast := fill(t, disk)
			index, err := l.Add(t.Context(), []byte("during"))
			if full == "log" && !errors.Is(err, ErrFull) {
				t.Errorf("an entry for a full disk gives %v", err)
			}
			if full == "lock" {
				if err != nil {
					t.Fatal(err)
				}
				entries["during"] = index
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				if _, err := l.Await(ctx, index); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a checkpoint that the lock store has no room for: %v", err)
				}
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			for entry, index := range add(t, l, "after", 10) {
				entries[entry] = index
			}
			prove(t, l, entries)
			if n := l.files.sweepEdge(l.integrated.Load(), 1); n > 0 {
				t.Errorf("%d temporary files were left", n)
			}
		})
	}
}

func fill(t *testing.T, disk string) string {
	t.Helper()
	f, err := os.Create(disk + "/ballast")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, chunk := range []int{64 << 10, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, chunk))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	return f.Name()
}
