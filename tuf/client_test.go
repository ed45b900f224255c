package tuf_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/tuf"
)

func refresh(t *testing.T, c *tuf.Client) *tuf.Trust {
	t.Helper()
	got, err := c.Refresh(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// refused wants a refresh to fail with an error that contains the words.
func refused(t *testing.T, c *tuf.Client, words string) error {
	t.Helper()
	got, err := c.Refresh(context.Background())
	if err == nil {
		t.Fatalf("refreshed to %+v, want an error with %q", got.Roles, words)
	}
	if !strings.Contains(err.Error(), words) {
		t.Errorf("error %q, want one with %q", err, words)
	}
	return err
}

func TestFirstRefresh(t *testing.T) {
	r := newRepository(t)
	got := refresh(t, r.client())
	if len(got.Root.Logs) == 0 || got.Cached || got.Problem != nil || !got.Checked.Equal(epoch) {
		t.Errorf("got %+v", got)
	}
	if config, err := got.SigningConfig(); err != nil || len(config.CAs) != 1 {
		t.Errorf("signing config: %v, %v", config, err)
	}
	if e := got.Expires(); e.Name != "timestamp" || !e.Expires.Equal(epoch.Add(7*24*time.Hour)) {
		t.Errorf("first to expire: %+v", e)
	}
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		if got.Version(role) != 1 {
			t.Errorf("%s has version %d", role, got.Version(role))
		}
	}
	if asked := r.asked(); len(asked) != 6 {
		t.Errorf("asked for %v", asked)
	}
}

// A second refresh asks for the next root and the timestamp, nothing else, when nothing has changed.
func TestRefreshIsCheap(t *testing.T) {
	r := newRepository(t)
	c := r.client()
	refresh(t, c)
	r.asked()
	refresh(t, c)
	if got, want := r.asked(), []string{"2.root.json", "timestamp.json"}; !slices.Equal(got, want) {
		t.Errorf("asked for %v, want %v", got, want)
	}
	r.restamp()
	refresh(t, c)
	if got, want := r.asked(), []string{"2.root.json", "timestamp.json"}; !slices.Equal(got, want) {
		t.Errorf("after a new timestamp asked for %v, want %v", got, want)
	}
	r.publish(publicTargets(t)...)
	refresh(t, c)
	if got, want := r.asked(), []string{"2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"}; !slices.Equal(got, want) {
		t.Errorf("after a new snapshot asked for %v, want %v", got, want)
	}
}

func TestRootChain(t *testing.T) {
	r := newRepository(t)
	c := r.client()
	refresh(t, c)
	for range 5 {
		r.rotateRoot(func() { r.keys["root"] = []crypto.Signer{edKey(t), ecKey(t)} })
	}
	// The keys of the online roles change too, which invalidates what was kept.
	r.rotateRoot(func() { r.keys["timestamp"], r.keys["snapshot"] = []crypto.Signer{ecKey(t)}, []crypto.Signer{ecKey(t)} })
	r.resnapshot()
	if got := refresh(t, c); got.Version("root") != 7 || got.Version("timestamp") != 2 {
		t.Errorf("versions %+v", got.Roles)
	}
	if got := refresh(t, r.client()); got.Version("root") != 7 {
		t.Errorf("a new client that starts at the first root is at %+v", got.Roles)
	}
}

// After online keys were stolen and versions driven up, a root with new keys lets clients start over (5.3.11).
func TestFastForwardRecovery(t *testing.T) {
	r := newRepository(t)
	c := r.client()
	d, err := tuf.NewTimestamp(1_000_000, r.expires("timestamp"), r.snapshot)
	if err != nil {
		t.Fatal(err)
	}
	r.store(r.sign(d, r.keys["timestamp"]))
	refresh(t, c)
	r.store(r.timestamp)
	refused(t, c, "rollback")
	r.rotateRoot(func() { r.keys["timestamp"] = []crypto.Signer{edKey(t)} })
	r.restamp()
	if got := refresh(t, c); got.Version("timestamp") != 2 {
		t.Errorf("versions %+v", got.Roles)
	}
}

func TestAttacks(t *testing.T) {
	evil := func(t *testing.T) []crypto.Signer { return []crypto.Signer{ecKey(t)} }
	tests := []struct {
		name  string
		words string
		do    func(t *testing.T, r *repository, old map[string][]byte)
	}{
		{"timestamp rolled back", "rollback", func(_ *testing.T, r *repository, old map[string][]byte) {
			r.put("timestamp.json", old["timestamp.json"])
		}},
		{"everything rolled back", "rollback", func(_ *testing.T, r *repository, old map[string][]byte) { r.restore(old) }},
		{"snapshot rolled back by the timestamp's key", "rollback", func(_ *testing.T, r *repository, old map[string][]byte) {
			old1, _ := tuf.ParseDocument(old["1.snapshot.json"])
			d, _ := tuf.NewTimestamp(9, r.expires("timestamp"), old1)
			r.store(r.sign(d, r.keys["timestamp"]))
		}},
		{"targets rolled back by the online keys", "rollback", func(_ *testing.T, r *repository, old map[string][]byte) {
			r.targets, _ = tuf.ParseDocument(old["1.targets.json"])
			r.resnapshot()
		}},
		{"another snapshot under the same version", "snapshot.json", func(t *testing.T, r *repository, _ map[string][]byte) {
			r.publish(publicTargets(t)...)
			d, _ := tuf.NewSnapshot(3, r.expires("snapshot").Add(time.Hour), r.targets)
			r.store(r.sign(d, r.keys["snapshot"]))
		}},
		{"mix of two snapshots", "targets.json", func(t *testing.T, r *repository, _ map[string][]byte) {
			r.publish(publicTargets(t)...)
			r.put("3.targets.json", r.get("2.targets.json"))
		}},
		{"timestamp by another key", "not signed as demanded", func(t *testing.T, r *repository, _ map[string][]byte) {
			r.keys["timestamp"] = evil(t)
			r.restamp()
		}},
		{"snapshot by another key", "not signed as demanded", func(t *testing.T, r *repository, _ map[string][]byte) {
			r.keys["snapshot"] = evil(t)
			r.resnapshot()
		}},
		{"targets by another key", "not signed as demanded", func(t *testing.T, r *repository, _ map[string][]byte) {
			r.keys["targets"] = evil(t)
			r.publish(publicTargets(t)...)
		}},
		{"snapshot by the timestamp's key", "not signed as demanded", func(t *testing.T, r *repository, _ map[string][]byte) {
			r.keys["snapshot"] = r.keys["timestamp"]
			r.resnapshot()
		}},
		{"root by one key of two", "not signed as demanded", func(_ *testing.T, r *repository, _ map[string][]byte) {
			d, _ := tuf.NewRoot(r.rootSpec(3))
			r.store(r.sign(d, r.keys["root"][:1]))
		}},
		{"root by new keys alone", "not signed as demanded", func(t *testing.T, r *repository, _ map[string][]byte) {
			r.keys["root"] = evil(t)
			d, _ := tuf.NewRoot(r.rootSpec(3))
			r.store(r.sign(d, r.keys["root"]))
		}},
		{"root by old keys alone", "not signed as demanded", func(t *testing.T, r *repository, _ map[string][]byte) {
			signers := r.keys["root"]
			r.keys["root"] = evil(t)
			d, _ := tuf.NewRoot(r.rootSpec(3))
			r.store(r.sign(d, signers))
		}},
		{"root that skips a version", "rollback", func(_ *testing.T, r *repository, _ map[string][]byte) {
			d, _ := tuf.NewRoot(r.rootSpec(4))
			data, _ := r.sign(d, r.keys["root"]).Encode()
			r.put("3.root.json", data)
		}},
		{"the same root again", "rollback", func(_ *testing.T, r *repository, _ map[string][]byte) {
			r.put("3.root.json", r.get("2.root.json"))
		}},
		{"a target with other content", "trusted_root.json", func(t *testing.T, r *repository, _ map[string][]byte) {
			f := publicTargets(t)[0]
			f.Data = append(f.Data, '\n')
			r.publish(f)
			r.put("targets/"+f.FileName(), append([]byte{' '}, f.Data[:len(f.Data)-1]...))
		}},
		{"timestamp in place of the snapshot", "snapshot.json", func(t *testing.T, r *repository, _ map[string][]byte) {
			r.publish(publicTargets(t)...)
			r.put("3.snapshot.json", r.get("timestamp.json"))
		}},
		{"no trusted root", "publishes no trusted_root.json", func(t *testing.T, r *repository, _ map[string][]byte) {
			r.publish(publicTargets(t)[1])
		}},
		{"a trusted root that makes no sense", "trusted_root.json: ", func(_ *testing.T, r *repository, _ map[string][]byte) {
			r.publish(tuf.Target{Name: "trusted_root.json", Data: []byte(`{"mediaType":"x"}`)})
		}},
		{"a missing timestamp", "does not have it", func(_ *testing.T, r *repository, _ map[string][]byte) { r.put("timestamp.json", nil) }},
		{"HTML", "not valid JSON", func(_ *testing.T, r *repository, _ map[string][]byte) {
			r.put("timestamp.json", []byte("<html>sign in</html>"))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRepository(t)
			old := r.copyFiles()
			r.rotateRoot(nil)
			r.publish(publicTargets(t)...)
			c := r.client()
			before := refresh(t, c)
			tt.do(t, r, old)
			refused(t, c, tt.words)
			// What was known holds on, and says why it is what is used.
			got, err := c.Load(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if !got.Cached || got.Problem == nil || !strings.Contains(got.Problem.Error(), tt.words) || got.Version("targets") != before.Version("targets") {
				t.Errorf("got %+v, problem %v", got.Roles, got.Problem)
			}
		})
	}
}

// Each role's expiry alone makes both a refresh and the cache useless, and the second before does not.
func TestExpiry(t *testing.T) {
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		t.Run(role, func(t *testing.T) {
			r := newRepository(t)
			for name := range r.life {
				r.life[name] = 1000 * time.Hour
			}
			r.life[role] = 10 * time.Hour
			r.rotateRoot(nil)
			r.publish(publicTargets(t)...)
			c := r.client()
			if got := refresh(t, c); got.Expires().Name != role {
				t.Errorf("first to expire: %+v", got.Expires())
			}
			r.clock.add(10 * time.Hour)
			refresh(t, c)
			if _, err := c.Cached(); err != nil {
				t.Errorf("in its last second: %v", err)
			}
			r.clock.add(time.Second)
			if err := refused(t, c, "expired"); !errors.Is(err, tuf.ErrExpired) {
				t.Errorf("%v is not ErrExpired", err)
			}
			if _, err := c.Cached(); !errors.Is(err, tuf.ErrExpired) {
				t.Errorf("from the cache: %v", err)
			}
			if got, err := c.Load(context.Background()); err == nil {
				t.Errorf("loaded %+v", got)
			}
			if _, err := r.client().Refresh(context.Background()); !errors.Is(err, tuf.ErrExpired) {
				t.Errorf("a new client: %v", err)
			}
			// The repository wakes up.
			r.rotateRoot(nil)
			r.publish(publicTargets(t)...)
			refresh(t, c)
		})
	}
}

// A new root counts even if the refresh fails after it: the old one may be compromised.
func TestRootIsKeptWhenTheRestFails(t *testing.T) {
	r := newRepository(t)
	c := r.client()
	refresh(t, c)
	r.rotateRoot(func() { r.keys["timestamp"] = []crypto.Signer{ecKey(t)} })
	refused(t, c, "not signed as demanded") // the timestamp is not signed anew yet
	r.put("2.root.json", nil)
	r.asked()
	refused(t, c, "not signed as demanded")
	if got := r.asked(); got[0] != "3.root.json" {
		t.Errorf("asked for %v", got)
	}
}

func TestHugeFiles(t *testing.T) {
	for _, name := range []string{
		"2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json", "targets/" + publicTargets(t)[0].FileName(),
	} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " chunked=", chunked), func(t *testing.T) {
				r := newRepository(t)
				var sent atomic.Int64
				r.answer(func(w http.ResponseWriter, req *http.Request) bool {
					if !strings.HasSuffix(req.URL.Path, "/"+name) {
						return false
					}
					if !chunked {
						w.Header().Set("Content-Length", fmt.Sprint(1<<30))
					}
					for range 1 << 12 {
						n, err := w.Write(make([]byte, 1<<18))
						sent.Add(int64(n))
						if err != nil {
							return true
						}
					}
					return true
				})
				refused(t, r.client(), "bytes")
				if sent.Load() > 64<<20 {
					t.Errorf("the server could send %d bytes", sent.Load())
				}
			})
		}
	}
}

