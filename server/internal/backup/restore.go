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
		if hdr.Typeflag != tar.TypeReg || !fs.ValidPath(hdr.Name) || strings.Contains(hdr.Name, `\`) {
			return nil, fmt.Errorf("the backup has %.100q in it, which is no file below its root", hdr.Name)
		}
		if hdr.Name == manifestName {
			return u.finish(r)
		}
		if err := u.write(r, hdr); err != nil {
			return nil, fmt.Errorf("restoring %s: %w", hdr.Name, err)
		}
	}
}

type unpacker struct {
	root *os.Root
	sum  hash.Hash
	n    int
}

// write writes one file. How large it may be is the disk's business: a backup is its operator's own.
func (u *unpacker) write(from io.Reader, hdr *tar.Header) (err error) {
	if err := u.root.MkdirAll(path.Dir(hdr.Name), restoredDir); err != nil {
		return err
	}
	f, err := u.root.OpenFile(hdr.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, restoredFile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	begin(u.sum, hdr.Name, hdr.Size)
	if _, err := io.CopyN(io.MultiWriter(f, u.sum), from, hdr.Size); err != nil {
		return err
	}
	u.n++
	return f.Sync()
}

func (u *unpacker) finish(from io.Reader) (*Manifest, error) {
	data, err := io.ReadAll(io.LimitReader(from, maxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("the backup's manifest: %w", err)
	}
	if len(data) > maxManifest {
		return nil, fmt.Errorf("the backup's manifest is larger than %d bytes", maxManifest)
	}
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
