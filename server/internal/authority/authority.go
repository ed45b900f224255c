// Package authority makes the certificate chains of a deployment: that of the certificate authority, a P-384 root over a
// P-256 intermediate, and that of the timestamp authority, a root over the certificate that signs timestamps. The keys
// come from outside. A chain below somebody else's root is asked for with [Request] and taken with [Accept].
package authority

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// Backdate is how long before its making a certificate or a key becomes valid, so that a client whose clock is behind by
// less does not refuse what was signed at once.
const Backdate = 5 * time.Minute

// Lifetimes of certificates. Roots outlive everything that they are to vouch for; what is below them is renewed by
// rotation, of which status warns in time.
const (
	RootYears         = 10
	IntermediateYears = 3
	TSAYears          = 3
)

// Spec is what a chain is made of.
type Spec struct {
	Organization string
	Root         crypto.Signer    // key of the root
	Key          crypto.PublicKey // of the certificate below it
	Now          time.Time
	// Existing is a root that is already trusted, for another certificate below it; nil makes one.
	Existing *x509.Certificate
}

// CA returns the chain of a certificate authority in PEM: intermediate, root.
func CA(spec Spec) (string, error) {
	return spec.chain("sigstore", &x509.Certificate{
		Subject:               spec.subject("sigstore-intermediate"),
		NotAfter:              spec.Now.AddDate(IntermediateYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	})
}

// TSA returns the chain of a timestamp authority in PEM: the certificate of the key that signs timestamps, root.
func TSA(spec Spec) (string, error) {
	usage, err := timestamping()
	if err != nil {
		return "", err
	}
	return spec.chain("timestamping-root", &x509.Certificate{
		Subject:               spec.subject("timestamping"),
		NotAfter:              spec.Now.AddDate(TSAYears, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtraExtensions:       []pkix.Extension{usage},
		BasicConstraintsValid: true,
	})
}

// timestamping is the extended key usage of RFC 3161, 2.3: alone, and critical, which x509 does not do by itself.
func timestamping() (pkix.Extension, error) {
	value, err := asn1.Marshal([]asn1.ObjectIdentifier{usages[x509.ExtKeyUsageTimeStamping]})
	return pkix.Extension{Id: oidExtendedKeyUsage, Critical: true, Value: value}, err
}

func (s *Spec) subject(name string) pkix.Name {
	return pkix.Name{Organization: []string{s.Organization}, CommonName: name}
}

func (s *Spec) chain(rootName string, below *x509.Certificate) (string, error) {
	root := s.Existing
	if root == nil {
		var err error
		if root, err = s.root(rootName); err != nil {
			return "", err
		}
	}
	if below.NotAfter.After(root.NotAfter) {
		below.NotAfter = root.NotAfter
	}
	if !below.NotAfter.After(s.Now) {
		return "", fmt.Errorf("the root %q expired at %s: a new root is needed", root.Subject, root.NotAfter.UTC().Format(time.RFC3339))
	}
	cert, err := s.sign(below, root, s.Key)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	for _, der := range [][]byte{cert.Raw, root.Raw} {
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			return "", err
		}
	}
	return out.String(), nil
}

func (s *Spec) root(name string) (*x509.Certificate, error) {
	template := &x509.Certificate{
		Subject:               s.subject(name),
		NotAfter:              s.Now.AddDate(RootYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true, IsCA: true, MaxPathLen: 1,
	}
	return s.sign(template, template, s.Root.Public())
}

func (s *Spec) sign(template, parent *x509.Certificate, key crypto.PublicKey) (*x509.Certificate, error) {
	var err error
	// RFC 5280, 4.1.2.2: at most 20 bytes; 159 bits keep the number positive.
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 159)); err != nil {
		return nil, err
	}
	template.NotBefore = s.Now.Add(-Backdate)
	if s.Existing != nil && template.NotBefore.Before(parent.NotBefore) {
		template.NotBefore = parent.NotBefore
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, s.Root)
	if err != nil {
		return nil, fmt.Errorf("making the certificate %q: %w", template.Subject, err)
	}
	return x509.ParseCertificate(der)
}
