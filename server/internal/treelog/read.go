package treelog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"

	"github.com/bulla-sign/bulla/tlog"
)

// files reads a log's directory.
type files struct {
	dir    string
	layout Layout
	cache  *tileCache // nil: none
}

func (f files) read(path string) ([]byte, error) {
	return os.ReadFile(filepath.Join(f.dir, filepath.FromSlash(path)))
}

// hashes returns the first width hashes (256: all) of a tile, as it is in the tree of the given size. A tile is read from
// the one file that this tree rests on: a smaller partial tile may be left over from a batch that never became part of
// the tree.
func (f files) hashes(level, index uint64, width int, size uint64) ([]byte, error) {
	have, err := coverage(level, index, width, size)
	if err != nil {
		return nil, err
	}
	key := cacheKey{level, index, have}
	if f.cache != nil {
		if data := f.cache.get(key); data != nil {
			return data[:width*tlog.HashSize], nil
		}
	}
	data, err := f.readTile(level, index, uint8(have%tlog.TileWidth))
	if err != nil {
		return nil, err
	}
	if len(data) < have*tlog.HashSize {
		return nil, fmt.Errorf("%s has %d bytes instead of %d", layout.TilePath(level, index, uint8(have%tlog.TileWidth)),
			len(data), have*tlog.HashSize)
	}
	if f.cache != nil {
		f.cache.put(key, data)
	}
	return data[:width*tlog.HashSize], nil
}

// readTile reads a partial tile from the full one if it was cleared away.
func (f files) readTile(level, index uint64, partial uint8) ([]byte, error) {
	data, err := f.read(layout.TilePath(level, index, partial))
	if partial != 0 && errors.Is(err, fs.ErrNotExist) {
		if full, fullErr := f.read(layout.TilePath(level, index, 0)); fullErr == nil {
			return full, nil
		}
	}
	return data, err
}

// maxLevel is the highest level of tiles in a tree of 2^63 entries.
const maxLevel = 63 / 8

// coverage returns how many hashes a tile has in a tree, which must be at least width.
func coverage(level, index uint64, width int, size uint64) (int, error) {
	if level > maxLevel || width < 1 || width > tlog.TileWidth {
		return 0, fmt.Errorf("tile %d/%d of width %d: %w", level, index, width, ErrNotCovered)
	}
	nodes := size >> (8 * level)
	if index > nodes>>8 {
		return 0, fmt.Errorf("tile %d/%d: %w", level, index, ErrNotCovered)
	}
	have := min(nodes-index<<8, tlog.TileWidth)
	if uint64(width) > have {
		return 0, fmt.Errorf("tile %d/%d of width %d: %w", level, index, width, ErrNotCovered)
	}
	return int(have), nil
}

// tiles is the reader of package tlog for the tree of the given size.
func (f files) tiles(size uint64) tlog.TileReader {
	return func(t tlog.Tile) ([]byte, error) {
		return f.hashes(uint64(t.Level), uint64(t.Index), t.Width, size)
	}
}

func (f files) root(size uint64) ([tlog.HashSize]byte, error) {
	return tlog.RootFromTiles(int64(size), f.tiles(size))
}

// consistent checks that the tree of b extends that of a, by a consistency proof (RFC 6962 2.1.2).
func (f files) consistent(ctx context.Context, a, b Head) error {
	if a.Size == 0 {
		empty, err := f.root(0)
		if err == nil && a.Root != empty {
			err = errors.New("the root of the empty tree is wrong")
		}
		return err
	}
	proof, err := f.consistency(ctx, a.Size, b.Size)
	if err != nil {
		return err
	}
	return tlog.VerifyConsistency(int64(a.Size), int64(b.Size), a.Root, b.Root, proof)
}

func (f files) consistency(ctx context.Context, a, b uint64) ([][]byte, error) {
	if a == b {
		return nil, nil
	}
	builder, err := client.NewProofBuilder(ctx, b, func(_ context.Context, level, index uint64, partial uint8) ([]byte, error) {
		width := int(partial)
		if width == 0 {
			width = tlog.TileWidth
		}
		return f.hashes(level, index, width, b)
	})
	if err != nil {
		return nil, err
	}
	return builder.ConsistencyProof(ctx, a, b)
}

// InclusionProof returns the audit path of the entry at index in the tree of size entries, which must be published.
func (l *Log) InclusionProof(index, size uint64) ([][]byte, error) {
	if h := l.head.Load(); h == nil || size > h.Size || index >= size {
		return nil, fmt.Errorf("entry %d in a tree of %d: %w", index, size, ErrNotCovered)
	}
	return l.subtrees.ProofFromTiles(int64(index), int64(size), l.published())
}

// ConsistencyProof returns the proof that the tree of size b extends that of size a; b must be published and a not 0.
func (l *Log) ConsistencyProof(ctx context.Context, a, b uint64) ([][]byte, error) {
	if h := l.head.Load(); h == nil || b > h.Size || a > b || a == 0 {
		return nil, fmt.Errorf("trees of %d and %d entries: %w", a, b, ErrNotCovered)
	}
	return l.files.consistency(ctx, a, b)
}

// published reads tiles of any width as they are in the published tree.
func (l *Log) published() tlog.TileReader {
	h := l.head.Load()
	if h == nil {
		return l.files.tiles(0)
	}
	return l.files.tiles(h.Size)
}

// Tile returns the first width hashes of a hash tile of the published tree. The error wraps [ErrNotCovered] when the tree
// does not have them.
func (l *Log) Tile(level, index uint64, width int) ([]byte, error) {
	h := l.head.Load()
	if h == nil {
		return nil, ErrNotCovered
	}
	return l.files.hashes(level, index, width, h.Size)
}

