package ctlog

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// maxChain is the most certificates of a chain, root included. An authority has three; WebPKI's longest have five.
	maxChain = 8
	// maxCertificate is the largest certificate in bytes. Those of the authority have 1 KiB; what a builder says about
	// itself adds a few more. Twice the size must fit an entry of the tree: the precertificate and its TBSCertificate.
	maxCertificate = 32 << 10
	// maxPaths is how many different issuers' paths are kept verified: an authority has one, two while it rotates.
	maxPaths = 64
	// maxSkew is how far in the future a certificate may begin: the clocks of its issuer and of the log may differ so much.
	maxSkew = 5 * time.Minute
)

// Extensions of RFC 5280 4.2.1.6 and 4.2.1.10.
var (
	oidSubjectAltName  = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}
)

// refusal is an error that is the submitter's fault.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func refuse(format string, args ...any) error { return &refusal{fmt.Errorf(format, args...)} }

// submission is a chain that was checked.
type submission struct {
	leaf    *x509.Certificate
	tbs     []byte // of a precertificate, without the poison
	issuers *certPath
}

// certPath is what stands above a leaf: its issuer first, an accepted root last.
type certPath struct {
	certs        []*x509.Certificate
	fingerprints [][32]byte
	issuerKey    [32]byte // SHA-256 of the issuer's SubjectPublicKeyInfo
	// What to verify a leaf with. The path itself was verified when it was made, so the issuer serves as a root, unless a
	// certificate above it constrains names.
	roots, intermediates *x509.CertPool
	constrained          bool // there are constraints of names, the issuer's own included
}

// acceptor checks chains against a set of accepted roots.
type acceptor struct {
	roots []*x509.Certificate

	mu    sync.Mutex
	paths map[[32]byte]*certPath // by the hash over the fingerprints of what was sent above the leaf
}

func newAcceptor(roots []*x509.Certificate) (*acceptor, error) {
	if len(roots) == 0 {
		return nil, errors.New("no accepted roots")
	}
	for i, root := range roots {
		switch {
		case root == nil:
			return nil, fmt.Errorf("accepted root %d is missing", i)
		case !root.IsCA || !root.BasicConstraintsValid:
			return nil, fmt.Errorf("accepted root %d, %q, is no certificate authority's", i, root.Subject)
		case len(root.Raw) > maxCertificate:
			return nil, fmt.Errorf("accepted root %d, %q, has %d bytes, the limit is %d", i, root.Subject, len(root.Raw), maxCertificate)
		}
	}
	return &acceptor{roots: slices.Clone(roots), paths: make(map[[32]byte]*certPath)}, nil
}

// kind is what a chain is submitted as.
type kind int

const (
	certificate kind = iota
	precertificate
	// issued is a precertificate that an authority in this process has just signed: its signature needs no verification.
	issued
)

// check checks a chain, leaf first, at the present time. Errors are of the type *refusal.
func (a *acceptor) check(chain [][]byte, as kind, now time.Time) (*submission, error) {
	if len(chain) == 0 || len(chain) > maxChain {
		return nil, refuse("a chain of %d certificates, must be 1 to %d", len(chain), maxChain)
	}
	for i, der := range chain {
		if len(der) == 0 || len(der) > maxCertificate {
			return nil, refuse("certificate %d of the chain has %d bytes, must be 1 to %d", i, len(der), maxCertificate)
		}
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, refuse("certificate 0 of the chain: %w", err)
	}
	above := chain[1:]
	if len(above) == 0 {
		root := a.issuerOf(leaf)
		if root == nil {
			return nil, refuse("the chain ends in %q, which no accepted root has issued", leaf.Subject)
		}
		above = [][]byte{root.Raw}
	}
	p, err := a.path(above)
	if err != nil {
		return nil, err
	}
	s := &submission{leaf: leaf, issuers: p}
	if err := s.checkKind(as != certificate); err != nil {
		return nil, err
	}
	if err := s.checkTime(now); err != nil {
		return nil, err
	}
	return s, s.checkLeaf(as == issued)
}

