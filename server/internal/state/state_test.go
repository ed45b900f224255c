package state_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/server/internal/founding"
	"github.com/bulla-sign/bulla/server/internal/keyring"
	"github.com/bulla-sign/bulla/server/internal/state"
)

var founded = sync.OnceValue(func() []byte {
	f := &founding.Founder{Ring: keyring.Memory(), Now: time.Now}
	h, err := f.Found(context.Background(), "example", "https://sigstore.example.com")
	if err != nil {
		panic(err)
	}
	h.Version = 1
	data, err := h.Encode()
	if err != nil {
		panic(err)
	}
	return data
})

func history(t testing.TB) *state.History {
	t.Helper()
	h, err := state.Decode(founded())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestDecodeRefuses(t *testing.T) {
	good := string(founded())
	for name, edit := range map[string]func(string) string{
		"unknown field":  func(s string) string { return strings.Replace(s, `"revision"`, `"x": 1, "revision"`, 1) },
		"other version":  func(s string) string { return strings.Replace(s, `"version": 1`, `"version": 2`, 1) },
		"something more": func(s string) string { return s + "{}" },
		"cut off":        func(s string) string { return s[:len(s)/2] },
		"nothing":        func(string) string { return "" },
		"no address": func(s string) string {
			return strings.Replace(s, `"url": "https://sigstore.example.com",
  "created"`, `"url": "", "created"`, 1)
		},
		"a key that is none": func(s string) string { return strings.Replace(s, "BEGIN PUBLIC KEY", "BEGIN PUBLIC KEX", 1) },
		"unknown kind":       func(s string) string { return strings.Replace(s, `"issuer": [`, `"issuers": [`, 1) },
		"unknown phase":      func(s string) string { return strings.Replace(s, `"phase": "active"`, `"phase": "lively"`, 1) },
		"none active":        func(s string) string { return strings.Replace(s, `"phase": "active"`, `"phase": "next"`, 1) },
		"closed for ever":    func(s string) string { return strings.Replace(s, `"phase": "active"`, `"phase": "closed"`, 1) },
		"a name with a path": func(s string) string { return strings.Replace(s, `"name": "20`, `"name": "../20`, 1) },
		"rotation to nothing": func(s string) string {
			return strings.Replace(s, `"tufKeys"`, `"rotations": {"log": {"next": "x", "made": "2026-01-01T00:00:00Z"}}, "tufKeys"`, 1)
		},
	} {
		changed := edit(good)
		if changed == good {
			t.Errorf("%s: nothing to change", name)
		}
		if _, err := state.Decode([]byte(changed)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestCheckInstances(t *testing.T) {
	for name, edit := range map[string]func(h *state.History){
		"two active":         func(h *state.History) { h.Instances[state.Log] = append(h.Instances[state.Log], copied(h, "b")) },
		"one name twice":     func(h *state.History) { add(h, h.Instances[state.Log][0].Name, state.Next, time.Hour) },
		"starts in disorder": func(h *state.History) { add(h, "b", state.Next, -time.Hour) },
		"ends too early": func(h *state.History) {
			in := add(h, "b", state.Closed, time.Hour)
			in.End = &h.Created
		},
		"open with an end": func(h *state.History) {
			in := add(h, "b", state.Retiring, time.Hour)
			end := in.Start.Add(time.Hour)
			in.End = &end
		},
		"no start": func(h *state.History) { h.Instances[state.Log][0].Start = time.Time{} },
		"no key":   func(h *state.History) { h.Instances[state.Log][0].Key = "" },
	} {
		h := history(t)
		edit(h)
		if _, err := h.Encode(); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	h := history(t)
	add(h, "b", state.Next, time.Hour)
	if _, err := h.Encode(); err != nil {
		t.Errorf("a good second instance: %v", err)
	}
}

func copied(h *state.History, name string) state.Instance {
	in := h.Instances[state.Log][0]
	in.Name = name
	return in
}

func add(h *state.History, name string, phase state.Phase, after time.Duration) *state.Instance {
	in := copied(h, name)
	in.Phase, in.Start = phase, in.Start.Add(after)
	h.Instances[state.Log] = append(h.Instances[state.Log], in)
	return &h.Instances[state.Log][len(h.Instances[state.Log])-1]
}

func TestDir(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "state")
	if _, err := state.Open(path); !errors.Is(err, state.ErrNotInitialised) {
		t.Errorf("nothing is opened: %v", err)
	}
	d, err := state.Create(path, history(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := state.Create(path, history(t)); err == nil {
		t.Error("a state is overwritten")
	}
	for _, p := range []string{path, filepath.Join(path, "state.json")} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v, %v", p, info.Mode(), err)
		}
	}
	broken := errors.New("changed my mind")
	if _, err := d.Update(func(h *state.History) error { h.Name = "lost"; return broken }); !errors.Is(err, broken) {
		t.Errorf("the error of a change is %v", err)
	}
	if _, err := d.Update(func(h *state.History) error { h.URL = ""; return nil }); err == nil {
		t.Error("a history that is wrong is written")
	}
	h, err := d.Load()
	if err != nil || h.Name != "example" || h.URL == "" || h.Revision != 1 {
		t.Errorf("after changes that failed: %+v, %v", h, err)
	}
	if _, err := state.Open(path); err != nil {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(path, "state.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without its file: %v", err)
	}
}

// Changes of many at once are all there in the end.
func TestUpdateExcludes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if _, err := state.Create(path, history(t)); err != nil {
		t.Fatal(err)
	}
	const many = 8
	var wait sync.WaitGroup
	for range many {
		wait.Go(func() {
			d, err := state.Open(path)
			if err == nil {
				_, err = d.Update(func(h *state.History) error { h.Name += "+"; return nil })
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	d, err := state.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	h, err := d.Load()
	if err != nil || h.Name != "example"+strings.Repeat("+", many) || h.Revision != 1+many {
		t.Errorf("after %d changes: %q, revision %d, %v", many, h.Name, h.Revision, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(founded())
	f.Add([]byte(`{"version":1,"url":"https://a","instances":{"log":null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := state.Decode(data)
		if err != nil {
			return
		}
		again, err := h.Encode()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if _, err := state.Decode(again); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if !json.Valid(again) {
			t.Fatal("no JSON")
		}
		_, _ = h.TrustedRoot() // wrong chains are errors, not panics
		_, _ = h.SigningConfig()
	})
}
