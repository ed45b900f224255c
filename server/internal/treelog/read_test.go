package treelog

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/bulla-sign/bulla/tlog"
)

func fetch(l *Log, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, "/", nil)
	r.URL.Path = path
	l.ServeHTTP(w, r)
	return w
}

func TestReads(t *testing.T) {
	w := newWorld(t)
	l := w.open(t)
	prove(t, l, add(t, l, "one", 260))
	prove(t, l, add(t, l, "two", 10))
	for path, want := range map[string]int{
		"/checkpoint": 200, "/tile/0/000": 200, "/tile/0/001.p/14": 200, "/tile/0/001.p/3": 200, "/tile/0/000.p/7": 200,
		"/tile/1/000.p/1": 200, "/tile/entries/000": 200, "/tile/entries/001.p/14": 200, "/tile/entries/001.p/2": 200,
		"/tile/0/001": 404, "/tile/0/001.p/15": 404, "/tile/0/002": 404, "/tile/1/000": 404, "/tile/1/000.p/2": 404,
		"/tile/7/000": 404, "/tile/8/000": 404, "/tile/entries/001": 404, "/tile/data/000": 404, "/tile/0/0": 404,
		"/tile/0/000.p/0": 404, "/tile/0/000.p/256": 404, "/tile/0/000.p/07": 404, "/tile/00/000": 404, "/tile/0/x000/000": 404,
		"/tile/0/../0/000": 404, "/tile/entries/../../.state/treeState": 404, "/.state/treeState": 404, "/tile/0/": 404, "/": 404,
		"/tile/+0/000": 404, "/tile/0/x018/x446/x744/x073/x709/x551/615": 404, "/tile/0/" + strings.Repeat("x000/", 50) + "000": 404,
		"/checkpoint/": 404, "/tile": 404,
	} {
		got := fetch(l, http.MethodGet, path)
		if got.Code != want {
			t.Errorf("%s is answered with %d, want %d", path, got.Code, want)
		}
		cache := got.Header().Get("Cache-Control")
		if immutable := strings.Contains(cache, "immutable"); immutable != (want == 200 && path != "/checkpoint") || cache == "" {
			t.Errorf("%s has Cache-Control %q", path, cache)
		}
	}
	if got := fetch(l, http.MethodPost, "/checkpoint").Code; got != http.StatusMethodNotAllowed {
		t.Errorf("POST is answered with %d", got)
	}
	full := fetch(l, http.MethodGet, "/tile/0/000").Body.String()
	if part := fetch(l, http.MethodGet, "/tile/0/000.p/7").Body.String(); part != full[:7*tlog.HashSize] {
		t.Error("a partial tile is not the beginning of the full one")
	}
	entries, err := tlog.SplitEntries(fetch(l, http.MethodGet, "/tile/entries/001.p/2").Body.Bytes(), 2)
	if err != nil || len(entries) != 2 {
		t.Errorf("a partial bundle has %d entries, %v", len(entries), err)
	}
}

// TestLeftTilesAreNotServed leaves files as a batch would that was killed before its end.
func TestLeftTilesAreNotServed(t *testing.T) {
	w := newWorld(t)
	l := w.open(t)
	prove(t, l, add(t, l, "one", 5))
	for _, name := range []string{"tile/0/000.p/3", "tile/0/000.p/6", "tile/0/000", "tile/entries/000", "tile/entries/000.p/3"} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(strings.Repeat("left", 3000)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]int{
		"/tile/0/000.p/3": 200, "/tile/0/000.p/6": 404, "/tile/0/000": 404, "/tile/entries/000": 404, "/tile/entries/000.p/3": 200,
	} {
		got := fetch(l, http.MethodGet, path)
		if got.Code != want || strings.Contains(got.Body.String(), "left") {
			t.Errorf("%s is answered with %d: %.20q", path, got.Code, got.Body)
		}
	}
}

