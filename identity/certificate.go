package identity

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
)

// Limits on what is read from a certificate.
const (
	// maxCertificateSize bounds one DER certificate: Fulcio's leaves are below 4 KiB; the rest is room for RSA-4096 chains
	// of private authorities with long policies.
	maxCertificateSize = 64 << 10
	// maxExtensions bounds the extensions: the table has 24, RFC 5280 defines about 15 more.
	maxExtensions = 64
	// maxSANs bounds the names of a certificate: Fulcio writes exactly one, private authorities a handful.
	maxSANs = 32
	// maxValueSize bounds one name or extension value, in bytes: URLs of this length are refused by web servers.
	maxValueSize = 4 << 10
)

// Certificate is a certificate and what it says about its holder. None of it is verified.
type Certificate struct {
	X509       *x509.Certificate
	SANs       []SAN             // every name of a known kind, in the certificate's order
	Issuer     string            // identity provider: extension .8, else .1; "" where neither is there
	Extensions map[string]string // by [Extension.Name]; absent and empty extensions have no key

	sanComplete bool // every name in the SAN extension was understood
}

// ParseCertificate reads one DER certificate. It refuses trailing data, duplicate extensions, names and values that
// are too long or not text, and a certificate whose two issuer extensions disagree.
func ParseCertificate(der []byte) (*Certificate, error) {
	if len(der) > maxCertificateSize {
		return nil, fmt.Errorf("certificate of %d bytes, more than %d", len(der), maxCertificateSize)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate: %v", err)
	}
	return FromX509(parsed)
}

// FromX509 reads the identity from a certificate that was parsed elsewhere, which it does not change.
func FromX509(parsed *x509.Certificate) (*Certificate, error) {
	if len(parsed.Extensions) > maxExtensions {
		return nil, fmt.Errorf("certificate with %d extensions, more than %d", len(parsed.Extensions), maxExtensions)
	}
	c := &Certificate{X509: parsed, Extensions: map[string]string{}}
	for i, ext := range parsed.Extensions {
		// A set would cost more than comparing the few that there are.
		if slices.ContainsFunc(parsed.Extensions[:i], func(e pkix.Extension) bool { return e.Id.Equal(ext.Id) }) {
			return nil, fmt.Errorf("certificate: extension %s occurs twice", ext.Id)
		}
		if ext.Id.Equal(oidSAN()) {
			if err := c.readSANs(ext.Value); err != nil {
				return nil, fmt.Errorf("certificate: subject alternative name: %w", err)
			}
			continue
		}
		row, ok := extensionByID(ext.Id)
		if !ok {
			continue
		}
		value, err := row.decodeValue(ext.Value)
		if err != nil {
			return nil, fmt.Errorf("certificate: extension %s (%s): %w", ext.Id, row.Name, err)
		}
		if value != "" {
			c.Extensions[row.Name] = value
		}
	}
	if err := c.setIssuer(); err != nil {
		return nil, err
	}
	return c, nil
}

// setIssuer chooses the issuer. Fulcio writes the same value in both forms; a certificate in which they differ would
// mean one thing to a verifier that reads the older form and another to one that reads the newer.
func (c *Certificate) setIssuer() error {
	older, newer := c.Extensions[NameIssuer], c.Extensions[NameIssuerV2]
	if older != "" && newer != "" && older != newer {
		return fmt.Errorf("certificate: extensions .1 and .8 name different issuers, %q and %q", older, newer)
	}
	c.Issuer = newer
	if newer == "" {
		c.Issuer = older
	}
	return nil
}

// ForChain returns the certificate to hand to x509's chain building. The x509 package does not know otherName and
// reports a critical SAN that has nothing else as an unhandled critical extension; this package has read it, so the
// returned certificate does not list it. It is a shallow copy when it differs: X509 itself is never changed. A critical
// SAN with names that this package does not know either stays listed, and chain building fails as RFC 5280 4.2 demands.
func (c *Certificate) ForChain() *x509.Certificate {
	isSAN := func(oid asn1.ObjectIdentifier) bool { return oid.Equal(oidSAN()) }
	if !c.sanComplete || !slices.ContainsFunc(c.X509.UnhandledCriticalExtensions, isSAN) {
		return c.X509
	}
	copied := *c.X509
	copied.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(copied.UnhandledCriticalExtensions), isSAN)
	return &copied
}
