package treelog

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/transparency-dev/tessera/ctonly"

	"github.com/bulla-sign/bulla/tlog"
)

func TestFreeze(t *testing.T) {
	w := newWorld(t)
	l := w.open(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	entries := map[string]uint64{}
	for i := range 50 {
		wg.Go(func() {
			entry := fmt.Sprint("entry ", i)
			index, err := l.Add(t.Context(), []byte(entry))
			switch {
			case err == nil:
				mu.Lock()
				defer mu.Unlock()
				entries[entry] = index
			case !errors.Is(err, ErrFrozen) && !errors.Is(err, ErrClosed):
				t.Error(err)
			}
		})
	}
	time.Sleep(time.Millisecond)
	if err := l.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if err := l.Freeze(t.Context()); err != nil {
		t.Errorf("freezing twice: %v", err)
	}
	prove(t, l, entries)
	refuses(t, l, ErrFrozen)
	if err := l.Ready(t.Context()); err != nil {
		t.Errorf("a frozen log is not ready to be read: %v", err)
	}
	closeLog(t, l)

	// It needs no key now, and nothing but its directory.
	l, err := Open(t.Context(), Config{Dir: w.dir, Origin: testOrigin, Verifier: w.verifier, Frozen: true})
	if err != nil {
		t.Fatal(err)
	}
	defer closeLog(t, l)
	prove(t, l, entries)
	refuses(t, l, ErrFrozen)
	if _, err := l.Await(t.Context(), 1000); !errors.Is(err, ErrFrozen) {
		t.Errorf("waiting for more gives %v", err)
	}
	if _, err := w.fsck(t, Entries); err != nil {
		t.Error(err)
	}
}

func TestPushback(t *testing.T) {
	w := newWorld(t)
	registry := prometheus.NewRegistry()
	l := w.open(t, func(c *Config) {
		c.Pushback, c.BatchMaxAge, c.BatchMaxSize, c.Metrics = 4, 200*time.Millisecond, 2, registry
	})
	var wg sync.WaitGroup
	var mu sync.Mutex
	pushed, taken := 0, map[string]uint64{}
	for i := range 40 {
		wg.Go(func() {
			entry := fmt.Sprint("entry ", i)
			index, err := l.Add(t.Context(), []byte(entry))
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, ErrPushback) {
				pushed++
			} else if err != nil {
				t.Error(err)
			} else {
				taken[entry] = index
			}
		})
	}
	wg.Wait()
	if pushed == 0 || len(taken) == 0 {
		t.Errorf("%d taken, %d pushed back", len(taken), pushed)
	}
	prove(t, l, taken)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		got[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	if got["bulla_treelog_pushback_total"] != float64(pushed) || got["bulla_treelog_published_entries"] != float64(len(taken)) {
		t.Errorf("metrics are %v", got)
	}
}

func TestRefusedEntries(t *testing.T) {
	l := newWorld(t).open(t)
	if _, err := l.Add(t.Context(), make([]byte, MaxEntry+1)); err == nil {
		t.Error("an entry that is too large was taken")
	}
	if _, err := l.AddCT(t.Context(), &ctonly.Entry{Certificate: []byte("c")}); err == nil {
		t.Error("a certificate was taken")
	}
	if _, err := l.Add(t.Context(), make([]byte, MaxEntry)); err != nil {
		t.Errorf("the largest entry: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Add(ctx, []byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled addition gives %v", err)
	}
	if _, err := l.Await(ctx, 100); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled wait gives %v", err)
	}
	closeLog(t, l)
	if _, err := l.Add(t.Context(), []byte("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed log gives %v", err)
	}
}

// TestClockGoesBack makes the published checkpoint seem to be from the future.
func TestClockGoesBack(t *testing.T) {
	w := newWorld(t)
	l := w.open(t)
	for i := range 3 {
		prove(t, l, add(t, l, fmt.Sprint("x", i), 2))
		future := time.Now().Add(1000 * time.Hour)
		if err := os.Chtimes(filepath.Join(w.dir, "checkpoint"), future, future); err != nil {
			t.Fatal(err)
		}
	}
	closeLog(t, l)
	l = w.open(t)
	prove(t, l, add(t, l, "y", 2))
}

