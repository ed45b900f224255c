package algorithm

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha512"
	"errors"
	"fmt"

	"filippo.io/edwards25519"
)

// ErrSignature says that a signature does not belong to the key and the message. Errors of [Algorithm.Verify] wrap it
// when the check was made and failed; other errors mean that it could not be made.
var ErrSignature = errors.New("signature does not verify")

// maxSignatureSize bounds a signature, in bytes: RSA-4096 has 512, the longest ECDSA signature of P-521 has 139.
const maxSignatureSize = MaxRSABits / 8

// Verify checks sig over m with pub. ECDSA signatures are ASN.1 DER, strictly (RFC 3279, 2.2.3), Ed25519 ones 64 bytes
// with a canonical S (RFC 8032, 5.1.7: what crypto/ed25519 accepts), Ed25519ph has an empty context, RSA PSS (RFC 8017,
// 8.1.2) takes any salt length with MGF1 of the same hash.
// The error wraps [ErrSignature] when the signature is wrong, or is the message's own ([ErrDigestUnavailable]).
func (a Algorithm) Verify(pub crypto.PublicKey, m Message, sig []byte) error {
	if err := a.CheckKey(pub); err != nil {
		return err
	}
	if m == nil {
		return errors.New("no message given")
	}
	hash, prefix := a.DigestNeeded(pub, sig)
	if hash == 0 {
		return fmt.Errorf("%w: %d bytes is no length of %s signatures", ErrSignature, len(sig), a.Name())
	}
	digest, err := m.Digest(hash, prefix)
	if err != nil {
		return err
	}
	if len(digest) != hash.Size() {
		return fmt.Errorf("message gave a digest of %d bytes for %s", len(digest), hash)
	}
	if !a.verifyDigest(pub, hash, digest, sig) {
		return fmt.Errorf("%w (%s)", ErrSignature, a.Name())
	}
	return nil
}

// verifyDigest needs a key that CheckKey let through and a digest of the hash's size.
func (a Algorithm) verifyDigest(pub crypto.PublicKey, hash crypto.Hash, digest, sig []byte) bool {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(k, digest, sig)
	case *rsa.PublicKey:
		if a.family == familyPSS {
			opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto}
			return rsa.VerifyPSS(k, hash, digest, sig, opts) == nil
		}
		return rsa.VerifyPKCS1v15(k, hash, digest, sig) == nil
	case ed25519.PublicKey:
		if a.family == familyEd25519ph {
			return ed25519.VerifyWithOptions(k, digest, sig, &ed25519.Options{Hash: crypto.SHA512}) == nil
		}
		return verifyEd25519(k, digest, sig)
	}
	return false
}

// DigestNeeded returns what [Algorithm.Verify] will ask of the message for this key and signature, so that a stream can
// be hashed once for several candidates: its digest by h over prefix and then the message. The prefix is empty except
// for pure Ed25519, where it is R and the public key, 64 bytes. A zero h means that Verify fails without reading the
// message, for instance because no signature has that length.
func (a Algorithm) DigestNeeded(pub crypto.PublicKey, sig []byte) (h crypto.Hash, prefix []byte) {
	switch a.family {
	case familyEd25519, familyEd25519ph:
		k, ok := pub.(ed25519.PublicKey)
		if !ok || len(k) != ed25519.PublicKeySize || len(sig) != ed25519.SignatureSize {
			return 0, nil
		}
		if a.family == familyEd25519 {
			prefix = append(bytes.Clone(sig[:32]), k...)
		}
	default:
		if len(sig) == 0 || len(sig) > maxSignatureSize {
			return 0, nil
		}
	}
	return a.hash, prefix
}

// verifyEd25519 checks a pure Ed25519 signature from kDigest = SHA-512(R || A || message), which is all that RFC 8032,
// 5.1.7 needs of the message. crypto/ed25519 takes only whole messages, hence the group arithmetic here. It accepts
// exactly what crypto/ed25519 accepts: S below the group order, the equation without cofactor, R compared as bytes.
func verifyEd25519(pub ed25519.PublicKey, kDigest, sig []byte) bool {
	if len(pub) != ed25519.PublicKeySize || len(sig) != ed25519.SignatureSize || len(kDigest) != sha512.Size {
		return false
	}
	a, err := new(edwards25519.Point).SetBytes(pub)
	if err != nil {
		return false
	}
	k, err := new(edwards25519.Scalar).SetUniformBytes(kDigest)
	if err != nil {
		return false
	}
	s, err := new(edwards25519.Scalar).SetCanonicalBytes(sig[32:])
	if err != nil {
		return false
	}
	// [S]B = R + [k]A, turned round so that R is computed and compared in its encoded form.
	r := new(edwards25519.Point).VarTimeDoubleScalarBaseMult(k, a.Negate(a), s)
	return bytes.Equal(sig[:32], r.Bytes())
}
