package layout

import (
	"archive/tar"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/bulla-sign/bulla/internal/durable"
)

func writeFile(path string, data []byte) error { return durable.WriteFile(path, data, 0o644) }

// has says whether a blob is there and whole. What was there before this run is read once: a crash, or somebody else, may
// have left a part.
func (l *Layout) has(digest string) (int64, bool) {
	r, size, err := l.files.open(blobName(digest))
	if err != nil {
		return 0, false
	}
	defer r.Close()
	l.mu.Lock()
	whole := l.whole[digest]
	l.mu.Unlock()
	if whole || l.dir == "" {
		return size, true
	}
	h := hashFor(digest)
	if _, err := io.Copy(h, r); err != nil || hex.EncodeToString(h.Sum(nil)) != digest[strings.Index(digest, ":")+1:] {
		return 0, false
	}
	l.mu.Lock()
	l.whole[digest] = true
	l.mu.Unlock()
	return size, true
}

// errDigest says that what was sent is not what was announced.
var errDigest = errors.New("the bytes have another digest")

// store writes a blob, whole or not at all.
func (l *Layout) store(digest string, r io.Reader) error {
	f, err := durable.New(filepath.Join(l.dir, filepath.FromSlash(blobName(digest))), durable.Options{Mode: 0o644, Replace: true})
	if err != nil {
		return err
	}
	defer f.Discard()
	h := hashFor(digest)
	if _, err := io.Copy(io.MultiWriter(f, h), r); err != nil {
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != digest[strings.Index(digest, ":")+1:] {
		return errDigest
	}
	if err := f.Commit(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.whole[digest] = true
	return nil
}

// Commit writes index.json, with which the layout becomes one: the image, by its digest, then its older tags, then the
// others', then all referrers.
func (l *Layout) Commit(root string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	doc := indexDocument{SchemaVersion: 2, MediaType: typeIndex}
	data, err := readFile(l.files, blobName(root))
	if err != nil {
		return err
	}
	o, ok := outlineOf(data)
	if !ok {
		return fmt.Errorf("%s is no manifest", root)
	}
	first := descriptor{MediaType: o.MediaType, Digest: root, Size: int64(len(data)), Annotations: map[string]string{annotationKind: kindImage}}
	if o.Manifests != nil {
		first.Annotations[annotationKind] = kindIndex
	}
	var tags []string
	for tag, d := range l.tags {
		switch {
		case isLegacyTag(tag):
			tags = append(tags, tag)
		case d.Digest == root:
			first.Annotations[annotationRef] = tag
		}
	}
	doc.Manifests = append(doc.Manifests, first)
	own := map[string]string{legacyTag(root, "sig"): kindSignatures, legacyTag(root, "att"): kindAttested}
	slices.SortFunc(tags, func(a, b string) int {
		if (own[a] != "") != (own[b] != "") {
			return map[bool]int{true: -1, false: 1}[own[a] != ""]
		}
		return strings.Compare(a, b)
	})
	for _, tag := range tags {
		d := l.tags[tag]
		d.Annotations = map[string]string{annotationRef: tag}
		if own[tag] != "" {
			d.Annotations[annotationKind] = own[tag]
		}
		doc.Manifests = append(doc.Manifests, d)
	}
	var subjects []string
	for s := range l.subject {
		subjects = append(subjects, s)
	}
	sort.Strings(subjects)
	for _, s := range subjects {
		doc.Manifests = append(doc.Manifests, l.subject[s]...)
	}
	out, err := json.Marshal(doc, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	if len(out) > maxIndex {
		return fmt.Errorf("index.json would have %d bytes, the limit is %d", len(out), maxIndex)
	}
	return writeFile(filepath.Join(l.dir, "index.json"), append(out, '\n'))
}

// Committed returns the digest of the image in a directory that was committed before; empty when there is none.
func Committed(dir string) (string, error) {
	if _, err := os.Stat(filepath.Join(dir, "index.json")); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return "", nil
		}
		return "", err
	}
	l, err := Open(dir)
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }() // read only
	return l.Root("")
}

// Pack writes the layout as a tar archive in which everything has a fixed order and no time, so that equal layouts are equal
// archives.
func (l *Layout) Pack(out io.Writer) error {
	names, err := l.files.blobs()
	if err != nil {
		return err
	}
	w := tar.NewWriter(out)
	all := []string{"oci-layout", "index.json"}
	for _, name := range names {
		all = append(all, "blobs/"+name)
	}
	for _, dir := range []string{"blobs/", "blobs/sha256/"} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, Format: tar.FormatPAX}); err != nil {
			return err
		}
	}
	for _, name := range all {
		if err := l.packFile(w, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return w.Close()
}

func (l *Layout) packFile(w *tar.Writer, name string) error {
	r, size, err := l.files.open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return err
}
