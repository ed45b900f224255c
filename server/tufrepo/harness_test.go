package tufrepo

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/tuf"
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func ecKey(t testing.TB) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func edKey(t testing.TB) crypto.Signer {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func keys(threshold int, of ...crypto.Signer) tuf.RoleKeys {
	k := tuf.RoleKeys{Threshold: threshold}
	for _, s := range of {
		k.Keys = append(k.Keys, s.Public())
	}
	return k
}

// site is a repository with its keys, its clock, and a web server for it.
type site struct {
	t     *testing.T
	clock *clock
	cfg   Config
	spec  tuf.RootSpec
	root1 []byte
	URL   string

	root, targets, online crypto.Signer

	mu     sync.Mutex
	server *Server
}

// newSite founds a repository whose keys are all at hand.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, clock: &clock{at: time.Now()}, root: ecKey(t), targets: edKey(t), online: ecKey(t)}
	s.spec = tuf.RootSpec{Root: keys(1, s.root), Targets: keys(1, s.targets), Snapshot: keys(1, s.online), Timestamp: keys(1, s.online)}
	s.cfg = Config{Dir: filepath.Join(t.TempDir(), "tuf"), Signers: []crypto.Signer{s.root, s.targets, s.online}, Now: s.clock.now}
	if err := Init(context.Background(), s.cfg, s.spec); err != nil {
		t.Fatal(err)
	}
	s.serve()
	return s
}

// serve opens the repository and answers for it.
func (s *site) serve() {
	s.t.Helper()
	var err error
	if s.root1, err = os.ReadFile(filepath.Join(s.cfg.Dir, "1.root.json")); err != nil {
		s.t.Fatal(err)
	}
	s.open()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		server := s.server
		s.mu.Unlock()
		mux := http.NewServeMux()
		for _, p := range server.Patterns() {
			mux.Handle(p, server)
		}
		mux.ServeHTTP(w, r)
	}))
	s.t.Cleanup(web.Close)
	s.URL = web.URL + "/tuf"
}

// open opens the repository, anew if it was open.
func (s *site) open() *Server {
	s.t.Helper()
	server, err := New(context.Background(), s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { server.Close(context.Background()) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server = server
	return server
}

// content is the public instance's trusted root and a file that tells versions apart.
func content(t testing.TB, mark string) []tuf.Target {
	t.Helper()
	return []tuf.Target{
		{Name: "trusted_root.json", Data: testenv.ReadVector(t, "tuf", "root-signing", "targets", "trusted_root.json")},
		{Name: "signing_config.v0.2.json", Data: testenv.ReadVector(t, "tuf", "root-signing", "targets", "signing_config.v0.2.json")},
		{Name: "mark", Data: []byte(mark)},
	}
}

func (s *site) publish(mark string) {
	s.t.Helper()
	if err := s.server.Publish(context.Background(), content(s.t, mark)); err != nil {
		s.t.Fatal(err)
	}
}

// client makes a client that trusts the first root.
func (s *site) client() *tuf.Client {
	s.t.Helper()
	c, err := tuf.New(tuf.Config{Mirror: s.URL, Root: s.root1, Now: s.clock.now})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *site) refresh(c *tuf.Client) *tuf.Trust {
	s.t.Helper()
	got, err := c.Refresh(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

// mark reads the file mark with go-tuf's own client, from the first root. It knows the machine's clock alone.
func (s *site) mark() string {
	s.t.Helper()
	cfg, err := config.New(s.URL, s.root1)
	if err != nil {
		s.t.Fatal(err)
	}
	dir := s.t.TempDir()
	cfg.LocalMetadataDir, cfg.LocalTargetsDir = dir, filepath.Join(dir, "targets")
	up, err := updater.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := up.Refresh(); err != nil {
		s.t.Fatal(err)
	}
	info, err := up.GetTargetInfo("mark")
	if err != nil {
		s.t.Fatal(err)
	}
	_, data, err := up.DownloadTarget(info, "", "")
	if err != nil {
		s.t.Fatal(err)
	}
	return string(data)
}

// files lists everything that is published, with digests.
func (s *site) files() map[string]string {
	s.t.Helper()
	out := make(map[string]string)
	err := filepath.WalkDir(s.cfg.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(s.cfg.Dir, path)
		out[rel] = fmt.Sprintf("%x", sha256.Sum256(data))
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// keptFiles wants every file of before to be unchanged, but for the timestamp and what waits.
func (s *site) keptFiles(before map[string]string) {
	s.t.Helper()
	now := s.files()
	for name, sum := range before {
		if name != "timestamp.json" && filepath.Dir(name) != pendingDir && now[name] != sum {
			s.t.Errorf("%s was changed or removed", name)
		}
	}
}
