package bundle

import (
	"errors"

	"github.com/bulla-sign/bulla/internal/protojson"
)

// What a *FormatError may wrap, for callers that try another format or tell
// the user to update.
var (
	// ErrNotBundle: the input is something else than a Sigstore bundle.
	ErrNotBundle = errors.New("not a sigstore bundle")
	// ErrUnsupportedVersion: a Sigstore bundle of a version not known here.
	ErrUnsupportedVersion = errors.New("unsupported bundle version")
)

// FormatError says where input departs from its format, and how.
type FormatError struct {
	// Path is the place in the document, such as
	// verificationMaterial.tlogEntries[3].logIndex; empty: the whole.
	Path string
	// Reason says what was found, what was wanted, and what to do if that is
	// known.
	Reason string

	kind error // ErrNotBundle, ErrUnsupportedVersion or nil
}

// Error returns "path: reason".
func (e *FormatError) Error() string {
	if e.Path == "" {
		return e.Reason
	}
	return e.Path + ": " + e.Reason
}

// Unwrap returns ErrNotBundle, ErrUnsupportedVersion or nil.
func (e *FormatError) Unwrap() error { return e.kind }

// malformed returns a *FormatError without a kind.
func malformed(path, reason string) error {
	return &FormatError{Path: path, Reason: reason}
}

// formatError turns an error of protojson into a *FormatError.
func formatError(err error) error {
	if err == nil {
		return nil
	}
	var e *protojson.Error
	if errors.As(err, &e) {
		return &FormatError{Path: e.Path, Reason: e.Reason}
	}
	return &FormatError{Reason: err.Error()}
}
