package tsa

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // SHA-384 and SHA-512, for keys that sign with them
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/bulla-sign/bulla/algorithm"
)

// The object identifiers as DER contents, without tag and length.
const (
	oidSignedData    = "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"         // 1.2.840.113549.1.7.2, RFC 5652 5.1
	oidTSTInfo       = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x04" // 1.2.840.113549.1.9.16.1.4, RFC 3161 2.4.2
	oidContentType   = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03"         // 1.2.840.113549.1.9.3, RFC 5652 11.1
	oidMessageDigest = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04"         // 1.2.840.113549.1.9.4, RFC 5652 11.2
	oidSigningTime   = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x05"         // 1.2.840.113549.1.9.5, RFC 5652 11.3
	oidSigningCertV2 = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x2f" // 1.2.840.113549.1.9.16.2.47, RFC 5035 3
)

// hashOIDs are the hashes of imprints and of signatures (RFC 5754 2). There are no others.
var hashOIDs = map[crypto.Hash]string{
	crypto.SHA256: "\x60\x86\x48\x01\x65\x03\x04\x02\x01",
	crypto.SHA384: "\x60\x86\x48\x01\x65\x03\x04\x02\x02",
	crypto.SHA512: "\x60\x86\x48\x01\x65\x03\x04\x02\x03",
}

// tag is the context-specific, constructed tag of number n.
func tag(n uint8) cbasn1.Tag { return cbasn1.Tag(n).ContextSpecific().Constructed() }

// writer writes replies for one certificate and key. What every reply has in common is encoded once.
type writer struct {
	key  crypto.Signer
	hash crypto.Hash // of the signature, and of the content
	rand io.Reader

	infoHead     []byte // TSTInfo up to the imprint: version, policy
	infoTSA      []byte // TSTInfo.tsa
	digests      []byte // SignedData up to the content: version, digestAlgorithms
	certificates []byte // SignedData.certificates
	signerHead   []byte // SignerInfo up to the attributes: version, sid, digestAlgorithm
	signerAlg    []byte // SignerInfo.signatureAlgorithm
	contentType  []byte // the attribute
	signingCert  []byte // the attribute
}

func newWriter(cfg Config) (*writer, error) {
	if cfg.Key == nil {
		return nil, errors.New("no key")
	}
	leaf := cfg.Chain[0]
	w := &writer{key: cfg.Key, rand: cfg.Rand}
	sigOID, null, err := w.algorithms(cfg.Key.Public())
	if err != nil {
		return nil, err
	}
	for _, part := range []struct {
		dst   *[]byte
		write func(*cryptobyte.Builder)
	}{
		{&w.infoHead, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(1)
			b.AddASN1ObjectIdentifier(cfg.Policy)
		}},
		{&w.infoTSA, func(b *cryptobyte.Builder) { // directoryName: the subject of the certificate, as RFC 3161 2.4.2 asks
			b.AddASN1(tag(0), func(b *cryptobyte.Builder) {
				b.AddASN1(tag(4), func(b *cryptobyte.Builder) { b.AddBytes(leaf.RawSubject) })
			})
		}},
		{&w.digests, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(3) // RFC 5652 5.1: the content is not id-data
			b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) { addAlgorithm(b, hashOIDs[w.hash], false) })
		}},
		{&w.certificates, func(b *cryptobyte.Builder) {
			b.AddASN1(tag(0), func(b *cryptobyte.Builder) { b.AddBytes(leaf.Raw) })
		}},
		{&w.signerHead, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(1)
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddBytes(leaf.RawIssuer)
				b.AddASN1BigInt(leaf.SerialNumber)
			})
			addAlgorithm(b, hashOIDs[w.hash], false)
		}},
		{&w.signerAlg, func(b *cryptobyte.Builder) { addAlgorithm(b, sigOID, null) }},
		{&w.contentType, func(b *cryptobyte.Builder) {
			addAttribute(b, oidContentType, func(b *cryptobyte.Builder) { addOID(b, oidTSTInfo) })
		}},
		{&w.signingCert, func(b *cryptobyte.Builder) {
			addAttribute(b, oidSigningCertV2, func(b *cryptobyte.Builder) { addCertID(b, leaf) })
		}},
	} {
		var b cryptobyte.Builder
		part.write(&b)
		if *part.dst, err = b.Bytes(); err != nil {
			return nil, fmt.Errorf("certificate %q and policy %s: %w", leaf.Subject, cfg.Policy, err)
		}
	}
	return w, nil
}

