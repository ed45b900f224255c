package treelog

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/transparency-dev/tessera/api/layout"
)

// leftovers are temporary files: Tessera's, named like the file they were to become with a random number behind, and those
// of package durable. A process that is killed leaves them, and Tessera one for each write that found the disk full.
var leftovers = regexp.MustCompile(
	`^(tile/(\d+|entries|data)/(x\d{3}/)*(\d{3}\d{4,}|\d{3}\.p/\d{5,})` +
		`|\.state/(treeState|version|gcState)\d+|checkpoint\d+|(\.state/)?\.bulla-[0-9a-f]+\.tmp)$`)

// sweep removes what [leftovers] names, anywhere in the log's directory. Nobody may be writing. A file that cannot be
// removed is only in the way of space.
func (f files) sweep() (removed int, err error) {
	err = filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && f.leftover(path, d) && os.Remove(path) == nil {
			removed++
		}
		return err
	})
	return removed, err
}

// sweepEdge is sweep for where the next batch is written, which has at most n entries: quick, however large the log is.
func (f files) sweepEdge(size uint64, n uint) (removed int) {
	for dir := range f.edge(size, n) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // not made yet
		}
		for _, d := range entries {
			if path := filepath.Join(dir, d.Name()); f.leftover(path, d) && os.Remove(path) == nil {
				removed++
			}
		}
	}
	return removed
}

// edge returns the directories that a batch of at most n entries on top of size is written to.
func (f files) edge(size uint64, n uint) map[string]bool {
	dirs := map[string]bool{filepath.Join(f.dir, stateDir): true}
	for level := uint64(0); level <= maxLevel; level++ {
		for at := size >> (8 * (level + 1)); at <= (size+uint64(n))>>(8*(level+1)); at++ {
			dirs[filepath.Dir(filepath.Join(f.dir, layout.TilePath(level, at, 0)))] = true
			dirs[filepath.Dir(filepath.Join(f.dir, layout.TilePath(level, at, 1)))] = true
			if level == 0 {
				dirs[filepath.Dir(filepath.Join(f.dir, f.bundlePath(at, 0)))] = true
				dirs[filepath.Dir(filepath.Join(f.dir, f.bundlePath(at, 1)))] = true
			}
		}
	}
	return dirs
}

func (f files) leftover(path string, d fs.DirEntry) bool {
	name, err := filepath.Rel(f.dir, path)
	return err == nil && d.Type().IsRegular() && leftovers.MatchString(filepath.ToSlash(name))
}
