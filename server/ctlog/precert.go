package ctlog

import (
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Extensions of RFC 6962.
var (
	oidPoison     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3} // 3.1: makes a certificate a precertificate
	oidSCTList    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2} // 3.3
	oidPrecertEKU = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 4} // 3.1: of a Precertificate Signing Certificate
)

// derPoison is the contents of the DER of oidPoison.
const derPoison = "\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x03"

// withoutPoison returns a precertificate's TBSCertificate without the poison extension, which must be there once, be
// critical and hold NULL (RFC 6962 3.1). Every other element is copied as it stands; only the lengths around it are
// written anew.
func withoutPoison(tbs []byte) ([]byte, error) {
	in := cryptobyte.String(tbs)
	var fields cryptobyte.String
	if !in.ReadASN1(&fields, cbasn1.SEQUENCE) || !in.Empty() {
		return nil, errors.New("TBSCertificate is not one DER sequence")
	}
	extensions := cbasn1.Tag(3).ContextSpecific().Constructed()
	poisons := 0
	out := cryptobyte.NewBuilder(make([]byte, 0, len(tbs)))
	out.AddASN1(cbasn1.SEQUENCE, func(out *cryptobyte.Builder) {
		for !fields.Empty() {
			var element cryptobyte.String
			var tag cbasn1.Tag
			if !fields.ReadAnyASN1Element(&element, &tag) {
				out.SetError(errors.New("TBSCertificate is not DER"))
				return
			}
			if tag != extensions {
				out.AddBytes(element)
				continue
			}
			kept, n, err := dropPoison(element)
			if err != nil {
				out.SetError(err)
				return
			}
			poisons += n
			if len(kept) > 0 {
				out.AddASN1(extensions, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(kept) })
				})
			}
		}
	})
	der, err := out.Bytes()
	if err != nil {
		return nil, err
	}
	if poisons != 1 {
		return nil, fmt.Errorf("%d poison extensions, a precertificate has one", poisons)
	}
	return der, nil
}

// dropPoison returns the extensions of "[3] EXPLICIT SEQUENCE OF Extension", without the poisons, and how many these are.
func dropPoison(element cryptobyte.String) (kept []byte, poisons int, err error) {
	var wrapper, list cryptobyte.String
	var tag cbasn1.Tag
	if !element.ReadAnyASN1(&wrapper, &tag) || !wrapper.ReadASN1(&list, cbasn1.SEQUENCE) || !wrapper.Empty() {
		return nil, 0, errors.New("the extensions are not one DER sequence")
	}
	kept = make([]byte, 0, len(list))
	for !list.Empty() {
		var extension, fields, oid cryptobyte.String
		if !list.ReadASN1Element(&extension, cbasn1.SEQUENCE) {
			return nil, 0, errors.New("an extension is not DER")
		}
		content := extension
		if !content.ReadASN1(&fields, cbasn1.SEQUENCE) || !fields.ReadASN1(&oid, cbasn1.OBJECT_IDENTIFIER) {
			return nil, 0, errors.New("an extension has no identifier")
		}
		if string(oid) != derPoison {
			kept = append(kept, extension...)
			continue
		}
		poisons++
		// BOOLEAN TRUE, OCTET STRING of NULL.
		if string(fields) != "\x01\x01\xff\x04\x02\x05\x00" {
			return nil, 0, errors.New("the poison extension is not critical or does not hold NULL")
		}
	}
	return kept, poisons, nil
}