// path returns the verified path for what was sent above the leaf.
func (a *acceptor) path(above [][]byte) (*certPath, error) {
	h := sha256.New()
	for _, der := range above {
		sum := sha256.Sum256(der)
		h.Write(sum[:])
	}
	id := [32]byte(h.Sum(nil))
	a.mu.Lock()
	p := a.paths[id]
	a.mu.Unlock()
	if p != nil {
		return p, nil
	}
	p, err := a.verify(above)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.paths) >= maxPaths {
		clear(a.paths)
	}
	a.paths[id] = p
	return p, nil
}

// verify makes a path of what was sent above a leaf: each certificate issued by the next, the last an accepted root or
// issued by one.
func (a *acceptor) verify(above [][]byte) (*certPath, error) {
	p := &certPath{}
	for i, der := range above {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, refuse("certificate %d of the chain: %w", i+1, err)
		}
		if i > 0 && a.accepted(p.certs[i-1]) {
			return nil, refuse("certificate %d of the chain follows an accepted root", i+1)
		}
		p.certs = append(p.certs, cert)
	}
	if last := p.certs[len(p.certs)-1]; !a.accepted(last) {
		root := a.issuerOf(last)
		if root == nil {
			return nil, refuse("the chain ends in %q, which is no accepted root, and none has issued it", last.Subject)
		}
		p.certs = append(p.certs, root)
	}
	if len(p.certs) > maxChain-1 {
		return nil, refuse("a chain of more than %d certificates", maxChain)
	}
	for i, cert := range p.certs {
		if !cert.IsCA || !cert.BasicConstraintsValid {
			return nil, refuse("certificate %d of the chain, %q, is no certificate authority's", i+1, cert.Subject)
		}
		if i+1 < len(p.certs) {
			if err := issuedBy(cert, p.certs[i+1]); err != nil {
				return nil, refuse("certificate %d of the chain, %q: %w", i+1, cert.Subject, err)
			}
		}
		p.fingerprints = append(p.fingerprints, sha256.Sum256(cert.Raw))
	}
	return p, p.prepare()
}

// prepare checks what a path must be for any leaf: usages, path lengths, names, and that it held at some time.
func (p *certPath) prepare() error {
	issuer, root := p.certs[0], p.certs[len(p.certs)-1]
	if slices.ContainsFunc(issuer.UnknownExtKeyUsage, oidPrecertEKU.Equal) {
		return refuse("the issuer %q is a Precertificate Signing Certificate, which this log does not take", issuer.Subject)
	}
	if issuer.KeyUsage != 0 && issuer.KeyUsage&x509.KeyUsageCertSign == 0 {
		return refuse("the issuer %q has a key that is not for signing certificates", issuer.Subject)
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root)
	at := root.NotBefore
	constrained := false
	for i, cert := range p.certs[:len(p.certs)-1] {
		intermediates.AddCert(cert)
		if cert.NotBefore.After(at) {
			at = cert.NotBefore
		}
		constrained = constrained || i > 0 && hasExtension(cert, oidNameConstraints)
	}
	constrained = constrained || len(p.certs) > 1 && hasExtension(root, oidNameConstraints)
	opts := x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}
	if _, err := issuer.Verify(opts); err != nil {
		return refuse("the issuer %q: %w", issuer.Subject, err)
	}
	// That the issuer is to stand below certificates of a path length was not asked: to Verify it was the end of the path.
	for i, cert := range p.certs[1:] {
		if limit := cert.MaxPathLen; (limit > 0 || cert.MaxPathLenZero) && i+1 > limit {
			return refuse("certificate %d of the chain, %q: too many intermediates for path length %d", i+2, cert.Subject, limit)
		}
	}
	p.issuerKey = sha256.Sum256(issuer.RawSubjectPublicKeyInfo)
	if p.constrained = constrained || hasExtension(issuer, oidNameConstraints); constrained {
		p.roots, p.intermediates = roots, intermediates
		return nil
	}
	p.roots, p.intermediates = x509.NewCertPool(), x509.NewCertPool()
	p.roots.AddCert(issuer)
	return nil
}

func hasExtension(cert *x509.Certificate, oid asn1.ObjectIdentifier) bool {
	return slices.ContainsFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oid) })
}

