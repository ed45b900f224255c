package timestamp

import (
	"crypto"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The object identifiers as DER contents (without tag and length), so that comparing needs no decoding and no
// package-level value that could be changed.
const (
	oidSignedData    = "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"         // 1.2.840.113549.1.7.2, RFC 5652 5.1
	oidTSTInfo       = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x04" // 1.2.840.113549.1.9.16.1.4, RFC 3161 2.4.2
	oidContentType   = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03"         // 1.2.840.113549.1.9.3, RFC 5652 11.1
	oidMessageDigest = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04"         // 1.2.840.113549.1.9.4, RFC 5652 11.2
	oidSigningCert   = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x0c" // 1.2.840.113549.1.9.16.2.12, RFC 5035 5
	oidSigningCertV2 = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x2f" // 1.2.840.113549.1.9.16.2.47, RFC 5035 3
	oidSHA256        = "\x60\x86\x48\x01\x65\x03\x04\x02\x01"
	oidSHA384        = "\x60\x86\x48\x01\x65\x03\x04\x02\x02"
	oidSHA512        = "\x60\x86\x48\x01\x65\x03\x04\x02\x03"
	oidRSA           = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01" // rsaEncryption: the hash is the digestAlgorithm's
	oidMGF1          = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08"
	oidRSAPSS        = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a"
	oidRSASHA256     = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"
	oidRSASHA384     = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c"
	oidRSASHA512     = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d"
	oidECDSASHA256   = "\x2a\x86\x48\xce\x3d\x04\x03\x02"
	oidECDSASHA384   = "\x2a\x86\x48\xce\x3d\x04\x03\x03"
	oidECDSASHA512   = "\x2a\x86\x48\xce\x3d\x04\x03\x04"
	oidEd25519       = "\x2b\x65\x70"
)

// Context-specific tags.
var (
	tag0 = cbasn1.Tag(0).ContextSpecific()
	tag1 = cbasn1.Tag(1).ContextSpecific()
	tag2 = cbasn1.Tag(2).ContextSpecific()
	tag3 = cbasn1.Tag(3).ContextSpecific()
)

// algorithmID is an AlgorithmIdentifier (RFC 5280 4.1.1.2).
type algorithmID struct {
	oid    string // DER contents
	params []byte // one DER element, or empty when absent
}

func readAlgorithm(s *cryptobyte.String) (algorithmID, bool) {
	var seq, oid cryptobyte.String
	if !s.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.ReadASN1(&oid, cbasn1.OBJECT_IDENTIFIER) {
		return algorithmID{}, false
	}
	a := algorithmID{oid: string(oid), params: seq}
	if !seq.Empty() {
		var params cryptobyte.String
		var tag cbasn1.Tag
		if !seq.ReadAnyASN1Element(&params, &tag) || !seq.Empty() {
			return algorithmID{}, false
		}
	}
	return a, true
}

// plain says that the parameters are absent, or NULL where older specifications wanted NULL.
func (a algorithmID) plain() bool {
	return len(a.params) == 0 || string(a.params) == "\x05\x00"
}

// hash returns the hash that the algorithm stands for. Only SHA-256, SHA-384 and SHA-512 are ever accepted: SHA-1 is
// broken for collisions, SHA-224 and SHA-3 are used by no time-stamp authority that clients of Sigstore know.
func (a algorithmID) hash() (crypto.Hash, error) {
	if a.plain() {
		switch a.oid {
		case oidSHA256:
			return crypto.SHA256, nil
		case oidSHA384:
			return crypto.SHA384, nil
		case oidSHA512:
			return crypto.SHA512, nil
		}
	}
	return 0, fmt.Errorf("hash algorithm %s is not SHA-256, SHA-384 or SHA-512", oidText(a.oid))
}

// hashOID is the reverse of hash; empty for another hash.
func hashOID(h crypto.Hash) string {
	switch h {
	case crypto.SHA256:
		return oidSHA256
	case crypto.SHA384:
		return oidSHA384
	case crypto.SHA512:
		return oidSHA512
	}
	return ""
}

// oidText shows the DER contents of an object identifier for an error message.
func oidText(contents string) string {
	if len(contents) > 32 { // longer than any in use; it would only flood the message
		return "(long object identifier)"
	}
	der := append([]byte{6, byte(len(contents))}, contents...)
	var oid asn1.ObjectIdentifier
	s := cryptobyte.String(der)
	if !s.ReadASN1ObjectIdentifier(&oid) {
		return "(malformed object identifier)"
	}
	return oid.String()
}

// readInteger reads an INTEGER of at most maxInteger bytes.
func readInteger(s *cryptobyte.String) (*big.Int, bool) {
	var raw cryptobyte.String
	rest := *s
	if !rest.ReadASN1(&raw, cbasn1.INTEGER) || len(raw) > maxInteger+1 {
		return nil, false
	}
	n := new(big.Int)
	return n, s.ReadASN1Integer(n)
}

// readVersion1 reads an INTEGER and says whether it is 1.
func readVersion1(s *cryptobyte.String) bool {
	var v int64
	return s.ReadASN1Integer(&v) && v == 1
}

// readFlag reads BOOLEAN DEFAULT FALSE. An explicit FALSE is not DER; it changes nothing and some writers leave it in.
func readFlag(s *cryptobyte.String, out *bool) bool {
	*out = false
	return !s.PeekASN1Tag(cbasn1.BOOLEAN) || s.ReadASN1Boolean(out)
}

// readExtensions reads the entries of Extensions and refuses a critical one: this package knows none of the protocol's
// extensions, and what is critical must not be passed over (RFC 3161 2.4.2).
func readExtensions(exts cryptobyte.String) error {
	for n := 0; !exts.Empty(); n++ {
		var ext, oid, value cryptobyte.String
		critical := false
		if n == MaxAttributes || !exts.ReadASN1(&ext, cbasn1.SEQUENCE) || !ext.ReadASN1(&oid, cbasn1.OBJECT_IDENTIFIER) ||
			!readFlag(&ext, &critical) ||
			!ext.ReadASN1(&value, cbasn1.OCTET_STRING) || !ext.Empty() {
			return errors.New("malformed extensions")
		}
		if critical {
			return fmt.Errorf("unknown critical extension %s", oidText(string(oid)))
		}
	}
	return nil
}

// parseGeneralizedTime reads the contents of a GeneralizedTime as RFC 3161 2.4.2 narrows it: "YYYYMMDDhhmmss[.s...]Z",
// where a fraction is neither empty nor ends in zero. Fractions finer than a nanosecond are refused, since they could
// not be compared.
func parseGeneralizedTime(v string) (time.Time, error) {
	const layout = "20060102150405"
	const maxFraction = 9
	bad := func(why string) (time.Time, error) {
		return time.Time{}, fmt.Errorf("time %q is not YYYYMMDDhhmmss[.s]Z: %s", v[:min(len(v), 40)], why)
	}
	if len(v) < len(layout)+1 || v[len(v)-1] != 'Z' {
		return bad("it must be in UTC and end in Z")
	}
	whole, rest := v[:len(layout)], v[len(layout):len(v)-1]
	t, err := time.ParseInLocation(layout, whole, time.UTC)
	if err != nil {
		return bad("no such moment")
	}
	if rest == "" {
		return t, nil
	}
	digits := rest[1:]
	if rest[0] != '.' || digits == "" || digits[len(digits)-1] == '0' || len(digits) > maxFraction {
		return bad("malformed fraction of a second")
	}
	nanos, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return bad("malformed fraction of a second")
	}
	for range maxFraction - len(digits) {
		nanos *= 10
	}
	return t.Add(time.Duration(nanos)), nil
}
