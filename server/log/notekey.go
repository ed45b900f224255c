package log

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/bulla-sign/bulla/tlog"
)

// noteKey signs and verifies notes (C2SP signed-note) under the log's name.
type noteKey struct {
	name   string
	id     []byte // all 32 bytes
	pub    crypto.PublicKey
	signer crypto.Signer // nil: verifies only
}

func newNoteKey(origin string, pub crypto.PublicKey, signer crypto.Signer) (*noteKey, error) {
	switch key := pub.(type) {
	case ed25519.PublicKey:
		if signer != nil && !key.Equal(signer.Public()) {
			return nil, errors.New("the signing key and the public key differ")
		}
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return nil, fmt.Errorf("an ECDSA key on %s: a log signs with P-256 or Ed25519", key.Params().Name)
		}
		if signer != nil && !key.Equal(signer.Public()) {
			return nil, errors.New("the signing key and the public key differ")
		}
	default:
		return nil, fmt.Errorf("a key of type %T: a log signs with Ed25519 or ECDSA on P-256", pub)
	}
	id, err := tlog.KeyIDv2(origin, pub)
	if err != nil {
		return nil, err
	}
	return &noteKey{name: origin, id: id, pub: pub, signer: signer}, nil
}

// Name implements note.Signer and note.Verifier.
func (k *noteKey) Name() string { return k.name }

// KeyHash implements note.Signer and note.Verifier.
func (k *noteKey) KeyHash() uint32 { return binary.BigEndian.Uint32(k.id) }

// Sign implements note.Signer.
func (k *noteKey) Sign(text []byte) ([]byte, error) {
	if _, ok := k.pub.(ed25519.PublicKey); ok {
		return k.signer.Sign(rand.Reader, text, crypto.Hash(0))
	}
	sum := sha256.Sum256(text)
	return k.signer.Sign(rand.Reader, sum[:], crypto.SHA256)
}

// Verify implements note.Verifier.
func (k *noteKey) Verify(text, sig []byte) bool {
	switch key := k.pub.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(key, text, sig)
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(text)
		return ecdsa.VerifyASN1(key, sum[:], sig)
	}
	return false
}