func TestRepublish(t *testing.T) {
	w := newWorld(t)
	l := w.open(t, func(c *Config) { c.RepublishInterval = 20 * time.Millisecond })
	prove(t, l, add(t, l, "x", 3))
	h, _ := l.Head()
	for range 3 {
		<-l.change()
	}
	if now, _ := l.Head(); now.Size != h.Size || now.Root != h.Root {
		t.Errorf("the republished checkpoint is of %d entries", now.Size)
	}
}

func TestConfigIsChecked(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*Config){
		"no directory":    func(c *Config) { c.Dir = "" },
		"no origin":       func(c *Config) { c.Origin = "" },
		"another origin":  func(c *Config) { c.Origin = "other.example.com" },
		"no signer":       func(c *Config) { c.Signer = nil },
		"no verifier":     func(c *Config) { c.Verifier = nil },
		"no lock":         func(c *Config) { c.Lock = nil },
		"unknown layout":  func(c *Config) { c.Layout = 7 },
		"enormous batch":  func(c *Config) { c.BatchMaxSize = maxBatch + 1 },
		"another key":     func(c *Config) { c.Signer = newWorld(t).signer },
		"frozen, no tree": func(c *Config) { c.Frozen = true },
	} {
		cfg := w.config(t)
		change(&cfg)
		if l, err := Open(t.Context(), cfg); err == nil {
			closeLog(t, l)
			t.Errorf("%s: the log was opened", name)
		}
	}
}

func TestCT(t *testing.T) {
	w := newWorld(t)
	ct := func(c *Config) { c.Layout = CT }
	l := w.open(t, ct)
	entries := make([]*ctonly.Entry, 270)
	indices := make([]uint64, len(entries))
	var wg sync.WaitGroup
	for i := range entries {
		e := &ctonly.Entry{Timestamp: uint64(i), Certificate: []byte("certificate " + strconv.Itoa(i)), FingerprintsChain: make([][32]byte, i%4)}
		if i%2 == 0 {
			hash := sha256.Sum256(e.Certificate)
			e.IsPrecert, e.Precertificate, e.IssuerKeyHash = true, []byte("precertificate"), hash[:]
		}
		entries[i] = e
		wg.Go(func() {
			var err error
			if indices[i], err = l.AddCT(t.Context(), e); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i, e := range entries {
		head, err := l.Await(t.Context(), indices[i])
		if err != nil {
			t.Fatal(err)
		}
		proof, err := l.InclusionProof(indices[i], head.Size)
		if err != nil {
			t.Fatal(err)
		}
		leaf := [32]byte(e.MerkleLeafHash(indices[i]))
		if err := tlog.VerifyInclusion(int64(indices[i]), int64(head.Size), leaf, head.Root, proof); err != nil {
			t.Fatal(err)
		}
		got, err := l.Entry(indices[i])
		if err != nil || string(got) != string(e.LeafData(indices[i])) {
			t.Fatalf("entry %d: %v", indices[i], err)
		}
		if hash, err := CT.LeafHash(got); err != nil || hash != leaf {
			t.Fatalf("leaf hash of entry %d: %v", indices[i], err)
		}
	}
	if got := fetch(l, "GET", "/tile/data/001.p/3").Code; got != 200 {
		t.Errorf("a data tile is answered with %d", got)
	}
	closeLog(t, l)
	if _, err := w.fsck(t, CT); err != nil {
		t.Error(err)
	}
	l = w.open(t, ct)
	for name, e := range map[string]*ctonly.Entry{
		"nothing":              {},
		"huge":                 {Certificate: make([]byte, maxCTEntry+1)},
		"long chain":           {Certificate: []byte("c"), FingerprintsChain: make([][32]byte, maxCTChain+1)},
		"no issuer key hash":   {Certificate: []byte("c"), IsPrecert: true, Precertificate: []byte("p")},
		"no precertificate":    {Certificate: []byte("c"), IsPrecert: true, IssuerKeyHash: make([]byte, 32)},
		"stray precertificate": {Certificate: []byte("c"), Precertificate: []byte("p")},
	} {
		if _, err := l.AddCT(t.Context(), e); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := l.Add(t.Context(), []byte("x")); err == nil {
		t.Error("an entry that is no certificate was taken")
	}
	if err := l.Refusal(); err != nil {
		t.Errorf("refused entries ended the log: %v", err)
	}
}
