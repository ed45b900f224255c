package monitor

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/tlog"
)

func TestFrontier(t *testing.T) {
	l := newTreeLog(t, Rekor)
	l.fill(700)
	f := frontier{}
	read := func(size int) tlog.TileReader {
		return func(tile tlog.Tile) ([]byte, error) {
			whole := l.entries
			l.entries = whole[:size]
			defer func() { l.entries = whole }()
			if data := l.tile(tile.Path()); data != nil {
				return data, nil
			}
			return nil, fmt.Errorf("no %s", tile.Path())
		}
	}
	for n := range len(l.entries) {
		if f.root() != l.mth(0, n) {
			t.Fatalf("root of %d", n)
		}
		if n > 0 && (n < 20 || n%37 == 0 || n%256 < 2) {
			for _, size := range []int{n, n + 1, 2*n + 1, 256, 512, 700} {
				if size < n || size > 700 {
					continue
				}
				got, err := prefix(int64(n), int64(size), l.mth(0, size), read(size))
				if err != nil || !got.equal(f) {
					t.Fatalf("prefix %d of %d: %v %v", n, size, got, err)
				}
				if _, err := prefix(int64(n), int64(size), l.mth(0, size-1), read(size)); !errors.Is(err, tlog.ErrProof) {
					t.Fatalf("prefix %d of %d with another root: %v", n, size, err)
				}
			}
		}
		f.add(l.leaf(n))
	}
}

func TestFollows(t *testing.T) {
	for _, kind := range []Kind{Rekor, CT} {
		l := newTreeLog(t, kind)
		b := watchLog(t, l)
		for _, size := range []int{0, 0, 1, 2, 3, 255, 256, 257, 600, 600, 1024, 5000} {
			l.set(func() { l.fill(size) })
			b.want()
			b.wantRead(int64(size))
		}
		if b.follower.status().Checked.IsZero() {
			t.Error("never checked")
		}
	}
}

// More entries than one look takes: it goes on at once, and the checkpoint is looked at in between.
func TestLongLog(t *testing.T) {
	if testing.Short() {
		t.Skip("70,000 entries")
	}
	l := newTreeLog(t, Rekor)
	l.fill(chunk*chunks*tlog.TileWidth + 300)
	b := watchLog(t, l)
	if more := b.look(t.Context()); !more {
		t.Error("everything in one look")
	}
	b.want()
	b.wantRead(int64(len(l.entries)))
}

func TestForkOfOneSize(t *testing.T) {
	l := newTreeLog(t, Rekor)
	l.fill(300)
	b := watchLog(t, l)
	b.want()
	first := l.entries
	l.set(func() {
		l.entries = append([][]byte{[]byte("another history")}, first[1:]...)
	})
	b.want(Fork)
	// The proof is on the disk: two checkpoints with the log's signature.
	data, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	one, _, err1 := b.verified(s.Forked.First)
	two, _, err2 := b.verified(s.Forked.Second)
	if err1 != nil || err2 != nil || one.Size != 300 || two.Size != 300 || one.Root == two.Root {
		t.Errorf("proof: %v %v %v %v", one, two, err1, err2)
	}
	// That the log shows its first history again ends nothing, nor does a restart.
	l.set(func() { l.entries = first; l.fill(400) })
	b.want(Fork)
	b.wantRead(400)
	b.reopen()
	b.want(Fork)
	if n := strings.Count(b.logged.String(), "msg=alarm "); n != 2 { // once for each start
		t.Errorf("%d lines: %s", n, b.logged.String())
	}
}

func TestForkOfALargerTree(t *testing.T) {
	for _, sizes := range [][2]int{{1, 2}, {255, 256}, {256, 257}, {300, 301}, {300, 1000}, {512, 5000}} {
		l := newTreeLog(t, CT)
		l.fill(sizes[0])
		b := watchLog(t, l)
		b.want()
		first := l.entries
		l.set(func() {
			l.entries = append([][]byte(nil), first...)
			l.entries[sizes[0]/2] = l.filler("another history")
			l.fill(sizes[1])
		})
		b.want(Fork)
		b.wantRead(int64(sizes[0])) // nothing of the second history is taken
		l.set(func() { l.entries = first; l.fill(sizes[1]) })
		b.want(Fork)
		b.wantRead(int64(sizes[1]))
	}
}

func TestRollback(t *testing.T) {
	l := newTreeLog(t, Rekor)
	l.fill(300)
	b := watchLog(t, l)
	b.want()
	whole := l.entries
	l.set(func() { l.entries = whole[:299] })
	b.want(Rollback)
	b.wantRead(300)
	b.reopen() // after a restart it is still known
	b.want(Rollback)
	l.set(func() { l.entries = whole })
	b.want()
	l.set(func() { l.fill(301) })
	b.want()
	b.wantRead(301)
}

