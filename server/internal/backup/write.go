// Package backup copies the state of a running deployment into one file, and brings it back.
//
// The copy is consistent although the logs go on meanwhile: of each tree the signed checkpoint is read first, then its
// size, then exactly the tiles that a tree of that size rests on, which never change. Keys are copied encrypted, as they
// are. Neither the password file nor the lock store is copied: the one would open the keys, and the other is what tells a
// log that it was brought back from a backup older than itself.
package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/server/internal/treelog"
)

// Tree is a log in the state directory.
type Tree struct {
	Dir    string         // relative, with slashes
	Layout treelog.Layout // of its entries
	// Also are folders in Dir that belong to the log and only ever grow, such as the CT log's certificates of issuers.
	Also []string
}

// Source is what is backed up.
type Source struct {
	Dir   *state.Dir
	Trees []Tree
	// Files and Folders are further names in the state directory, relative, with slashes. What is not there is left out.
	Files, Folders []string
	Now            func() time.Time
}

// Manifest is the last file of a backup. Without it a backup is not whole.
type Manifest struct {
	Version  int               `json:"version"`
	Created  time.Time         `json:"created"`
	URL      string            `json:"url"`
	Revision uint64            `json:"revision"` // of the state
	Trees    map[string]uint64 `json:"trees"`    // entries, by directory
	Files    int               `json:"files"`
	SHA256   string            `json:"sha256"` // of all names, sizes and contents before it, in their order
}

const (
	version      = 1
	manifestName = "manifest.json"
	stateName    = "state.json"
	// maxManifest bounds the manifest: a line for each shard of a log that there ever was.
	maxManifest = 4 << 20
)

// writer writes a tar and remembers what is in it.
type writer struct {
	tar  *tar.Writer
	root string
	now  time.Time
	sum  hash.Hash
	n    int
	seen map[string]bool
}

// Write writes a backup.
func Write(ctx context.Context, to io.Writer, src Source) (*Manifest, error) {
	w := &writer{tar: tar.NewWriter(to), root: src.Dir.Path(), now: src.Now().UTC(), sum: sha256.New(), seen: make(map[string]bool)}
	data, h, err := stateOf(src.Dir)
	if err != nil {
		return nil, err
	}
	// The state comes first: a key that it names was on the disk before it was.
	if err := w.add(stateName, data); err != nil {
		return nil, err
	}
	m := &Manifest{Version: version, Created: w.now.Truncate(time.Second), URL: h.URL, Revision: h.Revision, Trees: make(map[string]uint64)}
	for _, name := range src.Files {
		if err := w.file(name, true); err != nil {
			return nil, err
		}
	}
	for _, dir := range src.Folders {
		if err := w.folder(dir); err != nil {
			return nil, err
		}
	}
	for _, t := range src.Trees {
		if m.Trees[t.Dir], err = w.tree(ctx, t); err != nil {
			return nil, fmt.Errorf("%s: %w", t.Dir, err)
		}
	}
	m.Files, m.SHA256 = w.n, hex.EncodeToString(w.sum.Sum(nil))
	if data, err = json.MarshalIndent(m, "", "  "); err != nil {
		return nil, err
	}
	if err := w.add(manifestName, data); err != nil {
		return nil, err
	}
	return m, w.tar.Close()
}

func stateOf(dir *state.Dir) ([]byte, *state.History, error) {
	h, err := dir.Load()
	if err != nil {
		return nil, nil, err
	}
	data, err := h.Encode()
	return data, h, err
}

// tree copies a log as it was when its size was read.
func (w *writer) tree(ctx context.Context, t Tree) (uint64, error) {
	signed, tree := treelog.StatePaths()
	for _, name := range signed {
		if err := w.file(path.Join(t.Dir, filepath.ToSlash(name)), true); err != nil {
			return 0, err
		}
	}
	name := path.Join(t.Dir, filepath.ToSlash(tree))
	data, err := os.ReadFile(w.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // nothing was ever logged
	}
	if err != nil {
		return 0, err
	}
	size, err := treelog.TreeSize(data)
	if err != nil {
		return 0, err
	}
	if err := w.add(name, data); err != nil {
		return 0, err
	}
	for name, full := range t.Layout.Paths(size) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		err := w.file(path.Join(t.Dir, name), false)
		if errors.Is(err, fs.ErrNotExist) && name != full { // the tile has become full since, and the partial one was cleared away
			err = w.file(path.Join(t.Dir, full), false)
		}
		if err != nil {
			return 0, err
		}
	}
	for _, dir := range t.Also {
		if err := w.folder(path.Join(t.Dir, dir)); err != nil {
			return 0, err
		}
	}
	return size, nil
}

// folder copies all files below a folder. The names that say which others count come first.
func (w *writer) folder(dir string) error {
	var names []string
	err := filepath.WalkDir(filepath.Join(w.root, filepath.FromSlash(dir)), func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(w.root, p)
		names = append(names, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(names, func(a, b string) int { return rank(a) - rank(b) })
	for _, name := range names {
		if err := w.file(name, true); err != nil {
			return err
		}
	}
	return nil
}

// rank puts a TUF repository's timestamp before what it names.
func rank(name string) int {
	if path.Base(name) == "timestamp.json" {
		return 0
	}
	return 1
}

// file copies a file. One that vanished may be left out where optional says so: temporary files do.
func (w *writer) file(name string, optional bool) error {
	if w.seen[name] {
		return nil
	}
	f, err := os.Open(w.path(name))
	if optional && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // read only
	info, err := f.Stat()
	if err != nil {
		return err
	}
	// A file that grows meanwhile is copied up to where it ended.
	return w.copy(name, f, info.Size())
}

func (w *writer) path(name string) string { return filepath.Join(w.root, filepath.FromSlash(name)) }

func (w *writer) add(name string, data []byte) error {
	return w.copy(name, bytes.NewReader(data), int64(len(data)))
}

func (w *writer) copy(name string, from io.Reader, size int64) error {
	err := w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: restoredFile, ModTime: w.now.Truncate(time.Second)})
	if err != nil {
		return err
	}
	begin(w.sum, name, size)
	if _, err := io.CopyN(io.MultiWriter(w.tar, w.sum), from, size); err != nil {
		return fmt.Errorf("copying %s: %w", name, err)
	}
	w.seen[name] = true
	w.n++
	return nil
}

// begin adds a file's name and size to a sum, its contents follow: no other list of files has the same sum.
func begin(sum hash.Hash, name string, size int64) {
	_, _ = fmt.Fprintf(sum, "%d %s %d ", len(name), name, size) // hashes do not fail
}
