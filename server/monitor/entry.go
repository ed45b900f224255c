package monitor

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/tlog"
)

// signature is what an entry says of one signer, as far as the watch list can ask for it.
type signature struct {
	cert        *identity.Certificate // nil: a bare key
	fingerprint *[sha256.Size]byte    // of the certificate; nil where it is not known
	key         [sha256.Size]byte     // of the public key in PKIX DER
}

// signatures reads an entry as the log's layout gives it. On error the watch list could not be compared with all of it;
// what could be read is returned beside the error.
func (k Kind) signatures(entry []byte) ([]signature, error) {
	if k == CT {
		s, err := ctSignature(entry)
		if err != nil {
			return nil, err
		}
		return []signature{s}, nil
	}
	body, err := tlog.ParseBody(entry)
	if err != nil {
		return nil, err
	}
	var out []signature
	var errs error
	for _, b := range body.Signatures {
		s, err := bodySignature(b)
		if err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		out = append(out, s)
	}
	return out, errs
}

func bodySignature(b tlog.BodySignature) (signature, error) {
	if b.Certificate == nil {
		return signature{key: sha256.Sum256(b.PublicKey)}, nil
	}
	cert, err := identity.ParseCertificate(b.Certificate)
	if err != nil {
		return signature{}, err
	}
	sum := sha256.Sum256(b.Certificate)
	return signature{cert: cert, fingerprint: &sum, key: sha256.Sum256(cert.X509.RawSubjectPublicKeyInfo)}, nil
}

// ctSignature reads a TileLeaf (C2SP static-ct-api, "Log entries"): of a precertificate the TBSCertificate, which is what
// the leaf hash covers, and not the precertificate that stands beside it.
func ctSignature(leaf []byte) (signature, error) {
	s := cryptobyte.String(leaf)
	var kind uint16
	var content cryptobyte.String
	if !s.Skip(8) || !s.ReadUint16(&kind) || kind > 1 {
		return signature{}, errors.New("entry: not a TimestampedEntry of RFC 6962")
	}
	if kind == 1 && !s.Skip(sha256.Size) {
		return signature{}, errors.New("entry: ends inside the issuer's key hash")
	}
	if !s.ReadUint24LengthPrefixed(&content) {
		return signature{}, errors.New("entry: ends inside the certificate")
	}
	if kind == 0 {
		return bodySignature(tlog.BodySignature{Certificate: content})
	}
	der, err := asCertificate(content)
	if err != nil {
		return signature{}, err
	}
	cert, err := identity.ParseCertificate(der)
	if err != nil {
		return signature{}, err
	}
	return signature{cert: cert, key: sha256.Sum256(cert.X509.RawSubjectPublicKeyInfo)}, nil
}

// asCertificate puts a TBSCertificate into a Certificate without a signature (RFC 5280 4.1), so that what reads
// certificates can read it.
func asCertificate(tbs []byte) ([]byte, error) {
	s := cryptobyte.String(tbs)
	var body, algorithm cryptobyte.String
	if !s.ReadASN1(&body, asn1.SEQUENCE) || !s.Empty() ||
		!body.SkipOptionalASN1(asn1.Tag(0).Constructed().ContextSpecific()) || !body.SkipASN1(asn1.INTEGER) ||
		!body.ReadASN1Element(&algorithm, asn1.SEQUENCE) {
		return nil, errors.New("entry: not a TBSCertificate")
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, len(tbs)+len(algorithm)+16))
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(algorithm)
		b.AddASN1BitString(nil)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("entry: %w", err)
	}
	return der, nil
}