// What is not a checkpoint of this log is none, whoever signed it.
func TestSignature(t *testing.T) {
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	l := newTreeLog(t, Rekor)
	l.fill(10)
	b := watchLog(t, l)
	b.want()
	for name, change := range map[string]func(){
		"another key":    func() { l.signWith = other },
		"another origin": func() { l.origin = "other.bulla.test" },
		"no checkpoint":  func() { l.note = "<html>" },
		"changed":        func() { l.fill(11); l.note = strings.Replace(l.checkpoint(), "\n11\n", "\n12\n", 1) },
		"empty tree, another root": func() {
			full := l.entries
			l.entries = l.entries[:0]
			l.note = l.checkpoint()
			l.entries = full
			l.note = strings.Replace(l.note, l.note[len(testOrigin)+3:len(testOrigin)+7], "AAAA", 1)
		},
	} {
		l.set(change)
		b.lookAll()
		if got := b.follower.status().Alarms; len(got) != 1 || got[0].Alarm != Signature {
			t.Errorf("%s: %v", name, got)
		}
		l.set(func() { l.signWith, l.origin, l.note = nil, testOrigin, ""; l.entries = l.entries[:10] })
		b.want()
	}
}

// Whatever of the tiles and entries is not what was signed raises the alarm, and nothing of it is taken.
func TestTilesOfAnotherTree(t *testing.T) {
	flip := func(part string, at int) func(string, []byte) []byte {
		return func(path string, data []byte) []byte {
			if strings.HasPrefix(path, part) {
				data = bytes.Clone(data)
				data[(at+len(data))%len(data)] ^= 1
			}
			return data
		}
	}
	cut := func(part string) func(string, []byte) []byte {
		return func(path string, data []byte) []byte {
			if strings.HasPrefix(path, part) {
				return data[:len(data)-1]
			}
			return data
		}
	}
	for _, kind := range []Kind{Rekor, CT} {
		entries := map[Kind]string{Rekor: "tile/entries/", CT: "tile/data/"}[kind]
		for name, tamper := range map[string]func(string, []byte) []byte{
			"a leaf hash":           flip("tile/0/002", 5),
			"the last leaf hash":    flip("tile/0/002", -1),
			"a hash further up":     flip("tile/1/", 40),
			"an entry":              flip(entries+"000", 12),
			"an entry near the end": flip(entries+"002", 200),
			"a short tile":          cut("tile/0/"),
			"a short bundle":        cut(entries),
			"a bundle twice": func(path string, data []byte) []byte {
				if strings.HasPrefix(path, entries+"001") {
					data = append(bytes.Clone(data), data...)
				}
				return data
			},
			"too few entries": func(path string, data []byte) []byte {
				if strings.HasPrefix(path, entries) {
					parts, err := kind.layout().Split(data)
					if err != nil {
						t.Fatal(err)
					}
					data = data[:len(data)-len(parts[len(parts)-1])-map[Kind]int{Rekor: 2, CT: 0}[kind]]
				}
				return data
			},
		} {
			l := newTreeLog(t, kind)
			l.fill(300)
			b := watchLog(t, l)
			b.want()
			l.set(func() { l.fill(700); l.tamper = tamper })
			if name == "an entry" { // what was read is not read again
				l.set(func() { l.tamper = nil })
				b = watchLog(t, l)
				l.set(func() { l.tamper = tamper })
			}
			b.lookAll()
			if got := b.follower.status(); len(got.Alarms) != 1 || got.Alarms[0].Alarm != Tiles || got.Read == 700 {
				t.Errorf("%d, %s: read %d, %v", kind, name, got.Read, got.Alarms)
			}
			l.set(func() { l.tamper = nil })
			b.want()
			b.wantRead(700)
		}
	}
}

// A bundle whose entries stand in another order is none of the tree's.
func TestEntriesInAnotherOrder(t *testing.T) {
	l := newTreeLog(t, Rekor)
	l.fill(256)
	b := watchLog(t, l)
	l.tamper = func(path string, data []byte) []byte {
		if path != "tile/entries/000" {
			return data
		}
		whole := l.entries
		l.entries = append([][]byte{whole[1], whole[0]}, whole[2:]...)
		defer func() { l.entries = whole }()
		return l.tile(path)
	}
	b.want(Tiles)
}

func TestUnreachable(t *testing.T) {
	l := newTreeLog(t, Rekor)
	l.fill(10)
	b := watchLog(t, l)
	b.want()
	for _, status := range []int{404, 500, 301, 403} {
		l.set(func() { l.status = status })
		b.want() // that happens
		b.clock = b.clock.Add(unreachableAfter)
		b.want(Unreachable)
		l.set(func() { l.status = 0 })
		b.want()
	}
	l.set(func() { l.note = strings.Repeat("a", tlog.MaxCheckpointSize+1) })
	b.clock = b.clock.Add(unreachableAfter)
	b.want(Unreachable)
}

// Who is told to wait waits, and asks again.
func TestRetries(t *testing.T) {
	l := newTreeLog(t, Rekor)
	l.fill(10)
	left := 2
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if left > 0 {
			left--
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		l.ServeHTTP(w, r)
	}))
	defer srv.Close()
	b := watchLog(t, l)
	b.source.base = srv.URL + "/"
	begin := time.Now()
	b.want()
	b.wantRead(10)
	if took := time.Since(begin); took < 2*time.Second {
		t.Errorf("asked again at once: %v", took)
	}
}

