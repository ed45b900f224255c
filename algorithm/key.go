package algorithm

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"filippo.io/edwards25519"
)

const (
	// MinRSABits and MaxRSABits bound RSA keys. Below, signatures can be forged with means that exist (NIST SP 800-57
	// calls 2048 bits the least); above, checking one signature costs an attacker nothing and the verifier much.
	MinRSABits = 2048
	MaxRSABits = 4096 // see MinRSABits
	// minRSAExponent is the least public exponent of FIPS 186-5, A.1.1 (more than 2^16): smaller ones have a long
	// record of forged paddings, and no key store that Sigstore supports makes them.
	minRSAExponent = 1<<16 + 1
	// maxKeySize bounds an encoded public key, in bytes. RSA-4096 takes 550, RSA-16384 (which is refused by name) 2100.
	maxKeySize = 8 << 10
	// maxPEMSize bounds the text around a key: base64, and the explanation that some tools write above the block.
	maxPEMSize = 4 * maxKeySize
)

// CheckKey reports whether a can be used with pub: the type, the curve (and that the point is on it), the size. RSA
// keys must have [MinRSABits] to [MaxRSABits] bits, exactly as many as the details state where they state any, and an
// odd exponent of at least 65537.
func (a Algorithm) CheckKey(pub crypto.PublicKey) error {
	switch a.family {
	case familyECDSA:
		return checkECDSA(pub, a.bits)
	case familyEd25519, familyEd25519ph:
		return checkEd25519(pub)
	case familyPKCS1v15, familyPSS:
		return checkRSA(pub, a.bits)
	}
	return errors.New("no algorithm given")
}

func checkECDSA(pub crypto.PublicKey, bits int) error {
	k, ok := pub.(*ecdsa.PublicKey)
	if !ok || k == nil || k.Curve == nil {
		return fmt.Errorf("the algorithm needs an ECDSA key, not %s", describe(pub))
	}
	var want elliptic.Curve
	switch bits {
	case 256:
		want = elliptic.P256()
	case 384:
		want = elliptic.P384()
	case 521:
		want = elliptic.P521()
	default:
		return fmt.Errorf("unsupported ECDSA curve %s", k.Curve.Params().Name)
	}
	if k.Curve != want {
		return fmt.Errorf("the algorithm needs curve %s, the key is on %s", want.Params().Name, k.Curve.Params().Name)
	}
	//lint:ignore SA1019 read only: ECDH below panics on a key without coordinates
	if k.X == nil || k.Y == nil {
		return errors.New("ECDSA key has no coordinates")
	}
	if _, err := k.ECDH(); err != nil { // refuses points that are not on the curve, and the one at infinity
		return fmt.Errorf("ECDSA key is not a point on curve %s", want.Params().Name)
	}
	return nil
}

func checkEd25519(pub crypto.PublicKey) error {
	k, ok := pub.(ed25519.PublicKey)
	if !ok {
		return fmt.Errorf("the algorithm needs an Ed25519 key, not %s", describe(pub))
	}
	if len(k) != ed25519.PublicKeySize {
		return fmt.Errorf("Ed25519 key has %d bytes, not %d", len(k), ed25519.PublicKeySize)
	}
	if _, err := new(edwards25519.Point).SetBytes(k); err != nil {
		return errors.New("Ed25519 key is not a point on the curve")
	}
	return nil
}

func checkRSA(pub crypto.PublicKey, bits int) error {
	k, ok := pub.(*rsa.PublicKey)
	if !ok || k == nil || k.N == nil {
		return fmt.Errorf("the algorithm needs an RSA key, not %s", describe(pub))
	}
	n := k.N.BitLen()
	switch {
	case k.N.Sign() <= 0 || k.N.Bit(0) == 0:
		return errors.New("RSA modulus is not a positive odd number")
	case n < MinRSABits:
		return fmt.Errorf("RSA key has %d bits, fewer than %d", n, MinRSABits)
	case n > MaxRSABits:
		return fmt.Errorf("RSA key has %d bits, more than %d", n, MaxRSABits)
	case bits != 0 && n != bits:
		return fmt.Errorf("the algorithm needs an RSA key of %d bits, the key has %d", bits, n)
	case k.E < minRSAExponent || k.E&1 == 0 || k.E > 1<<31-1:
		return fmt.Errorf("RSA exponent %d is not an odd number from %d to 2^31-1", k.E, minRSAExponent)
	}
	return nil
}

// describe names a key's type for an error message.
func describe(pub crypto.PublicKey) string {
	switch pub.(type) {
	case *ecdsa.PublicKey:
		return "an ECDSA key"
	case *rsa.PublicKey:
		return "an RSA key"
	case ed25519.PublicKey:
		return "an Ed25519 key"
	case nil:
		return "no key"
	}
	return fmt.Sprintf("%T", pub)
}