// algorithms chooses how a key signs and returns the signature algorithm, and whether it has NULL parameters.
func (w *writer) algorithms(pub crypto.PublicKey) (oid string, null bool, err error) {
	switch pub := pub.(type) {
	case *ecdsa.PublicKey: // RFC 5754 3.3
		switch pub.Curve {
		case elliptic.P256():
			w.hash, oid = crypto.SHA256, "\x2a\x86\x48\xce\x3d\x04\x03\x02"
		case elliptic.P384():
			w.hash, oid = crypto.SHA384, "\x2a\x86\x48\xce\x3d\x04\x03\x03"
		case elliptic.P521():
			w.hash, oid = crypto.SHA512, "\x2a\x86\x48\xce\x3d\x04\x03\x04"
		default:
			return "", false, fmt.Errorf("an ECDSA key on %s, must be on P-256, P-384 or P-521", pub.Params().Name)
		}
		return oid, false, nil
	case *rsa.PublicKey: // RFC 5754 3.2: sha256WithRSAEncryption
		if bits := pub.N.BitLen(); bits < algorithm.MinRSABits || bits > algorithm.MaxRSABits {
			return "", false, fmt.Errorf("an RSA key of %d bits, must be %d to %d", bits, algorithm.MinRSABits, algorithm.MaxRSABits)
		}
		w.hash = crypto.SHA256
		return "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", true, nil
	}
	// Ed25519 would do by RFC 8419, but sigstore-js and sigstore-python know no such token.
	return "", false, fmt.Errorf("a key of type %T, must be ECDSA or RSA", pub)
}

// reply returns the TimeStampResp that grants a request at a time (RFC 3161 2.4.2).
func (w *writer) reply(r *request, at time.Time) ([]byte, error) {
	info, err := w.info(r, at)
	if err != nil {
		return nil, err
	}
	attrs, err := w.attributes(info, at)
	if err != nil {
		return nil, err
	}
	h := w.hash.New()
	h.Write(attrs)
	sig, err := w.key.Sign(w.rand, h.Sum(nil), w.hash)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, 512+len(info)+len(attrs)+len(sig)+len(w.signerHead)+len(w.certificates)))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1Int64(0) }) // PKIStatusInfo: granted
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {                      // ContentInfo
			addOID(b, oidSignedData)
			b.AddASN1(tag(0), func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { w.addSignedData(b, r.certificates, [3][]byte{info, attrs, sig}) })
			})
		})
	})
	return b.Bytes()
}

// addSignedData writes the fields of SignedData (RFC 5652 5.1) around TSTInfo, the signed attributes and the signature.
func (w *writer) addSignedData(b *cryptobyte.Builder, certificates bool, parts [3][]byte) {
	info, attrs, sig := parts[0], parts[1], parts[2]
	b.AddBytes(w.digests)
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, oidTSTInfo)
		b.AddASN1(tag(0), func(b *cryptobyte.Builder) { b.AddASN1OctetString(info) })
	})
	if certificates {
		b.AddBytes(w.certificates)
	}
	b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(w.signerHead)
			// Signed is a SET OF, sent is [0] IMPLICIT in its place (RFC 5652 5.4).
			b.AddUint8(uint8(tag(0)))
			b.AddBytes(attrs[1:])
			b.AddBytes(w.signerAlg)
			b.AddASN1OctetString(sig)
		})
	})
}

