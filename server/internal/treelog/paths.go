package treelog

import (
	"encoding/json"
	"fmt"
	"iter"
	"path/filepath"

	"github.com/transparency-dev/tessera/api/layout"

	"github.com/bulla-sign/bulla/tlog"
)

// Paths returns, for every tile and bundle that a tree of size entries rests on, its path below the log's directory, and
// the path of what takes its place once the tree has grown: the full tile, which begins with the same bytes. For full
// tiles the two are equal. Whoever copies them, after the tree's state, has a tree of that size.
func (y Layout) Paths(size uint64) iter.Seq2[string, string] {
	return func(yield func(path, full string) bool) {
		f := files{layout: y}
		if !tilesOf(size, yield, f.bundlePath) {
			return
		}
		for level, n := uint64(0), size; n > 0; level, n = level+1, n/tlog.TileWidth {
			if !tilesOf(n, yield, func(index uint64, partial uint8) string { return layout.TilePath(level, index, partial) }) {
				return
			}
		}
	}
}

// StatePaths returns the paths, below the log's directory, of the files that say what was signed, and of the one that says
// how large the tree is. A copy takes them in this order, and before the tiles: then the tree has what was signed.
func StatePaths() (signed []string, tree string) {
	return []string{checkpointFile, filepath.Join(stateDir, frozenFile)}, filepath.Join(stateDir, treeStateFile)
}

// TreeSize returns how many entries the tree has, published or not, that the contents of the tree's file are about.
func TreeSize(data []byte) (uint64, error) {
	var s treeState
	if err := json.Unmarshal(data, &s); err != nil {
		return 0, fmt.Errorf("the tree's state: %w", err)
	}
	return s.Size, nil
}

func tilesOf(n uint64, yield func(path, full string) bool, path func(index uint64, partial uint8) string) bool {
	for i := range n / tlog.TileWidth {
		if p := path(i, 0); !yield(p, p) {
			return false
		}
	}
	if rest := n % tlog.TileWidth; rest > 0 {
		return yield(path(n/tlog.TileWidth, uint8(rest)), path(n/tlog.TileWidth, 0))
	}
	return true
}
