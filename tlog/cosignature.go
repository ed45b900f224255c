package tlog

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// VerifyCosignature checks that a witness cosigned the checkpoint (C2SP tlog-cosignature, Ed25519) and returns when, in
// seconds since 1970. name and pub are the witness's.
func (c *Checkpoint) VerifyCosignature(name string, pub ed25519.PublicKey) (int64, error) {
	if len(pub) != ed25519.PublicKeySize {
		return 0, fmt.Errorf("witness key has %d bytes, want %d", len(pub), ed25519.PublicKeySize)
	}
	signature, err := c.find(name, noteKeyID(name, []byte{NoteCosignature}, pub))
	if err != nil {
		return 0, err
	}
	if len(signature) != 8+ed25519.SignatureSize {
		return 0, fmt.Errorf("%w: cosignature of %q has %d bytes, want %d", ErrCheckpointSignature, name, len(signature), 8+ed25519.SignatureSize)
	}
	at := binary.BigEndian.Uint64(signature)
	if at > math.MaxInt64 {
		return 0, fmt.Errorf("%w: cosignature of %q: time is beyond 2^63-1", ErrCheckpointSignature, name)
	}
	message := append([]byte("cosignature/v1\ntime "+strconv.FormatUint(at, 10)+"\n"), c.Note...)
	if !ed25519.Verify(pub, message, signature[8:]) {
		return 0, fmt.Errorf("%w: cosignature of %q does not verify", ErrCheckpointSignature, name)
	}
	return int64(at), nil
}

// VerifyTreeHead checks the signature of a static CT log: a TreeHeadSignature of RFC 6962 3.5 inside the note (C2SP
// static-ct-api, "Checkpoints"). It returns the tree head's time in milliseconds since 1970. The origin is not covered by
// that signature, only compared.
func (c *Checkpoint) VerifyTreeHead(origin string, pub crypto.PublicKey) (int64, error) {
	if c.Origin != origin {
		return 0, fmt.Errorf("%w: origin is %q, want %q", ErrCheckpointSignature, shorten(c.Origin), origin)
	}
	if len(c.Extensions) > 0 {
		return 0, errors.New("checkpoint of a CT log has extension lines, which its signature does not cover")
	}
	logID, err := KeyIDv1(pub)
	if err != nil {
		return 0, err
	}
	raw, err := c.find(origin, noteKeyID(origin, []byte{noteRFC6962}, logID))
	if err != nil {
		return 0, err
	}
	// uint64 timestamp, then DigitallySigned: hash and signature algorithm, opaque signature<0..2^16-1>.
	if len(raw) < 12 || int(binary.BigEndian.Uint16(raw[10:])) != len(raw)-12 {
		return 0, fmt.Errorf("%w: tree head signature of %d bytes is malformed", ErrCheckpointSignature, len(raw))
	}
	at, algorithms, signature := raw[:8], [2]byte(raw[8:10]), raw[12:]
	if binary.BigEndian.Uint64(at) > math.MaxInt64 {
		return 0, fmt.Errorf("%w: time is beyond 2^63-1", ErrCheckpointSignature)
	}
	if err := checkTLSAlgorithms(algorithms, pub); err != nil {
		return 0, err
	}
	// TreeHeadSignature: version v1, type tree_hash, timestamp, size, root (RFC 6962 3.5).
	head := append([]byte{0, 1}, at...)
	head = binary.BigEndian.AppendUint64(head, uint64(c.Size))
	head = append(head, c.Root[:]...)
	if err := verifyLogSignature(pub, head, signature); err != nil {
		return 0, fmt.Errorf("%w: tree head: %w", ErrCheckpointSignature, err)
	}
	return int64(binary.BigEndian.Uint64(at)), nil
}

// checkTLSAlgorithms compares the stated algorithms with the key: RFC 6962 2.1.4 allows SHA-256 with ECDSA or RSA (RFC
// 5246 7.4.1.4.1 has the numbers).
func checkTLSAlgorithms(stated [2]byte, pub crypto.PublicKey) error {
	var want [2]byte
	switch pub.(type) {
	case *ecdsa.PublicKey:
		want = [2]byte{4, 3}
	case *rsa.PublicKey:
		want = [2]byte{4, 1}
	default:
		return fmt.Errorf("log key: type %T signs no tree heads of RFC 6962", pub)
	}
	if stated != want {
		return fmt.Errorf("%w: tree head signature states algorithms %v, the key needs %v", ErrCheckpointSignature, stated, want)
	}
	return nil
}

// find returns the only signature of a key. Two of them are refused: nothing says which one counts.
func (c *Checkpoint) find(name string, keyID []byte) ([]byte, error) {
	hint := binary.BigEndian.Uint32(keyID)
	var found []byte
	for _, s := range c.Signatures {
		if s.Name != name || s.KeyHint != hint {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%w: two signatures with %s", ErrCheckpointSignature, keyLabel(name, hint))
		}
		found = s.Signature
	}
	if found == nil {
		return nil, fmt.Errorf("%w: no signature with %s, there are %s", ErrCheckpointSignature, keyLabel(name, hint), c.keyLabels())
	}
	return found, nil
}