// info writes TSTInfo (RFC 3161 2.4.2).
func (w *writer) info(r *request, at time.Time) ([]byte, error) {
	serial, err := w.serial()
	if err != nil {
		return nil, err
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, 256+len(w.infoTSA)))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(w.infoHead)
		b.AddBytes(r.imprint)
		b.AddASN1(cbasn1.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(serial) })
		b.AddASN1GeneralizedTime(at)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1Int64(accuracy) })
		if r.nonce != nil {
			b.AddASN1BigInt(r.nonce)
		}
		b.AddBytes(w.infoTSA)
	})
	return b.Bytes()
}

// serial returns the contents of a random positive INTEGER of 20 bytes, the most that RFC 3161 2.4.2 lets clients be
// unprepared for. Of its 160 bits 158 are random: the first says positive, the second keeps the encoding minimal.
func (w *writer) serial() ([]byte, error) {
	serial := make([]byte, 20)
	if _, err := io.ReadFull(w.rand, serial); err != nil {
		return nil, fmt.Errorf("serial number: %w", err)
	}
	serial[0] = serial[0]&0x3f | 0x40
	return serial, nil
}

// attributes writes the signed attributes over TSTInfo: DER SET OF, in the order of their encodings.
func (w *writer) attributes(info []byte, at time.Time) ([]byte, error) {
	h := w.hash.New()
	h.Write(info)
	sum := h.Sum(nil)
	var digest, when cryptobyte.Builder
	addAttribute(&digest, oidMessageDigest, func(b *cryptobyte.Builder) { b.AddASN1OctetString(sum) })
	addAttribute(&when, oidSigningTime, func(b *cryptobyte.Builder) {
		if at.Year() < 2050 { // RFC 5652 11.3: UTCTime as long as it reaches
			b.AddASN1UTCTime(at)
		} else {
			b.AddASN1GeneralizedTime(at)
		}
	})
	digestDER, err := digest.Bytes()
	if err != nil {
		return nil, err
	}
	whenDER, err := when.Bytes()
	if err != nil {
		return nil, err
	}
	all := [][]byte{w.contentType, whenDER, digestDER, w.signingCert}
	slices.SortFunc(all, slices.Compare)
	b := cryptobyte.NewBuilder(make([]byte, 0, 256+len(w.signingCert)))
	b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
		for _, attr := range all {
			b.AddBytes(attr)
		}
	})
	return b.Bytes()
}

// addCertID writes SigningCertificateV2 with one ESSCertIDv2 (RFC 5035 3 to 5): SHA-256, which is the default and left
// out, and issuer and serial number, where issuer is a GeneralNames.
func addCertID(b *cryptobyte.Builder, leaf *x509.Certificate) {
	sum := sha256.Sum256(leaf.Raw)
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // SigningCertificateV2
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // certs
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // ESSCertIDv2
				b.AddASN1OctetString(sum[:])
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // IssuerSerial
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1(tag(4), func(b *cryptobyte.Builder) { b.AddBytes(leaf.RawIssuer) })
					})
					b.AddASN1BigInt(leaf.SerialNumber)
				})
			})
		})
	})
}

// addAttribute writes an Attribute with one value (RFC 5652 5.3).
func addAttribute(b *cryptobyte.Builder, oid string, value func(*cryptobyte.Builder)) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, oid)
		b.AddASN1(cbasn1.SET, value)
	})
}

// addAlgorithm writes an AlgorithmIdentifier, with NULL as its parameters or with none.
func addAlgorithm(b *cryptobyte.Builder, oid string, null bool) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, oid)
		if null {
			b.AddASN1NULL()
		}
	})
}

func addOID(b *cryptobyte.Builder, contents string) {
	b.AddASN1(cbasn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes([]byte(contents)) })
}
