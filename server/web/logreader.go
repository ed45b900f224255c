package web

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/bulla-sign/bulla/tlog"
)

const (
	logTimeout = 10 * time.Second
	// maxBundle is the largest bundle of entries there can be: 256 of 64 KiB (C2SP tlog-tiles), each behind its length.
	maxBundle = tlog.TileWidth * (2 + 1<<16)
	maxTile   = tlog.TileWidth * tlog.HashSize
	maxSearch = 4 << 20 // bytes of a page of results: 100 entries with 16 names of 2 KiB at most
)

var (
	// errNotFound says that the checkpoint covers no such entry.
	errNotFound = errors.New("the log has no such entry")
	// errAbsent says that the log does not serve something that it should, or no longer.
	errAbsent = errors.New("the log does not have it")
)

// Direct is a transport that calls a handler of this process instead of opening a connection.
type Direct struct{ Handler http.Handler }

// RoundTrip lets the handler answer into memory.
func (d Direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := &answer{header: make(http.Header), status: http.StatusOK}
	inner := r.Clone(r.Context())
	inner.RequestURI = r.URL.RequestURI()
	if inner.Body == nil {
		inner.Body = http.NoBody
	}
	d.Handler.ServeHTTP(w, inner)
	return &http.Response{
		Status: strconv.Itoa(w.status) + " " + http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

type answer struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if !a.wrote {
		a.status, a.wrote = status, true
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.wrote = true
	if a.body.Len()+len(p) > maxBundle {
		return 0, errors.New("the answer is larger than any that is read")
	}
	return a.body.Write(p)
}

// logReader reads a log and checks what it reads.
type logReader struct {
	base   *url.URL
	origin string
	key    crypto.PublicKey
	id     []byte
	http   *http.Client
}

// get fetches what the log has below its URL.
func (l *logReader) get(ctx context.Context, path, query string, limit int64) ([]byte, error) {
	u := l.base.JoinPath(path)
	u.RawQuery = query
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := l.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case resp.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("%s: %w", path, errAbsent)
	case resp.StatusCode == http.StatusBadRequest:
		return nil, fmt.Errorf("%s: %w", path, errQuery)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: the log answered with status %d", path, resp.StatusCode)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("%s: the log's answer is larger than %d bytes", path, limit)
	}
	return data, nil
}

// head is a checkpoint whose signature by the log is right.
type head struct {
	*tlog.Checkpoint
	text string
}

func (l *logReader) head(ctx context.Context) (head, error) {
	data, err := l.get(ctx, "checkpoint", "", tlog.MaxCheckpointSize)
	if err != nil {
		return head{}, err
	}
	c, err := tlog.ParseCheckpoint(string(data))
	if err != nil {
		return head{}, err
	}
	if err := c.VerifySignature(l.origin, l.id, l.key); err != nil {
		return head{}, err
	}
	return head{c, string(data)}, nil
}

// bundle returns the entries of a tile, as many as the tree of this size has there.
func (l *logReader) bundle(ctx context.Context, tile, size int64) ([][]byte, error) {
	width := min(size-tile*tlog.TileWidth, tlog.TileWidth)
	data, err := l.tile(ctx, tlog.Tile{Index: tile, Width: int(width)}, tlog.Tile.EntriesPath, maxBundle)
	if err != nil {
		return nil, err
	}
	entries, err := tlog.SplitEntries(data, int(width))
	if err == nil {
		return entries, nil
	}
	whole, wholeErr := tlog.SplitEntries(data, tlog.TileWidth) // the partial tile had gone, and this is the full one
	if wholeErr != nil {
		return nil, err
	}
	return whole[:width], nil
}

// hashes reads a tile of hashes.
func (l *logReader) hashes(ctx context.Context) tlog.TileReader {
	return func(t tlog.Tile) ([]byte, error) {
		data, err := l.tile(ctx, t, tlog.Tile.Path, maxTile)
		if err != nil {
			return nil, err
		}
		if len(data) == maxTile {
			data = data[:t.Width*tlog.HashSize]
		}
		return data, nil
	}
}

// tile fetches a tile, and the full one where the partial one is no longer kept (C2SP tlog-tiles, "Partial tiles").
func (l *logReader) tile(ctx context.Context, t tlog.Tile, path func(tlog.Tile) string, limit int64) ([]byte, error) {
	data, err := l.get(ctx, path(t), "", limit)
	if errors.Is(err, errAbsent) && t.Width < tlog.TileWidth {
		t.Width = tlog.TileWidth
		data, err = l.get(ctx, path(t), "", limit)
	}
	return data, err
}

// proved is an entry that is in the tree of the checkpoint.
type proved struct {
	head
	index int64
	body  []byte
	leaf  [tlog.HashSize]byte
	proof [][]byte
}

// entry fetches an entry and checks that it is in the tree that the log has signed.
func (l *logReader) entry(ctx context.Context, index int64) (proved, error) {
	h, err := l.head(ctx)
	if err != nil {
		return proved{}, err
	}
	if index < 0 || index >= h.Size {
		return proved{}, errNotFound
	}
	entries, err := l.bundle(ctx, index/tlog.TileWidth, h.Size)
	if err != nil {
		return proved{}, err
	}
	p := proved{head: h, index: index, body: entries[index%tlog.TileWidth]}
	p.leaf = tlog.LeafHash(p.body)
	if p.proof, err = tlog.ProofFromTiles(index, h.Size, l.hashes(ctx)); err != nil {
		return proved{}, err
	}
	return p, tlog.VerifyInclusion(index, h.Size, p.leaf, h.Root, p.proof)
}

// bundles reads entries of one tree and keeps the bundle that was read last: neighbours are mostly asked for together.
type bundles struct {
	*logReader
	size    int64
	tile    int64
	entries [][]byte // of tile; nil: none was read yet
}

func (b *bundles) at(ctx context.Context, index int64) (listed, error) {
	if tile := index / tlog.TileWidth; b.entries == nil || tile != b.tile {
		entries, err := b.bundle(ctx, tile, b.size)
		if err != nil {
			return listed{}, err
		}
		b.tile, b.entries = tile, entries
	}
	return list(index, b.entries[index%tlog.TileWidth]), nil
}

// page returns the entries below before, the newest first, at most n of them.
func (l *logReader) page(ctx context.Context, h head, before int64, n int) ([]listed, error) {
	var positions []int64
	for i := min(before, h.Size) - 1; i >= 0 && len(positions) < n; i-- {
		positions = append(positions, i)
	}
	return l.read(ctx, h, positions)
}

// read returns the entries at the positions that the checkpoint covers; others are newer than it.
func (l *logReader) read(ctx context.Context, h head, positions []int64) (out []listed, err error) {
	from := bundles{logReader: l, size: h.Size}
	for _, p := range positions {
		if p >= h.Size {
			continue
		}
		one, err := from.at(ctx, p)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}
