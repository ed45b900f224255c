package treelog

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/bulla-sign/bulla/tlog"
)

// witness follows C2SP tlog-witness for one log.
type witness struct {
	name string
	key  ed25519.PrivateKey
	log  note.Verifier

	mu     sync.Mutex
	size   int64
	root   [tlog.HashSize]byte
	down   bool
	server *httptest.Server
}

func newWitness(t *testing.T, log note.Verifier) *witness {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{name: "witness.example.com", key: key, log: log}
	w.server = httptest.NewServer(w)
	t.Cleanup(w.server.Close)
	return w
}

func (w *witness) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// keyID is that of a cosigner (C2SP tlog-cosignature).
func (w *witness) keyID() []byte {
	pub := w.key.Public().(ed25519.PublicKey)
	sum := sha256.Sum256(append([]byte(w.name+"\n\x04"), pub...))
	return sum[:4]
}

func (w *witness) policy() []byte {
	pub := w.key.Public().(ed25519.PublicKey)
	vkey := fmt.Sprintf("%s+%x+%s", w.name, w.keyID(), base64.StdEncoding.EncodeToString(append([]byte{4}, pub...)))
	return fmt.Appendf(nil, "witness w %s %s\nquorum w\n", vkey, w.server.URL)
}

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		http.Error(rw, "down", http.StatusServiceUnavailable)
		return
	}
	if r.URL.Path != "/add-checkpoint" || r.Method != http.MethodPost {
		http.NotFound(rw, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	head, envelope, _ := strings.Cut(string(body), "\n\n")
	lines := strings.Split(head, "\n")
	old, err := strconv.ParseInt(strings.TrimPrefix(lines[0], "old "), 10, 64)
	cp, parseErr := tlog.ParseCheckpoint(envelope)
	if err != nil || parseErr != nil || old > cp.Size {
		http.Error(rw, "bad request", http.StatusBadRequest)
		return
	}
	if _, err := note.Open([]byte(envelope), note.VerifierList(w.log)); err != nil {
		http.Error(rw, "unknown signature", http.StatusForbidden)
		return
	}
	var proof [][]byte
	for _, line := range lines[1:] {
		hash, _ := base64.StdEncoding.DecodeString(line)
		proof = append(proof, hash)
	}
	switch {
	case old != w.size:
		rw.Header().Set("Content-Type", "text/x.tlog.size")
		rw.WriteHeader(http.StatusConflict)
		fmt.Fprintf(rw, "%d\n", w.size)
		return
	case old == cp.Size && old > 0 && cp.Root != w.root:
		http.Error(rw, "another root", http.StatusConflict)
		return
	case old > 0 && tlog.VerifyConsistency(old, cp.Size, w.root, cp.Root, proof) != nil:
		http.Error(rw, "bad proof", http.StatusUnprocessableEntity)
		return
	}
	w.size, w.root = cp.Size, cp.Root
	_, _ = rw.Write(w.cosign(cp.Note))
}

func (w *witness) cosign(text []byte) []byte {
	now := time.Now().Unix()
	sig := ed25519.Sign(w.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", now, text))
	line := binary.BigEndian.AppendUint64(bytes.Clone(w.keyID()), uint64(now))
	return fmt.Appendf(nil, "— %s %s\n", w.name, base64.StdEncoding.EncodeToString(append(line, sig...)))
}

func (w *witness) use(c *Config) {
	c.Witnesses, c.CheckpointInterval, c.WitnessTimeout = w.policy(), 20*time.Millisecond, 5*time.Second
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
		if _, err := cp.VerifyCosignature(wit.name, wit.key.Public().(ed25519.PublicKey)); err != nil {
			t.Error(err)
		}
	}
}

func TestNothingIsPublishedWithoutTheWitness(t *testing.T) {
	w := newWorld(t)
	wit := newWitness(t, w.verifier)
	l := w.open(t, wit.use)
	prove(t, l, add(t, l, "x", 3))
	wit.set(func() { wit.down = true })
	entries := add(t, l, "y", 2)
	time.Sleep(100 * time.Millisecond)
	if h, _ := l.Head(); h.Size != 3 {
		t.Errorf("a checkpoint of %d entries was published", h.Size)
	}
	wit.set(func() { wit.down = false })
	prove(t, l, entries)
}

func TestFailOpenPublishesWithoutTheWitness(t *testing.T) {
	w := newWorld(t)
	wit := newWitness(t, w.verifier)
	wit.down = true
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
		wit.set(func() { wit.size = known; wit.root[0] ^= 1 })
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
	wit.set(func() { // no answer meanwhile
		entries = add(t, l, "y", 2)
		until("the checkpoint is signed", func() bool { return l.gate.size() == 5 })
		if h, _ := l.Head(); h.Size != 3 {
			t.Errorf("a checkpoint of %d entries is published", h.Size)
		}
		if err := l.Ready(t.Context()); err != nil {
			t.Errorf("while the witness is asked: %v", err)
		}
		wit.down = true
	})
	until("the log is not ready", func() bool { return l.Ready(t.Context()) != nil })
	wit.set(func() { wit.down = false })
	prove(t, l, entries)
	until("the log is ready", func() bool { return l.Ready(t.Context()) == nil })
}
