package tlog

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Signature types of signed notes (C2SP signed-note, "Signature types"), as far as somebody chooses by them.
const (
	NoteEd25519     byte = 0x01 // Ed25519 over the note's text
	NoteCosignature byte = 0x04 // timestamped Ed25519 of a witness (C2SP tlog-cosignature)
)

const (
	noteRFC6962 byte = 0x05 // TreeHeadSignature of a CT log (C2SP static-ct-api)
	noteOther   byte = 0xff // types without a number; Rekor's RSA follows it with a name
)

// noteRSA follows noteOther in the key ID of RSA keys, as Rekor v2 computes it.
const noteRSA = "PKIX-RSA-PKCS#1v1.5"

// maxVerifierKeySize bounds a verifier key: the largest assigned one (ML-DSA-44) has 1312 bytes, names are host names.
const maxVerifierKeySize = 4096

var errSignature = errors.New("signature does not verify")

// KeyIDv1 is the ID of a Rekor v1 log, 32 bytes: SHA-256 of the public key in PKIX DER.
func KeyIDv1(pub crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("log key: %w", err)
	}
	id := sha256.Sum256(der)
	return id[:], nil
}

// KeyIDv2 is the ID of a Rekor v2 log, 32 bytes, whose first four are the key ID of its checkpoint signatures (C2SP
// signed-note). For Ed25519 and RSA keys it depends on the origin; for ECDSA it is that of [KeyIDv1].
func KeyIDv2(origin string, pub crypto.PublicKey) ([]byte, error) {
	if !validKeyName(origin) {
		return nil, fmt.Errorf("log origin %q is empty or has a space or a plus sign", shorten(origin))
	}
	switch key := pub.(type) {
	case ed25519.PublicKey:
		if len(key) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("log key: Ed25519 key has %d bytes", len(key))
		}
		return noteKeyID(origin, []byte{NoteEd25519}, key), nil
	case *ecdsa.PublicKey:
		return KeyIDv1(key)
	case *rsa.PublicKey:
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return nil, fmt.Errorf("log key: %w", err)
		}
		return noteKeyID(origin, append([]byte{noteOther}, noteRSA...), der), nil
	}
	return nil, fmt.Errorf("log key: type %T is not supported", pub)
}

// noteKeyID is SHA-256(name || 0x0A || signature type || key), of which notes carry the first four bytes.
func noteKeyID(name string, signatureType, key []byte) []byte {
	h := sha256.New()
	h.Write([]byte(name))
	h.Write([]byte{'\n'})
	h.Write(signatureType)
	h.Write(key)
	return h.Sum(nil)
}

// verifyLogSignature checks a log's signature: Ed25519, ECDSA in ASN.1 DER, or RSA PKCS #1 v1.5 with SHA-256. ECDSA is over
// SHA-256 for every curve (C2SP signed-note 0x02, Rekor v1); Rekor v2 signs with the hash that fits its curve, so for P-384
// and P-521 that one is accepted too.
func verifyLogSignature(pub crypto.PublicKey, message, signature []byte) error {
	switch key := pub.(type) {
	case ed25519.PublicKey:
		if len(key) == ed25519.PublicKeySize && ed25519.Verify(key, message, signature) {
			return nil
		}
	case *ecdsa.PublicKey:
		hashes, err := curveHashes(key.Curve)
		if err != nil {
			return err
		}
		for _, hash := range hashes {
			if ecdsa.VerifyASN1(key, digest(hash, message), signature) {
				return nil
			}
		}
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < 2048 || bits > 4096 {
			return fmt.Errorf("log key: RSA of %d bits is not supported, want 2048 to 4096", bits)
		}
		if rsa.VerifyPKCS1v15(key, crypto.SHA256, digest(crypto.SHA256, message), signature) == nil {
			return nil
		}
	default:
		return fmt.Errorf("log key: type %T is not supported", pub)
	}
	return errSignature
}

func curveHashes(curve elliptic.Curve) ([]crypto.Hash, error) {
	switch curve {
	case elliptic.P256():
		return []crypto.Hash{crypto.SHA256}, nil
	case elliptic.P384():
		return []crypto.Hash{crypto.SHA256, crypto.SHA384}, nil
	case elliptic.P521():
		return []crypto.Hash{crypto.SHA256, crypto.SHA512}, nil
	}
	return nil, errors.New("log key: ECDSA curve is not P-256, P-384 or P-521")
}

func digest(hash crypto.Hash, message []byte) []byte {
	h := hash.New()
	h.Write(message)
	return h.Sum(nil)
}

// VerifierKey is a public key as users hand it around to check signed notes (C2SP signed-note, "Verifier keys").
type VerifierKey struct {
	Name    string
	KeyHint uint32
	// Type is the signature type, for instance [NoteEd25519].
	Type byte
	// Key is the public key's material in the encoding of its type.
	Key []byte
}

// ParseVerifierKey reads name+hex(key ID)+base64(type || key). The key ID must be the one that follows from name, type and
// key where that is how the type forms it (Ed25519 and witness cosignatures).
func ParseVerifierKey(vkey string) (VerifierKey, error) {
	if len(vkey) > maxVerifierKeySize {
		return VerifierKey{}, fmt.Errorf("verifier key has %d bytes, more than %d", len(vkey), maxVerifierKeySize)
	}
	name, rest, _ := strings.Cut(vkey, "+")
	id, encoded, ok := strings.Cut(rest, "+")
	if !ok || !validKeyName(name) {
		return VerifierKey{}, errors.New("verifier key is not of the form name+id+key")
	}
	hint, err := hex.DecodeString(id)
	if err != nil || len(hint) != 4 {
		return VerifierKey{}, errors.New("verifier key: key ID is not eight hexadecimal digits")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(raw) < 2 {
		return VerifierKey{}, errors.New("verifier key: key is not the standard base64 of a type and a key")
	}
	k := VerifierKey{Name: name, KeyHint: binary.BigEndian.Uint32(hint), Type: raw[0], Key: raw[1:]}
	if k.Type == NoteEd25519 || k.Type == NoteCosignature {
		if len(k.Key) != ed25519.PublicKeySize {
			return VerifierKey{}, fmt.Errorf("verifier key: Ed25519 key has %d bytes", len(k.Key))
		}
		if want := binary.BigEndian.Uint32(noteKeyID(name, raw[:1], k.Key)); k.KeyHint != want {
			return VerifierKey{}, fmt.Errorf("verifier key: key ID is %08x, name and key make it %08x", k.KeyHint, want)
		}
	}
	return k, nil
}
