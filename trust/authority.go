package trust

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// Authority is a certificate authority or timestamp authority (CertificateAuthority).
type Authority struct {
	Organization string // of the subject, informative
	CommonName   string // of the subject, informative
	URI          string
	Operator     string              // scheme-less URI of who runs it; may be empty
	Chain        []*x509.Certificate // as in the root: the trust anchor last, a timestamp authority's leaf (if there) first
	Window       Window              // when the whole chain may be used

	linked bool
}

// Linked reports whether the chain was checked: each certificate is issued and signed by the next one, and issuers are
// certificate authorities. It is true for what [DecodeRoot], [NewCA] and [NewTSA] return; validity periods and path
// lengths remain to be checked against the time and the leaf at hand.
func (a *Authority) Linked() bool { return a.linked }

// Anchor returns the certificate at the end of the chain, nil if there is none.
func (a *Authority) Anchor() *x509.Certificate {
	if len(a.Chain) == 0 {
		return nil
	}
	return a.Chain[len(a.Chain)-1]
}

// link checks the chain of a certificate authority (every certificate issues) or of a timestamp authority (the first
// may be the leaf). A lone certificate is a trust anchor as it stands, self-signed or not.
func (a *Authority) link(timestamps bool) error {
	n := len(a.Chain)
	if n == 0 {
		return errors.New("has no certificates")
	}
	if n > maxChain {
		return fmt.Errorf("has %d certificates, more than %d", n, maxChain)
	}
	for i, c := range a.Chain {
		if c == nil {
			return fmt.Errorf("certificate %d is missing", i)
		}
		if err := checkIssuer(c); err != nil && (i > 0 || !timestamps) {
			return fmt.Errorf("certificate %d (%s) %w", i, name(c), err)
		}
	}
	for i := range n - 1 {
		child, issuer := a.Chain[i], a.Chain[i+1]
		if !bytes.Equal(child.RawIssuer, issuer.RawSubject) {
			return fmt.Errorf("certificate %d was issued by %q, but certificate %d is %q", i, child.Issuer, i+1, issuer.Subject)
		}
		if err := child.CheckSignatureFrom(issuer); err != nil {
			return fmt.Errorf("certificate %d (%s) is not signed by certificate %d: %s", i, name(child), i+1, plain(err))
		}
	}
	// Where only part of a chain is given, the rest was most likely lost on the way. An intermediate may be trusted
	// without its root by giving it alone.
	if last := a.Chain[n-1]; n > 1 && !bytes.Equal(last.RawIssuer, last.RawSubject) {
		return fmt.Errorf("ends at certificate %d (%s), whose issuer %q is missing", n-1, name(last), last.Issuer)
	}
	a.linked = true
	return nil
}

// checkIssuer holds a certificate to RFC 5280, 4.2.1.9 and 4.2.1.3 for those that sign others.
func checkIssuer(c *x509.Certificate) error {
	if !c.BasicConstraintsValid || !c.IsCA {
		return errors.New("is not a certificate authority (basic constraints)")
	}
	if c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0 {
		return errors.New("may not sign certificates (key usage)")
	}
	return nil
}

func name(c *x509.Certificate) string {
	if s := c.Subject.String(); s != "" {
		return s
	}
	return "without subject"
}

// AuthoritySpec is what an operator knows about an authority.
type AuthoritySpec struct {
	URI      string
	ChainPEM []byte // PEM certificates in the order of [Authority].Chain
	Window   Window // a zero Start becomes the time from which every certificate of the chain is valid
	Operator string
}

// NewCA makes a certificate authority of its parts and checks its chain, which has no leaf.
func NewCA(spec AuthoritySpec) (Authority, error) { return newAuthority(spec, false) }

// NewTSA makes a timestamp authority of its parts and checks its chain. The leaf should be there: timestamps may leave it
// out, and other clients look for it in the root.
func NewTSA(spec AuthoritySpec) (Authority, error) { return newAuthority(spec, true) }

func newAuthority(spec AuthoritySpec, timestamps bool) (Authority, error) {
	chain, err := parseChainPEM(spec.ChainPEM)
	if err != nil {
		return Authority{}, err
	}
	a := Authority{URI: spec.URI, Operator: spec.Operator, Chain: chain, Window: spec.Window}
	if err := a.link(timestamps); err != nil {
		return Authority{}, fmt.Errorf("certificate chain %w", err)
	}
	subject := a.Anchor().Subject
	a.CommonName = subject.CommonName
	if len(subject.Organization) > 0 {
		a.Organization = subject.Organization[0]
	}
	if a.Window.Start.IsZero() {
		for _, c := range chain {
			if c.NotBefore.After(a.Window.Start) {
				a.Window.Start = c.NotBefore
			}
		}
	}
	if err := a.Window.check(); err != nil {
		return Authority{}, fmt.Errorf("authority's window %w", err)
	}
	return a, nil
}

func parseChainPEM(data []byte) ([]*x509.Certificate, error) {
	if len(data) > maxDocument {
		return nil, fmt.Errorf("certificate chain has %d bytes, more than %d", len(data), maxDocument)
	}
	var chain []*x509.Certificate
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("certificate chain: block %d is %q, not a certificate", len(chain), block.Type)
		}
		if len(chain) == maxChain {
			return nil, fmt.Errorf("certificate chain has more than %d certificates", maxChain)
		}
		c, err := parseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate chain: certificate %d %w", len(chain), err)
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, errors.New("certificate chain has no certificates in PEM")
	}
	if bytes.Contains(data, []byte("-----BEGIN ")) {
		return nil, fmt.Errorf("certificate chain: block %d is damaged", len(chain))
	}
	return chain, nil
}

// parseCertificate reads one DER certificate; x509 refuses trailing bytes.
func parseCertificate(der []byte) (*x509.Certificate, error) {
	if len(der) > maxCertificate {
		return nil, fmt.Errorf("has %d bytes, more than %d", len(der), maxCertificate)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("is not an X.509 certificate: %s", plain(err))
	}
	return c, nil
}
