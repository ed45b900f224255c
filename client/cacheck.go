package client

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"time"

	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/trust"
)

const (
	// clockSkew is how far this computer's clock may be behind an authority's.
	clockSkew = 5 * time.Minute
	// maxIssuerBits bounds the RSA keys in a chain that somebody sent: checking a signature with one of half a million bits
	// takes seconds.
	maxIssuerBits = 8192
)

// check holds a new certificate against what was asked for, and under the trusted root where there is one.
func (c *CA) check(v *issued, id sign.Identity, spki []byte) error {
	leaf := v.certs[0]
	if !bytes.Equal(leaf.RawSubjectPublicKeyInfo, spki) {
		return wrong("the certificate is for another key than the one that was sent")
	}
	for i, cert := range v.certs[1:] {
		if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxIssuerBits {
			return wrong("certificate %d of the chain has an RSA key of %d bits", i+1, key.N.BitLen())
		}
		if err := v.certs[i].CheckSignatureFrom(cert); err != nil {
			return wrong("certificate %d of the chain did not issue the one before it: %w", i+1, err)
		}
	}
	if leaf.IsCA || leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return wrong("the certificate is not one for signatures")
	}
	now := c.s.Now()
	if now.After(leaf.NotAfter) || now.Add(clockSkew).Before(leaf.NotBefore) {
		return wrong("the certificate is valid from %s to %s, and it is %s here: is the clock right?", stamp(leaf.NotBefore), stamp(leaf.NotAfter), stamp(now))
	}
	named, err := identity.FromX509(leaf)
	if err != nil {
		return wrong("the certificate: %w", err)
	}
	for _, san := range named.SANs {
		if san.Kind == identity.Email && san.Value != id.Challenge {
			return wrong("the certificate is for %s, and the token for %s", printable(san.Value), printable(id.Challenge))
		}
	}
	if len(v.detached) > 0 {
		return wrong("the certificate's SCT lies beside it, where no bundle has a place for it; an authority must embed it")
	}
	if c.s.Root == nil {
		return nil
	}
	return underRoot(named, v.certs, c.s.Root)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// underRoot checks that verifiers who use the root will accept the certificate: its path and its SCT.
func underRoot(leaf *identity.Certificate, chain []*x509.Certificate, root *trust.Root) error {
	issuer, err := issuerUnder(leaf, chain, root)
	if err != nil || len(root.CTLogs) == 0 {
		return err
	}
	scts, err := leaf.EmbeddedSCTs()
	if err != nil {
		return wrong("%w", err)
	}
	if len(scts) == 0 {
		return wrong("the certificate has no SCT, and the trusted root names CT logs, one of which must vouch for it")
	}
	var last error
	for _, sct := range scts {
		logs := root.CTLog(sct.LogID[:])
		if len(logs) == 0 {
			last = wrong("the certificate's SCT is of the log %x, which the trusted root does not know", sct.LogID)
		}
		for _, log := range logs {
			if err := log.Usable(); err != nil {
				last = wrong("the CT log %s: %w", log.BaseURL, err)
				continue
			}
			at, err := leaf.VerifyEmbeddedSCT(sct, issuer, log.Key)
			switch {
			case err != nil:
				last = wrong("the certificate's %w", err)
			case !log.Window.Contains(at):
				last = wrong("the certificate's SCT is of %s, when the key of the CT log %s was not valid", stamp(at), log.BaseURL)
			default:
				return nil
			}
		}
	}
	return last
}

// issuerUnder looks for a path from the certificate to an authority of the root, at the time that it begins to be valid, and
// returns its issuer.
func issuerUnder(leaf *identity.Certificate, chain []*x509.Certificate, root *trust.Root) (*x509.Certificate, error) {
	at := leaf.X509.NotBefore
	last := wrong("the trusted root names no certificate authority")
	for i := range root.CAs {
		ca := &root.CAs[i]
		if len(ca.Chain) == 0 {
			continue
		}
		if !ca.Window.Contains(at) {
			last = wrong("the authority that issued the certificate is not trusted at %s", stamp(at))
			continue
		}
		anchor, between := x509.NewCertPool(), x509.NewCertPool()
		anchor.AddCert(ca.Anchor())
		for _, c := range ca.Chain[:len(ca.Chain)-1] {
			between.AddCert(c)
		}
		for _, c := range chain[1:] {
			between.AddCert(c)
		}
		paths, err := leaf.ForChain().Verify(x509.VerifyOptions{
			Roots: anchor, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		})
		if err != nil {
			last = wrong("no authority of the trusted root issued the certificate (its issuer is %q): %w", leaf.X509.Issuer, err)
			continue
		}
		if len(paths[0]) < 2 {
			last = wrong("the certificate is an authority's own")
			continue
		}
		return paths[0][1], nil
	}
	return nil, last
}
