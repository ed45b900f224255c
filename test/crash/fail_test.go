//go:build linux

package crash

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

var ci = os.Getenv("CI") != ""

// TestSyncFails fails every fsync of a running server: from then on nothing may be promised, and the server says that it
// is not ready. What was promised before is there afterwards.
func TestSyncFails(t *testing.T) {
	t.Parallel()
	strace := needStrace(t)
	for _, errno := range []string{"EIO", "EROFS"} {
		t.Run(errno, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			dir := p.state(t)
			s, err := p.start(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer s.kill()
			ledger := newLedger(p)
			ledger.work(t.Context(), t, 1, 2, 2)
			entries, certificates, _ := ledger.counts()
			if entries != 2 || certificates != 2 {
				t.Fatalf("%d entries and %d certificates before any fault", entries, certificates)
			}
			detach := attach(t, s, strace, "-e", "trace="+calls["sync"], "-e", fmt.Sprintf("inject=%s:error=%s", calls["sync"], errno))
			ledger.work(t.Context(), t, 2, 3, 3)
			if e, c, refused := ledger.counts(); e != entries || c != certificates || refused != 9 {
				t.Errorf("with every sync failing, %d entries and %d certificates were promised, %d refused", e-entries, c-certificates, refused)
			}
			if !eventually(func() bool { // the answer is kept for a second
				code, err := p.get(t.Context(), "/readyz")
				return err == nil && code == http.StatusServiceUnavailable
			}) {
				t.Error("ready after a failed sync")
			}
			if code, err := p.get(t.Context(), "/checkpoint"); err != nil || code != http.StatusOK {
				t.Errorf("reads must go on: %d %v", code, err)
			}
			detach()
			// A disk that has failed once has lost what it did not sync, whatever it says later.
			ledger.work(t.Context(), t, 1, 1, 1)
			if e, c, _ := ledger.counts(); e != entries || c != certificates {
				t.Error("something is promised after a failed sync, without a restart")
			}
			s.kill()
			comeBack(t, ledger, dir, []string{errno, "from every fsync"})
		})
	}
}

// TestOneCallFails fails the n-th sync, or the n-th write, of each thread only. Something may be promised afterwards, if it
// rests on none of those; everything that was promised is there. (Some files are written with O_SYNC: their writes are
// their syncs.)
func TestOneCallFails(t *testing.T) {
	t.Parallel()
	strace := needStrace(t)
	for _, kind := range []string{"sync", "write", "rename"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			var felt int
			for n := range points(t) {
				if failAt(t, p, inject(strace, kind, "error=EIO", n)) {
					felt++
				} else if n > fewest {
					break
				}
			}
			t.Logf("%d points at which something was refused", felt)
			if felt == 0 {
				t.Error("no fault was ever felt")
			}
		})
	}
}

// failAt runs one case. reached says that somebody noticed.
func failAt(t *testing.T, p *place, wrap []string) (reached bool) {
	t.Helper()
	dir := p.state(t)
	ledger := newLedger(p)
	s, err := p.launch(dir, wrap...)
	if err != nil {
		t.Fatal(err)
	}
	if s.await() == nil {
		ledger.work(t.Context(), t, 2, 6, 2)
	}
	_, _, refused := ledger.counts()
	reached = refused > 0 || s.gone()
	s.kill()
	comeBack(t, ledger, dir, wrap)
	return reached
}

// attach has strace work on a running server until detach is called.
func attach(t *testing.T, s *server, strace string, args ...string) (detach func()) {
	t.Helper()
	words := filepath.Join(t.TempDir(), "strace.txt")
	f, err := os.Create(words)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(strace, append([]string{"-f", "-o", "/dev/null", "-p", strconv.Itoa(s.cmd.Process.Pid)}, args...)...)
	cmd.Stderr = f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(startLimit); ; time.Sleep(5 * time.Millisecond) {
		said, _ := os.ReadFile(words) // not there yet is empty
		if strings.Contains(string(said), "attached") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("strace does not attach: %s", said)
		}
	}
	return func() {
		_ = cmd.Process.Signal(os.Interrupt) // already gone is as good
		_ = cmd.Wait()                       // it ends with the signal
	}
}

// TestDiskFull fills the disk under a running server: what cannot be stored is refused, reads go on, and once there is
// room again the server works again.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	dir := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m,mode=0700"); err != nil {
		if ci {
			t.Fatal("mounting a small disk: ", err)
		}
		t.Skip("skipped: no small disk can be mounted: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	home := filepath.Join(dir, "state")
	p.copyTo(t, home)
	s, err := p.start(home)
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	ledger := newLedger(p)
	ledger.work(t.Context(), t, 1, 3, 3)
	fill := filepath.Join(dir, "fill")
	fillDisk(t, fill)
	for range 20 { // what little room is left goes first
		ledger.work(t.Context(), t, 1, 1, 1)
	}
	entries, certificates, refused := ledger.counts()
	if refused == 0 {
		t.Errorf("nothing was refused on a full disk: %d entries, %d certificates", entries, certificates)
	}
	if code, err := p.get(t.Context(), "/checkpoint"); err != nil || code != http.StatusOK {
		t.Errorf("reads must go on: %d %v", code, err)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	if !eventually(func() bool {
		ledger.work(t.Context(), t, 1, 1, 1)
		e, c, _ := ledger.counts()
		return e > entries && c > certificates
	}) {
		t.Errorf("with room on the disk again the server does not work again\n%s", s.words())
	}
	if err := ledger.audit(t.Context(), home); err != nil {
		t.Error(err)
	}
	s.kill()
	comeBack(t, ledger, home, []string{"a full disk"})
}

func eventually(done func() bool) bool {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if done() {
			return true
		}
	}
	return false
}

// fillDisk writes a file until nothing more fits.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for {
		if _, err := f.Write(block); err != nil {
			return
		}
	}
}
