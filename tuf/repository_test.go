package tuf_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/tuf"
)

// epoch is the time of the tests: the public trusted root that they publish is valid then.
var epoch = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: epoch} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// repository is a TUF repository in memory, served over HTTP, whose every byte a test can change.
type repository struct {
	t     testing.TB
	URL   string
	clock *clock

	root1 []byte // what a user trusts first
	keys  map[string][]crypto.Signer
	// lifetimes of the roles.
	life map[string]time.Duration

	root, targets, snapshot, timestamp *tuf.Document

	mu       sync.Mutex
	files    map[string][]byte
	requests []string
	// handle, if set, may answer in place of the files.
	handle func(w http.ResponseWriter, r *http.Request) bool
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

func newRepository(t testing.TB) *repository {
	t.Helper()
	return newRepositoryWith(t, map[string][]crypto.Signer{
		"root": {ecKey(t), edKey(t)}, "targets": {ecKey(t)}, "snapshot": {edKey(t)}, "timestamp": {ecKey(t)},
	})
}

// sameRepository makes a repository that is the same in every process, byte by byte: fuzzing takes place in several.
func sameRepository(t testing.TB) *repository {
	t.Helper()
	key := func(n byte) []crypto.Signer {
		return []crypto.Signer{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))}
	}
	return newRepositoryWith(t, map[string][]crypto.Signer{"root": key(1), "targets": key(2), "snapshot": key(3), "timestamp": key(4)})
}

func newRepositoryWith(t testing.TB, keys map[string][]crypto.Signer) *repository {
	t.Helper()
	r := &repository{
		t: t, clock: newClock(), files: map[string][]byte{}, keys: keys,
		life: map[string]time.Duration{
			"root": 365 * 24 * time.Hour, "targets": 90 * 24 * time.Hour, "snapshot": 30 * 24 * time.Hour, "timestamp": 7 * 24 * time.Hour,
		},
	}
	r.URL = newServer(t, r) + "/repo"
	r.rotateRoot(nil)
	r.root1 = r.get("1.root.json")
	r.publish(publicTargets(t)...)
	return r
}

func newRecorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }

func hexOf(data []byte) string { return hex.EncodeToString(data) }

func newHTTP(h http.Handler) *httptest.Server { return httptest.NewServer(h) }

// publicTargets are the public instance's trusted root and signing config.
func publicTargets(t testing.TB) []tuf.Target {
	t.Helper()
	return []tuf.Target{
		{Name: "trusted_root.json", Data: testenv.ReadVector(t, "tuf", "root-signing", "targets", "trusted_root.json")},
		{Name: "signing_config.v0.2.json", Data: testenv.ReadVector(t, "tuf", "root-signing", "targets", "signing_config.v0.2.json")},
	}
}

func (r *repository) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	name := strings.TrimPrefix(req.URL.Path, "/repo/")
	r.requests = append(r.requests, name)
	data, ok := r.files[name]
	handle := r.handle
	r.mu.Unlock()
	if handle != nil && handle(w, req) {
		return
	}
	if !ok {
		http.NotFound(w, req)
		return
	}
	w.Write(data)
}

func (r *repository) put(name string, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if data == nil {
		delete(r.files, name)
		return
	}
	r.files[name] = data
}

func (r *repository) get(name string) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.files[name]
}

func (r *repository) answer(handle func(http.ResponseWriter, *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handle = handle
}

// asked returns the names requested since the last call.
func (r *repository) asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.requests
	r.requests = nil
	return out
}

// copyFiles and restore save all files and bring them back, for replay attacks.
func (r *repository) copyFiles() map[string][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.files)
}

func (r *repository) restore(files map[string][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files = maps.Clone(files)
}

func (r *repository) expires(role string) time.Time { return r.clock.Now().Add(r.life[role]) }

func (r *repository) sign(d *tuf.Document, keys []crypto.Signer) *tuf.Document {
	r.t.Helper()
	for _, k := range keys {
		if err := d.Sign(k); err != nil {
			r.t.Fatal(err)
		}
	}
	return d
}

func (r *repository) store(d *tuf.Document) {
	r.t.Helper()
	data, err := d.Encode()
	if err != nil {
		r.t.Fatal(err)
	}
	r.put(d.FileName(), data)
}

func public(keys []crypto.Signer) tuf.RoleKeys {
	k := tuf.RoleKeys{Threshold: len(keys)}
	for _, s := range keys {
		k.Keys = append(k.Keys, s.Public())
	}
	return k
}

func (r *repository) rootSpec(version int64) tuf.RootSpec {
	return tuf.RootSpec{
		Version: version, Expires: r.expires("root"), Root: public(r.keys["root"]), Targets: public(r.keys["targets"]),
		Snapshot: public(r.keys["snapshot"]), Timestamp: public(r.keys["timestamp"]),
	}
}

// rotateRoot makes the next root after change has been applied to the keys, signed by the old root's keys and the new ones.
func (r *repository) rotateRoot(change func()) {
	r.t.Helper()
	version, signers := int64(1), []crypto.Signer(nil)
	if r.root != nil {
		version, signers = r.root.Version()+1, r.keys["root"]
	}
	if change != nil {
		change()
	}
	d, err := tuf.NewRoot(r.rootSpec(version))
	if err != nil {
		r.t.Fatal(err)
	}
	r.root = r.sign(r.sign(d, signers), r.keys["root"])
	r.store(r.root)
}

// publish makes new targets, a snapshot and a timestamp, each one version on.
func (r *repository) publish(targets ...tuf.Target) {
	r.t.Helper()
	d, err := tuf.NewTargets(next(r.targets), r.expires("targets"), targets)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range targets {
		r.put("targets/"+f.FileName(), f.Data)
	}
	r.targets = r.sign(d, r.keys["targets"])
	r.store(r.targets)
	r.resnapshot()
}

func (r *repository) resnapshot() {
	r.t.Helper()
	d, err := tuf.NewSnapshot(next(r.snapshot), r.expires("snapshot"), r.targets)
	if err != nil {
		r.t.Fatal(err)
	}
	r.snapshot = r.sign(d, r.keys["snapshot"])
	r.store(r.snapshot)
	r.restamp()
}

func (r *repository) restamp() {
	r.t.Helper()
	d, err := tuf.NewTimestamp(next(r.timestamp), r.expires("timestamp"), r.snapshot)
	if err != nil {
		r.t.Fatal(err)
	}
	r.timestamp = r.sign(d, r.keys["timestamp"])
	r.store(r.timestamp)
}

func next(d *tuf.Document) int64 {
	if d == nil {
		return 1
	}
	return d.Version() + 1
}

// config is that of a client of the repository, in memory.
func (r *repository) config() tuf.Config {
	return tuf.Config{Mirror: r.URL, Root: r.root1, Now: r.clock.Now, Timeout: 10 * time.Second}
}

func (r *repository) client(change ...func(*tuf.Config)) *tuf.Client {
	r.t.Helper()
	config := r.config()
	for _, f := range change {
		f(&config)
	}
	c, err := tuf.New(config)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}
