package algorithm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
)

// family is the mathematics of an algorithm.
type family uint8

const (
	familyECDSA family = 1 + iota
	familyEd25519
	familyEd25519ph
	familyPKCS1v15
	familyPSS
)

// Algorithm is one way to sign: a key type, its size, and a hash. It is a comparable value. The zero value is no
// algorithm; every method that can fail says so.
type Algorithm struct {
	details Details
	family  family
	bits    int // size of the curve or the RSA modulus; 0: any RSA size that is allowed (deprecated details)
	hash    crypto.Hash
}

// registry lists what can be verified. The first entry with a family, size and hash is the one to write.
var registry = [...]Algorithm{
	{ECDSAP256SHA256, familyECDSA, 256, crypto.SHA256},
	{ECDSAP384SHA384, familyECDSA, 384, crypto.SHA384},
	{ECDSAP521SHA512, familyECDSA, 521, crypto.SHA512},
	{Ed25519ph, familyEd25519ph, 255, crypto.SHA512},
	{Ed25519, familyEd25519, 255, crypto.SHA512},
	{RSAPKCS1v15x2048SHA256, familyPKCS1v15, 2048, crypto.SHA256},
	{RSAPKCS1v15x3072SHA256, familyPKCS1v15, 3072, crypto.SHA256},
	{RSAPKCS1v15x4096SHA256, familyPKCS1v15, 4096, crypto.SHA256},
	{RSAPSSx2048SHA256, familyPSS, 2048, crypto.SHA256},
	{RSAPSSx3072SHA256, familyPSS, 3072, crypto.SHA256},
	{RSAPSSx4096SHA256, familyPSS, 4096, crypto.SHA256},
	{ECDSAP384SHA256, familyECDSA, 384, crypto.SHA256},
	{ECDSAP521SHA256, familyECDSA, 521, crypto.SHA256},
	// RFC 6979 changes how a nonce is chosen, not how the signature is checked.
	{ecdsaP256HMACSHA256, familyECDSA, 256, crypto.SHA256},
	// The deprecated RSA values state neither size nor hash; SHA-256 is what everyone used with them.
	{pkixRSAPKCS1v15, familyPKCS1v15, 0, crypto.SHA256},
	{pkixRSAPSS, familyPSS, 0, crypto.SHA256},
	{pkcs1RSAPKCS1v15, familyPKCS1v15, 0, crypto.SHA256},
	{pkcs1RSAPSS, familyPSS, 0, crypto.SHA256},
}

// ForDetails returns the algorithm that d stands for. The error of a known but unsupported value (ML-DSA, LMS) names
// it; so does that of an unknown number.
func ForDetails(d Details) (Algorithm, error) {
	for _, a := range registry {
		if a.details == d {
			return a, nil
		}
	}
	if d == Unspecified {
		return Algorithm{}, errors.New("key details do not state an algorithm")
	}
	return Algorithm{}, fmt.Errorf("unsupported algorithm %s", d)
}

// ForName returns the algorithm with the given name in Sigstore's algorithm registry, as command lines spell it
// ("ecdsa-sha2-256-nistp256"); see [Algorithm.Name]. Deprecated values have no name of their own.
func ForName(name string) (Algorithm, error) {
	for _, a := range registry {
		if a.bits != 0 && a.Name() == name {
			return a, nil
		}
	}
	return Algorithm{}, fmt.Errorf("unknown signing algorithm %q", name)
}

// Details returns the registry's value for a, or [Unspecified] where it has none (P-256 with SHA-512, say).
func (a Algorithm) Details() Details { return a.details }

// Hash returns what the message is hashed with. For pure Ed25519 it is SHA-512, which the scheme itself applies to
// R, A and the message (RFC 8032, 5.1.7): a plain SHA-512 of the message is of no use there.
func (a Algorithm) Hash() crypto.Hash { return a.hash }

