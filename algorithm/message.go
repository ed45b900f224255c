package algorithm

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
)

// ErrDigestUnavailable says that a message cannot be hashed the way an algorithm needs, because only some digest of it
// is known. Another algorithm of the same key may still work.
var ErrDigestUnavailable = errors.New("the digest that the algorithm needs is not available")

// Message is what was signed, as far as digests of it can be had.
type Message interface {
	// Digest returns h(prefix || message). The prefix is empty except for pure Ed25519. Implementations that cannot
	// compute it return an error that wraps [ErrDigestUnavailable].
	Digest(h crypto.Hash, prefix []byte) ([]byte, error)
}

// Opener is a [Message] that may also be read itself, for signers that want the message and not its digest (plug-in
// programs for key stores get it as a stream). A Message need not be one: who wants it asks by type assertion.
type Opener interface {
	Message
	// Open starts the message from its beginning, each time anew. Where it cannot be had again, a stream that has gone by or
	// a bare digest, the error wraps [errors.ErrUnsupported].
	Open() (io.ReadCloser, error)
}

// Bytes returns a message that is in memory, an [Opener]. It keeps b, which must not be changed while the message is in use.
func Bytes(b []byte) Message { return bytesMessage(b) }

type bytesMessage []byte

func (m bytesMessage) Digest(h crypto.Hash, prefix []byte) ([]byte, error) {
	if !h.Available() {
		return nil, fmt.Errorf("hash %s: %w", h, ErrDigestUnavailable)
	}
	w := h.New()
	w.Write(prefix)
	w.Write(m)
	return w.Sum(nil), nil
}

// Open implements [Opener].
func (m bytesMessage) Open() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(m)), nil }

// Precomputed returns a message of which only the digest by h is known; whatever else is asked of it gives
// [ErrDigestUnavailable]. A digest that is not h.Size() bytes long makes every request fail.
func Precomputed(h crypto.Hash, digest []byte) Message {
	return precomputed{h, bytes.Clone(digest)}
}

type precomputed struct {
	hash   crypto.Hash
	digest []byte
}

func (m precomputed) Digest(h crypto.Hash, prefix []byte) ([]byte, error) {
	if h != m.hash {
		return nil, fmt.Errorf("only a %s digest is known, not %s: %w", m.hash, h, ErrDigestUnavailable)
	}
	if len(prefix) > 0 {
		return nil, fmt.Errorf("only a plain %s digest is known, and pure Ed25519 reads the message itself: %w",
			m.hash, ErrDigestUnavailable)
	}
	if !h.Available() || len(m.digest) != h.Size() {
		return nil, fmt.Errorf("a digest of %d bytes was given as %s", len(m.digest), h)
	}
	return bytes.Clone(m.digest), nil
}
