package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// LogEntryType of RFC 6962 3.1.
const (
	x509Entry    = 0
	precertEntry = 1
)

// VerifyEmbeddedSCT checks that the log with the public key pub signed s for the precertificate of c, and returns the
// time of the signature. The precertificate's TBSCertificate is rebuilt by taking the SCT list extension out of c's;
// the issuer must be the certificate whose key signed c (RFC 6962 3.2: its key's hash is signed too). Whether c
// carries s, whether the issuer did sign c, and whether the log's key was valid at that time is for the caller.
func (c *Certificate) VerifyEmbeddedSCT(s SCT, issuer *x509.Certificate, pub crypto.PublicKey) (time.Time, error) {
	signed, err := c.EmbeddedSCTInput(s, issuer)
	if err != nil {
		return time.Time{}, err
	}
	return s.verify(signed, pub)
}

// EmbeddedSCTInput returns the bytes that the signature of s must be over, if s is for the precertificate of c (RFC 6962
// 3.2). It is for a log's neighbour, who has what the log signed; everybody else calls [Certificate.VerifyEmbeddedSCT].
func (c *Certificate) EmbeddedSCTInput(s SCT, issuer *x509.Certificate) ([]byte, error) {
	if issuer == nil {
		return nil, errors.New("an embedded SCT cannot be checked without the issuer's certificate")
	}
	tbs, err := precertTBS(c.X509.RawTBSCertificate)
	if err != nil {
		return nil, err
	}
	keyHash := sha256.Sum256(issuer.RawSubjectPublicKeyInfo)
	signed, err := s.signedBytes(precertEntry, func(b *cryptobyte.Builder) {
		b.AddBytes(keyHash[:])
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(tbs) })
	})
	if err != nil {
		return nil, fmt.Errorf("SCT: %w", err)
	}
	return signed, nil
}

// VerifyDetachedSCT checks that the log with the public key pub signed s for the certificate c itself, and returns the
// time of the signature.
func (c *Certificate) VerifyDetachedSCT(s SCT, pub crypto.PublicKey) (time.Time, error) {
	signed, err := s.signedBytes(x509Entry, func(b *cryptobyte.Builder) {
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(c.X509.Raw) })
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("SCT: %w", err)
	}
	return s.verify(signed, pub)
}

// verify checks the log id and the signature over the bytes. RFC 6962 2.1.4 has ECDSA and RSA (PKCS #1 v1.5), both
// with SHA-256, and RSA keys of at least 2048 bits.
func (s SCT) verify(signed []byte, pub crypto.PublicKey) (time.Time, error) {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return time.Time{}, fmt.Errorf("SCT: the log's public key: %v", err)
	}
	if id := sha256.Sum256(spki); id != s.LogID {
		return time.Time{}, fmt.Errorf("SCT: it is of the log %x, the key of the log %x", s.LogID, id)
	}
	digest := sha256.Sum256(signed)
	ok := false
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		ok = s.sigAlg == tlsECDSA && ecdsa.VerifyASN1(key, digest[:], s.Signature)
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < 2048 || bits > 4096 {
			return time.Time{}, fmt.Errorf("SCT: the log's RSA key has %d bits, not 2048 to 4096", bits)
		}
		ok = s.sigAlg == tlsRSA && rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], s.Signature) == nil
	default:
		return time.Time{}, fmt.Errorf("SCT: a CT log cannot have a key of type %T", pub)
	}
	if !ok {
		return time.Time{}, fmt.Errorf("SCT: the signature of the log %x does not verify", s.LogID)
	}
	return s.Timestamp, nil
}

// precertTBS returns the TBSCertificate of the precertificate: the given one without the SCT list extension. Every
// other element is copied as it stands; only the three lengths around the extension are written anew (RFC 6962 3.2).
func precertTBS(der []byte) ([]byte, error) {
	input := cryptobyte.String(der)
	var fields cryptobyte.String
	if !input.ReadASN1(&fields, cbasn1.SEQUENCE) || !input.Empty() {
		return nil, errors.New("precertificate: TBSCertificate is not one DER sequence")
	}
	extensionsTag := cbasn1.Tag(3).ContextSpecific().Constructed()
	out := cryptobyte.NewBuilder(make([]byte, 0, len(der)))
	found := false
	out.AddASN1(cbasn1.SEQUENCE, func(tbs *cryptobyte.Builder) {
		for !fields.Empty() {
			var element cryptobyte.String
			var tag cbasn1.Tag
			if !fields.ReadAnyASN1Element(&element, &tag) {
				tbs.SetError(errors.New("precertificate: TBSCertificate is not DER"))
				return
			}
			if tag != extensionsTag {
				tbs.AddBytes(element)
				continue
			}
			kept, removed, err := withoutSCTList(element)
			if err != nil {
				tbs.SetError(fmt.Errorf("precertificate: %w", err))
				return
			}
			found = found || removed
			if len(kept) > 0 {
				tbs.AddASN1(extensionsTag, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(kept) })
				})
			}
		}
	})
	tbs, err := out.Bytes()
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, errors.New("precertificate: the certificate has no SCT list extension")
	}
	return tbs, nil
}

// withoutSCTList returns the concatenated extensions of the element "[3] EXPLICIT SEQUENCE OF Extension" except the
// SCT list. A poison extension (RFC 6962 3.1) makes a certificate a precertificate, which nobody may present as one.
func withoutSCTList(element cryptobyte.String) (kept []byte, removed bool, err error) {
	var wrapper, list cryptobyte.String
	var tag cbasn1.Tag
	if !element.ReadAnyASN1(&wrapper, &tag) || !wrapper.ReadASN1(&list, cbasn1.SEQUENCE) || !wrapper.Empty() {
		return nil, false, errors.New("the extensions are not one DER sequence")
	}
	kept = make([]byte, 0, len(list))
	for !list.Empty() {
		var extension cryptobyte.String
		if !list.ReadASN1Element(&extension, cbasn1.SEQUENCE) {
			return nil, false, errors.New("an extension is not DER")
		}
		content := extension
		var fields, oid cryptobyte.String
		if !content.ReadASN1(&fields, cbasn1.SEQUENCE) || !fields.ReadASN1(&oid, cbasn1.OBJECT_IDENTIFIER) {
			return nil, false, errors.New("an extension has no identifier")
		}
		switch string(oid) {
		case derSCTList:
			removed = true
			continue
		case derPoison:
			return nil, false, errors.New("this is a precertificate: it has the poison extension")
		}
		kept = append(kept, extension...)
	}
	return kept, removed, nil
}

// Contents of the DER object identifiers 1.3.6.1.4.1.11129.2.4.2 and .3.
const (
	derSCTList = "\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x02"
	derPoison  = "\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x03"
)
