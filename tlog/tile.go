package tlog

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"sync"
)

// TileWidth is the number of hashes, or entries, of a full tile (C2SP tlog-tiles).
const TileWidth = 256

const tileHeight = 8 // levels of the Merkle tree in one tile

// Tile names a tile of a tlog-tiles log.
type Tile struct {
	// Level is the tile's level, from 0 (leaf hashes) upwards, eight levels of the Merkle tree each.
	Level int
	// Index is the tile's number within its level, from 0.
	Index int64
	// Width is the number of hashes: 256, or from 1 to 255 for a partial tile.
	Width int
}

// Path returns where a log serves the tile's hashes below its prefix, for instance "tile/0/x001/x234/067.p/8".
func (t Tile) Path() string { return "tile/" + strconv.Itoa(t.Level) + "/" + t.name() }

// EntriesPath returns where a log serves the entries of a tile of level 0, for instance "tile/entries/000.p/8".
func (t Tile) EntriesPath() string { return "tile/entries/" + t.name() }

func (t Tile) name() string {
	name := fmt.Sprintf("%03d", t.Index%1000)
	for n := t.Index / 1000; n > 0; n /= 1000 {
		name = fmt.Sprintf("x%03d/%s", n%1000, name)
	}
	if t.Width < TileWidth {
		name += ".p/" + strconv.Itoa(t.Width)
	}
	return name
}

// TileReader returns the bytes of a hash tile, 32 for each of t.Width hashes. Nothing that it returns is trusted: what is
// computed from it proves something only when the root comes out as a signed checkpoint says.
type TileReader func(t Tile) ([]byte, error)

// RootFromTiles computes the root of the tree with size leaves from its hash tiles (C2SP tlog-tiles). It reads one partial
// tile for each level of tiles. The empty tree's root is the hash of nothing.
func RootFromTiles(size int64, read TileReader) ([HashSize]byte, error) {
	if size < 0 {
		return [HashSize]byte{}, fmt.Errorf("tiles: tree size %d is negative", size)
	}
	if size == 0 {
		return sha256.Sum256(nil), nil
	}
	t := tree{size: size, read: read, seen: map[Tile][]byte{}}
	return t.span(0, size)
}

// ProofFromTiles computes the audit path of the leaf at index (from 0) in the tree with size leaves from its hash tiles.
func ProofFromTiles(index, size int64, read TileReader) ([][]byte, error) {
	return (*Subtrees)(nil).ProofFromTiles(index, size, read)
}

// ProofFromTiles is the function of that name, with what is remembered.
func (s *Subtrees) ProofFromTiles(index, size int64, read TileReader) ([][]byte, error) {
	if size <= 0 || index < 0 || index >= size {
		return nil, fmt.Errorf("tiles: index %d is outside the tree of size %d", index, size)
	}
	t := tree{size: size, read: read, seen: map[Tile][]byte{}, subtrees: s}
	var proof [][]byte
	for height := 0; height < bits.Len64(uint64(size-1)); height++ {
		begin := (index>>height ^ 1) << height
		if begin >= size {
			continue // the node has no sibling here: the tree is not full
		}
		end := size
		if width := int64(1) << height; size-begin > width {
			end = begin + width
		}
		h, err := t.span(begin, end)
		if err != nil {
			return nil, err
		}
		proof = append(proof, h[:])
	}
	return proof, nil
}

// tree reads hashes of one tree of a known size, each tile once.
type tree struct {
	size int64
	read TileReader
	seen map[Tile][]byte

	subtrees *Subtrees // nil: none are remembered
}

// span computes the hash over the leaves from begin to end, where begin is a multiple of the largest power of two that
// fits: the complete subtrees from left to right, hashed together from the right.
func (t *tree) span(begin, end int64) ([HashSize]byte, error) {
	var acc [HashSize]byte
	started := false
	for left := end - begin; left > 0; left &= left - 1 {
		height := bits.TrailingZeros64(uint64(left))
		h, err := t.node(height, (begin+left-1)>>height)
		if err != nil {
			return acc, err
		}
		if started {
			h = nodeHash(h[:], acc[:])
		}
		acc, started = h, true
	}
	return acc, nil
}

