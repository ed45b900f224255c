package authority

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
)

const (
	// MaxChainBytes bounds a chain in PEM: five certificates of RSA keys of 4096 bits, with long extensions, are a third.
	MaxChainBytes = 64 << 10
	// maxChain bounds its certificates, as the services do.
	maxChain = 5
	// minRSA is the smallest RSA key of an issuer, in bits (CA/Browser Forum, code signing: 3072 since 2021; roots from
	// before have 2048).
	minRSA = 2048
)

var oidExtendedKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}

// Accept checks a chain that somebody else made for a key: PEM, the certificate of the key first, each signed by the next, a
// self-signed root last. What it accepts works for every certificate or timestamp that is made below it, and is published:
// a mistake here would be found by clients. It returns the chain in PEM, without what stands between the certificates.
func Accept(kind Kind, chain string, key crypto.PublicKey, now time.Time) (string, error) {
	certs, err := parseChain(chain)
	if err != nil {
		return "", err
	}
	spki, err := algorithm.MarshalPublicKey(key)
	if err != nil {
		return "", err
	}
	if !bytes.Equal(certs[0].RawSubjectPublicKeyInfo, spki) {
		return "", fmt.Errorf("the first certificate, %q, is not for the key that was asked for", certs[0].Subject)
	}
	for i, cert := range certs {
		if err := kind.checkAny(cert, i, now); err != nil {
			return "", fmt.Errorf("certificate %d, %q: %w", i+1, cert.Subject, err)
		}
	}
	if err := kind.checkFirst(certs[0]); err != nil {
		return "", fmt.Errorf("certificate 1, %q: %w", certs[0].Subject, err)
	}
	if err := kind.checkPath(certs, now); err != nil {
		return "", err
	}
	var out bytes.Buffer
	for _, cert := range certs {
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}); err != nil {
			return "", err
		}
	}
	return out.String(), nil
}

func parseChain(text string) (certs []*x509.Certificate, err error) {
	if len(text) > MaxChainBytes {
		return nil, fmt.Errorf("the chain has %d bytes, the limit is %d", len(text), MaxChainBytes)
	}
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if bytes.Contains(rest, []byte("-----BEGIN")) {
				return nil, fmt.Errorf("what comes after certificate %d of the chain is damaged", len(certs))
			}
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("the chain holds a %q, want certificates", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the chain: %w", len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) < 2 || len(certs) > maxChain {
		return nil, fmt.Errorf("the chain has %d certificates; want that of the key first, then its issuers, the root last, and %d at most", len(certs), maxChain)
	}
	return certs, nil
}

// checkAny checks what every certificate of a chain must have. i counts from the first.
func (k *Kind) checkAny(cert *x509.Certificate, i int, now time.Time) error {
	switch {
	case now.Before(cert.NotBefore):
		return fmt.Errorf("it is valid from %s", cert.NotBefore.UTC().Format(time.RFC3339))
	case now.After(cert.NotAfter):
		return fmt.Errorf("it expired at %s", cert.NotAfter.UTC().Format(time.RFC3339))
	case len(cert.SubjectKeyId) == 0:
		return errors.New("it has no subject key identifier")
	case len(cert.RawSubject) <= 2: // an empty sequence
		return errors.New("it has no subject")
	case len(cert.UnhandledCriticalExtensions) > 0:
		return fmt.Errorf("it has the critical extension %s, which clients do not know", cert.UnhandledCriticalExtensions[0])
	case cert.RequireExplicitPolicy > 0 || cert.RequireExplicitPolicyZero:
		return errors.New("it demands certificate policies, which what is issued here does not have")
	case len(cert.PermittedEmailAddresses)+len(cert.ExcludedEmailAddresses)+len(cert.PermittedURIDomains)+len(cert.ExcludedURIDomains) > 0:
		return errors.New("its name constraints are about e-mail addresses or URIs, so that some identities would get certificates that do not verify")
	}
	if err := checkAlgorithm(cert); err != nil {
		return err
	}
	if i == 0 && !k.ca {
		return nil
	}
	if !cert.IsCA || !cert.BasicConstraintsValid || cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return errors.New("it is not one of an authority (basic constraints CA, key usage certificate sign)")
	}
	below := i // authorities below this one
	if !k.ca {
		below--
	}
	if (cert.MaxPathLen > 0 || cert.MaxPathLenZero) && cert.MaxPathLen < below {
		return fmt.Errorf("it permits %d authorities below it, and there are %d", cert.MaxPathLen, below)
	}
	return nil
}

// checkAlgorithm takes what all of Sigstore's clients know in certificates.
func checkAlgorithm(cert *x509.Certificate) error {
	switch cert.SignatureAlgorithm {
	case x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512, x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA:
	default:
		return fmt.Errorf("it is signed with %s; want ECDSA or RSA (PKCS #1) with SHA-2", cert.SignatureAlgorithm)
	}
	switch key := cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() || key.Curve == elliptic.P384() || key.Curve == elliptic.P521() {
			return nil
		}
	case *rsa.PublicKey:
		if key.N.BitLen() >= minRSA {
			return nil
		}
		return fmt.Errorf("its RSA key has %d bits; want %d", key.N.BitLen(), minRSA)
	}
	return fmt.Errorf("its key is of the type %s; want ECDSA on P-256, P-384 or P-521, or RSA", cert.PublicKeyAlgorithm)
}

// checkFirst checks the certificate of our own key.
func (k *Kind) checkFirst(cert *x509.Certificate) error {
	if len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != k.usage || len(cert.UnknownExtKeyUsage) > 0 {
		return fmt.Errorf("its extended key usage must be %s, and nothing else", k.spoken)
	}
	for _, e := range cert.Extensions {
		if e.Id.Equal(oidExtendedKeyUsage) && k.critical && !e.Critical {
			return errors.New("its extended key usage must be critical")
		}
	}
	if !k.ca && (cert.IsCA || cert.KeyUsage&x509.KeyUsageDigitalSignature == 0) {
		return errors.New("it must be for digital signatures, and not one of an authority")
	}
	return nil
}

// checkPath checks that each certificate is signed by the next, and that the path may be used.
func (k *Kind) checkPath(certs []*x509.Certificate, now time.Time) error {
	root := certs[len(certs)-1]
	if err := root.CheckSignatureFrom(root); err != nil || !bytes.Equal(root.RawSubject, root.RawIssuer) {
		return fmt.Errorf("the last certificate, %q, is not self-signed: give the chain up to its root", root.Subject)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root)
	for i, cert := range certs[:len(certs)-1] {
		if err := cert.CheckSignatureFrom(certs[i+1]); err != nil {
			return fmt.Errorf("certificate %d, %q, is not signed by the next: %w", i+1, cert.Subject, err)
		}
		if i > 0 {
			between.AddCert(cert)
		}
	}
	if _, err := certs[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{k.usage}}); err != nil {
		return fmt.Errorf("the chain does not hold together for %s: %w", k.spoken, err)
	}
	return nil
}
