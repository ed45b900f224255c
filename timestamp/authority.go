package timestamp

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Authority is a time-stamp authority that is trusted.
type Authority struct {
	// Leaf is the certificate that signs tokens; nil when the trust root does not name it, and tokens must carry it.
	Leaf *x509.Certificate
	// Intermediates are the authorities between the leaf and the root, the leaf's issuer first; may be empty.
	Intermediates []*x509.Certificate
	// Root is where every path ends.
	Root *x509.Certificate
	// Start and End are when the authority is trusted, both included; the zero time leaves the side open.
	Start, End time.Time
	// Linked says that the caller has checked once that each certificate, from Leaf over Intermediates in their order
	// to Root, was signed by the next (see [Link]). Verifying a token then costs its own signature alone. It has no
	// effect without a Leaf. Names, windows, usages and path lengths are checked for every token all the same.
	Linked bool
}

// NewAuthority sorts out a chain as a trust root gives it: root last, and first either the certificate that signs tokens
// or the first authority above it. It leaves the window open and does not check signatures.
func NewAuthority(chain []*x509.Certificate) (Authority, error) {
	if len(chain) == 0 {
		return Authority{}, errors.New("time-stamp authority: empty certificate chain")
	}
	a := Authority{Root: chain[len(chain)-1]}
	rest := chain[:len(chain)-1]
	if len(rest) > 0 && !rest[0].IsCA {
		a.Leaf, rest = rest[0], rest[1:]
	}
	a.Intermediates = slices.Clone(rest)
	return a, nil
}

// Link checks that each certificate of a chain was signed by the next one; nothing else is looked at.
func Link(chain []*x509.Certificate) error {
	for i, cert := range chain[:max(len(chain)-1, 0)] {
		if !bytes.Equal(cert.RawIssuer, chain[i+1].RawSubject) {
			return fmt.Errorf("certificate %q names %q as its issuer, but %q follows", cert.Subject, cert.Issuer, chain[i+1].Subject)
		}
		if err := cert.CheckSignatureFrom(chain[i+1]); err != nil {
			return fmt.Errorf("certificate %q was not signed by %q: %v", cert.Subject, chain[i+1].Subject, err)
		}
	}
	return nil
}

// checkWindow checks that the authority is trusted at a time.
func (a *Authority) checkWindow(at time.Time) error {
	if !a.Start.IsZero() && at.Before(a.Start) || !a.End.IsZero() && at.After(a.End) {
		return fmt.Errorf("the token's time %s is outside the time-stamp authority's window %s to %s",
			showTime(at), showTime(a.Start), showTime(a.End))
	}
	return nil
}

func showTime(t time.Time) string {
	if t.IsZero() {
		return "(open)"
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// path finds the signer's path to the root and checks it at the token's time.
func (a *Authority) path(signer *x509.Certificate, embedded [][]byte, at time.Time) ([]*x509.Certificate, error) {
	if a.Root == nil {
		return nil, errors.New("time-stamp authority: it has no root certificate")
	}
	chain := append(append([]*x509.Certificate{signer}, a.Intermediates...), a.Root)
	if !a.Linked || signer != a.Leaf || slices.ContainsFunc(chain, hasNameConstraints) {
		var err error
		if chain, err = a.build(signer, embedded, at); err != nil {
			return nil, err
		}
	}
	for i, cert := range chain {
		if err := checkLink(chain, i, at); err != nil {
			return nil, fmt.Errorf("time-stamp certificate %q: %w", cert.Subject, err)
		}
	}
	return chain, nil
}

// build finds a path and checks the signatures on it. The authority's own certificates are tried alone first, so that
// what a token carries can help where something is missing but never gets in the way.
func (a *Authority) build(signer *x509.Certificate, embedded [][]byte, at time.Time) ([]*x509.Certificate, error) {
	roots, own := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(a.Root)
	for _, cert := range a.Intermediates {
		own.AddCert(cert)
	}
	opts := x509.VerifyOptions{
		Roots:         roots,
		Intermediates: own,
		CurrentTime:   at,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
	}
	chains, err := signer.Verify(opts)
	if err != nil && len(embedded) > 0 {
		with := own.Clone()
		for _, der := range embedded {
			if cert, err := x509.ParseCertificate(der); err == nil && !oversized(cert) {
				with.AddCert(cert)
			}
		}
		opts.Intermediates = with
		chains, err = signer.Verify(opts)
	}
	var unknown x509.UnknownAuthorityError
	if signer != a.Leaf && errors.As(err, &unknown) {
		return nil, fmt.Errorf("%w: there is no path from %q to the root %q", ErrOtherSigner, signer.Subject, a.Root.Subject)
	}
	if err != nil {
		return nil, fmt.Errorf("time-stamp signer %q: no path to the root %q at %s: %v",
			signer.Subject, a.Root.Subject, showTime(at), err)
	}
	return chains[0], nil
}

// oversized says that a certificate's key would slow the verifier down. Path building checks signatures with the keys of
// embedded certificates before it knows whether they lead anywhere.
func oversized(cert *x509.Certificate) bool {
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	return ok && key.N.BitLen() > maxRSABits
}

func hasNameConstraints(cert *x509.Certificate) bool {
	const oidNameConstraints = "2.5.29.30"
	for _, ext := range cert.Extensions {
		if ext.Id.String() == oidNameConstraints {
			return true
		}
	}
	return false
}

// checkLink checks one certificate of a path at a time, all but its signature: RFC 5280 6.1.3 and 6.1.4.
func checkLink(chain []*x509.Certificate, i int, at time.Time) error {
	cert := chain[i]
	if at.Before(cert.NotBefore) || at.After(cert.NotAfter) {
		return fmt.Errorf("the token's time %s is outside its validity %s to %s",
			showTime(at), showTime(cert.NotBefore), showTime(cert.NotAfter))
	}
	if len(cert.UnhandledCriticalExtensions) > 0 {
		return fmt.Errorf("unknown critical extension %s", cert.UnhandledCriticalExtensions[0])
	}
	if len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) > 0 &&
		!slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageTimeStamping) && !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageAny) {
		return errors.New("its extended key usage does not include timeStamping")
	}
	if i+1 < len(chain) && !bytes.Equal(cert.RawIssuer, chain[i+1].RawSubject) {
		return fmt.Errorf("its issuer is %q, not %q", cert.Issuer, chain[i+1].Subject)
	}
	if i == 0 {
		return nil // checkSigner has the rest
	}
	if !cert.BasicConstraintsValid || !cert.IsCA {
		return errors.New("it is not a certificate authority's")
	}
	if cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return errors.New("its key usage does not allow signing certificates")
	}
	if below := i - 1; cert.MaxPathLen >= 0 && below > cert.MaxPathLen {
		return fmt.Errorf("%d authorities below it, its path length allows %d", below, cert.MaxPathLen)
	}
	return nil
}
