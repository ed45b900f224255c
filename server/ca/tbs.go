package ca

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/bulla-sign/bulla/identity"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Object identifiers of the profile (RFC 5280 4.2.1, RFC 6962 3.1 and 3.3).
var (
	oidKeyUsage    = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidSubjectKey  = asn1.ObjectIdentifier{2, 5, 29, 14}
	oidIssuerKey   = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidSAN         = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidCodeSigning = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 3}
	oidPoison      = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3}
	oidSCTList     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}
	oidOtherName   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 7}
)

// arcFulcio is 1.3.6.1.4.1.57264.1.
var arcFulcio = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1}

// draft is a certificate before it is signed. Both the precertificate and the certificate are written from it, so they
// agree in everything but their last extension.
type draft struct {
	issuer     *x509.Certificate
	alg        []byte // AlgorithmIdentifier
	serial     *big.Int
	notBefore  time.Time
	notAfter   time.Time
	spki       []byte
	san        identity.SAN
	extensions map[string]string // by [identity.Extension].Name

	common []byte // the extensions of precertificate and certificate, once they are written
}

// table is that of the claims' extensions.
var table = identity.Extensions()

// extension is one to be written.
type extension struct {
	oid      asn1.ObjectIdentifier
	critical bool
	value    []byte
}

// newSerial draws a serial number: positive, at most 20 octets with its sign (RFC 5280 4.1.2.2), and 159 bits of chance.
func newSerial(from io.Reader) (*big.Int, error) {
	for range 8 {
		n, err := rand.Int(from, new(big.Int).Lsh(big.NewInt(1), 159))
		if err != nil {
			return nil, fmt.Errorf("serial number: %w", err)
		}
		// A short one would be possible by chance, and hints at a broken source; try again.
		if n.BitLen() > 127 {
			return n, nil
		}
	}
	return nil, errors.New("serial number: the source of randomness gives small numbers only")
}

// poison marks a precertificate, which nobody shall take for a certificate.
func poison() extension { return extension{oid: oidPoison, critical: true, value: []byte{5, 0}} }

// sctList holds one SCT: some clients demand exactly one.
func sctList(sct []byte) (extension, error) {
	var list cryptobyte.Builder
	list.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(sct) })
	})
	tls, err := list.Bytes()
	if err != nil {
		return extension{}, err
	}
	var value cryptobyte.Builder
	value.AddASN1OctetString(tls)
	der, err := value.Bytes()
	return extension{oid: oidSCTList, value: der}, err
}

// tbs writes the TBSCertificate (RFC 5280 4.1) with last as its last extension; none if it is nil.
func (d *draft) tbs(last *extension) ([]byte, error) {
	if err := d.write(); err != nil {
		return nil, err
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, 512+len(d.issuer.RawSubject)+len(d.spki)+len(d.common)))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1Int64(2) }) // v3
		b.AddASN1BigInt(d.serial)
		b.AddBytes(d.alg)
		b.AddBytes(d.issuer.RawSubject)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addTime(b, d.notBefore)
			addTime(b, d.notAfter)
		})
		b.AddASN1(cbasn1.SEQUENCE, func(*cryptobyte.Builder) {}) // no subject
		b.AddBytes(d.spki)
		b.AddASN1(cbasn1.Tag(3).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddBytes(d.common)
				if last != nil {
					last.add(b)
				}
			})
		})
	})
	return b.Bytes()
}

// addTime writes UTCTime before 2050 and GeneralizedTime from then on (RFC 5280 4.1.2.5).
func addTime(b *cryptobyte.Builder, t time.Time) {
	if t = t.UTC(); t.Year() < 2050 {
		b.AddASN1UTCTime(t)
		return
	}
	b.AddASN1GeneralizedTime(t)
}

func (e extension) add(b *cryptobyte.Builder) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(e.oid)
		if e.critical {
			b.AddASN1Boolean(true)
		}
		b.AddASN1OctetString(e.value)
	})
}

// write encodes the extensions that precertificate and certificate have in common.
func (d *draft) write() error {
	if d.common != nil {
		return nil
	}
	list, err := d.list()
	if err != nil {
		return err
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, 1024))
	for _, ext := range list {
		ext.add(b)
	}
	d.common, err = b.Bytes()
	return err
}

