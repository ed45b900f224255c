package tuf_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/tuf"
)

func inHome(home string) func(*tuf.Config) { return func(c *tuf.Config) { c.Home = home } }

// fromHome makes a client that knows the root from the cache alone.
func fromHome(home string) func(*tuf.Config) {
	return func(c *tuf.Config) { c.Home, c.Root = home, nil }
}

// place returns the directory of the mirror's files.
func (r *repository) place(home string) string {
	r.t.Helper()
	name, err := tuf.CacheName(r.URL)
	if err != nil {
		r.t.Fatal(err)
	}
	return filepath.Join(home, name)
}

func TestCache(t *testing.T) {
	r := newRepository(t)
	home := filepath.Join(t.TempDir(), "not", "there")
	if got := refresh(t, r.client(inHome(home))); got.Unsaved != nil {
		t.Fatal(got.Unsaved)
	}
	for name, want := range map[string][]byte{
		"root.json": r.root1, "timestamp.json": r.get("timestamp.json"), "snapshot.json": r.get("1.snapshot.json"),
		"targets.json": r.get("1.targets.json"), "targets/trusted_root.json": publicTargets(t)[0].Data,
	} {
		got, err := os.ReadFile(filepath.Join(r.place(home), filepath.FromSlash(name)))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v, or another content", name, err)
		}
	}
	r.asked()
	c := r.client(fromHome(home))
	r.clock.add(3 * time.Hour)
	got, err := c.Cached()
	if err != nil {
		t.Fatal(err)
	}
	if !got.Cached || !got.Checked.Equal(epoch) || len(r.asked()) != 0 {
		t.Errorf("from the cache: checked %v, asked %v", got.Checked, r.asked())
	}
	// The second process downloads nothing that it has.
	refresh(t, c)
	if asked := r.asked(); len(asked) != 2 {
		t.Errorf("asked for %v", asked)
	}
	if got, err := r.client(fromHome(home)).Cached(); err != nil || !got.Checked.Equal(epoch.Add(3*time.Hour)) {
		t.Errorf("checked %v, %v", got.Checked, err)
	}
}

// A process that saw less does not overwrite what another one saw.
func TestCacheDoesNotGoBack(t *testing.T) {
	r := newRepository(t)
	home := t.TempDir()
	slow := r.client(inHome(home))
	old := r.copyFiles()
	r.publish(publicTargets(t)...)
	refresh(t, r.client(inHome(home)))
	newer := r.get("timestamp.json")
	r.restore(old)
	refresh(t, slow)
	if got, err := os.ReadFile(filepath.Join(r.place(home), "timestamp.json")); err != nil || !bytes.Equal(got, newer) {
		t.Errorf("the newer timestamp was overwritten: %v", err)
	}
	refused(t, r.client(fromHome(home)), "rollback")
}

// Another root that was initialized meanwhile stays, whatever a process that began before goes on to see.
func TestCacheLeavesAnotherRoot(t *testing.T) {
	r, other := newRepository(t), newRepository(t)
	home := t.TempDir()
	refresh(t, r.client(inHome(home)))
	for _, began := range []*tuf.Client{r.client(fromHome(home)), r.client(inHome(home))} {
		name := filepath.Join(r.place(home), "root.json")
		writeFile(t, name, other.root1)
		r.rotateRoot(nil)
		r.publish(publicTargets(t)...)
		if got := refresh(t, began); got.Unsaved != nil {
			t.Error(got.Unsaved)
		}
		if !bytes.Equal(readFile(t, name), other.root1) {
			t.Error("the root was replaced")
		}
		writeFile(t, name, r.root1)
	}
	// One that another process reached is no obstacle.
	c := r.client(fromHome(home))
	r.rotateRoot(nil)
	refresh(t, r.client(fromHome(home)))
	r.restamp()
	refresh(t, c)
	if got, err := r.client(fromHome(home)).Cached(); err != nil || got.Version("timestamp") != r.timestamp.Version() {
		t.Errorf("from the cache %+v, %v", got, err)
	}
}

