package layout

import (
	"archive/tar"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// The limits of what is read of a layout.
const (
	// maxIndex is what a registry takes as a manifest, and so for index.json too.
	maxIndex = 4 << 20
	// maxFiles bounds the entries of an archive and the blobs of a directory: ten thousand manifests with ten blobs each.
	maxFiles = 100_000
	// maxScan bounds the bytes read in search of manifests that state a subject: each is small, and they are few.
	maxScan = 1 << 30
)

// files is where the bytes of a layout are. Names have slashes.
type files interface {
	open(name string) (io.ReadCloser, int64, error) // wraps fs.ErrNotExist
	blobs() ([]string, error)                       // "sha256/<hex>", sorted
	close() error
}

// directory is a layout in a directory. Links that lead out of it are not followed.
type directory struct{ root *os.Root }

func openDirectory(dir string) (*directory, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &directory{root}, nil
}

func (d *directory) open(name string) (io.ReadCloser, int64, error) {
	// A pipe would keep us waiting.
	info, err := d.root.Stat(filepath.FromSlash(name))
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is not a regular file", name)
	}
	f, err := d.root.Open(filepath.FromSlash(name))
	return f, info.Size(), err
}

func (d *directory) blobs() ([]string, error) {
	var names []string
	for _, algorithm := range []string{"sha256", "sha512"} {
		entries, err := fs.ReadDir(d.root.FS(), path.Join("blobs", algorithm))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if checkDigest(algorithm+":"+e.Name()) == nil {
				names = append(names, algorithm+"/"+e.Name())
			}
		}
	}
	if len(names) > maxFiles {
		return nil, fmt.Errorf("more than %d blobs", maxFiles)
	}
	return names, nil
}

func (d *directory) close() error { return d.root.Close() }

// archive is a layout in a tar file, read where it lies.
type archive struct {
	file    *os.File
	members map[string]member
	links   map[string]string // what they lead to; only archives of docker save may have them
	docker  bool              // it has what docker load reads
	layout  bool              // it has what marks a layout
}

// member is one file of an archive: where it is, or the bytes that were made for it.
type member struct {
	offset, size int64
	made         []byte
}

func openArchive(name string) (*archive, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	a := &archive{file: f, members: map[string]member{}, links: map[string]string{}}
	if err := a.index(f); err != nil {
		_ = f.Close() // only read
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return a, nil
}

// index remembers where the members are.
func (a *archive) index(f io.ReadSeeker) error {
	info, err := a.file.Stat()
	if err != nil {
		return err
	}
	r := tar.NewReader(f)
	var refused, linked error // the first member that is not as it should be, and the first link
	for n := 0; ; n++ {
		h, err := r.Next()
		if err == io.EOF {
			switch {
			case n == 0:
				return errors.New("the archive is empty")
			case a.docker && !a.layout && refused == nil:
				return a.fromDocker()
			}
			return cmp.Or(refused, linked)
		}
		if err != nil {
			return fmt.Errorf("not a tar archive that can be read (a compressed one must be uncompressed first): %w", err)
		}
		if n == maxFiles {
			return fmt.Errorf("more than %d members", maxFiles)
		}
		name, err := memberName(h)
		if errors.Is(err, errLink) {
			linked = cmp.Or(linked, err)
			a.links[name] = linkTarget(h)
			continue
		}
		if err != nil {
			refused = cmp.Or(refused, err)
			continue
		}
		a.docker, a.layout = a.docker || name == "manifest.json", a.layout || name == "oci-layout"
		if h.Typeflag == tar.TypeDir {
			continue
		}
		if _, twice := a.members[name]; twice {
			return fmt.Errorf("%q is there twice", printable(name))
		}
		// The reader has read the headers and not a byte more.
		offset, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if h.Size > info.Size()-offset {
			return fmt.Errorf("%q is cut off", printable(name))
		}
		a.members[name] = member{offset: offset, size: h.Size}
	}
}

// errLink says what a layout does not have, and an archive of docker save may.
var errLink = errors.New("a link, neither a file nor a directory")

// memberName refuses what an honest layout does not have.
func memberName(h *tar.Header) (string, error) {
	name := path.Clean(strings.TrimPrefix(h.Name, "./"))
	if strings.Contains(h.Name, `\`) || path.IsAbs(h.Name) || !filepath.IsLocal(name) && name != "." {
		return "", fmt.Errorf("%q leads out of the archive", printable(h.Name))
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return "", fmt.Errorf("%q is a sparse file, which is not read", printable(h.Name))
		}
	}
	if h.Typeflag == tar.TypeSymlink || h.Typeflag == tar.TypeLink {
		return name, fmt.Errorf("%q is %w", printable(h.Name), errLink)
	}
	if h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir {
		return "", fmt.Errorf("%q is neither a file nor a directory", printable(h.Name))
	}
	return name, nil
}

// section is a member being read.
type section struct{ *io.SectionReader }

func (section) Close() error { return nil }

func (a *archive) open(name string) (io.ReadCloser, int64, error) {
	m, ok := a.members[name]
	if !ok {
		return nil, 0, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	if m.made != nil {
		return io.NopCloser(bytes.NewReader(m.made)), m.size, nil
	}
	return section{io.NewSectionReader(a.file, m.offset, m.size)}, m.size, nil
}

func (a *archive) blobs() ([]string, error) {
	var names []string
	for name := range a.members {
		digest, ok := strings.CutPrefix(name, "blobs/")
		if ok && checkDigest(strings.Replace(digest, "/", ":", 1)) == nil {
			names = append(names, digest)
		}
	}
	sort.Strings(names)
	return names, nil
}

func (a *archive) close() error { return a.file.Close() }

// readFile reads a small file.
func readFile(f files, name string) ([]byte, error) {
	r, size, err := f.open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > maxIndex {
		return nil, fmt.Errorf("%s has %d bytes, the limit is %d", name, size, maxIndex)
	}
	return io.ReadAll(io.LimitReader(r, maxIndex))
}