// A log cannot send its monitor elsewhere.
func TestNoRedirects(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked elsewhere") }))
	defer elsewhere.Close()
	srv := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
	defer srv.Close()
	b := watchLog(t, newTreeLog(t, Rekor))
	b.source.base = srv.URL + "/"
	b.clock = b.clock.Add(unreachableAfter)
	b.want(Unreachable)
}

func TestStall(t *testing.T) {
	for _, kind := range []Kind{Rekor, CT} {
		l := newTreeLog(t, kind)
		l.fill(10)
		b := watchLog(t, l)
		b.conf.Stall = time.Hour
		b.reopen()
		b.want()
		b.clock = b.clock.Add(time.Hour)
		b.want()
		b.clock = b.clock.Add(time.Second)
		b.want(Stall)
		b.reopen()
		b.want(Stall)
		if kind == CT { // a tree head of the same tree is news
			l.set(func() { l.at = b.clock })
		} else {
			l.set(func() { l.fill(11) })
		}
		b.want()
	}
}

// Partial tiles may be gone once the full ones are there.
func TestPrunedTiles(t *testing.T) {
	l := newTreeLog(t, CT)
	l.fill(300)
	b := watchLog(t, l)
	b.want()
	l.set(func() { l.pruned = true; l.note = ""; l.fill(1000) })
	old := l.checkpoint()
	l.set(func() { l.fill(1100); l.note = old })
	b.want()
	b.wantRead(1000)
	l.set(func() { l.note = "" })
	b.want()
	b.wantRead(1100)
}

func TestFromHead(t *testing.T) {
	for _, size := range []int{0, 1, 300, 512} {
		l := newTreeLog(t, Rekor)
		l.fill(size)
		b := watchLog(t, l)
		b.conf.FromHead = true
		b.reopen()
		b.want()
		b.wantRead(int64(size))
		if n := l.requests(); n != 0 {
			t.Errorf("size %d: %d bundles were read", size, n)
		}
		l.set(func() { l.fill(size + 100) })
		b.want()
		b.wantRead(int64(size + 100))
	}
}

// The whole of it, over its own goroutine, metrics and page.
func TestMonitor(t *testing.T) {
	l := newTreeLog(t, Rekor)
	l.fill(300)
	srv := httptest.NewServer(l)
	defer srv.Close()
	reg := prometheus.NewRegistry()
	var logged bytes.Buffer
	var mu sync.Mutex
	cfg := Config{
		Logs:     []Log{{Name: "log", Kind: Rekor, URL: srv.URL + "/", Origin: testOrigin, Key: l.key.Public()}},
		Watches:  []Watch{{Name: "w", Subject: "nobody@bulla.test"}},
		Dir:      t.TempDir() + "/monitor",
		Interval: minInterval, Metrics: reg,
		Log: slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) { mu.Lock(); defer mu.Unlock(); return logged.Write(p) }), nil)),
	}
	m, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	shut := func() {
		if !closed {
			closed = true
			if err := m.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}
	}
	defer shut()
	if err := m.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	mux := http.NewServeMux()
	for _, p := range m.Patterns() {
		mux.Handle(p, m)
	}
	status := func() (s Status) {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/monitor", nil))
		var doc struct{ Logs []Status }
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != 200 || len(doc.Logs) != 1 {
			t.Fatalf("%d %s %v", w.Code, w.Body, err)
		}
		return doc.Logs[0]
	}
	await(t, func() bool { return status().Read == 300 })
	first := l.entries
	l.set(func() { l.entries = append([][]byte{[]byte("another")}, first[1:]...) })
	await(t, func() bool {
		s := status()
		return len(s.Alarms) == 1 && s.Alarms[0].Alarm == Fork && s.Alarms[0].Text != ""
	})
	shut()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		for _, x := range f.GetMetric() {
			name := f.GetName()
			for _, label := range x.GetLabel() {
				name += " " + label.GetValue()
			}
			values[name] = x.GetGauge().GetValue() + x.GetCounter().GetValue()
		}
	}
	if values["bulla_monitor_size log"] != 300 || values["bulla_monitor_read log"] != 300 || values["bulla_monitor_alarm fork log"] != 1 ||
		values["bulla_monitor_alarm rollback log"] != 0 || values["bulla_monitor_read_bytes_total log"] < 300 {
		t.Errorf("%v", values)
	}
	if _, ok := values["bulla_monitor_found_total log w"]; !ok {
		t.Errorf("%v", values)
	}
	if !strings.Contains(logged.String(), "level=ERROR msg=alarm log=log alarm=fork") {
		t.Error(logged.String())
	}
	if m2, err := New(t.Context(), cfg); err == nil {
		_ = m2.Close(t.Context())
		t.Error("metrics registered twice")
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func await(t testing.TB, what func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !what(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
	}
}