// TestClearedTilesAreServed removes the partial tiles of full ones, as Tessera does after a while.
func TestClearedTilesAreServed(t *testing.T) {
	w := newWorld(t)
	l := w.open(t)
	prove(t, l, add(t, l, "one", 100))
	entries := add(t, l, "two", 400)
	prove(t, l, entries)
	for _, name := range []string{"tile/0/000.p", "tile/entries/000.p"} {
		if err := os.RemoveAll(filepath.Join(w.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/tile/0/000.p/100", "/tile/entries/000.p/100"} {
		if got := fetch(l, http.MethodGet, path); got.Code != http.StatusOK {
			t.Errorf("%s is answered with %d", path, got.Code)
		}
	}
	prove(t, l, entries)
}

func TestDamagedTilesAreNotServed(t *testing.T) {
	w := newWorld(t)
	l := w.open(t)
	prove(t, l, add(t, l, "one", 5))
	for _, name := range []string{"tile/0/000.p/5", "tile/entries/000.p/5"} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte("short"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l.files.cache.tiles = nil
	if _, err := l.Entry(4); err == nil {
		t.Error("an entry of a damaged bundle was read")
	}
	for _, path := range []string{"/tile/0/000.p/5", "/tile/entries/000.p/3"} {
		got := fetch(l, http.MethodGet, path)
		if got.Code != http.StatusInternalServerError || strings.Contains(got.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s is answered with %d, %s", path, got.Code, got.Header())
		}
	}
}

func FuzzParseTilePath(f *testing.F) {
	for _, s := range []string{
		"tile/0/000", "tile/0/x001/x234/067.p/8", "tile/entries/000.p/255", "tile/data/x123/456", "tile/0/.p", "tile/0/000.p", "tile//",
		"tile/7/x018/x446/x744/x073/x709/x551/615",
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, path string, ct bool) {
		y := Entries
		if ct {
			y = CT
		}
		p, ok := parseTilePath(path, y)
		if !ok {
			return
		}
		if p.Width < 1 || p.Width > tlog.TileWidth || p.Level > 255 {
			t.Fatalf("%q is %+v", path, p)
		}
		if strings.Contains(path, "..") || !strings.HasPrefix(path, "tile/") {
			t.Fatalf("%q is taken", path)
		}
	})
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte{0, 1, 'a', 0, 0}, false)
	f.Add(append(make([]byte, 10), 0, 0, 1, 'c', 0, 0, 0, 0), true)
	f.Fuzz(func(t *testing.T, data []byte, ct bool) {
		y := Entries
		if ct {
			y = CT
		}
		entries, err := y.Split(data)
		if err != nil {
			return
		}
		total := 0
		for _, e := range entries {
			total += len(e)
			if _, err := y.LeafHash(e); err != nil {
				t.Fatalf("entry %x: %v", e, err)
			}
		}
		if !ct {
			total += 2 * len(entries)
		}
		if total != len(data) {
			t.Fatalf("%d of %d bytes are in entries", total, len(data))
		}
		for n := range len(entries) + 1 {
			part, err := y.head(data, n)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := y.Split(part); err != nil || len(again) != n {
				t.Fatalf("the first %d entries: %d, %v", n, len(again), err)
			}
		}
	})
}

// TestBundlesAreNotHeld reads a bundle of entries that are as large as they can be. Held in memory for each of a thousand
// readers who take their time, such bundles would be all the memory there is.
func TestBundlesAreNotHeld(t *testing.T) {
	w := newWorld(t)
	l := w.open(t)
	large := func(i int) []byte { return append([]byte{byte(i)}, make([]byte, MaxEntry-1)...) }
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			index, err := l.Add(t.Context(), large(i))
			if err == nil {
				_, err = l.Await(t.Context(), index)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for path, width := range map[string]int{"/tile/entries/000.p/64": 64, "/tile/entries/000.p/40": 40} {
		out := &discarded{header: http.Header{}}
		r := httptest.NewRequest(http.MethodGet, path, nil)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		l.ServeHTTP(out, r)
		runtime.ReadMemStats(&after)
		if want := width * (2 + MaxEntry); out.n != want || out.header.Get("Content-Length") != strconv.Itoa(want) {
			t.Errorf("%s has %d bytes (%s), want %d", path, out.n, out.header.Get("Content-Length"), want)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
			t.Errorf("%s takes %d bytes of memory for %d bytes", path, took, out.n)
		}
	}
	if got, err := l.Entry(7); err != nil || string(got) != string(large(int(got[0]))) {
		t.Errorf("entry 7: %v", err)
	}
}

// discarded is an answer that nobody keeps.
type discarded struct {
	header http.Header
	n      int
}

func (d *discarded) Header() http.Header { return d.header }
func (d *discarded) WriteHeader(int)     {}
func (d *discarded) Write(p []byte) (int, error) {
	d.n += len(p)
	return len(p), nil
}
