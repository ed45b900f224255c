package verify

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify/reason"
)

// certificatePath validates the leaf's path to a trusted authority at every verified time (RFC 5280 6.1).
func (e *evaluation) certificatePath() {
	const spec = "client specification, certificate; RFC 5280 6.1"
	switch {
	case e.leaf == nil:
		e.notRequired(CheckPath, "signed with a key")
		return
	case e.root == nil:
		e.fail(CheckPath, reason.NoTrust, spec, "no trusted root was given to check the certificate with")
		return
	case len(e.times) == 0:
		e.out.Checks = append(e.out.Checks, Check{Name: CheckPath, Outcome: NotReached, Reason: "there is no verified time to check it at"})
		return
	}
	intermediates, err := e.intermediates()
	if err != nil {
		e.fail(CheckPath, reason.Malformed, spec, "%v", err)
		return
	}
	leaf := e.leaf.ForChain()
	if err := maySign(leaf); err != nil {
		e.fail(CheckPath, reason.Certificate, spec, "%v", err)
		return
	}
	var first error
	for i := range e.root.CAs {
		ca := &e.root.CAs[i]
		issuer, err := pathTo(leaf, intermediates, ca, e.times)
		if err == nil {
			e.issuer = issuer
			e.pass(CheckPath, spec, Fact{"authority", authorityName(ca)}, Fact{"not before", stamp(leaf.NotBefore)}, Fact{"not after", stamp(leaf.NotAfter)})
			return
		}
		if first == nil || codeOf(first, reason.Certificate) == reason.Certificate {
			first = err
		}
	}
	if first == nil {
		first = coded(reason.NoTrust, "the trusted root has no certificate authority")
	}
	e.fail(CheckPath, codeOf(first, reason.Certificate), spec, "%v", first)
}

// maySign checks what a certificate says its key is for (RFC 5280 4.2.1.3 and 4.2.1.9): path building looks at that of
// authorities only. A key for encryption may be in escrow, and an authority's signs certificates.
func maySign(leaf *x509.Certificate) error {
	switch {
	case leaf.BasicConstraintsValid && leaf.IsCA:
		return fmt.Errorf("the certificate %q is an authority's own, not a signer's", leaf.Subject)
	case leaf.KeyUsage != 0 && leaf.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0:
		return fmt.Errorf("the certificate %q has a key usage that does not allow signatures", leaf.Subject)
	}
	return nil
}

// maxIssuerBits bounds the RSA keys of issuers that come with the evidence: path building checks signatures with them
// before it knows whether anybody trusts them, and one of half a million bits, which a certificate has room for, takes
// seconds and hundreds of megabytes. No authority uses more than 8192.
const maxIssuerBits = 8192

// intermediates returns the certificates between leaf and authority that travel in the bundle, where the policy lets
// them count. They are as untrusted as the leaf: only a signature of the authority makes them more.
func (e *evaluation) intermediates() ([]*x509.Certificate, error) {
	certs := e.b.Material.Certificates
	// Up to v0.2 a chain was written along and is to be ignored (sigstore_bundle.proto). In cosign's older formats it was
	// always used.
	allowed := e.b.Version == bundle.Cosign || (e.b.Version == bundle.V03 && e.policy.AllowCertificateChain)
	if len(certs) < 2 || !allowed {
		return nil, nil
	}
	out := make([]*x509.Certificate, 0, len(certs)-1)
	for i, der := range certs[1:] {
		c, err := identity.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the chain: %w", i+1, err)
		}
		if key, ok := c.X509.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxIssuerBits {
			return nil, fmt.Errorf("certificate %d of the chain: an RSA key of %d bits, more than %d", i+1, key.N.BitLen(), maxIssuerBits)
		}
		out = append(out, c.X509)
	}
	return out, nil
}

// pathTo looks for a path from the leaf to the authority's issuing certificate that holds at every time, and returns the
// leaf's issuer. Signatures are checked once, up to the issuing certificate: those above it were checked when the trusted
// root was built. Validity windows of the whole path are checked at every time.
func pathTo(leaf *x509.Certificate, intermediates []*x509.Certificate, ca *trust.Authority, times []VerifiedTime) (*x509.Certificate, error) {
	if len(ca.Chain) == 0 {
		return nil, coded(reason.NoTrust, "the authority %s has no certificate", authorityName(ca))
	}
	if len(intermediates) == 0 && !bytes.Equal(leaf.RawIssuer, ca.Chain[0].RawSubject) {
		return nil, coded(reason.Certificate, "no trusted authority issued the certificate (its issuer is %q)", leaf.Issuer)
	}
	for _, t := range times {
		if err := authorityAt(ca, t.Time); err != nil {
			return nil, err
		}
	}
	chains, err := leaf.Verify(pathOptions(ca, intermediates, times[0].Time))
	if err != nil {
		if outside(leaf, times[0].Time) {
			return nil, expired("the certificate", leaf, times[0].Time)
		}
		return nil, coded(reason.Certificate, "no trusted authority issued the certificate: %w", err)
	}
	var last error
	for _, chain := range chains {
		if len(chain) < 2 {
			return nil, coded(reason.Certificate, "the certificate %q is an authority's own, not one that it issued", leaf.Subject)
		}
		if last = chainAt(chain, times[1:]); last != nil {
			continue
		}
		if last = constraints(chain, ca.Chain); last == nil {
			return chain[1], nil
		}
	}
	return nil, last
}

