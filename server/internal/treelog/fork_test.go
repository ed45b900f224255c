package treelog

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// copyDir copies a log's directory as a backup would.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// refuses checks that a log takes nothing for the reason given, and is still read.
func refuses(t *testing.T, l *Log, reason error, says ...string) {
	t.Helper()
	if _, err := l.Add(t.Context(), []byte("more")); !errors.Is(err, reason) {
		t.Errorf("adding gives %v, want %v", err, reason)
	}
	if err := l.Ready(t.Context()); !errors.Is(err, reason) && !errors.Is(reason, ErrFrozen) {
		t.Errorf("ready is %v, want %v", err, reason)
	}
	for _, s := range says {
		if err := l.Refusal(); err == nil || !strings.Contains(err.Error(), s) {
			t.Errorf("the reason is %v, without %q", err, s)
		}
	}
	w := httptest.NewRecorder()
	l.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/checkpoint", nil))
	if w.Code != http.StatusOK {
		t.Errorf("the checkpoint is answered with %d", w.Code)
	}
}

func TestOlderDirectoryRefusesWrites(t *testing.T) {
	w := newWorld(t)
	l := w.open(t)
	old := add(t, l, "old", 5)
	prove(t, l, old)
	closeLog(t, l)
	backup := t.TempDir()
	copyDir(t, w.dir, backup)
	l = w.open(t)
	prove(t, l, add(t, l, "lost", 3))
	closeLog(t, l)

	copyDir(t, backup, w.dir)
	l = w.open(t)
	refuses(t, l, ErrForked, "the directory has 5 entries", "has 8", "bulla-server rotate log --now")
	prove(t, l, old)
	if err := l.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	refuses(t, l, ErrFrozen)
	closeLog(t, l)
	l = w.open(t)
	refuses(t, l, ErrFrozen)
}

func TestEmptyDirectoryRefusesWrites(t *testing.T) {
	w := newWorld(t)
	l := w.open(t)
	prove(t, l, add(t, l, "old", 5))
	closeLog(t, l)
	if err := os.RemoveAll(w.dir); err != nil {
		t.Fatal(err)
	}
	l = w.open(t)
	if _, err := l.Add(t.Context(), []byte("more")); !errors.Is(err, ErrForked) {
		t.Errorf("adding gives %v", err)
	}
}

func TestOtherTreeOfTheSameSizeRefusesWrites(t *testing.T) {
	w := newWorld(t)
	l := w.open(t)
	prove(t, l, add(t, l, "one", 5))
	closeLog(t, l)
	other := *w
	other.dir, other.lock = t.TempDir(), t.TempDir()
	l = other.open(t)
	prove(t, l, add(t, l, "two", 5))
	closeLog(t, l)

	other.lock = w.lock
	l = other.open(t)
	refuses(t, l, ErrForked, "checkpoint in the lock store")
}

func TestTwoCopiesCannotBothGoOn(t *testing.T) {
	w := newWorld(t)
	l := w.open(t)
	prove(t, l, add(t, l, "one", 5))
	closeLog(t, l)
	other := *w
	other.dir = t.TempDir()
	copyDir(t, w.dir, other.dir)

	a, b := w.open(t), other.open(t)
	prove(t, a, add(t, a, "a", 1))
	index, err := b.Add(t.Context(), []byte("b"))
	if err == nil {
		_, err = b.Await(t.Context(), index)
	}
	if !errors.Is(err, ErrForked) {
		t.Errorf("the second copy gives %v", err)
	}
	refuses(t, b, ErrForked, "another copy of this log")
}

func TestOneProcessAtATime(t *testing.T) {
	w := newWorld(t)
	w.open(t)
	if l, err := Open(t.Context(), w.config(t)); err == nil {
		closeLog(t, l)
		t.Error("the directory was opened twice")
	}
}

func TestForgetfulLockStore(t *testing.T) {
	w := newWorld(t)
	l := w.open(t)
	old := add(t, l, "old", 5)
	prove(t, l, old)
	closeLog(t, l)
	w.lock = t.TempDir()
	l = w.open(t)
	refuses(t, l, ErrForked, "the lock store knows a log of 0 entries")
	closeLog(t, l)

	l = w.open(t, func(c *Config) { c.AdoptLock = true })
	prove(t, l, add(t, l, "new", 2))
	prove(t, l, old)
	closeLog(t, l)
	l = w.open(t)
	prove(t, l, add(t, l, "newer", 2))
}

func TestOlderLockStoreRefusesWrites(t *testing.T) {
	w := newWorld(t)
	l := w.open(t)
	prove(t, l, add(t, l, "old", 5))
	closeLog(t, l)
	backup := t.TempDir()
	copyDir(t, w.lock, backup)
	l = w.open(t)
	prove(t, l, add(t, l, "new", 5))
	closeLog(t, l)
	copyDir(t, backup, w.lock)
	l = w.open(t)
	refuses(t, l, ErrForked, "the lock store knows a log of 5 entries")
}

func TestDamagedTilesRefuseWrites(t *testing.T) {
	w := newWorld(t)
	l := w.open(t)
	prove(t, l, add(t, l, "old", 5))
	closeLog(t, l)
	path := w.dir + "/tile/0/000.p/5"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[40] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	refuses(t, w.open(t), ErrForked, "the tiles for 5 entries have the root")
}

func TestForeignCheckpointsAreErrors(t *testing.T) {
	w := newWorld(t)
	l := w.open(t)
	prove(t, l, add(t, l, "old", 5))
	closeLog(t, l)
	stranger := newWorld(t)
	for name, change := range map[string]func(*Config){
		"another key": func(c *Config) { c.Signer, c.Verifier = stranger.signer, stranger.verifier },
	} {
		cfg := w.config(t)
		change(&cfg)
		if l, err := Open(t.Context(), cfg); err == nil {
			closeLog(t, l)
			t.Errorf("%s: the log was opened", name)
		}
	}
}

// flakyLock fails as often as it is told.
type flakyLock struct {
	LockStore
	fail    int
	heard   bool // whether the failing calls reach the store
	failure error
}

func (f *flakyLock) Replace(ctx context.Context, name string, old, new []byte) error {
	if f.fail > 0 {
		f.fail--
		if f.heard {
			if err := f.LockStore.Replace(ctx, name, old, new); err != nil {
				return err
			}
		}
		return f.failure
	}
	return f.LockStore.Replace(ctx, name, old, new)
}

func TestLockStoreThatIsAway(t *testing.T) {
	for _, heard := range []bool{false, true} {
		w := newWorld(t)
		flaky := &flakyLock{heard: heard, failure: ErrLockUnavailable}
		l := w.open(t, func(c *Config) { flaky.LockStore, c.Lock = c.Lock, flaky })
		flaky.fail = 2
		prove(t, l, add(t, l, "x", 3))
	}
}

func TestLockStoreThatFailsEndsWriting(t *testing.T) {
	w := newWorld(t)
	flaky := &flakyLock{failure: errors.New("input/output error")}
	l := w.open(t, func(c *Config) { flaky.LockStore, c.Lock = c.Lock, flaky })
	prove(t, l, add(t, l, "x", 3))
	flaky.fail = 1
	index, err := l.Add(t.Context(), []byte("y"))
	if err == nil {
		_, err = l.Await(t.Context(), index)
	}
	if !errors.Is(err, ErrFailed) {
		t.Errorf("the entry gives %v", err)
	}
	refuses(t, l, ErrFailed)
}
