package monitor

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/bits"
	"slices"

	"github.com/bulla-sign/bulla/tlog"
)

type hash = [tlog.HashSize]byte

// frontier is all that must be known of a tree to make it grow: the roots of the complete subtrees that it consists of,
// the largest first, one for each bit that is set in its size (RFC 9162 2.1.2 computes roots so).
type frontier struct {
	size  int64
	nodes []hash
}

// interior is the hash of an inner node (RFC 6962 2.1).
func interior(left, right hash) hash {
	h := sha256.New()
	h.Write([]byte{1})
	h.Write(left[:])
	h.Write(right[:])
	return hash(h.Sum(nil))
}

// add appends a leaf hash.
func (f *frontier) add(leaf hash) {
	f.nodes = append(f.nodes, leaf)
	f.size++
	for range bits.TrailingZeros64(uint64(f.size)) {
		n := len(f.nodes)
		f.nodes = append(f.nodes[:n-2], interior(f.nodes[n-2], f.nodes[n-1]))
	}
}

// root is the root of the tree. That of the empty tree is the hash of nothing.
func (f *frontier) root() hash {
	if len(f.nodes) == 0 {
		return sha256.Sum256(nil)
	}
	acc := f.nodes[len(f.nodes)-1]
	for _, left := range slices.Backward(f.nodes[:len(f.nodes)-1]) {
		acc = interior(left, acc)
	}
	return acc
}

func (f *frontier) clone() frontier { return frontier{f.size, slices.Clone(f.nodes)} }

func (f *frontier) equal(g frontier) bool { return f.size == g.size && slices.Equal(f.nodes, g.nodes) }

// check says whether the number of nodes fits the size.
func (f *frontier) check() error {
	if f.size < 0 || len(f.nodes) != bits.OnesCount64(uint64(f.size)) {
		return fmt.Errorf("frontier: %d hashes for a tree of size %d", len(f.nodes), f.size)
	}
	return nil
}

func (f *frontier) encode() []string {
	out := make([]string, len(f.nodes))
	for i, n := range f.nodes {
		out[i] = hex.EncodeToString(n[:])
	}
	return out
}

func decodeFrontier(size int64, nodes []string) (frontier, error) {
	f := frontier{size: size}
	for _, n := range nodes {
		b, err := hex.DecodeString(n)
		if err != nil || len(b) != tlog.HashSize {
			return f, fmt.Errorf("frontier: %q is no hash", n)
		}
		f.nodes = append(f.nodes, hash(b))
	}
	return f, f.check()
}

// prefix finds out the frontier of the first n leaves, at least one, of a signed tree. What read returns need not be
// trusted: the leaf at n-1 and its audit path must lead to the tree's root, and the path's hashes on the left are the
// frontier of all leaves before.
func prefix(n int64, size int64, root hash, read tlog.TileReader) (frontier, error) {
	index := n - 1
	leaf, err := leafFromTiles(index, size, read)
	if err != nil {
		return frontier{}, err
	}
	proof, err := tlog.ProofFromTiles(index, size, read)
	if err != nil {
		return frontier{}, err
	}
	if err := tlog.VerifyInclusion(index, size, leaf, root, proof); err != nil {
		return frontier{}, fmt.Errorf("the tiles around entry %d do not lead to the signed root of size %d: %w", index, size, err)
	}
	f := frontier{size: index}
	for height := 0; len(proof) > 0; height++ {
		place := index >> height
		if (place^1)<<height >= size {
			continue // no sibling here: the tree is not full
		}
		if place&1 == 1 {
			f.nodes = append(f.nodes, hash(proof[0]))
		}
		proof = proof[1:]
	}
	slices.Reverse(f.nodes)
	if err := f.check(); err != nil {
		return frontier{}, err
	}
	f.add(leaf)
	return f, nil
}

func leafFromTiles(index, size int64, read tlog.TileReader) (hash, error) {
	tile := tlog.Tile{Index: index / tlog.TileWidth, Width: width(index/tlog.TileWidth, size)}
	data, err := read(tile)
	if err != nil {
		return hash{}, fmt.Errorf("%s: %w", tile.Path(), err)
	}
	if len(data) != tile.Width*tlog.HashSize {
		return hash{}, fmt.Errorf("%w: %s has %d bytes, want %d", tlog.ErrProof, tile.Path(), len(data), tile.Width*tlog.HashSize)
	}
	return hash(data[index%tlog.TileWidth*tlog.HashSize:][:tlog.HashSize]), nil
}

// width is the number of leaves in a tile of level 0 of a tree.
func width(index, size int64) int {
	return int(min(tlog.TileWidth, size-index*tlog.TileWidth))
}