// list returns the extensions in the order in which Fulcio writes them.
func (d *draft) list() ([]extension, error) {
	id, err := keyID(d.spki)
	if err != nil {
		return nil, err
	}
	var usage, subjectKey, issuerKey cryptobyte.Builder
	usage.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidCodeSigning) })
	subjectKey.AddASN1OctetString(id)
	issuerKey.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(d.issuer.SubjectKeyId) })
	})
	san, err := encodeSAN(d.san)
	if err != nil {
		return nil, err
	}
	out := []extension{
		{oidKeyUsage, true, []byte{3, 2, 7, 0x80}}, // digitalSignature
		{oidExtKeyUsage, false, usage.BytesOrPanic()},
		{oidSubjectKey, false, subjectKey.BytesOrPanic()},
		{oidIssuerKey, false, issuerKey.BytesOrPanic()},
		{oidSAN, true, san},
	}
	for _, row := range table {
		value, ok := d.extensions[row.Name]
		if !ok {
			continue
		}
		encoded, err := row.EncodeValue(value)
		if err != nil {
			return nil, err
		}
		out = append(out, extension{oid: append(append(asn1.ObjectIdentifier{}, arcFulcio...), row.Number), value: encoded})
	}
	return out, nil
}

// encodeSAN writes GeneralNames with one name (RFC 5280 4.2.1.6).
func encodeSAN(san identity.SAN) ([]byte, error) {
	tag := cbasn1.Tag(1).ContextSpecific() // rfc822Name
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		switch san.Kind {
		case identity.URI:
			tag = cbasn1.Tag(6).ContextSpecific()
			fallthrough
		case identity.Email:
			for i := range len(san.Value) {
				if san.Value[i] > '~' {
					b.SetError(fmt.Errorf("subject alternative name: %q is not ASCII", san.Value))
				}
			}
			b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(san.Value)) })
		case identity.OtherName:
			b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidOtherName)
				b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(san.Value)) })
				})
			})
		default:
			b.SetError(fmt.Errorf("subject alternative name: kind %s is not issued", san.Kind))
		}
	})
	return b.Bytes()
}

// assemble puts a signature to a TBSCertificate.
func assemble(tbs, alg, signature []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, len(tbs)+len(alg)+len(signature)+16))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(alg)
		b.AddASN1BitString(signature)
	})
	return b.Bytes()
}

// keyBits returns the content of a SubjectPublicKeyInfo's BIT STRING.
func keyBits(spki []byte) ([]byte, error) {
	input := cryptobyte.String(spki)
	var inner cryptobyte.String
	var bits []byte
	if !input.ReadASN1(&inner, cbasn1.SEQUENCE) || !input.Empty() || !inner.SkipASN1(cbasn1.SEQUENCE) ||
		!inner.ReadASN1BitStringAsBytes(&bits) || !inner.Empty() {
		return nil, errors.New("malformed public key")
	}
	return bits, nil
}

// without returns a TBSCertificate without one extension. It reads the bytes anew, as somebody would who has nothing but
// them; nothing else in them changes.
func without(tbs []byte, oid asn1.ObjectIdentifier) ([]byte, error) {
	malformed := errors.New("malformed TBSCertificate")
	input := cryptobyte.String(tbs)
	var inner cryptobyte.String
	if !input.ReadASN1(&inner, cbasn1.SEQUENCE) || !input.Empty() {
		return nil, malformed
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, len(tbs)))
	found := 0
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for !inner.Empty() {
			var element cryptobyte.String
			var tag cbasn1.Tag
			if !inner.ReadAnyASN1Element(&element, &tag) {
				b.SetError(malformed)
				return
			}
			if tag != cbasn1.Tag(3).ContextSpecific().Constructed() {
				b.AddBytes(element)
				continue
			}
			n, err := addExtensionsWithout(b, element, oid)
			found += n
			if err != nil {
				b.SetError(err)
			}
		}
	})
	out, err := b.Bytes()
	if err == nil && found != 1 {
		err = fmt.Errorf("extension %s occurs %d times", oid, found)
	}
	return out, err
}

func addExtensionsWithout(b *cryptobyte.Builder, element cryptobyte.String, oid asn1.ObjectIdentifier) (found int, err error) {
	malformed := errors.New("malformed extensions")
	var outer, list cryptobyte.String
	if !element.ReadASN1(&outer, cbasn1.Tag(3).ContextSpecific().Constructed()) || !outer.ReadASN1(&list, cbasn1.SEQUENCE) || !outer.Empty() {
		return 0, malformed
	}
	b.AddASN1(cbasn1.Tag(3).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for !list.Empty() {
				var ext cryptobyte.String
				var id asn1.ObjectIdentifier
				if !list.ReadASN1Element(&ext, cbasn1.SEQUENCE) {
					err = malformed
					return
				}
				var body cryptobyte.String
				if whole := ext; !whole.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadASN1ObjectIdentifier(&id) {
					err = malformed
					return
				}
				if id.Equal(oid) {
					found++
					continue
				}
				b.AddBytes(ext)
			}
		})
	})
	return found, err
}
