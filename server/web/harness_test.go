package web_test

import (
	"crypto"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/server/web"
	"github.com/bulla-sign/bulla/tlog"
)

// testLog serves a log's tiles and checkpoint, with hooks to lie with.
type testLog struct {
	*mint.Log
	t      *testing.T
	bodies [][]byte
	ca     *mint.CA
	key    crypto.Signer
	http   *httptest.Server
	lie    func(path string, data []byte) []byte // what is served instead; nil: nothing
	found  []int64                               // what every search answers
	query  url.Values                            // of the last search
}

func newLog(t *testing.T) *testLog {
	t.Helper()
	l := &testLog{Log: mint.NewLogV2(t, mint.LogOptions{Host: "127.0.0.1"}), t: t, ca: mint.NewCA(t, mint.CAOptions{}), key: mint.NewKey(t, algorithm.ECDSAP256SHA256)}
	for i := range l.Leaves() { // a new log of mint's is not empty
		l.bodies = append(l.bodies, fmt.Appendf(nil, "entry %d of somebody else", i))
	}
	l.http = httptest.NewServer(l)
	t.Cleanup(l.http.Close)
	return l
}

// first is the index of the first entry that a test adds.
const first = 11

func path(index int) string { return "/ui/log/" + strconv.Itoa(first+index) }

// add logs a signature with a certificate, or with the key itself when leaf is nil.
func (l *testLog) add(leaf *mint.LeafOptions) {
	l.t.Helper()
	message := fmt.Appendf(nil, "message %d", len(l.bodies))
	s := mint.Signed{Message: message, Signature: mint.Sign(l.t, l.key, algorithm.ECDSAP256SHA256, message), Public: l.key.Public(), Details: algorithm.ECDSAP256SHA256}
	if leaf != nil {
		leaf.Public = l.key.Public()
		s.Certificate = l.ca.Issue(l.t, *leaf)
	}
	l.addBody(mint.Body(l.t, mint.HashedRekordV2, s))
}

func (l *testLog) addBody(body []byte) {
	l.t.Helper()
	l.Add(l.t, mint.HashedRekordV2, body, mint.Epoch)
	l.bodies = append(l.bodies, body)
}

func (l *testLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	data, status := l.serve(path, r)
	if l.lie != nil {
		data = l.lie(path, data)
	}
	if data == nil {
		status = http.StatusNotFound
	}
	w.WriteHeader(status)
	_, _ = w.Write(data)
}

func (l *testLog) serve(path string, r *http.Request) ([]byte, int) {
	switch {
	case path == "checkpoint":
		return []byte(l.Checkpoint(l.t, mint.Epoch)), 200
	case path == "api/v2/search":
		l.query = r.URL.Query()
		if strings.HasPrefix(l.query.Get("digest"), "md5:") {
			return []byte(`{"code":3}`), http.StatusBadRequest
		}
		page := map[string]any{"entries": []any{}, "indexed": strconv.Itoa(len(l.bodies))}
		for _, i := range l.found {
			page["entries"] = append(page["entries"].([]any), map[string]any{"logIndex": strconv.FormatInt(i, 10), "digest": "ignored"})
		}
		if len(l.found) > 1 {
			page["next"] = "7"
		}
		data, _ := json.Marshal(page)
		return data, 200
	}
	for index := int64(0); index*tlog.TileWidth < int64(len(l.bodies)); index++ {
		width := min(tlog.TileWidth, len(l.bodies)-int(index)*tlog.TileWidth)
		tile := tlog.Tile{Index: index, Width: width}
		begin := int(index) * tlog.TileWidth
		if path == tile.EntriesPath() {
			var out []byte
			for _, b := range l.bodies[begin : begin+width] {
				out = append(binary.BigEndian.AppendUint16(out, uint16(len(b))), b...)
			}
			return out, 200
		}
		if path == tile.Path() {
			var out []byte
			for _, h := range l.Leaves()[begin : begin+width] {
				out = append(out, h...)
			}
			return out, 200
		}
	}
	for n := range len(l.bodies) / tlog.TileWidth { // the level above, in all its widths so far
		if path == (tlog.Tile{Level: 1, Width: n + 1}).Path() {
			var out []byte
			for i := range n + 1 {
				out = append(out, root(l.Leaves()[i*tlog.TileWidth:(i+1)*tlog.TileWidth])...)
			}
			return out, 200
		}
	}
	return nil, 404
}

// root is the root of a full subtree.
func root(hashes [][]byte) []byte {
	if len(hashes) == 1 {
		return hashes[0]
	}
	half := len(hashes) / 2
	sum := sha256.Sum256(append(append([]byte{1}, root(hashes[:half])...), root(hashes[half:])...))
	return sum[:]
}

func (l *testLog) site(edit func(*web.Config)) *web.Site {
	l.t.Helper()
	cfg := web.Config{Name: "Acme signing", TransparencyLog: &web.TransparencyLog{URL: l.http.URL, Key: l.Key.Public()}}
	if edit != nil {
		edit(&cfg)
	}
	s, err := web.New(l.t.Context(), cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

func get(t *testing.T, h http.Handler, path string) (int, http.Header, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, w.Header(), string(body)
}

func contains(t *testing.T, body string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(body, w) {
			t.Errorf("the page lacks %q:\n%s", w, body)
		}
	}
}