// What metadata says of sizes is bounded too.
func TestHugeTarget(t *testing.T) {
	r := newRepository(t)
	payload := `{"signed":{"_type":"targets","spec_version":"1.0","version":2,"expires":"2030-01-01T00:00:00Z","targets":{"trusted_root.json":{"length":99999999,"hashes":{"sha256":"00"}}}},"signatures":[]}`
	d, err := tuf.ParseDocument([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	r.targets = r.sign(d, r.keys["targets"])
	r.store(r.targets)
	r.resnapshot()
	refused(t, r.client(), "has 99999999 bytes")
}

func TestSlowMirror(t *testing.T) {
	r := newRepository(t)
	r.answer(func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.HasSuffix(req.URL.Path, "timestamp.json") {
			return false
		}
		w.Write([]byte("{"))
		for req.Context().Err() == nil {
			w.Write([]byte(" "))
			w.(http.Flusher).Flush()
			time.Sleep(5 * time.Millisecond)
		}
		return true
	})
	err := refused(t, r.client(func(c *tuf.Config) { c.Timeout = 200 * time.Millisecond }), "did not deliver")
	if !errors.Is(err, tuf.ErrNoAnswer) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestNoAnswer(t *testing.T) {
	r := newRepository(t)
	c := r.client()
	refresh(t, c)
	for _, status := range []int{500, 502, 503, 429, 204, 304} {
		r.answer(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(status); return true })
		if err := refused(t, c, fmt.Sprint("status ", status)); !errors.Is(err, tuf.ErrNoAnswer) {
			t.Errorf("status %d: %v", status, err)
		}
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	lost := r.client(func(c *tuf.Config) { c.Mirror = gone.URL })
	if err := refused(t, lost, "did not deliver"); !errors.Is(err, tuf.ErrNoAnswer) {
		t.Errorf("nobody there: %v", err)
	}
}

func TestRedirects(t *testing.T) {
	r := newRepository(t)
	var stranger atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { stranger.Add(1); r.ServeHTTP(w, req) }))
	defer other.Close()
	r.answer(func(w http.ResponseWriter, req *http.Request) bool {
		http.Redirect(w, req, other.URL+req.URL.Path, http.StatusFound)
		return true
	})
	refused(t, r.client(), "redirect to another host")
	refused(t, r.client(func(c *tuf.Config) { c.HTTP = &http.Client{} }), "redirect to another host")
	if stranger.Load() != 0 {
		t.Errorf("the other host was asked %d times", stranger.Load())
	}
	// On the same host they are followed, a few times.
	r.answer(func(w http.ResponseWriter, req *http.Request) bool {
		if strings.HasPrefix(req.URL.Path, "/repo/") {
			return false
		}
		http.Redirect(w, req, "/repo/"+strings.TrimPrefix(req.URL.Path, "/old/"), http.StatusFound)
		return true
	})
	refresh(t, r.client(func(c *tuf.Config) { c.Mirror = strings.TrimSuffix(r.URL, "/repo") + "/old/" }))
	r.answer(func(w http.ResponseWriter, req *http.Request) bool {
		http.Redirect(w, req, req.URL.Path, http.StatusFound)
		return true
	})
	refused(t, r.client(), "redirects")
}

