package identity

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"net/netip"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// SANKind is the kind of a Subject Alternative Name. The zero value is no kind.
type SANKind int

// The kinds of GeneralName (RFC 5280 4.2.1.6) that can say who signed.
const (
	Email     SANKind = iota + 1 // rfc822Name
	URI                          // uniformResourceIdentifier
	DNS                          // dNSName
	IP                           // iPAddress, written as netip.Addr writes it
	OtherName                    // otherName of type 1.3.6.1.4.1.57264.1.7, "user!domain"
)

// String returns the kind's name in lower case, for messages and JSON.
func (k SANKind) String() string {
	switch k {
	case Email:
		return "email"
	case URI:
		return "uri"
	case DNS:
		return "dns"
	case IP:
		return "ip"
	case OtherName:
		return "othername"
	}
	return "none"
}

// SAN is one name of a certificate's holder.
type SAN struct {
	Kind  SANKind
	Value string
}

// Context tags of GeneralName.
const (
	tagOtherName = 0
	tagEmail     = 1
	tagDNS       = 2
	tagURI       = 6
	tagIP        = 7
)

func oidSAN() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 29, 17} }

func oidFulcioOtherName() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 7}
}

// readSANs reads the value of the SAN extension: SEQUENCE SIZE (1..MAX) OF GeneralName. The names are read here and
// not taken from the x509 package because that one parses URIs (and may write them differently) and drops otherNames.
func (c *Certificate) readSANs(der []byte) error {
	input := cryptobyte.String(der)
	var names cryptobyte.String
	if !input.ReadASN1(&names, cbasn1.SEQUENCE) || !input.Empty() {
		return errors.New("not one DER sequence")
	}
	c.sanComplete = !names.Empty()
	for i := 0; !names.Empty(); i++ {
		if i >= maxSANs {
			return fmt.Errorf("more than %d names", maxSANs)
		}
		var content cryptobyte.String
		var tag cbasn1.Tag
		if !names.ReadAnyASN1(&content, &tag) {
			return fmt.Errorf("name %d is not DER", i)
		}
		san, known, err := readGeneralName(tag, content)
		if err != nil {
			return fmt.Errorf("name %d: %w", i, err)
		}
		if !known {
			c.sanComplete = false
			continue
		}
		c.SANs = append(c.SANs, san)
	}
	return nil
}

func readGeneralName(tag cbasn1.Tag, content cryptobyte.String) (san SAN, known bool, err error) {
	switch tag {
	case cbasn1.Tag(tagEmail).ContextSpecific():
		san = SAN{Email, string(content)}
	case cbasn1.Tag(tagURI).ContextSpecific():
		san = SAN{URI, string(content)}
	case cbasn1.Tag(tagDNS).ContextSpecific():
		san = SAN{DNS, string(content)}
	case cbasn1.Tag(tagIP).ContextSpecific():
		addr, ok := netip.AddrFromSlice(content)
		if !ok {
			return SAN{}, false, fmt.Errorf("an IP address of %d bytes", len(content))
		}
		return SAN{IP, addr.String()}, true, nil
	case cbasn1.Tag(tagOtherName).ContextSpecific().Constructed():
		value, known, err := readOtherName(content)
		if err != nil || !known {
			return SAN{}, false, err
		}
		san = SAN{OtherName, value}
	default:
		return SAN{}, false, nil
	}
	return san, true, san.check()
}

// readOtherName reads OtherName ::= SEQUENCE { type-id OBJECT IDENTIFIER, value [0] EXPLICIT ANY }, whose SEQUENCE tag
// the context tag replaces. Types other than Fulcio's are not known.
func readOtherName(content cryptobyte.String) (value string, known bool, err error) {
	var oid asn1.ObjectIdentifier
	var explicit, text cryptobyte.String
	wrapper := cbasn1.Tag(0).ContextSpecific().Constructed()
	if !content.ReadASN1ObjectIdentifier(&oid) || !content.ReadASN1(&explicit, wrapper) || !content.Empty() {
		return "", false, errors.New("otherName is not an identifier and a value")
	}
	if !oid.Equal(oidFulcioOtherName()) {
		return "", false, nil
	}
	if !explicit.ReadASN1(&text, cbasn1.UTF8String) || !explicit.Empty() {
		return "", false, fmt.Errorf("otherName of type %s is not a UTF8String", oid)
	}
	return string(text), true, nil
}

// check refuses names that do not fit in one line of text: an identity is shown to people, and compared with patterns
// in which "$" or "." would treat line ends specially. All kinds but otherName are IA5String, that is ASCII.
func (s SAN) check() error {
	if s.Value == "" {
		return fmt.Errorf("%s is empty", s.Kind)
	}
	if len(s.Value) > maxValueSize {
		return fmt.Errorf("%s of %d bytes, more than %d", s.Kind, len(s.Value), maxValueSize)
	}
	if !utf8.ValidString(s.Value) {
		return fmt.Errorf("%s is not UTF-8", s.Kind)
	}
	for _, r := range s.Value {
		if unicode.IsControl(r) {
			return fmt.Errorf("%s contains the control character %U", s.Kind, r)
		}
		if s.Kind != OtherName && r > unicode.MaxASCII {
			return fmt.Errorf("%s contains %q, which is not ASCII", s.Kind, r)
		}
	}
	return nil
}
