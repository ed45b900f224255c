package log

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/server/internal/treelog"
)

// TestRestoredFromABackup: the tree is older than what was signed.
func TestRestoredFromABackup(t *testing.T) {
	w := newWorld(t)
	l, srv := w.open(t)
	post(t, srv, ecdsaSigner(t).upload(t, "a"))
	shut(t, l, srv)
	backup := t.TempDir()
	if err := os.CopyFS(backup, os.DirFS(l.cfg.Dir)); err != nil {
		t.Fatal(err)
	}
	l, srv = w.open(t)
	post(t, srv, ecdsaSigner(t).upload(t, "b"))
	shut(t, l, srv)
	if err := os.RemoveAll(l.cfg.Dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(l.cfg.Dir, os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}

	l, srv = w.open(t)
	if err := l.Ready(t.Context()); !errors.Is(err, treelog.ErrForked) || !strings.Contains(err.Error(), "rotate log") {
		t.Errorf("ready is %v", err)
	}
	status, header, answer := post(t, srv, ecdsaSigner(t).upload(t, "c"))
	checkStatus(t, answer, 14)
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("%d: %s", status, answer)
	}
	if status, _, answer = get(t, srv, "/api/v2/log/entries/0"); status != http.StatusOK {
		t.Errorf("reading gives %d: %s", status, answer)
	}
	entry(t, l, answer)
	if _, err := Fsck(t.Context(), l.cfg, nil); err == nil || !strings.Contains(err.Error(), "lock store") {
		t.Errorf("fsck says %v", err)
	}
}

// TestAnswersToFailures: the client learns what it can do, and nothing about the server's disk.
func TestAnswersToFailures(t *testing.T) {
	l, _ := newWorld(t).open(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx    context.Context
		err    error
		status int
		retry  bool
	}{
		{t.Context(), treelog.ErrFrozen, 405, false},
		{t.Context(), treelog.ErrPushback, 503, true},
		{t.Context(), treelog.ErrClosed, 503, true},
		{t.Context(), treelog.ErrFull, 503, true},
		{t.Context(), treelog.ErrForked, 503, true},
		{t.Context(), treelog.ErrFailed, 503, true},
		{t.Context(), context.DeadlineExceeded, 503, true},
		{t.Context(), errors.New("what"), 500, false},
		{gone, context.Canceled, 499, false},
	} {
		r := httptest.NewRequest(http.MethodPost, pathEntries, nil).WithContext(c.ctx)
		no := l.failed(r, fmt.Errorf("/var/lib/secret: %w", c.err))
		if no.status != c.status || (no.retry > 0) != c.retry || strings.Contains(no.message, "/var") {
			t.Errorf("%v: %+v", c.err, no)
		}
	}
}
