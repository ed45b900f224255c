package backup

import (
	"archive/tar"
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
	"strings"

	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/server/internal/state"
)

const (
	restoredDir  = 0o700
	restoredFile = 0o600
	unfinished   = ".restoring"
)

// Restore brings a backup back as the directory dir, which must not exist, or be empty. The directory appears when all of
// the backup is in it, on the disk, and accept has agreed to it; accept is given the path where it is until then.
func Restore(from io.Reader, dir string, accept func(path string, m *Manifest) error) (*Manifest, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := empty(dir); err != nil {
		return nil, err
	}
	tmp := dir + unfinished
	if err := os.MkdirAll(filepath.Dir(dir), restoredDir); err != nil {
		return nil, err
	}
	if err := os.Mkdir(tmp, restoredDir); errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s is left from a restore that did not end: remove it first", tmp)
	} else if err != nil {
		return nil, err
	}
	m, err := unpack(from, tmp)
	if err == nil {
		err = accept(tmp, m)
	}
	if err == nil {
		err = settle(tmp, dir)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(tmp))
	}
	return m, nil
}

// empty says what is wrong with dir as the place for a restored state.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty: a backup is restored into a directory of its own", dir)
	}
	return err
}

// unpack writes the files of a backup below dir and checks that all are there.
func unpack(from io.Reader, dir string) (*Manifest, error) {
	root, err := os.OpenRoot(dir) // whatever the names in the backup are, nothing is written elsewhere
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // nothing is written through it
	u := &unpacker{root: root, sum: sha256.New()}
	r := tar.NewReader(from)
	for {
		hdr, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the backup is not whole: it has no manifest at its end")
		}
		if err != nil {
			return nil, fmt.Errorf("reading the backup: %w", err)
		}
		data, err := content(r, hdr)
		if err != nil {
			return nil, err
		}
		if hdr.Name == manifestName {
			return u.finish(data)
		}
		if err := u.write(hdr.Name, data); err != nil {
			return nil, err
		}
	}
}

// content reads one file of a backup.
func content(r io.Reader, hdr *tar.Header) ([]byte, error) {
	if hdr.Typeflag != tar.TypeReg || !fs.ValidPath(hdr.Name) || strings.Contains(hdr.Name, `\`) {
		return nil, fmt.Errorf("the backup has %.100q in it, which is no file below its root", hdr.Name)
	}
	if hdr.Size > maxFile {
		return nil, fmt.Errorf("the backup's file %s is larger than %d bytes", hdr.Name, maxFile)
	}
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s from the backup: %w", hdr.Name, err)
	}
	return data, nil
}

type unpacker struct {
	root *os.Root
	sum  hash.Hash
	n    int
}

func (u *unpacker) write(name string, data []byte) (err error) {
	if err := u.root.MkdirAll(path.Dir(name), restoredDir); err != nil {
		return err
	}
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, restoredFile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(data); err != nil {
		return err
	}
	u.n++
	sumFile(u.sum, name, data)
	return f.Sync()
}

func (u *unpacker) finish(data []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("the backup's manifest: %w", err)
	}
	if m.Version != version {
		return nil, fmt.Errorf("the backup has version %d, and this program knows version %d", m.Version, version)
	}
	if got := hex.EncodeToString(u.sum.Sum(nil)); m.Files != u.n || m.SHA256 != got {
		return nil, fmt.Errorf("the backup is damaged: its %d files have the sum %s, its manifest says %d and %s", u.n, got, m.Files, m.SHA256)
	}
	h, err := u.root.ReadFile(stateName)
	if err != nil {
		return nil, fmt.Errorf("the backup has no state: %w", err)
	}
	if _, err := state.Decode(h); err != nil {
		return nil, fmt.Errorf("the backup's state: %w", err)
	}
	return &m, nil
}

// settle makes the restored directory durable and gives it its name.
func settle(tmp, dir string) error {
	err := filepath.WalkDir(tmp, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return sync(p)
	})
	if err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return err
	}
	return sync(filepath.Dir(dir))
}

func sync(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // what counts is Sync
	return f.Sync()
}

// Create writes a backup to a new file, which appears when it is whole.
func Create(to string, write func(io.Writer) (*Manifest, error)) (*Manifest, error) {
	f, err := durable.New(to, durable.Options{Mode: restoredFile})
	if err != nil {
		return nil, err
	}
	defer f.Discard()
	m, err := write(f)
	if err != nil {
		return nil, err
	}
	return m, f.Commit()
}
