package timestamp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // linked in for crypto.Hash.New
	_ "crypto/sha512" // linked in for crypto.Hash.New
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// RSA keys outside these sizes are refused: shorter ones are weak, longer ones only slow the verifier down.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// family is a kind of signature algorithm.
type family int

const (
	familyRSA family = iota + 1
	familyPSS
	familyECDSA
	familyEd25519
)

var errSignature = errors.New("the signature does not verify")

// scheme reads signatureAlgorithm together with digestAlgorithm. The two must name the same hash: implementations
// differ in which of them they follow, so a token where they differ means different things to different readers.
func (si *signerInfo) scheme() (family, error) {
	a := si.sigAlg
	var f family
	var h crypto.Hash
	switch a.oid {
	case oidRSA: // RFC 3370 3.2
		f, h = familyRSA, si.digest
	case oidRSASHA256:
		f, h = familyRSA, crypto.SHA256
	case oidRSASHA384:
		f, h = familyRSA, crypto.SHA384
	case oidRSASHA512:
		f, h = familyRSA, crypto.SHA512
	case oidRSAPSS:
		return familyPSS, nil
	case oidECDSASHA256:
		f, h = familyECDSA, crypto.SHA256
	case oidECDSASHA384:
		f, h = familyECDSA, crypto.SHA384
	case oidECDSASHA512:
		f, h = familyECDSA, crypto.SHA512
	case oidEd25519: // RFC 8419 3.1: with signed attributes the digest is SHA-512
		f, h = familyEd25519, crypto.SHA512
	default:
		return 0, fmt.Errorf("signature algorithm %s is not supported", oidText(a.oid))
	}
	if h != si.digest {
		return 0, fmt.Errorf("signature algorithm %s does not go with the digest algorithm %s", oidText(a.oid), si.digest)
	}
	// RFC 5754 3: RSA's parameters are NULL (and may be absent), ECDSA's and Ed25519's are absent.
	if len(a.params) != 0 && (f != familyRSA || !a.plain()) {
		return 0, fmt.Errorf("signature algorithm %s has unexpected parameters", oidText(a.oid))
	}
	return f, nil
}

// checkSignature checks the signature over the signed attributes (RFC 5652 5.6).
func (si *signerInfo) checkSignature(pub crypto.PublicKey) error {
	f, err := si.scheme()
	if err != nil {
		return err
	}
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		if f != familyECDSA {
			break
		}
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() && key.Curve != elliptic.P521() {
			return errors.New("the signer's key is on an unsupported curve")
		}
		if !ecdsa.VerifyASN1(key, digest(si.digest, si.signed), si.sig) {
			return errSignature
		}
		return nil
	case *rsa.PublicKey:
		if f != familyRSA && f != familyPSS {
			break
		}
		return si.checkRSA(key, f)
	case ed25519.PublicKey:
		if f != familyEd25519 {
			break
		}
		if !ed25519.Verify(key, si.signed, si.sig) {
			return errSignature
		}
		return nil
	}
	return fmt.Errorf("signature algorithm %s does not go with the signer's key (%T)", oidText(si.sigAlg.oid), pub)
}

func (si *signerInfo) checkRSA(key *rsa.PublicKey, f family) error {
	if n := key.N.BitLen(); n < minRSABits || n > maxRSABits {
		return fmt.Errorf("the signer's RSA key has %d bits, not %d to %d", n, minRSABits, maxRSABits)
	}
	sum := digest(si.digest, si.signed)
	if f == familyRSA {
		if rsa.VerifyPKCS1v15(key, si.digest, sum, si.sig) != nil {
			return errSignature
		}
		return nil
	}
	salt, err := pssSalt(si.sigAlg.params, si.digest)
	if err != nil {
		return err
	}
	if rsa.VerifyPSS(key, si.digest, sum, si.sig, &rsa.PSSOptions{SaltLength: salt, Hash: si.digest}) != nil {
		return errSignature
	}
	return nil
}

// pssSalt reads RSASSA-PSS-params (RFC 4055 3.1) and returns the salt's length in bytes. The defaults stand for SHA-1
// and are refused, so hash and mask generation are always stated, and both use the token's digest algorithm.
func pssSalt(der []byte, want crypto.Hash) (int, error) {
	bad := errors.New("malformed RSASSA-PSS parameters, or other than the digest algorithm's hash")
	var seq, hashField, maskField cryptobyte.String
	in := cryptobyte.String(der)
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() ||
		!seq.ReadASN1(&hashField, tag0.Constructed()) || !seq.ReadASN1(&maskField, tag1.Constructed()) {
		return 0, bad
	}
	hashAlg, ok := readAlgorithm(&hashField)
	if h, err := hashAlg.hash(); !ok || err != nil || h != want || !hashField.Empty() {
		return 0, bad
	}
	mask, ok := readAlgorithm(&maskField)
	if !ok || mask.oid != oidMGF1 || !maskField.Empty() {
		return 0, bad
	}
	params := cryptobyte.String(mask.params)
	maskHash, ok := readAlgorithm(&params)
	if h, err := maskHash.hash(); !ok || err != nil || h != want || !params.Empty() {
		return 0, bad
	}
	salt, trailer := 20, 1
	if !seq.ReadOptionalASN1Integer(&salt, tag2.Constructed(), 20) ||
		!seq.ReadOptionalASN1Integer(&trailer, tag3.Constructed(), 1) || !seq.Empty() {
		return 0, bad
	}
	// rsa.PSSSaltLengthAuto is 0 and would accept any salt, so an empty one is refused as well.
	if salt < 1 || salt > maxRSABits/8 || trailer != 1 {
		return 0, bad
	}
	return salt, nil
}