// Whatever lies in the cache is verified: at worst it is not used.
func TestDamagedCache(t *testing.T) {
	testenv.Unwatched(t)
	t.Parallel()
	r := newRepository(t)
	for _, name := range []string{"timestamp.json", "snapshot.json", "targets.json", "targets/trusted_root.json", "targets/signing_config.v0.2.json"} {
		for what, damage := range map[string]func(data []byte) []byte{
			"empty": func([]byte) []byte { return nil }, "half": func(d []byte) []byte { return d[:len(d)/2] },
			"other": func([]byte) []byte { return []byte("{}") }, "null": func([]byte) []byte { return []byte(`{"signed":null}`) },
			"huge": func([]byte) []byte { return make([]byte, 5<<20) }, "changed": func(d []byte) []byte { return bytes.Replace(d, []byte("1"), []byte("2"), 1) },
		} {
			home := t.TempDir()
			refresh(t, r.client(inHome(home)))
			file := filepath.Join(r.place(home), filepath.FromSlash(name))
			data, err := os.ReadFile(file)
			if err == nil {
				err = os.WriteFile(file, damage(data), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			c := r.client(fromHome(home))
			if got, err := c.Cached(); err == nil {
				t.Errorf("%s %s: %+v", name, what, got)
			}
			refresh(t, c)
			if _, err := r.client(fromHome(home)).Cached(); err != nil {
				t.Errorf("%s %s is not mended: %v", name, what, err)
			}
		}
	}
	home := t.TempDir()
	refresh(t, r.client(inHome(home)))
	if err := os.WriteFile(filepath.Join(r.place(home), "root.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, r.client(fromHome(home)), "trusted root.json") // nothing to begin with: only initialize helps
}

// A target's name never becomes a path: whatever a repository lists, nothing but the known names is written.
func TestTargetNamesStayInside(t *testing.T) {
	r := newRepository(t)
	home := t.TempDir()
	payload := `{"signed":{"_type":"targets","spec_version":"1.0","version":2,"expires":"2030-01-01T00:00:00Z","targets":{%s}},"signatures":[]}`
	entry := func(name string) string {
		quoted, _ := json.Marshal(name)
		return fmt.Sprintf(`%s:{"length":1,"hashes":{"sha256":"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}}`, quoted)
	}
	names := []string{"../../evil", "/etc/evil", `..\..\evil`, "a/../../evil", "C:\\evil", "evil\x01", strings.Repeat("x", 5000), "trusted_root.json/../../evil"}
	var all []string
	for _, n := range names {
		all = append(all, entry(n))
	}
	old := publicTargets(t)[0]
	all = append(all, fmt.Sprintf(`"trusted_root.json":{"length":%d,"hashes":{"sha256":%q}}`, len(old.Data), strings.TrimSuffix(old.FileName(), ".trusted_root.json")))
	d, err := tuf.ParseDocument([]byte(fmt.Sprintf(payload, strings.Join(all, ","))))
	if err != nil {
		t.Fatal(err)
	}
	r.targets = r.sign(d, r.keys["targets"])
	r.store(r.targets)
	r.resnapshot()
	r.asked()
	refresh(t, r.client(inHome(home)))
	for _, name := range r.asked() {
		if strings.Contains(name, "evil") || strings.Contains(name, "xxxx") {
			t.Errorf("asked for %q", name)
		}
	}
	err = filepath.WalkDir(filepath.Dir(home), func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.Contains(d.Name(), "evil") {
			t.Errorf("wrote %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestUnwritableHome(t *testing.T) {
	r := newRepository(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got := refresh(t, r.client(inHome(filepath.Join(file, "home"))))
	if got.Unsaved == nil || got.Root == nil {
		t.Errorf("got %+v", got)
	}
}

// Somebody holds the lock and does not let go: what was fetched is used all the same.
func TestStuckLock(t *testing.T) {
	r := newRepository(t)
	home := t.TempDir()
	refresh(t, r.client(inHome(home)))
	unlock, err := durable.Lock(context.Background(), r.place(home)+".lock", durable.Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	c := r.client(inHome(home))
	if got := refresh(t, c); got.Unsaved != nil {
		t.Errorf("there was nothing to save: %v", got.Unsaved)
	}
	r.restamp()
	if got := refresh(t, c); got.Unsaved == nil || got.Version("timestamp") != 2 {
		t.Errorf("got %+v", got)
	}
	if got, err := r.client(fromHome(home)).Cached(); err != nil || got.Version("timestamp") != 1 {
		t.Errorf("from the cache %+v, %v", got, err)
	}
}

func TestInitialize(t *testing.T) {
	a, b := newRepository(t), newRepository(t)
	home := filepath.Join(t.TempDir(), "home")
	if mirror, err := tuf.Initialized(home); mirror != "" || err != nil {
		t.Errorf("initialized before: %q, %v", mirror, err)
	}
	initialize := func(r *repository, change func(*tuf.Config)) error {
		config := r.config()
		config.Home = home
		if change != nil {
			change(&config)
		}
		_, err := tuf.Initialize(context.Background(), config)
		return err
	}
	want := func(r *repository) {
		t.Helper()
		if mirror, err := tuf.Initialized(home); mirror != r.URL || err != nil {
			t.Errorf("initialized %q, %v, want %s", mirror, err, r.URL)
		}
		if _, err := r.client(fromHome(home)).Cached(); err != nil {
			t.Error(err)
		}
	}
	if err := initialize(a, nil); err != nil {
		t.Fatal(err)
	}
	want(a)
	for _, change := range []func(*tuf.Config){
		func(c *tuf.Config) { c.Root = a.root1 },
		func(c *tuf.Config) { c.Root = nil },
		func(c *tuf.Config) { c.Mirror += "/wrong" },
		func(c *tuf.Config) { c.Mirror = "nonsense" },
		func(c *tuf.Config) { c.Now = func() time.Time { return epoch.AddDate(10, 0, 0) } },
	} {
		if err := initialize(b, change); err == nil {
			t.Error("initialized")
		}
		want(a)
		if entries, _ := os.ReadDir(home); len(entries) != 4 {
			t.Errorf("there is more than there was: %v", entries)
		}
	}
	if err := initialize(b, nil); err != nil {
		t.Fatal(err)
	}
	want(b)
	// Another repository at the same address, which is older by its numbers: the user has decided.
	b.publish(publicTargets(t)...)
	refresh(t, b.client(fromHome(home)))
	c := newRepository(t)
	b.restore(c.copyFiles())
	refused(t, b.client(fromHome(home)), "not signed as demanded")
	if err := initialize(b, func(config *tuf.Config) { config.Root = c.root1 }); err != nil {
		t.Fatal(err)
	}
	want(b)
	refresh(t, b.client(fromHome(home)))
	for _, damage := range []string{"", "{", `{"mirror":"https://.."}`, `{"mirror":7}`, "{}"} {
		if err := os.WriteFile(filepath.Join(home, "remote.json"), []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		if mirror, err := tuf.Initialized(home); err == nil {
			t.Errorf("remote.json %q means %q", damage, mirror)
		}
	}
}

// The program in which tests run plays a client when these variables are set.
const asClient, asHome, asTimes = "BULLA_TUF_CLIENT", "BULLA_TUF_HOME", "BULLA_TUF_TIMES"

func TestMain(m *testing.M) {
	if mirror := os.Getenv(asClient); mirror != "" {
		os.Exit(beClient(mirror))
	}
	os.Exit(m.Run())
}

// beClient loads the trust a few times, as many processes would, and says what it got.
func beClient(mirror string) int {
	for range len(os.Getenv(asTimes)) {
		c, err := tuf.New(tuf.Config{Mirror: mirror, Home: os.Getenv(asHome), Now: func() time.Time { return epoch }})
		if err != nil {
			fmt.Println("new:", err)
			return 1
		}
		t, err := c.Load(context.Background())
		if err != nil {
			fmt.Println("load:", err)
			return 1
		}
		if t.Problem != nil {
			fmt.Println("problem:", t.Problem)
			return 1
		}
		fmt.Println("unsaved:", t.Unsaved)
		if _, err := c.Cached(); err != nil {
			fmt.Println("cached:", err)
			return 1
		}
	}
	return 0
}

func runClient(exe, mirror, home string, change func(*exec.Cmd)) (string, error) {
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), asClient+"="+mirror, asHome+"="+home, asTimes+"=x")
	if change != nil {
		change(cmd)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// A hundred processes use one cache while the repository changes. None fails, and in the end it holds the latest.
func TestHundredProcesses(t *testing.T) {
	testenv.Unwatched(t)
	if testing.Short() {
		t.Skip("starts a hundred processes")
	}
	r := newRepository(t)
	home := t.TempDir()
	config := r.config()
	config.Home = home
	if _, err := tuf.Initialize(context.Background(), config); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var saved atomic.Int64
	start := make(chan struct{})
	for range 100 {
		wg.Go(func() {
			<-start
			out, err := runClient(exe, r.URL, home, nil)
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
			saved.Add(int64(strings.Count(out, "unsaved: <nil>")))
		})
	}
	close(start)
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for changes := 0; ; changes++ {
		select {
		case <-done:
			if changes == 0 || saved.Load() == 0 {
				t.Errorf("meanwhile it changed %d times, and %d of 100 times something was kept", changes, saved.Load())
			}
			if got := refresh(t, r.client(fromHome(home))); got.Unsaved != nil {
				t.Error(got.Unsaved)
			}
			got, err := r.client(fromHome(home)).Cached()
			if err != nil || got.Version("timestamp") != r.timestamp.Version() {
				t.Errorf("in the end the cache has %+v, %v, want timestamp %d", got, err, r.timestamp.Version())
			}
			return
		case <-time.After(100 * time.Millisecond):
			// As a server does it: each file is there before the one that leads to it.
			r.publish(publicTargets(t)...)
		}
	}
}

// A process that may read the cache and not write it works, and says why nothing is kept.
func TestReadOnlyHome(t *testing.T) {
	testenv.Unwatched(t)
	r := newRepository(t)
	home := t.TempDir()
	if err := os.Chmod(filepath.Dir(home), 0o755); err != nil { // others may pass
		t.Fatal(err)
	}
	config := r.config()
	config.Home = home
	if _, err := tuf.Initialize(context.Background(), config); err != nil {
		t.Fatal(err)
	}
	exe := executableForAll(t)
	err := filepath.WalkDir(home, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(path, 0o555)
		}
		return os.Chmod(path, 0o444)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { exec.Command("chmod", "-R", "u+w", home).Run() })
	r.publish(publicTargets(t)...)
	out, err := runClient(exe, r.URL, home, asNobody)
	if err != nil || !strings.Contains(out, "permission denied") || strings.Contains(out, "unsaved: <nil>") {
		t.Errorf("%v: %s", err, out)
	}
	r.answer(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true })
	if out, err = runClient(exe, r.URL, home, asNobody); !strings.Contains(out, "problem: ") {
		t.Errorf("while the mirror is away: %v: %s", err, out)
	}
	r.answer(nil)
	if testing.Short() {
		return
	}
	// A hundred at once do no worse.
	var wg sync.WaitGroup
	var good atomic.Int64
	for range 100 {
		wg.Go(func() {
			if out, err := runClient(exe, r.URL, home, asNobody); err != nil || !strings.Contains(out, "permission denied") {
				t.Errorf("%v: %s", err, out)
				return
			}
			good.Add(1)
		})
	}
	wg.Wait()
	if good.Load() != 100 {
		t.Errorf("%d of 100 worked", good.Load())
	}
}

// executableForAll copies this program to where everybody may run it.
func executableForAll(t *testing.T) string {
	t.Helper()
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(own)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	name := filepath.Join(t.TempDir(), "client")
	to, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Close(), os.Chmod(name, 0o755)); err != nil {
		t.Fatal(err)
	}
	return name
}
