package treelog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func (w *world) fsck(t *testing.T, y Layout) (FsckReport, error) {
	t.Helper()
	lock, err := NewFileLock(w.lock)
	if err != nil {
		t.Fatal(err)
	}
	return Fsck(t.Context(), FsckConfig{Dir: w.dir, Origin: testOrigin, Layout: y, Verifier: w.verifier, Lock: lock})
}

func TestFsck(t *testing.T) {
	w := newWorld(t)
	l := w.open(t)
	prove(t, l, add(t, l, "one", 300))
	prove(t, l, add(t, l, "two", 50))
	if _, err := w.fsck(t, Entries); err != nil {
		t.Errorf("while the log is open: %v", err)
	}
	closeLog(t, l)
	report, err := w.fsck(t, Entries)
	if err != nil || report.Size != 350 || report.Locked != 350 || report.Published.Size != 350 {
		t.Fatalf("%+v, %v", report, err)
	}

	flip := func(data []byte) []byte { data[len(data)/2] ^= 1; return data }
	flipLast := func(data []byte) []byte { data[len(data)-1] ^= 1; return data }
	for name, c := range map[string]struct {
		path   string
		damage func([]byte) []byte // nil: removed
		want   string
	}{
		"a full tile":           {"tile/0/000", flip, "tile 0/0: hash 128"},
		"a full bundle":         {"tile/entries/000", flipLast, "tile 0/0: hash"},
		"a partial bundle":      {"tile/entries/001.p/94", flipLast, "tile 0/1: hash"},
		"a shortened bundle":    {"tile/entries/001.p/94", func(d []byte) []byte { return d[:len(d)-1] }, "bundle 1"},
		"a missing bundle":      {"tile/entries/000", nil, "no such file"},
		"an upper tile":         {"tile/1/000.p/1", flip, "root"},
		"a missing tile":        {"tile/0/001.p/94", nil, "no such file"},
		"the checkpoint":        {"checkpoint", flip, "checkpoint"},
		"a missing checkpoint":  {"checkpoint", nil, "no checkpoint"},
		"the tree's state":      {".state/treeState", func([]byte) []byte { return []byte(`{"size":3}`) }, "root"},
		"a malformed state":     {".state/treeState", func([]byte) []byte { return []byte(`{`) }, "treeState"},
		"the lock":              {"../lock/" + testOrigin + ".checkpoint", nil, "lock"},
		"an older lock or none": {"../lock/" + testOrigin + ".checkpoint", func([]byte) []byte { return []byte("x\n") }, "lock"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(w.dir, c.path)
			if rest, ok := strings.CutPrefix(c.path, "../lock/"); ok {
				path = filepath.Join(w.lock, rest)
			}
			good, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			defer os.WriteFile(path, good, 0o644)
			if c.damage == nil {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, c.damage(append([]byte(nil), good...)), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.fsck(t, Entries); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("fsck says %v, want something about %q", err, c.want)
			}
		})
	}
}

// TestFsckComparesUpperTiles damages a tile that no root of this size is computed from.
func TestFsckComparesUpperTiles(t *testing.T) {
	w := newWorld(t)
	l := w.open(t)
	prove(t, l, add(t, l, "one", 520))
	closeLog(t, l)
	// The root of 520 entries rests on tile 1/0 of width 2 and tile 0/2; tile 0/1 only leads to proofs.
	path := filepath.Join(w.dir, "tile/0/001")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[100] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := w.fsck(t, Entries); err == nil || !strings.Contains(err.Error(), "tile 0/1: hash 3") {
		t.Errorf("fsck says %v", err)
	}
}

func TestFsckHandsOutEntriesAndStops(t *testing.T) {
	w := newWorld(t)
	l := w.open(t)
	want := add(t, l, "one", 300)
	prove(t, l, want)
	cfg := FsckConfig{Dir: w.dir, Origin: testOrigin, Verifier: w.verifier}
	var steps []string
	cfg.Progress = func(done, total uint64) { steps = append(steps, fmt.Sprint(done, "/", total)) }
	cfg.Entry = func(index uint64, entry []byte) error {
		if want[string(entry)] != index {
			t.Errorf("entry %d is %q", index, entry)
		}
		return nil
	}
	if _, err := Fsck(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(steps, " "); got != "256/300 300/300" {
		t.Errorf("progress was %s", got)
	}
	enough := errors.New("enough")
	cfg.Entry = func(uint64, []byte) error { return enough }
	if _, err := Fsck(t.Context(), cfg); !errors.Is(err, enough) {
		t.Errorf("the error of the entry's reader became %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Fsck(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled check gives %v", err)
	}
}