// node computes the hash of the complete subtree of 2^height leaves with the given number.
func (t *tree) node(height int, index int64) ([HashSize]byte, error) {
	level, within := height/tileHeight, height%tileHeight
	first := index << within // number of the leftmost hash on the tile's level
	tile := Tile{Level: level, Index: first / TileWidth, Width: TileWidth}
	if count := t.size >> (level * tileHeight); count < (tile.Index+1)*TileWidth {
		tile.Width = int(count - tile.Index*TileWidth)
	}
	data, err := t.tile(tile)
	if err != nil {
		return [HashSize]byte{}, err
	}
	return t.subtrees.hash(height, index, within, data[int(first%TileWidth)*HashSize:]), nil
}

// Subtrees remembers hashes of complete subtrees of one tree that only grows, in which they never change: whoever proves
// many of its entries need not hash the same tiles for each. The zero value is ready, nil remembers nothing. It may be used
// by many at once.
type Subtrees struct {
	mu     sync.RWMutex
	hashes map[subtree][HashSize]byte
}

type subtree struct {
	height int
	index  int64
}

// maxSubtrees bounds the memory of Subtrees to about 1 MiB: those within the last 32 tiles.
const maxSubtrees = 1 << 13

// hash returns the hash of the subtree with the given height and number, which stands within levels above the hashes that
// data begins with.
func (s *Subtrees) hash(height int, index int64, within int, data []byte) [HashSize]byte {
	if within == 0 {
		return [HashSize]byte(data)
	}
	key := subtree{height, index}
	if h, ok := s.get(key); ok {
		return h
	}
	half := HashSize << (within - 1)
	left, right := s.hash(height-1, 2*index, within-1, data), s.hash(height-1, 2*index+1, within-1, data[half:])
	h := nodeHash(left[:], right[:])
	s.put(key, h)
	return h
}

func (s *Subtrees) get(key subtree) (h [HashSize]byte, ok bool) {
	if s == nil {
		return h, false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	h, ok = s.hashes[key]
	return h, ok
}

// put throws out any when there are too many: what is asked for most often comes back soonest.
func (s *Subtrees) put(key subtree, h [HashSize]byte) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hashes == nil {
		s.hashes = make(map[subtree][HashSize]byte)
	}
	for old := range s.hashes {
		if len(s.hashes) < maxSubtrees {
			break
		}
		delete(s.hashes, old)
	}
	s.hashes[key] = h
}

func (t *tree) tile(tile Tile) ([]byte, error) {
	if data, ok := t.seen[tile]; ok {
		return data, nil
	}
	data, err := t.read(tile)
	if err != nil {
		return nil, fmt.Errorf("tiles: %s: %w", tile.Path(), err)
	}
	if len(data) != tile.Width*HashSize {
		return nil, fmt.Errorf("tiles: %s has %d bytes, want %d", tile.Path(), len(data), tile.Width*HashSize)
	}
	t.seen[tile] = data
	return data, nil
}

// SplitEntries takes a bundle of entries apart: width entries, each behind its length in two bytes (C2SP tlog-tiles, "Log
// entries"). The entries share memory with data.
func SplitEntries(data []byte, width int) ([][]byte, error) {
	if width < 1 || width > TileWidth {
		return nil, fmt.Errorf("entry bundle: width %d is outside 1 to %d", width, TileWidth)
	}
	entries := make([][]byte, 0, width)
	for i := range width {
		if len(data) < 2 {
			return nil, fmt.Errorf("entry bundle: ends before the length of entry %d of %d", i, width)
		}
		n := int(binary.BigEndian.Uint16(data))
		if len(data)-2 < n {
			return nil, fmt.Errorf("entry bundle: ends inside entry %d of %d", i, width)
		}
		entries = append(entries, data[2:2+n:2+n])
		data = data[2+n:]
	}
	if len(data) > 0 {
		return nil, errors.New("entry bundle: has bytes after the last entry")
	}
	return entries, nil
}