// ParsePublicKey reads a DER SubjectPublicKeyInfo (RFC 5280, 4.1.2.7) and returns an *ecdsa.PublicKey, *rsa.PublicKey
// or ed25519.PublicKey; other types and trailing bytes are errors. Whether the key is strong enough is asked of
// [Algorithm.CheckKey].
func ParsePublicKey(pkixDER []byte) (crypto.PublicKey, error) {
	if len(pkixDER) > maxKeySize {
		return nil, fmt.Errorf("public key has %d bytes, more than %d", len(pkixDER), maxKeySize)
	}
	pub, err := x509.ParsePKIXPublicKey(pkixDER)
	if err != nil {
		return nil, fmt.Errorf("public key is not a PKIX SubjectPublicKeyInfo: %s", plain(err))
	}
	switch pub.(type) {
	case *ecdsa.PublicKey, *rsa.PublicKey, ed25519.PublicKey:
		return pub, nil
	}
	return nil, fmt.Errorf("unsupported public key type %T", pub)
}

// ParseKey reads a public key in the encoding that its details call for: PKCS #1 RSAPublicKey (RFC 8017, A.1.1) for the
// two deprecated PKCS1 values, SubjectPublicKeyInfo for all others; then checks it as [Algorithm.CheckKey] does.
func ParseKey(d Details, raw []byte) (crypto.PublicKey, Algorithm, error) {
	a, err := ForDetails(d)
	if err != nil {
		return nil, Algorithm{}, err
	}
	var pub crypto.PublicKey
	if d == pkcs1RSAPKCS1v15 || d == pkcs1RSAPSS {
		pub, err = parsePKCS1(raw)
	} else {
		pub, err = ParsePublicKey(raw)
	}
	if err != nil {
		return nil, Algorithm{}, err
	}
	if err := a.CheckKey(pub); err != nil {
		return nil, Algorithm{}, fmt.Errorf("key does not fit its details %s: %w", d, err)
	}
	return pub, a, nil
}

func parsePKCS1(der []byte) (crypto.PublicKey, error) {
	if len(der) > maxKeySize {
		return nil, fmt.Errorf("public key has %d bytes, more than %d", len(der), maxKeySize)
	}
	pub, err := x509.ParsePKCS1PublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("public key is not a PKCS #1 RSAPublicKey: %s", plain(err))
	}
	return pub, nil
}

// ParsePublicKeyPEM reads one PEM block, "PUBLIC KEY" (see [ParsePublicKey]) or "RSA PUBLIC KEY" (PKCS #1). Text before
// the block is skipped, a second block is an error. Blocks that are something else are named in the error, since giving
// a certificate or a private key where a public key belongs is the usual mistake.
func ParsePublicKeyPEM(data []byte) (crypto.PublicKey, error) {
	if len(data) > maxPEMSize {
		return nil, fmt.Errorf("public key file has %d bytes, more than %d", len(data), maxPEMSize)
	}
	block, rest := pem.Decode(data)
	if block == nil {
		return nil, errors.New("public key is not in PEM")
	}
	if bytes.Contains(rest, []byte("-----BEGIN ")) {
		return nil, errors.New("public key file holds more than one PEM block")
	}
	switch {
	case block.Type == "PUBLIC KEY":
		return ParsePublicKey(block.Bytes)
	case block.Type == "RSA PUBLIC KEY":
		return parsePKCS1(block.Bytes)
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return nil, fmt.Errorf("PEM block %q is a private key, not a public key", block.Type)
	case strings.HasSuffix(block.Type, "CERTIFICATE"):
		return nil, fmt.Errorf("PEM block %q is a certificate, not a public key", block.Type)
	}
	return nil, fmt.Errorf("PEM block %q is not a public key", block.Type)
}

// MarshalPublicKey returns the DER SubjectPublicKeyInfo of an *ecdsa.PublicKey, *rsa.PublicKey or ed25519.PublicKey.
func MarshalPublicKey(pub crypto.PublicKey) ([]byte, error) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		if k == nil {
			return nil, errors.New("no key given")
		}
		if der := marshalECDSA(k); der != nil {
			return der, nil
		}
	case *rsa.PublicKey:
		if k == nil || k.N == nil {
			return nil, errors.New("no key given")
		}
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("Ed25519 key has %d bytes, not %d", len(k), ed25519.PublicKeySize)
		}
	default:
		return nil, fmt.Errorf("unsupported public key type %T", pub)
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("public key cannot be encoded: %s", plain(err))
	}
	return der, nil
}

// marshalECDSA writes the key of a curve whose SubjectPublicKeyInfo (RFC 5480 2) has the same bytes up to the point, which
// an authority does for each certificate; nil for any other key, and for one that is not on its curve.
func marshalECDSA(k *ecdsa.PublicKey) []byte {
	var head string
	switch k.Curve {
	case elliptic.P256():
		head = "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
	case elliptic.P384():
		head = "\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00"
	case elliptic.P521():
		head = "\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23\x03\x81\x86\x00"
	default:
		return nil
	}
	//lint:ignore SA1019 read only: Bytes below panics on a key without coordinates
	if k.X == nil || k.Y == nil {
		return nil
	}
	point, err := k.Bytes()
	if err != nil {
		return nil
	}
	return append([]byte(head), point...)
}

// plain strips the package name that the standard library puts before its errors.
func plain(err error) string {
	s := err.Error()
	for _, p := range []string{"x509: ", "asn1: "} {
		s = strings.TrimPrefix(s, p)
	}
	return s
}
