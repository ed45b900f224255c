package tuf

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bulla-sign/bulla/algorithm"
)

// key is a public key as metadata lists it (TUF specification, 4.2.2).
type key struct {
	kind, scheme, public string
}

func parseKey(v *value, at string) (key, error) {
	m := membersOf(v, at)
	k := key{kind: m.text("keytype"), scheme: m.text("scheme")}
	inner := membersOf(m.take("keyval", '{', true), at+".keyval")
	if public := inner.take("public", '"', false); public != nil { // keys of unknown types may have something else
		k.public = public.text
	}
	return k, errors.Join(m.err, inner.err)
}

// value is the key as it is written; its canonical form makes the key's ID.
func (k key) value() *value {
	return objectValue().set("keytype", textValue(k.kind)).set("scheme", textValue(k.scheme)).
		set("keyval", objectValue().set("public", textValue(k.public)))
}

func (k key) id() string {
	var out bytes.Buffer
	k.value().canonical(&out)
	sum := sha256.Sum256(out.Bytes())
	return hex.EncodeToString(sum[:])
}

// scheme is a way to sign metadata.
type scheme struct {
	name  string
	kinds []string // the key types that go with it
	parse func(public string) (crypto.PublicKey, error)
	// algorithms that check it; the one counts that takes the key.
	algorithms []algorithm.Details
}

// schemes are those of the specification, and ECDSA on P-384, which go-tuf and python-tuf have besides. The key type "ecdsa"
// is what python-tuf writes for "ecdsa-sha2-nistp256".
var schemes = []scheme{
	{"ed25519", []string{"ed25519"}, parseHexEd25519, []algorithm.Details{algorithm.Ed25519}},
	{"ecdsa-sha2-nistp256", []string{"ecdsa", "ecdsa-sha2-nistp256"}, parseECDSA, []algorithm.Details{algorithm.ECDSAP256SHA256}},
	{"ecdsa-sha2-nistp384", []string{"ecdsa", "ecdsa-sha2-nistp384"}, parseECDSA, []algorithm.Details{algorithm.ECDSAP384SHA384}},
	{"rsassa-pss-sha256", []string{"rsa"}, algorithmPEM, []algorithm.Details{algorithm.RSAPSSx2048SHA256, algorithm.RSAPSSx3072SHA256, algorithm.RSAPSSx4096SHA256}},
}

// errUnknownKey says that a key is of a type or a scheme that is not known here. It counts for nothing, and is no fault: a
// repository may have keys for clients that are newer.
var errUnknownKey = errors.New("a key of an unknown type or scheme")

// parse returns the key itself, and how it signs. The error wraps errUnknownKey, or says what is wrong with the key.
func (k key) parse() (crypto.PublicKey, algorithm.Algorithm, error) {
	none := algorithm.Algorithm{}
	at := slices.IndexFunc(schemes, func(s scheme) bool { return s.name == k.scheme && slices.Contains(s.kinds, k.kind) })
	if at < 0 {
		return nil, none, errUnknownKey
	}
	pub, err := schemes[at].parse(k.public)
	if err != nil {
		return nil, none, err
	}
	var errs []error
	for _, d := range schemes[at].algorithms {
		a, err := algorithm.ForDetails(d)
		if err == nil {
			err = a.CheckKey(pub)
		}
		if err == nil {
			return pub, a, nil
		}
		errs = append(errs, err)
	}
	return nil, none, errs[0]
}

func algorithmPEM(public string) (crypto.PublicKey, error) {
	return algorithm.ParsePublicKeyPEM([]byte(public))
}

// parseECDSA reads PEM, or the point in hexadecimal, as the first roots of Sigstore have it.
func parseECDSA(public string) (crypto.PublicKey, error) {
	if strings.HasPrefix(public, "-----BEGIN ") {
		return algorithmPEM(public)
	}
	point, err := hex.DecodeString(public)
	if err != nil {
		return nil, errors.New("an ECDSA key is neither in PEM nor a point in hexadecimal")
	}
	curve := elliptic.P256()
	if len(point) > 65 {
		curve = elliptic.P384()
	}
	return ecdsa.ParseUncompressedPublicKey(curve, point)
}

func parseHexEd25519(public string) (crypto.PublicKey, error) {
	raw, err := hex.DecodeString(public)
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("an Ed25519 key is not %d bytes in hexadecimal", ed25519.PublicKeySize)
	}
	return ed25519.PublicKey(raw), nil
}

// roleKeys says who signs for a role: keys by their IDs, and how many.
type roleKeys struct {
	ids       []string
	threshold int64
}

// errUnsigned says that metadata lacks signatures.
var errUnsigned = errors.New("not signed as demanded")

// checkSignatures checks that as many of a role's keys have signed a document as must. A key counts once, whatever IDs it
// has, and a signature under an ID that the role does not have counts for nothing.
func checkSignatures(d *Document, keys map[string]key, role roleKeys) error {
	good := make(map[string]bool)
	for _, id := range role.ids {
		k, ok := keys[id]
		if !ok {
			return fmt.Errorf("the key %q of role %s is not listed", id, d.role)
		}
		pub, alg, err := k.parse()
		if errors.Is(err, errUnknownKey) {
			continue
		}
		if err != nil {
			return fmt.Errorf("the key %q of role %s: %w", id, d.role, err)
		}
		if d.signedBy(id, pub, alg) {
			der, err := algorithm.MarshalPublicKey(pub)
			if err != nil {
				return err
			}
			good[string(der)] = true
		}
	}
	if int64(len(good)) < role.threshold {
		return fmt.Errorf("%w: %d of the keys of its role have signed it, %d must", errUnsigned, len(good), role.threshold)
	}
	return nil
}

// signedBy says that the document has a signature under a key ID that verifies by the key.
func (d *Document) signedBy(id string, pub crypto.PublicKey, alg algorithm.Algorithm) bool {
	return slices.ContainsFunc(d.signatures, func(s signature) bool {
		return s.keyID == id && alg.Verify(pub, algorithm.Bytes(d.payload), s.sig) == nil
	})
}

// KeyID returns the ID of a public key (TUF specification, 4.2.2). Other keys than ECDSA on P-256 and Ed25519 are refused:
// some clients know no others.
func KeyID(pub crypto.PublicKey) (string, error) {
	k, err := keyOf(pub)
	if err != nil {
		return "", err
	}
	return k.id(), nil
}

func keyOf(pub crypto.PublicKey) (key, error) {
	switch p := pub.(type) {
	case *ecdsa.PublicKey:
		if p.Curve != elliptic.P256() {
			return key{}, fmt.Errorf("a key on %s cannot sign metadata: use P-256 or Ed25519", p.Curve.Params().Name)
		}
		der, err := algorithm.MarshalPublicKey(p)
		if err != nil {
			return key{}, err
		}
		return key{"ecdsa", "ecdsa-sha2-nistp256", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}, nil
	case ed25519.PublicKey:
		if len(p) != ed25519.PublicKeySize {
			return key{}, errors.New("an Ed25519 key has the wrong length")
		}
		return key{"ed25519", "ed25519", hex.EncodeToString(p)}, nil
	case *rsa.PublicKey:
		return key{}, errors.New("an RSA key cannot sign metadata here: use ECDSA on P-256 or Ed25519")
	}
	return key{}, fmt.Errorf("a key of type %T cannot sign metadata: use ECDSA on P-256 or Ed25519", pub)
}
