package treelog

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"

	"github.com/transparency-dev/tessera/api/layout"

	"github.com/bulla-sign/bulla/tlog"
)

// maxPath bounds the path of a tile below the prefix, in bytes: "tile/entries/" and an index of 2^64 take 50.
const maxPath = 64

const (
	immutable = "public, max-age=31536000, immutable" // C2SP tlog-tiles: tiles never change
	noCache   = "no-cache"
	octets    = "application/octet-stream"
)

// ServeHTTP answers reads (C2SP tlog-tiles, static-ct-api): /checkpoint, /tile/<L>/<N>[.p/<W>] and the entries' bundles.
// The caller strips whatever comes before. Only what the published checkpoint covers is there.
func (l *Log) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/")
	if path == checkpointFile {
		l.serveCheckpoint(w)
		return
	}
	t, ok := parseTilePath(path, l.cfg.Layout)
	if !ok {
		w.Header().Set("Cache-Control", noCache)
		http.Error(w, "not the path of a tile", http.StatusNotFound)
		return
	}
	if t.Bundle {
		l.serveBundle(w, path, t)
		return
	}
	data, err := l.Tile(t.Level, t.Index, t.Width)
	if errors.Is(err, fs.ErrNotExist) {
		data, err = l.Tile(t.Level, t.Index, t.Width) // the partial tile may have been cleared away since the checkpoint was looked at
	}
	if err != nil {
		l.failTile(w, path, err)
		return
	}
	serve(w, data, octets, immutable)
}

// serveBundle copies a bundle from its file: it may have 16 MiB, which must not be held for each client that takes its
// time.
func (l *Log) serveBundle(w http.ResponseWriter, path string, t tilePath) {
	b, err := l.openBundle(t.Index, t.Width)
	if errors.Is(err, fs.ErrNotExist) {
		b, err = l.openBundle(t.Index, t.Width)
	}
	if err != nil {
		l.failTile(w, path, err)
		return
	}
	defer b.Close()
	header(w, b.length, octets, immutable)
	_, _ = io.CopyN(w, b, b.length) // the server drops it for HEAD; a reader who has left is nobody's concern
}

func (l *Log) failTile(w http.ResponseWriter, path string, err error) {
	if errors.Is(err, ErrNotCovered) {
		w.Header().Set("Cache-Control", noCache)
		http.Error(w, "the published checkpoint does not cover this", http.StatusNotFound)
		return
	}
	l.cfg.Log.Error("a tile cannot be read", "log", l.cfg.Origin, "path", path, "error", err)
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, "the tile cannot be read", http.StatusInternalServerError)
}

func (l *Log) serveCheckpoint(w http.ResponseWriter) {
	h, ok := l.Head()
	if !ok {
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, "no checkpoint is published yet", http.StatusServiceUnavailable)
		return
	}
	serve(w, h.Checkpoint, "text/plain; charset=utf-8", noCache)
}

func serve(w http.ResponseWriter, data []byte, kind, cache string) {
	header(w, int64(len(data)), kind, cache)
	_, _ = w.Write(data) // as in serveBundle
}

func header(w http.ResponseWriter, length int64, kind, cache string) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", cache)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.FormatInt(length, 10))
}

// tilePath names a tile or a bundle of entries.
type tilePath struct {
	// Bundle says that entries are meant, not hashes; Level is 0 then.
	Bundle bool
	Level  uint64
	Index  uint64
	// Width is from 1 to 256; 256 is a full tile.
	Width int
}

// parseTilePath reads a path such as tile/0/x001/234.p/7. It takes the canonical form only.
func parseTilePath(path string, y Layout) (tilePath, bool) {
	if len(path) > maxPath {
		return tilePath{}, false
	}
	rest, ok := strings.CutPrefix(path, "tile/")
	if !ok {
		return tilePath{}, false
	}
	level, name, ok := strings.Cut(rest, "/")
	if !ok {
		return tilePath{}, false
	}
	t := tilePath{Width: tlog.TileWidth}
	if level == "entries" && y == Entries || level == "data" && y == CT {
		t.Bundle = true
	} else if n, err := strconv.ParseUint(level, 10, 8); err == nil {
		t.Level = n
	} else {
		return tilePath{}, false
	}
	index, partial, err := layout.ParseTileIndexPartial(name)
	if err != nil {
		return tilePath{}, false
	}
	t.Index = index
	if partial > 0 {
		t.Width = int(partial)
	}
	canonical := layout.TilePath(t.Level, index, partial)
	if t.Bundle {
		canonical = files{layout: y}.bundlePath(index, partial)
	}
	return t, path == canonical
}
