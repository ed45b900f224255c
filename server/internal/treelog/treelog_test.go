package treelog

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/bulla-sign/bulla/tlog"
)

const testOrigin = "log.example.com"

// world is a directory, a lock store and a key, with which a log can be opened again and again.
type world struct {
	dir, lock string
	signer    note.Signer
	verifier  note.Verifier
}

func newWorld(t testing.TB) *world {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{dir: filepath.Join(t.TempDir(), "log"), lock: filepath.Join(t.TempDir(), "lock")}
	if w.signer, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	if w.verifier, err = note.NewVerifier(vkey); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) config(t testing.TB) Config {
	t.Helper()
	lock, err := NewFileLock(w.lock)
	if err != nil {
		t.Fatal(err)
	}
	return Config{Dir: w.dir, Origin: testOrigin, Signer: w.signer, Verifier: w.verifier, Lock: lock}
}

func (w *world) open(t testing.TB, change ...func(*Config)) *Log {
	t.Helper()
	cfg := w.config(t)
	for _, c := range change {
		c(&cfg)
	}
	l, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeLog(t, l) })
	return l
}

func closeLog(t testing.TB, l *Log) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Errorf("closing: %v", err)
	}
}

// add adds n entries at once and returns the index of each.
func add(t testing.TB, l *Log, name string, n int) map[string]uint64 {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := map[string]uint64{}
	for i := range n {
		wg.Go(func() {
			entry := fmt.Sprintf("%s %d", name, i)
			index, err := l.Add(t.Context(), []byte(entry))
			if err != nil {
				t.Errorf("adding %s: %v", entry, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			got[entry] = index
		})
	}
	wg.Wait()
	return got
}

// prove checks that every entry is where it was said to be, under the published checkpoint.
func prove(t testing.TB, l *Log, entries map[string]uint64) {
	t.Helper()
	for entry, index := range entries {
		head, err := l.Await(t.Context(), index)
		if err != nil {
			t.Fatalf("awaiting %d: %v", index, err)
		}
		proof, err := l.InclusionProof(index, head.Size)
		if err != nil {
			t.Fatalf("proof of %d in %d: %v", index, head.Size, err)
		}
		if err := tlog.VerifyInclusion(int64(index), int64(head.Size), tlog.LeafHash([]byte(entry)), head.Root, proof); err != nil {
			t.Fatalf("entry %d: %v", index, err)
		}
		got, err := l.Entry(index)
		if err != nil || string(got) != entry {
			t.Fatalf("entry %d is %q, %v; want %q", index, got, err, entry)
		}
	}
}

func TestEntriesAreProvenAndSurvive(t *testing.T) {
	w := newWorld(t)
	l := w.open(t)
	first := add(t, l, "first", 300)
	prove(t, l, first)
	old, _ := l.Head()
	closeLog(t, l)

	l = w.open(t)
	if err := l.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := add(t, l, "second", 700)
	prove(t, l, second)
	prove(t, l, first)
	now, _ := l.Head()
	proof, err := l.ConsistencyProof(t.Context(), old.Size, now.Size)
	if err != nil {
		t.Fatal(err)
	}
	if err := tlog.VerifyConsistency(int64(old.Size), int64(now.Size), old.Root, now.Root, proof); err != nil {
		t.Fatal(err)
	}
}