// constraints checks what every certificate above the leaf demands of those below it (RFC 5280 6.1.4): path length,
// usage, critical extensions. Path building does so up to its anchor; from there the authority's chain goes on.
func constraints(chain, authority []*x509.Certificate) error {
	anchor := slices.IndexFunc(authority, chain[len(chain)-1].Equal)
	below := len(chain) - 1 // authorities' certificates below the one at hand
	for _, c := range authority[anchor+1:] {
		switch {
		case c.BasicConstraintsValid && c.MaxPathLen >= 0 && below > c.MaxPathLen:
			return coded(reason.Certificate, "the authority's certificate %q allows %d authorities below it and there are %d", c.Subject, c.MaxPathLen, below)
		case len(c.UnhandledCriticalExtensions) > 0:
			return coded(reason.Certificate, "the authority's certificate %q has the unknown critical extension %s", c.Subject, c.UnhandledCriticalExtensions[0])
		case len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0 &&
			!slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageCodeSigning) && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny):
			return coded(reason.Certificate, "the authority's certificate %q is not for code signing", c.Subject)
		}
		below++
	}
	return nil
}

// pathOptions anchors the path at the authority's issuing certificate. Where a certificate above it constrains names, the
// anchor is at least that one, so that the constraints are applied; where nobody has checked yet that the chain's
// certificates signed each other (a root that was put together by hand), it is the top.
func pathOptions(ca *trust.Authority, intermediates []*x509.Certificate, at time.Time) x509.VerifyOptions {
	roots, pool := x509.NewCertPool(), x509.NewCertPool()
	anchor := 0
	for i, c := range ca.Chain[1:] {
		if constrainsNames(c) {
			anchor = i + 1
		}
	}
	if !ca.Linked() {
		anchor = len(ca.Chain) - 1
	}
	roots.AddCert(ca.Chain[anchor])
	for _, c := range ca.Chain[:anchor] {
		pool.AddCert(c)
	}
	for _, c := range intermediates {
		pool.AddCert(c)
	}
	return x509.VerifyOptions{
		Roots: roots, Intermediates: pool, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
}

func constrainsNames(c *x509.Certificate) bool {
	return len(c.PermittedDNSDomains)+len(c.ExcludedDNSDomains)+len(c.PermittedIPRanges)+len(c.ExcludedIPRanges)+
		len(c.PermittedEmailAddresses)+len(c.ExcludedEmailAddresses)+len(c.PermittedURIDomains)+len(c.ExcludedURIDomains) > 0
}

// authorityAt checks what lies above the issuing certificate at one time: the root's own window and every certificate's.
func authorityAt(ca *trust.Authority, t time.Time) error {
	if !ca.Window.Contains(t) {
		return coded(reason.CertificateTime, "the authority %s was not trusted at %s (its window is %s)", authorityName(ca), stamp(t), window(ca.Window))
	}
	for _, c := range ca.Chain {
		if outside(c, t) {
			return expired(fmt.Sprintf("the authority's certificate %q", c.Subject), c, t)
		}
	}
	return nil
}

// chainAt checks the validity of a path that was built at one time at further times.
func chainAt(chain []*x509.Certificate, times []VerifiedTime) error {
	for _, t := range times {
		for _, c := range chain {
			if outside(c, t.Time) {
				return expired(fmt.Sprintf("the certificate %q", c.Subject), c, t.Time)
			}
		}
	}
	return nil
}

func outside(c *x509.Certificate, t time.Time) bool {
	return t.Before(c.NotBefore) || t.After(c.NotAfter)
}

func expired(what string, c *x509.Certificate, t time.Time) error {
	return coded(reason.CertificateTime, "%s is valid from %s to %s, and the signature was made at %s", what, stamp(c.NotBefore), stamp(c.NotAfter), stamp(t))
}

// authorityName is what reports call an authority.
func authorityName(a *trust.Authority) string {
	switch {
	case a.URI != "":
		return a.URI
	case a.Organization != "" && a.CommonName != "":
		return a.Organization + " " + a.CommonName
	case len(a.Chain) > 0:
		return a.Chain[0].Subject.String()
	}
	return "unnamed"
}

// window words a validity window.
func window(w trust.Window) string {
	word := func(t time.Time) string {
		if t.IsZero() {
			return "open"
		}
		return stamp(t)
	}
	return word(w.Start) + " to " + word(w.End)
}
