package tufrepo

import (
	"crypto"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/bulla-sign/bulla/tuf"
)

// restored lets a repository go on for a while after a backup was made of it, brings the backup back, and returns a client
// that has seen what is lost.
func (s *site) restored() *tuf.Client {
	s.t.Helper()
	s.publish("in the backup")
	kept := filepath.Join(s.t.TempDir(), "backup")
	if err := os.CopyFS(kept, os.DirFS(s.cfg.Dir)); err != nil {
		s.t.Fatal(err)
	}
	c := s.client()
	for _, mark := range []string{"lost 1", "lost 2", "lost 3"} {
		s.publish(mark)
		s.refresh(c)
	}
	if err := s.server.Close(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	if err := errors.Join(os.RemoveAll(s.cfg.Dir), os.Rename(kept, s.cfg.Dir)); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// A repository that is brought back from a backup has lower versions than clients have seen, which refuse it until it is
// told.
func TestSkip(t *testing.T) {
	s := newSite(t)
	c := s.restored()
	s.open()
	if _, err := c.Refresh(t.Context()); err == nil {
		t.Fatal("a client takes a lower version: then this test shows nothing")
	}
	if err := s.server.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // once is enough, and twice no harm
		if err := Skip(s.cfg.Dir); err != nil {
			t.Fatal(err)
		}
		s.open()
		s.refresh(c)
		if got := s.mark(); got != "in the backup" {
			t.Errorf("the content is %q", got)
		}
	}
	before := s.server.current.timestamp.Version()
	if err := s.server.Renew(t.Context()); err != nil || s.server.current.timestamp.Version() != before {
		t.Errorf("it is signed again and again: %v", err)
	}
	s.publish("afterwards")
	s.refresh(c)
	s.open()
	s.refresh(s.client())
}

// Where the key of targets is offline, the list of files waits for it.
func TestSkipWithTheKeyOffline(t *testing.T) {
	s := newSite(t)
	c := s.restored()
	s.cfg.Signers = []crypto.Signer{s.root, s.online}
	if err := Skip(s.cfg.Dir); err != nil {
		t.Fatal(err)
	}
	s.open()
	waiting, err := s.server.Pending()
	if err != nil || len(waiting) != 1 {
		t.Fatalf("%d documents wait: %v", len(waiting), err)
	}
	if err := s.server.Import(t.Context(), signed(t, waiting[0], s.targets)); err != nil {
		t.Fatal(err)
	}
	s.refresh(c)
}

func TestSkipRefuses(t *testing.T) {
	if err := Skip(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Errorf("no repository: %v", err)
	}
	s := newSite(t)
	s.publish("x")
	for _, content := range []string{"", "x", "-1", "1 2"} {
		if err := os.WriteFile(filepath.Join(s.cfg.Dir, skipName), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(t.Context(), s.cfg); err == nil {
			t.Errorf("%q is taken for a version", content)
		}
		if err := Skip(s.cfg.Dir); err == nil {
			t.Errorf("%q is taken for a version by Skip", content)
		}
	}
}
