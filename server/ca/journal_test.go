package ca_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/bulla-sign/bulla/server/ca"
)

// TestJournal: the intent is there before the certificate, without saying in clear who it was for.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	journal, err := ca.OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(cfg *ca.Config) { cfg.Journal = journal })
	key := newKey(t, elliptic.P256())
	leaf := chainOf(t, do(t, w, http.MethodPost, v2, body(t, w.idp.token(t, claims(nil)), key, email), nil))[0]
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var intent ca.Intent
	if err := json.Unmarshal(bytes.TrimSpace(data), &intent); err != nil || intent.Serial != leaf.SerialNumber.Text(16) || len(intent.Identity) != 64 || !intent.Time.Equal(leaf.NotBefore) {
		t.Fatalf("%v: %s", err, data)
	}
	if strings.Contains(string(data), "alice") {
		t.Fatal("the journal names the identity")
	}
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
	// Without a journal that holds, nothing is signed.
	logged := len(w.log.chains)
	if rw := do(t, w, http.MethodPost, v2, body(t, w.idp.token(t, claims(nil)), key, email), nil); rw.Code != http.StatusInternalServerError || len(w.log.chains) != logged {
		t.Fatal(rw.Code, rw.Body)
	}
}

func TestJournalConcurrent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	journal, err := ca.OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if err := journal.Record(context.Background(), ca.Intent{Serial: "1"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); lines++ {
		if !json.Valid(s.Bytes()) {
			t.Fatalf("line %q", s.Text())
		}
	}
	if lines != 50 {
		t.Fatalf("%d lines", lines)
	}
}

func TestOpenJournal(t *testing.T) {
	for name, c := range map[string]struct{ content, after, want string }{
		"new":     {"", "", ""},
		"good":    {"{\"serial\":\"1\"}\n", "{\"serial\":\"1\"}\n", ""},
		"cut off": {"{\"serial\":\"1\"}\n{\"ser", "{\"serial\":\"1\"}\n{\"ser\n", ""},
		"strange": {"hello\n", "", "line 1"},
		"long":    {"{" + strings.Repeat("x", 10000) + "\n", "", "longer"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal")
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			journal, err := ca.OpenJournal(path)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Fatal(err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = journal.Close() }()
			if data, err := os.ReadFile(path); err != nil || string(data) != c.after {
				t.Fatalf("%v: %q", err, data)
			}
		})
	}
	if _, err := ca.OpenJournal(t.TempDir()); err == nil {
		t.Fatal("a directory is a journal")
	}
}

// broken is a journal that cannot write.
type broken struct{}

func (broken) Record(context.Context, ca.Intent) error { return errors.New("disk full") }

func TestBrokenJournal(t *testing.T) {
	w := newWorld(t, func(cfg *ca.Config) { cfg.Journal = broken{} })
	rw := do(t, w, http.MethodPost, v2, body(t, w.idp.token(t, claims(nil)), newKey(t, elliptic.P256()), email), nil)
	if _, message := refusal(t, rw); rw.Code != http.StatusInternalServerError || strings.Contains(message, "disk full") || len(w.log.chains) > 0 {
		t.Fatal(rw.Code, message)
	}
	if !strings.Contains(w.out.String(), "disk full") {
		t.Fatal(w.out)
	}
}

type full struct{}

func (full) Record(context.Context, ca.Intent) error {
	return &fs.PathError{Op: "write", Path: "/secret/journal", Err: syscall.ENOSPC}
}

// A full disk passes: clients are told to come again, which they do not after an internal error.
func TestJournalOnFullDisk(t *testing.T) {
	w := newWorld(t, func(cfg *ca.Config) { cfg.Journal = full{} })
	rw := do(t, w, http.MethodPost, v2, body(t, w.idp.token(t, claims(nil)), newKey(t, elliptic.P256()), email), nil)
	if _, message := refusal(t, rw); rw.Code != http.StatusServiceUnavailable || rw.Header().Get("Retry-After") != "30" ||
		strings.Contains(message, "secret") || len(w.log.chains) > 0 {
		t.Error(rw.Code, rw.Header(), message)
	}
	if !strings.Contains(w.out.String(), "no space left") {
		t.Error(w.out)
	}
}

// What does not fit on the disk is refused and taken back, and once there is room the journal goes on.
func TestJournalWithoutRoom(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("skipped: no small disk can be mounted: ", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	path := filepath.Join(dir, "journal")
	j, err := ca.OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	fill := filepath.Join(dir, "fill")
	_ = os.WriteFile(fill, make([]byte, 1<<20), 0o600) // as much as fits
	var full error
	for range 200 {
		if full = j.Record(t.Context(), ca.Intent{}); full != nil {
			break
		}
	}
	if !errors.Is(full, syscall.ENOSPC) {
		t.Fatalf("a full disk: %v", full)
	}
	if err := j.Ready(t.Context()); err != nil {
		t.Errorf("a full disk is no broken one: %v", err)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	if err := j.Record(t.Context(), ca.Intent{}); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := ca.OpenJournal(path); err != nil {
		t.Errorf("what was taken back is still there: %v", err)
	}
}