// LeafHash returns the leaf hash of a published entry.
func (l *Log) LeafHash(index uint64) ([tlog.HashSize]byte, error) {
	data, err := l.Tile(0, index>>8, int(index&255)+1)
	if err != nil {
		return [tlog.HashSize]byte{}, err
	}
	return [tlog.HashSize]byte(data[len(data)-tlog.HashSize:]), nil
}

// Bundle returns the first width entries of a bundle of the published tree, as the layout writes them.
func (l *Log) Bundle(index uint64, width int) ([]byte, error) {
	h := l.head.Load()
	if h == nil {
		return nil, ErrNotCovered
	}
	return l.files.bundle(index, width, h.Size)
}

func (f files) bundle(index uint64, width int, size uint64) ([]byte, error) {
	have, err := coverage(0, index, width, size)
	if err != nil {
		return nil, err
	}
	partial := uint8(have % tlog.TileWidth)
	data, err := f.read(f.bundlePath(index, partial))
	if partial != 0 && errors.Is(err, fs.ErrNotExist) {
		if full, fullErr := f.read(f.bundlePath(index, 0)); fullErr == nil {
			data, err, have = full, nil, tlog.TileWidth
		}
	}
	if err != nil || have == width {
		return data, err
	}
	return f.layout.head(data, width)
}

func (f files) bundlePath(index uint64, partial uint8) string {
	if f.layout == CT {
		return "tile/data/" + layout.NWithSuffix(0, index, partial)
	}
	return layout.EntriesPath(index, partial)
}

// Entry returns the entry at index of the published tree: its bytes, in the layout [CT] those of the bundle.
func (l *Log) Entry(index uint64) ([]byte, error) {
	bundle, place := index/tlog.TileWidth, int(index%tlog.TileWidth)
	if l.cfg.Layout == Entries {
		return l.entryIn(bundle, place)
	}
	data, err := l.Bundle(bundle, place+1)
	if err != nil {
		return nil, err
	}
	entries, err := l.cfg.Layout.Split(data)
	if err == nil && len(entries) != place+1 {
		err = fmt.Errorf("%d entries instead of %d", len(entries), place+1)
	}
	if err != nil {
		return nil, fmt.Errorf("bundle %d: %w", bundle, err)
	}
	return entries[place], nil
}

// entryIn reads one entry without the others around it, which may be 64 KiB each.
func (l *Log) entryIn(bundle uint64, place int) ([]byte, error) {
	h := l.head.Load()
	if h == nil {
		return nil, ErrNotCovered
	}
	f, _, err := l.files.openBundle(bundle, place+1, h.Size)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	at, err := after(f, place)
	if err != nil {
		return nil, fmt.Errorf("bundle %d: %w", bundle, err)
	}
	end, err := after(io.NewSectionReader(f, at, MaxEntry+2), 1)
	if err != nil {
		return nil, fmt.Errorf("bundle %d: %w", bundle, err)
	}
	entry := make([]byte, end-2)
	if _, err := f.ReadAt(entry, at+2); err != nil {
		return nil, fmt.Errorf("bundle %d: %w", bundle, err)
	}
	return entry, nil
}

// after returns how many bytes the first n entries of a bundle of layout [Entries] take.
func after(f io.ReaderAt, n int) (at int64, err error) {
	var prefix [2]byte
	for range n {
		if _, err := f.ReadAt(prefix[:], at); err != nil {
			return 0, err
		}
		at += 2 + int64(binary.BigEndian.Uint16(prefix[:]))
	}
	return at, nil
}

// openBundle opens the file of a bundle, which must have width entries in a tree of the given size, and says how many it
// has: the partial one, or the full one if that was cleared away.
func (f files) openBundle(index uint64, width int, size uint64) (file *os.File, have int, err error) {
	if have, err = coverage(0, index, width, size); err != nil {
		return nil, 0, err
	}
	partial := uint8(have % tlog.TileWidth)
	file, err = os.Open(filepath.Join(f.dir, f.bundlePath(index, partial)))
	if partial != 0 && errors.Is(err, fs.ErrNotExist) {
		if full, fullErr := os.Open(filepath.Join(f.dir, f.bundlePath(index, 0))); fullErr == nil {
			return full, tlog.TileWidth, nil
		}
	}
	return file, have, err
}

// openedBundle is a bundle, or the beginning of one, that is being read.
type openedBundle struct {
	io.Reader
	io.Closer
	length int64
}

// openBundle is [Log.Bundle] for whoever hands the bytes on.
func (l *Log) openBundle(index uint64, width int) (*openedBundle, error) {
	h := l.head.Load()
	if h == nil {
		return nil, ErrNotCovered
	}
	file, have, err := l.files.openBundle(index, width, h.Size)
	if err != nil {
		return nil, err
	}
	b := &openedBundle{Reader: file, Closer: file}
	switch {
	case have == width:
		var info fs.FileInfo
		if info, err = file.Stat(); err == nil {
			b.length = info.Size()
		}
	case l.cfg.Layout == Entries:
		b.length, err = after(file, width)
	default: // where an entry of certificates ends is seen by reading it
		var data []byte
		if data, err = io.ReadAll(file); err == nil {
			data, err = l.cfg.Layout.head(data, width)
			b.Reader, b.length = bytes.NewReader(data), int64(len(data))
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bundle %d: %w", index, err), file.Close())
	}
	return b, nil
}
