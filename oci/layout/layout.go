package layout

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Repository is the name under which a Layout answers, to be put before "@sha256:…" or ":tag".
const Repository = "layout.localhost/image"

// Layout is an image layout with one image in it. It may be used by several goroutines at once.
type Layout struct {
	path  string
	files files
	dir   string // where it is written; empty: it is only read

	mu      sync.Mutex
	listed  []descriptor            // of index.json
	tags    map[string]descriptor   // by name
	subject map[string][]descriptor // digest -> its referrers
	whole   map[string]bool         // blobs whose bytes were compared with their digest
	uploads int
}

// Open reads a layout in a directory or a tar file.
func Open(path string) (*Layout, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	var f files
	switch {
	case info.IsDir():
		f, err = openDirectory(path)
	case info.Mode().IsRegular():
		f, err = openArchive(path)
	default:
		// A pipe would keep us waiting, and an archive is not read from its beginning to its end.
		err = fmt.Errorf("%s is neither a directory nor a regular file", path)
	}
	if err != nil {
		return nil, err
	}
	l := newLayout(path, f)
	if err := l.load(); err != nil {
		_ = f.close() // only read
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

func newLayout(path string, f files) *Layout {
	return &Layout{path: path, files: f, tags: map[string]descriptor{}, subject: map[string][]descriptor{}, whole: map[string]bool{}}
}

// Create begins a layout in a directory, which is made. What an interrupted run left there is used again, as far as it is
// whole. A directory with anything else in it is refused.
func Create(dir string) (*Layout, error) {
	marker := filepath.Join(dir, "oci-layout")
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		data, err := os.ReadFile(marker)
		switch {
		case err == nil:
			err = checkLayout(data)
		case errors.Is(err, fs.ErrNotExist) && unfinished(entries):
			err = nil
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("%s is not empty, and no image layout", dir)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
	}
	// The marker comes first: whoever is killed after it leaves what the next run takes for its own.
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := writeFile(marker, []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return nil, err
	}
	for _, sub := range []string{"sha256", "sha512"} {
		if err := os.MkdirAll(filepath.Join(dir, "blobs", sub), 0o755); err != nil {
			return nil, err
		}
	}
	f, err := openDirectory(dir)
	if err != nil {
		return nil, err
	}
	l := newLayout(dir, f)
	l.dir = dir
	return l, nil
}

// unfinished says that a directory has only what a run leaves that was killed while it wrote the marker.
func unfinished(entries []fs.DirEntry) bool {
	for _, e := range entries {
		if !e.Type().IsRegular() || !strings.HasPrefix(e.Name(), ".bulla-") {
			return false
		}
	}
	return true
}

// Close ends the use of the layout.
func (l *Layout) Close() error { return l.files.close() }

func (l *Layout) load() error {
	data, err := readFile(l.files, "oci-layout")
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("no image layout: it has no file oci-layout")
	}
	if err == nil {
		err = checkLayout(data)
	}
	if err != nil {
		return err
	}
	data, err = readFile(l.files, "index.json")
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("no index.json: what wrote it did not finish")
	}
	if err != nil {
		return err
	}
	if l.listed, err = parseIndex(data); err != nil {
		return err
	}
	for _, d := range l.listed {
		if tag := d.Annotations[annotationRef]; tag != "" {
			l.tags[tag] = d
		}
	}
	if err := l.scan(); err != nil {
		return err
	}
	root, err := l.Root("")
	if err != nil {
		return nil // it may be named yet
	}
	for kind, suffix := range map[string]string{kindSignatures: "sig", kindAttested: "att"} {
		i := slices.IndexFunc(l.listed, func(d descriptor) bool { return d.Annotations[annotationKind] == kind })
		if _, known := l.tags[legacyTag(root, suffix)]; i >= 0 && !known {
			l.tags[legacyTag(root, suffix)] = l.listed[i]
		}
	}
	return nil
}

// scan finds the manifests that state a subject, listed or not.
func (l *Layout) scan() error {
	names, err := l.files.blobs()
	if err != nil {
		return err
	}
	left := int64(maxScan)
	for _, name := range names {
		r, size, err := l.files.open("blobs/" + name)
		if err != nil {
			return err
		}
		if size > maxIndex {
			_ = r.Close() // only read
			continue
		}
		data, err := io.ReadAll(r)
		_ = r.Close() // only read
		if err != nil {
			return err
		}
		if left -= size; left < 0 {
			return fmt.Errorf("the small blobs have more than %d bytes", maxScan)
		}
		l.remember(strings.Replace(name, "/", ":", 1), data)
	}
	return nil
}

// remember notes a manifest that states a subject.
func (l *Layout) remember(digest string, data []byte) {
	o, ok := outlineOf(data)
	if !ok || o.Subject == nil || checkDigest(o.Subject.Digest) != nil {
		return
	}
	known := l.subject[o.Subject.Digest]
	if slices.ContainsFunc(known, func(d descriptor) bool { return d.Digest == digest }) {
		return
	}
	l.subject[o.Subject.Digest] = append(known, descriptor{
		MediaType: o.MediaType, Digest: digest, Size: int64(len(data)), ArtifactType: o.ArtifactType, Annotations: o.Annotations,
	})
}

// Root returns the digest of the image in the layout. Where there are several, reference says which: a name in
// org.opencontainers.image.ref.name, or a digest.
func (l *Layout) Root(reference string) (digest string, err error) {
	if checkDigest(reference) == nil {
		return reference, nil
	}
	var found, names []string
	add := func(d descriptor) {
		if !slices.Contains(found, d.Digest) {
			found = append(found, d.Digest)
			names = append(names, printable(d.Annotations[annotationRef])+"@"+d.Digest)
		}
	}
	for _, marked := range []bool{true, false} {
		for _, d := range l.listed {
			kind, tag := d.Annotations[annotationKind], d.Annotations[annotationRef]
			switch {
			case reference != "" && tag != reference, marked != (kind == kindImage || kind == kindIndex):
			case kind == kindSignatures, kind == kindAttested, isLegacyTag(tag), l.isReferrer(d.Digest):
			default:
				add(d)
			}
		}
		if len(found) > 0 {
			break
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", fmt.Errorf("%s holds several images: %s", l.path, strings.Join(names, ", "))
	case reference != "":
		return "", fmt.Errorf("%s has no image named %q", l.path, printable(reference))
	}
	return "", fmt.Errorf("%s holds no image", l.path)
}

func (l *Layout) isReferrer(digest string) bool {
	for _, list := range l.subject {
		if slices.ContainsFunc(list, func(d descriptor) bool { return d.Digest == digest }) {
			return true
		}
	}
	return false
}
