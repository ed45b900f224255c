package carry

import (
	"context"
	"io"
)

// Descriptor names content (image-spec "descriptor").
type Descriptor struct {
	MediaType string
	Digest    string
	Size      int64 // bytes
}

// Manifest is an image manifest or an index with its bytes, which hash to its digest.
type Manifest struct {
	Descriptor
	Body       []byte
	Repository string // where it was read; what it names is there too
}

// Piece is something attached to a manifest.
type Piece struct {
	*Manifest
	Suffix string // "sig", "att" or "sbom": it lies under cosign's older tag; empty: it is a referrer
	Place  string // where it was found, for people
	Err    error  // it is listed, and could not be read; then Manifest holds a descriptor only
}

// Source is where images are read.
type Source interface {
	// Manifest reads a manifest by tag or digest. The error wraps ErrNotFound only where it is certain.
	Manifest(ctx context.Context, reference string) (*Manifest, error)
	// Blob reads what a manifest names, from where that manifest was read. The reader fails when the bytes do not fit the
	// descriptor.
	Blob(ctx context.Context, in *Manifest, d Descriptor) (io.ReadCloser, error)
	// Attached lists what is attached to a manifest. An error says that the list may not be complete.
	Attached(ctx context.Context, m *Manifest) ([]Piece, error)
}

// Where says how a manifest is stored.
type Where struct {
	Tag     string    // under this tag, besides its digest
	Subject *Manifest // attached to this one
	Suffix  string    // with Subject: under cosign's older tag, merged with what is there; otherwise as a referrer
	Force   bool      // replace an SBOM under its tag, which cannot be merged
}

// Target is where images are written.
type Target interface {
	// Has says whether a blob is there.
	Has(ctx context.Context, d Descriptor) (bool, error)
	// PutBlob stores what a manifest of a source names.
	PutBlob(ctx context.Context, from Source, in *Manifest, d Descriptor) error
	// Put stores a manifest. When it is attached to another, Put returns only once it is seen there.
	Put(ctx context.Context, m *Manifest, w Where) error
}

// Store is both.
type Store interface {
	Source
	Target
}
