package log

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
)

// TestCompressedUploads is the class of GHSA-2h5h-59f5-c5x9 and GHSA-47q9-m4ww-924m: nothing that a client sends is ever
// unpacked, whatever it says of it.
func TestCompressedUploads(t *testing.T) {
	l, _ := newWorld(t).open(t)
	good := edit(t, ecdsaSigner(t).upload(t, "m"), func(map[string]any) {})
	var bomb bytes.Buffer
	packed := gzip.NewWriter(&bomb)
	for _, part := range [][]byte{bytes.Repeat([]byte(" "), 64<<20), good} {
		if _, err := packed.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(h http.Header){
		"Content-Encoding": func(h http.Header) { h.Set("Content-Encoding", "gzip") },
		"media type":       func(h http.Header) { h.Set("Content-Type", "application/gzip") },
		"nothing said":     func(http.Header) {},
	} {
		r := httptest.NewRequest(http.MethodPost, pathEntries, bytes.NewReader(bomb.Bytes()))
		edit(r.Header)
		w := httptest.NewRecorder()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		l.ServeHTTP(w, r)
		runtime.ReadMemStats(&after)
		if w.Code != http.StatusBadRequest && w.Code != http.StatusUnsupportedMediaType {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
			t.Errorf("%s: %d bytes of memory for %d that were sent", name, took, bomb.Len())
		}
	}
	if h, ok := l.tree.Head(); !ok || h.Size != 0 {
		t.Errorf("%d entries were logged", h.Size)
	}
}
