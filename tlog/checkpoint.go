package tlog

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Checkpoint is a signed tree head in the form of a signed note (C2SP tlog-checkpoint): origin, size, root. Nothing in it
// counts before a signature is verified.
type Checkpoint struct {
	// Origin is the first line: the log's identity.
	Origin string
	// Size is the number of leaves.
	Size int64
	// Root is the root of the Merkle tree.
	Root [HashSize]byte
	// Extensions are the lines after the third, never empty ones.
	Extensions []string
	// Note is the text that is signed, with its final newline.
	Note []byte
	// Signatures are the signature lines in the order of the note, those of unknown keys among them. At least one.
	Signatures []NoteSignature
}

// ErrCheckpointSignature is wrapped by the errors of checkpoints that have no signature of the expected key, or a wrong
// one.
var ErrCheckpointSignature = errors.New("checkpoint is not signed by the log")

// ParseCheckpoint reads a signed checkpoint (C2SP signed-note and tlog-checkpoint). It verifies no signature.
func ParseCheckpoint(envelope string) (*Checkpoint, error) {
	text, signatures, err := splitNote(envelope)
	if err != nil {
		return nil, fmt.Errorf("checkpoint %w", err)
	}
	c, err := parseCheckpointText(text)
	if err != nil {
		return nil, fmt.Errorf("checkpoint %w", err)
	}
	c.Signatures = signatures
	return c, nil
}

func parseCheckpointText(text string) (*Checkpoint, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, line := range lines {
		// The only empty line of a checkpoint separates text and signatures.
		if line == "" {
			return nil, fmt.Errorf("line %d is empty", i+1)
		}
	}
	if len(lines) < 3 {
		return nil, fmt.Errorf("has %d lines of text, want origin, size and root hash", len(lines))
	}
	c := &Checkpoint{Origin: lines[0], Extensions: lines[3:], Note: []byte(text)}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return nil, fmt.Errorf("size %q is not a decimal number from 0 to 2^63-1 without leading zeros", shorten(lines[1]))
	}
	c.Size = size
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != HashSize {
		return nil, fmt.Errorf("root hash %q is not the standard base64 of %d bytes", shorten(lines[2]), HashSize)
	}
	c.Root = [HashSize]byte(root)
	return c, nil
}

// shorten keeps quoted input in errors readable.
func shorten(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// IsV1Origin tells whether an origin is that of a Rekor v1 shard: "rekor.example.com - 2605736670972794746". The name of
// the signing key is then the part before the tree ID.
func IsV1Origin(origin string) bool {
	_, ok := v1Host(origin)
	return ok
}

func v1Host(origin string) (string, bool) {
	i := strings.LastIndex(origin, " - ")
	if i < 0 {
		return "", false
	}
	id := origin[i+3:]
	if id == "" || strings.Trim(id, "0123456789") != "" {
		return "", false
	}
	return origin[:i], true
}

// maxLogSignatures bounds the lines of one key that are tried: a log signs its checkpoint once, and whoever wrote the
// bundle can add a hundred lines that make the verifier work for nothing.
const maxLogSignatures = 8

// VerifySignature checks that the log signed the checkpoint: at least one signature line carries its key (C2SP
// signed-note, "Signatures"). keyID is the log's ID, whose first four bytes are the hint of the line; lines of other keys
// are ignored, in whatever order they stand.
//
// With a name, the key's lines are those with that name and hint; each of them must verify, as the specification
// recommends, and the origin must be the name (or "name - tree ID", the form of Rekor v1). With name "", for Rekor v1 logs
// whose signer name nobody states, every line with the hint is tried and one must verify: foreign names prove nothing then.
//
// The error wraps [ErrCheckpointSignature].
func (c *Checkpoint) VerifySignature(name string, keyID []byte, pub crypto.PublicKey) error {
	if len(keyID) < 4 {
		return fmt.Errorf("log key ID has %d bytes, want at least 4", len(keyID))
	}
	if err := c.checkOrigin(name); err != nil {
		return err
	}
	hint := binary.BigEndian.Uint32(keyID)
	verified, tried := false, 0
	for _, s := range c.Signatures {
		if s.KeyHint != hint || name != "" && s.Name != name {
			continue
		}
		if tried++; tried > maxLogSignatures {
			return fmt.Errorf("%w: more than %d signatures with key ID %08x", ErrCheckpointSignature, maxLogSignatures, hint)
		}
		err := verifyLogSignature(pub, c.Note, s.Signature)
		if err == nil {
			verified = true
		} else if name != "" {
			return fmt.Errorf("%w: signature of %q with key ID %08x: %w", ErrCheckpointSignature, s.Name, hint, err)
		}
	}
	switch {
	case verified:
		return nil
	case tried > 0:
		return fmt.Errorf("%w: none of %d signatures with key ID %08x verifies", ErrCheckpointSignature, tried, hint)
	}
	return fmt.Errorf("%w: no signature with %s, there are %s", ErrCheckpointSignature, keyLabel(name, hint), c.keyLabels())
}

func (c *Checkpoint) checkOrigin(name string) error {
	if name == "" || c.Origin == name {
		return nil
	}
	if host, ok := v1Host(c.Origin); ok && host == name {
		return nil
	}
	return fmt.Errorf("%w: origin is %q, want %q", ErrCheckpointSignature, shorten(c.Origin), name)
}

func keyLabel(name string, hint uint32) string {
	if name == "" {
		return fmt.Sprintf("key ID %08x", hint)
	}
	return fmt.Sprintf("key name %q and ID %08x", shorten(name), hint)
}

// keyLabels lists the keys of the note for an error, only the first few.
func (c *Checkpoint) keyLabels() string {
	const most = 4
	var b strings.Builder
	for i, s := range c.Signatures {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(c.Signatures)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q %08x", shorten(s.Name), s.KeyHint)
	}
	return b.String()
}

// VerifyHead checks that the checkpoint is about the tree with this size and root hash (32 bytes).
func (c *Checkpoint) VerifyHead(size int64, root []byte) error {
	if c.Size != size {
		return fmt.Errorf("checkpoint is for tree size %d, the proof for %d", c.Size, size)
	}
	if !bytes.Equal(c.Root[:], root) {
		return fmt.Errorf("checkpoint has root hash %x, the proof %x", c.Root, root)
	}
	return nil
}