// checkKind tells a certificate from a precertificate (RFC 6962 3.1).
func (s *submission) checkKind(precert bool) error {
	poison, list := hasExtension(s.leaf, oidPoison), hasExtension(s.leaf, oidSCTList)
	switch {
	case precert && !poison:
		return refuse("certificate 0 of the chain is no precertificate: it has no poison extension")
	case precert && list:
		return refuse("certificate 0 of the chain is a precertificate with SCTs in it")
	case !precert && poison:
		return refuse("certificate 0 of the chain is a precertificate: it has the poison extension")
	case !precert:
		return nil
	}
	tbs, err := withoutPoison(s.leaf.RawTBSCertificate)
	if err != nil {
		return refuse("certificate 0 of the chain: %w", err)
	}
	s.tbs = tbs
	return nil
}

// checkTime checks that the leaf has not expired and has begun, and that it began inside of its issuers' validity.
func (s *submission) checkTime(now time.Time) error {
	if now.After(s.leaf.NotAfter) {
		return refuse("certificate 0 of the chain expired at %s", s.leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	if s.leaf.NotBefore.After(now.Add(maxSkew)) {
		return refuse("certificate 0 of the chain begins only at %s", s.leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	for i, cert := range s.issuers.certs {
		if s.leaf.NotBefore.Before(cert.NotBefore) || s.leaf.NotBefore.After(cert.NotAfter) {
			return refuse("certificate %d of the chain, %q, is not valid when certificate 0 begins", i+1, cert.Subject)
		}
	}
	return nil
}

// checkLeaf checks the leaf itself: for code signing, not an authority, issued by the first certificate of the path. Of the
// last, what is known to be signed by it is only read; its path was verified, for code signing, when it was made, and its
// times were compared. Constraints of names are a matter of verification in any case.
func (s *submission) checkLeaf(signed bool) error {
	switch {
	case s.leaf.IsCA:
		return refuse("certificate 0 of the chain is a certificate authority's")
	case !slices.Contains(s.leaf.ExtKeyUsage, x509.ExtKeyUsageCodeSigning):
		return refuse("certificate 0 of the chain is not for code signing")
	case !bytes.Equal(s.leaf.RawIssuer, s.issuers.certs[0].RawSubject):
		return refuse("certificate 0 of the chain names another issuer than certificate 1")
	}
	// Critical extensions that crypto/x509 does not know: the poison was looked at, and which name a certificate states is
	// not the log's concern (x509 calls a name unhandled if it has nothing but otherNames).
	leaf := *s.leaf
	leaf.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(leaf.UnhandledCriticalExtensions), func(oid asn1.ObjectIdentifier) bool {
		return oid.Equal(oidPoison) || oid.Equal(oidSubjectAltName)
	})
	if signed && !s.issuers.constrained {
		if unknown := leaf.UnhandledCriticalExtensions; len(unknown) > 0 {
			return refuse("certificate 0 of the chain has the critical extension %s, which is not known", unknown[0])
		}
		return nil
	}
	opts := x509.VerifyOptions{
		Roots: s.issuers.roots, Intermediates: s.issuers.intermediates, CurrentTime: leaf.NotBefore,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	if _, err := leaf.Verify(opts); err != nil {
		return refuse("certificate 0 of the chain: %w", err)
	}
	return nil
}

// issuerOf returns the accepted root that issued a certificate, or nil.
func (a *acceptor) issuerOf(cert *x509.Certificate) *x509.Certificate {
	for _, root := range a.roots {
		if issuedBy(cert, root) == nil {
			return root
		}
	}
	return nil
}

func (a *acceptor) accepted(cert *x509.Certificate) bool {
	return slices.ContainsFunc(a.roots, func(root *x509.Certificate) bool { return bytes.Equal(root.Raw, cert.Raw) })
}

func issuedBy(cert, issuer *x509.Certificate) error {
	if !bytes.Equal(cert.RawIssuer, issuer.RawSubject) {
		return fmt.Errorf("it names another issuer than %q", issuer.Subject)
	}
	return cert.CheckSignatureFrom(issuer)
}
