package treelog

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/bulla-sign/bulla/internal/testenv/witness"
	"github.com/bulla-sign/bulla/tlog"
)

// served is a witness that is reached over HTTP.
type served struct {
	*witness.Witness
	url string
}

func newWitness(t *testing.T, log note.Verifier) *served {
	t.Helper()
	w, err := witness.New(log)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	return &served{w, server.URL}
}

func (w *served) use(c *Config) {
	c.Witnesses, c.CheckpointInterval, c.WitnessTimeout = w.Policy(w.url), 20*time.Millisecond, 5*time.Second
}

func TestWitnessCosigns(t *testing.T) {
	w := newWorld(t)
	wit := newWitness(t, w.verifier)
	l := w.open(t, wit.use)
	for i := range 3 {
		prove(t, l, add(t, l, fmt.Sprint("x", i), 3))
		h, _ := l.Head()
		cp, err := tlog.ParseCheckpoint(string(h.Checkpoint))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cp.VerifyCosignature(witness.Name, wit.Key()); err != nil {
			t.Error(err)
		}
	}
}

func TestNothingIsPublishedWithoutTheWitness(t *testing.T) {
	w := newWorld(t)
	wit := newWitness(t, w.verifier)
	l := w.open(t, wit.use)
	prove(t, l, add(t, l, "x", 3))
	wit.Set(func() { wit.Down = true })
	entries := add(t, l, "y", 2)
	time.Sleep(100 * time.Millisecond)
	if h, _ := l.Head(); h.Size != 3 {
		t.Errorf("a checkpoint of %d entries was published", h.Size)
	}
	wit.Set(func() { wit.Down = false })
	prove(t, l, entries)
}

func TestFailOpenPublishesWithoutTheWitness(t *testing.T) {
	w := newWorld(t)
	wit := newWitness(t, w.verifier)
	wit.Down = true
	l := w.open(t, wit.use, func(c *Config) { c.WitnessFailOpen = true })
	prove(t, l, add(t, l, "x", 3))
}

// TestWitnessKnowsMore: the directory and the lock store are both from a backup.
func TestWitnessKnowsMore(t *testing.T) {
	w := newWorld(t)
	wit := newWitness(t, w.verifier)
	l := w.open(t, wit.use)
	prove(t, l, add(t, l, "x", 3))
	closeLog(t, l)
	dir, lock := t.TempDir(), t.TempDir()
	copyDir(t, w.dir, dir)
	copyDir(t, w.lock, lock)
	l = w.open(t, wit.use)
	prove(t, l, add(t, l, "y", 3))
	closeLog(t, l)
	w.dir, w.lock = dir, lock
	l = w.open(t, wit.use)
	refuses(t, l, ErrForked, "has cosigned 6 entries")
}

func TestWitnessKnowsAnotherTree(t *testing.T) {
	for _, known := range []int64{2, 3} {
		w := newWorld(t)
		wit := newWitness(t, w.verifier)
		l := w.open(t, wit.use)
		prove(t, l, add(t, l, "x", 3))
		closeLog(t, l)
		wit.Set(func() { wit.Size = known; wit.Root[0] ^= 1 })
		l = w.open(t, wit.use)
		refuses(t, l, ErrForked, "another tree")
	}
}

func TestEverythingLostButTheWitness(t *testing.T) {
	w := newWorld(t)
	wit := newWitness(t, w.verifier)
	l := w.open(t, wit.use)
	prove(t, l, add(t, l, "x", 3))
	closeLog(t, l)
	w.dir, w.lock = t.TempDir(), t.TempDir()
	l = w.open(t, wit.use, func(c *Config) { c.WitnessFailOpen = true })
	if _, err := l.Add(t.Context(), []byte("y")); !errors.Is(err, ErrForked) {
		t.Errorf("adding gives %v", err)
	}
}

func TestWitnessPolicyIsChecked(t *testing.T) {
	w := newWorld(t)
	cfg := w.config(t)
	cfg.Witnesses = []byte("witness w\n")
	if l, err := Open(t.Context(), cfg); err == nil {
		closeLog(t, l)
		t.Error("a malformed policy was taken")
	}
}

// Witnesses are not hurried unless the operator wants it.
func TestCheckpointInterval(t *testing.T) {
	policy := []byte("none is read here")
	for _, tt := range []struct {
		witnesses   []byte
		given, want time.Duration
	}{
		{nil, 0, 50 * time.Millisecond},
		{policy, 0, time.Second},
		{policy, 200 * time.Millisecond, 200 * time.Millisecond},
		{policy, 3 * time.Second, 3 * time.Second},
		{nil, 2 * time.Second, 2 * time.Second},
	} {
		c := Config{Witnesses: tt.witnesses, CheckpointInterval: tt.given}
		if c.fill(); c.CheckpointInterval != tt.want {
			t.Errorf("witnesses %q, given %s: every %s, want %s", tt.witnesses, tt.given, c.CheckpointInterval, tt.want)
		}
	}
}

// A witness that takes its time does not make the log unready; one that does not answer does, until it answers again.
func TestReadyWhileTheWitnessIsAsked(t *testing.T) {
	w := newWorld(t)
	wit := newWitness(t, w.verifier)
	l := w.open(t, wit.use)
	prove(t, l, add(t, l, "x", 3))
	until := func(what string, is func() bool) {
		t.Helper()
		for range 1000 {
			if is() {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatal("it does not come to this: ", what)
	}
	var entries map[string]uint64
	wit.Set(func() { // no answer meanwhile
		entries = add(t, l, "y", 2)
		until("the checkpoint is signed", func() bool { return l.gate.size() == 5 })
		if h, _ := l.Head(); h.Size != 3 {
			t.Errorf("a checkpoint of %d entries is published", h.Size)
		}
		if err := l.Ready(t.Context()); err != nil {
			t.Errorf("while the witness is asked: %v", err)
		}
		wit.Down = true
	})
	until("the log is not ready", func() bool { return l.Ready(t.Context()) != nil })
	wit.Set(func() { wit.Down = false })
	prove(t, l, entries)
	until("the log is ready", func() bool { return l.Ready(t.Context()) == nil })
}
