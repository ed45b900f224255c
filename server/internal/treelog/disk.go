package treelog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// makeDir makes a directory with all its parents and returns once every one of them, old or new, is on the disk. That
// includes directories that were there already: whoever made them may have been killed before they were synced.
func makeDir(dir string, mode fs.FileMode) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return err
	}
	for {
		// A parent that may not be read was not made by us.
		if err := syncDir(dir); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil
		}
		dir = parent
	}
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	f, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	// A file system that cannot sync directories says EINVAL: then there is nothing to sync.
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("failed to sync %s: %w", dir, err)
	}
	return nil
}

// syncTree syncs every directory below dir, the deepest first.
func syncTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := syncTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return syncDir(dir)
}

// isFull tells whether an error means that the disk has no room, and nothing else. Tessera drops the errors' identity and
// keeps their text. A full disk that is noticed only by fsync is a failed fsync.
func isFull(err error) bool {
	if err == nil || strings.Contains(err.Error(), "sync") {
		return false
	}
	for _, full := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(err, full) || strings.Contains(err.Error(), full.Error()) {
			return true
		}
	}
	return false
}
