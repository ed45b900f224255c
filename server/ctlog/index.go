package ctlog

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/bulla-sign/bulla/server/internal/treelog"
	"github.com/bulla-sign/bulla/tlog"
)

// index finds the place of a leaf by its hash, which get-proof-by-hash asks for. It is derived from the tiles, on the
// first request and then by what was added since; logs that nobody asks never make it. It takes six bytes an entry: the
// first four of each hash, sorted in runs of 65536 with their places in the run. What it finds is compared with the tile.
type index struct {
	tree *treelog.Log

	mu   sync.Mutex
	runs []run
	tail []uint32 // of the entries after the last run, in their order
}

// runLength makes a place in a run fit 16 bits.
const runLength = 1 << 16

type run struct {
	prefixes []uint32 // sorted
	places   []uint16 // of the prefixes, in their order
}

func newIndex(tree *treelog.Log) *index { return &index{tree: tree} }

// find returns the place of a leaf among the first size entries, which must be published.
func (x *index) find(hash [tlog.HashSize]byte, size uint64) (place uint64, found bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.extend(size); err != nil {
		return 0, false, err
	}
	prefix := binary.BigEndian.Uint32(hash[:])
	for i := range x.runs {
		r := &x.runs[i]
		first, _ := slices.BinarySearch(r.prefixes, prefix)
		for at := first; at < runLength && r.prefixes[at] == prefix; at++ {
			if place, found, err = x.confirm(uint64(i)*runLength+uint64(r.places[at]), hash, size); found || err != nil {
				return place, found, err
			}
		}
	}
	for i, p := range x.tail {
		if p != prefix {
			continue
		}
		if place, found, err = x.confirm(uint64(len(x.runs))*runLength+uint64(i), hash, size); found || err != nil {
			return place, found, err
		}
	}
	return 0, false, nil
}

func (x *index) confirm(place uint64, hash [tlog.HashSize]byte, size uint64) (uint64, bool, error) {
	if place >= size {
		return 0, false, nil
	}
	leaf, err := x.tree.LeafHash(place)
	return place, leaf == hash, err
}

// extend reads the tiles of the entries that are not in the index yet.
func (x *index) extend(size uint64) error {
	have := uint64(len(x.runs))*runLength + uint64(len(x.tail))
	for have < size {
		tile, offset := have/tlog.TileWidth, have%tlog.TileWidth
		width := min(size-tile*tlog.TileWidth, tlog.TileWidth)
		hashes, err := x.tree.Tile(0, tile, int(width))
		if err != nil {
			return fmt.Errorf("index of leaf hashes: %w", err)
		}
		for ; offset < width; offset++ {
			x.tail = append(x.tail, binary.BigEndian.Uint32(hashes[offset*tlog.HashSize:]))
		}
		have = tile*tlog.TileWidth + width
		if len(x.tail) == runLength {
			x.runs = append(x.runs, newRun(x.tail))
			x.tail = x.tail[:0]
		}
	}
	return nil
}

func newRun(prefixes []uint32) run {
	places := make([]uint16, len(prefixes))
	for i := range places {
		places[i] = uint16(i)
	}
	slices.SortFunc(places, func(a, b uint16) int {
		return int(int64(prefixes[a]) - int64(prefixes[b]))
	})
	r := run{prefixes: make([]uint32, len(prefixes)), places: places}
	for i, place := range places {
		r.prefixes[i] = prefixes[place]
	}
	return r
}