// Name returns the algorithm's name by the registry's pattern: "ecdsa-sha2-256-nistp256", "ed25519", "ed25519-ph",
// "rsa-sign-pkcs1-2048-sha256", "rsa-sign-pss-2048-sha256". Algorithms outside the registry follow the same pattern.
// The zero value gives "".
func (a Algorithm) Name() string {
	switch a.family {
	case familyECDSA:
		return fmt.Sprintf("ecdsa-sha2-%d-nistp%d", a.hash.Size()*8, a.bits)
	case familyEd25519:
		return "ed25519"
	case familyEd25519ph:
		return "ed25519-ph"
	case familyPKCS1v15:
		return "rsa-sign-pkcs1-" + a.rsaSize() + HashName(a.hash)
	case familyPSS:
		return "rsa-sign-pss-" + a.rsaSize() + HashName(a.hash)
	}
	return ""
}

func (a Algorithm) rsaSize() string {
	if a.bits == 0 {
		return ""
	}
	return fmt.Sprintf("%d-", a.bits)
}

// String is [Algorithm.Name].
func (a Algorithm) String() string { return a.Name() }

// Default returns what the registry calls the default for a key: P-256 with SHA-256, P-384 with SHA-384, P-521 with
// SHA-512, RSA PKCS #1 v1.5 with SHA-256, Ed25519ph. (Sigstore's logs take Ed25519 in its prehashed form only; a
// signature in the pure form is found through [Alternatives].) A key that [Algorithm.CheckKey] refuses gives an error.
func Default(pub crypto.PublicKey) (Algorithm, error) {
	hash := crypto.SHA256
	if k, ok := pub.(*ecdsa.PublicKey); ok && k != nil {
		switch k.Curve {
		case elliptic.P384():
			hash = crypto.SHA384
		case elliptic.P521():
			hash = crypto.SHA512
		}
	}
	if _, ok := pub.(ed25519.PublicKey); ok {
		hash = crypto.SHA512
	}
	return WithHash(pub, hash)
}

// WithHash returns the algorithm for a key with a hash that the user names: SHA-224, SHA-256, SHA-384 or SHA-512.
// RSA keys sign by PKCS #1 v1.5. Ed25519 takes SHA-512 only, and is then Ed25519ph.
func WithHash(pub crypto.PublicKey, h crypto.Hash) (Algorithm, error) {
	switch h {
	case crypto.SHA224, crypto.SHA256, crypto.SHA384, crypto.SHA512:
	default:
		return Algorithm{}, fmt.Errorf("hash %s is not one that signatures are made with", h)
	}
	a := Algorithm{hash: h}
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		a.family = familyECDSA
		if k != nil && k.Curve != nil {
			a.bits = k.Curve.Params().BitSize
		}
	case *rsa.PublicKey:
		a.family = familyPKCS1v15
		if k != nil && k.N != nil {
			a.bits = k.N.BitLen()
		}
	case ed25519.PublicKey:
		if h != crypto.SHA512 {
			return Algorithm{}, fmt.Errorf("an Ed25519 key signs with SHA-512, not with %s", h)
		}
		a.family, a.bits = familyEd25519ph, 255
	default:
		return Algorithm{}, fmt.Errorf("unsupported public key type %T", pub)
	}
	if err := a.CheckKey(pub); err != nil {
		return Algorithm{}, err
	}
	return a.registered(), nil
}

// registered fills in the registry's details for a's family, size and hash.
func (a Algorithm) registered() Algorithm {
	for _, r := range registry {
		if r.family == a.family && r.bits == a.bits && r.hash == a.hash {
			return r
		}
	}
	a.details = Unspecified
	return a
}

// Alternatives returns every algorithm that a signature by pub may have been made with when nothing states which: the
// default first, then what Sigstore's clients are known to have written. ECDSA P-384 and P-521 with SHA-256 (cosign),
// pure Ed25519, RSA PSS with SHA-256. It is empty for a key that [Default] refuses.
func Alternatives(pub crypto.PublicKey) []Algorithm {
	first, err := Default(pub)
	if err != nil {
		return nil
	}
	all := []Algorithm{first}
	second := first
	switch first.family {
	case familyECDSA:
		second.hash = crypto.SHA256
	case familyEd25519ph:
		second.family = familyEd25519
	case familyPKCS1v15:
		second.family = familyPSS
	}
	if second = second.registered(); second != first {
		all = append(all, second)
	}
	return all
}
