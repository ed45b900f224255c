package layout

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// maxDepth bounds indexes within indexes; one level is usual.
const maxDepth = 4

// Check reads everything that a manifest names, the manifests of an index with what they name too, and compares it with its
// digest and size. A signature is about the manifest: without this, a layer could have been exchanged where it lies. What is
// missing is an error too, but for layers that are kept elsewhere.
func (l *Layout) Check(ctx context.Context, digest string) error {
	return l.check(ctx, digest, map[string]bool{}, 1)
}

func (l *Layout) check(ctx context.Context, digest string, seen map[string]bool, depth int) error {
	if depth > maxDepth || len(seen) > maxFiles {
		return fmt.Errorf("%s: more than %d levels of indexes, or %d blobs", l.path, maxDepth, maxFiles)
	}
	data, err := readFile(l.files, blobName(digest))
	if err != nil {
		return fmt.Errorf("%s: %w", l.path, err)
	}
	if got := digestLike(digest, data); got != digest {
		return fmt.Errorf("%s: %s: the bytes have the digest %s", l.path, blobName(digest), got)
	}
	o, ok := outlineOf(data)
	if !ok {
		return fmt.Errorf("%s: %s is no manifest", l.path, blobName(digest))
	}
	for _, d := range o.Manifests {
		if err := checkDigest(d.Digest); err != nil {
			return fmt.Errorf("%s: %s: %w", l.path, blobName(digest), err)
		}
		if seen[d.Digest] {
			continue
		}
		seen[d.Digest] = true
		if err := l.check(ctx, d.Digest, seen, depth+1); err != nil {
			return err
		}
	}
	blobs := o.Layers
	if o.Config != nil {
		config := *o.Config
		config.URLs = nil // layers only may be elsewhere
		blobs = append(blobs, config)
	}
	for _, d := range blobs {
		if seen[d.Digest] {
			continue
		}
		seen[d.Digest] = true
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.checkBlob(d); err != nil {
			return fmt.Errorf("%s: %w", l.path, err)
		}
	}
	return nil
}

// elsewhere says that a layer is kept in another place (image-spec "descriptor", urls): a layout need not have it.
func (d *descriptor) elsewhere() bool {
	return len(d.URLs) > 0 || strings.Contains(d.MediaType, ".nondistributable.") || strings.Contains(d.MediaType, ".foreign.")
}

func (l *Layout) checkBlob(d descriptor) error {
	if err := checkDigest(d.Digest); err != nil {
		return err
	}
	r, size, err := l.files.open(blobName(d.Digest))
	if errors.Is(err, fs.ErrNotExist) && d.elsewhere() {
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	h := hashFor(d.Digest)
	if _, err := io.Copy(h, r); err != nil {
		return err
	}
	_, value, _ := strings.Cut(d.Digest, ":")
	if got := hex.EncodeToString(h.Sum(nil)); got != value || size != d.Size {
		return fmt.Errorf("%s: %d bytes with the digest %s, and the manifest states %d bytes", blobName(d.Digest), size, got, d.Size)
	}
	return nil
}