func TestMirrorNames(t *testing.T) {
	for mirror, want := range map[string]string{
		"https://tuf-repo-cdn.sigstore.dev": "tuf-repo-cdn.sigstore.dev",
		"http://localhost:8080/TUF/":        "localhost-8080-tuf-",
		"https://[::1]:80/a":                "[--1]-80-a",
	} {
		if got, err := tuf.CacheName(mirror); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", mirror, got, err, want)
		}
	}
	for _, mirror := range []string{
		"", "localhost", "file:///etc/passwd", "ftp://host/", "https://", "https:///x", "https://..", "https://../", "https://.",
		"https://user:secret@host", "https://host/?x", "https://host/#x", "https://host/" + strings.Repeat("x", 200), `https://host\..\..`,
		"https://host/\x00", `https://host/..\..\x`,
	} {
		got, err := tuf.CacheName(mirror)
		if err == nil {
			t.Errorf("%q became %q", mirror, got)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells the password: %v", err)
		}
		if _, err := tuf.New(tuf.Config{Mirror: mirror, Root: []byte("{}"), Home: t.TempDir()}); err == nil {
			t.Errorf("%q became a client", mirror)
		}
	}
}

func TestNoRoot(t *testing.T) {
	r := newRepository(t)
	for _, change := range []func(*tuf.Config){
		func(c *tuf.Config) { c.Root = nil },
		func(c *tuf.Config) { c.Root, c.Home = nil, t.TempDir() },
	} {
		config := r.config()
		change(&config)
		if _, err := tuf.New(config); err == nil {
			t.Error("there is a client without a root")
		}
	}
	refused(t, r.client(func(c *tuf.Config) { c.Root = []byte("{}") }), "trusted root.json")
	refused(t, r.client(func(c *tuf.Config) { c.Root = []byte("no") }), "trusted root.json")
	refused(t, r.client(func(c *tuf.Config) { c.Root = r.get("timestamp.json") }), "trusted root.json")
	broken := strings.Replace(string(r.root1), `"sig": "`, `"sig": "00`, 1)
	refused(t, r.client(func(c *tuf.Config) { c.Root = []byte(broken) }), "not signed as demanded")
}
