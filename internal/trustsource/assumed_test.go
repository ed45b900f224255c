package trustsource

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/trust/publicgood"
	"github.com/bulla-sign/bulla/tuf"
)

// publicSite plays the public-good repository, with a key of its own, and counts who comes.
type publicSite struct {
	t     *testing.T
	key   crypto.Signer
	files map[string][]byte
	down  bool
	asked int
}

func newPublicSite(t *testing.T, now time.Time) *publicSite {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &publicSite{t: t, key: key, files: map[string][]byte{}}
	who := tuf.RoleKeys{Keys: []crypto.PublicKey{key.Public()}, Threshold: 1}
	s.add(tuf.NewRoot(tuf.RootSpec{Version: 15, Expires: now.AddDate(1, 0, 0), Root: who, Targets: who, Snapshot: who, Timestamp: who}))
	s.publish(1, now)
	return s
}

func (s *publicSite) publish(version int64, now time.Time) {
	s.t.Helper()
	file := tuf.Target{Name: trustedRoot, Data: testenv.ReadVector(s.t, "tuf", "root-signing-staging", "targets", trustedRoot)}
	s.files["/targets/"+file.FileName()] = file.Data
	targets := s.add(tuf.NewTargets(version, now.AddDate(0, 6, 0), []tuf.Target{file}))
	s.add(tuf.NewTimestamp(version, now.AddDate(0, 0, 7), s.add(tuf.NewSnapshot(version, now.AddDate(0, 1, 0), targets))))
}

func (s *publicSite) add(d *tuf.Document, err error) *tuf.Document {
	s.t.Helper()
	if err == nil {
		err = d.Sign(s.key)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	if s.files["/"+d.FileName()], err = d.Encode(); err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *publicSite) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.asked++; s.down || "https://"+r.URL.Host != PublicMirror {
		return nil, errors.New("no such host")
	}
	w := httptest.NewRecorder()
	if data := s.files[r.URL.Path]; data != nil {
		w.Write(data)
	} else {
		w.WriteHeader(http.StatusNotFound)
	}
	return w.Result(), nil
}

const trustedRoot = "trusted_root.json"

// assumedSource is a source for which nobody has set anything up. Its cache knows the root of the site, as it does after
// one of Sigstore's own was followed.
func assumedSource(t *testing.T, s *publicSite, home string, now time.Time) *Source {
	t.Helper()
	dir := filepath.Join(home, strings.TrimPrefix(PublicMirror, "https://"))
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "root.json"), s.files["/15.root.json"], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := source(t, map[string]string{"TUF_ROOT": home})
	out.HTTP, out.Now = &http.Client{Transport: s}, func() time.Time { return now }
	return out
}

// What is built in is trusted only until the public-good instance was reached: not before a day is it asked again, while
// it is away what was heard holds, and when that has expired nothing older stands in.
func TestAssumed(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	home, site := t.TempDir(), newPublicSite(t, now)
	check := func(what string, asked bool, words string) *Source {
		t.Helper()
		site.asked = 0
		s := assumedSource(t, site, home, now)
		root, err := s.Root(context.Background())
		switch {
		case err != nil && (words == "" || !strings.Contains(err.Error(), words)):
			t.Errorf("%s: %v", what, err)
		case err == nil && !strings.Contains(root.Source.Name, words):
			t.Errorf("%s: trusts %s", what, root.Source.Name)
		}
		if (site.asked > 0) != asked || !s.Assumed() {
			t.Errorf("%s: asked %d times", what, site.asked)
		}
		return s
	}
	site.down = true
	if s := check("never reached", true, "public-good, embedded"); s.Unheard() == nil || !strings.Contains(s.Unheard().Error(), "no such host") {
		t.Errorf("nobody says why: %v", s.Unheard())
	}
	if s := check("a moment later", false, "public-good, embedded"); s.Unheard() == nil || !strings.Contains(s.Unheard().Error(), "is asked again 10m0s later") {
		t.Errorf("nobody says why: %v", s.Unheard())
	}
	site.down = false
	now = now.Add(askAgain)
	if s := check("reached", true, "TUF, "+PublicMirror); s.Unheard() != nil {
		t.Error(s.Unheard())
	}
	now = now.Add(askEvery - time.Second)
	check("on the same day", false, "TUF, ")
	now = now.Add(time.Second)
	check("a day later", true, "TUF, ")
	now = now.Add(askEvery)
	site.down = true
	s := check("away", true, "TUF, ")
	if got, err := s.Trust(context.Background()); err != nil || got.Problem == nil || !got.Checked.Equal(now.Add(-askEvery)) {
		t.Errorf("away: %+v, %v", got, err)
	}
	check("away a moment later", false, "TUF, ")
	now = now.AddDate(0, 0, -3)
	check("the clock was set back", true, "TUF, ")
	now = now.AddDate(0, 0, 30)
	check("expired", true, "does not stand in for it")
	check("expired, a moment later", true, "no such host")
	// Sent to be read where no network is.
	offline := assumedSource(t, site, home, now)
	offline.Offline = true
	if root, err := offline.Root(context.Background()); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("expired, offline: %v, %v", root, err)
	}
	site.down = false
	site.publish(2, now)
	check("awake again", true, "TUF, ")
	// A newer program knows more than an older cache.
	built, err := time.Parse(time.DateOnly, publicgood.Date)
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range []struct {
		before time.Duration // its timestamp expires so long before the day of what is built in
		words  string
	}{{time.Second, "public-good, embedded"}, {-time.Second, "does not stand in for it"}} {
		site.down = false
		home, now = t.TempDir(), built.AddDate(0, 0, -7).Add(-old.before)
		site.publish(1, now)
		check("an older cache", true, "TUF, ")
		site.down = true
		now = built.AddDate(1, 0, 0)
		check("an older cache, later", true, old.words)
	}
}

// Only what was never reached is stood in for: not what lies, and not what the user has named or set up.
func TestAssumedByNobody(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	site := newPublicSite(t, now)
	site.down = true
	home := t.TempDir()
	s := assumedSource(t, site, home, now)
	if err := os.WriteFile(filepath.Join(home, "remote.json"), []byte(`{"mirror":"`+PublicMirror+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Root(context.Background()); err == nil || s.Assumed() {
		t.Errorf("what was initialized is stood in for by %s", got.Source.Name)
	}
	// A cache that is damaged begins again at the root that is built in.
	home = t.TempDir()
	s = assumedSource(t, site, home, now)
	if err := os.WriteFile(filepath.Join(home, strings.TrimPrefix(PublicMirror, "https://"), "root.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Root(context.Background()); err != nil || !got.Source.Embedded || s.Unheard() == nil {
		t.Errorf("%v, %v", got, err)
	}
	// The user's time is over before the mirror's.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if got, err := assumedSource(t, site, t.TempDir(), now).Root(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", got, err)
	}
}
