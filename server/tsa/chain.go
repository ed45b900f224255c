package tsa

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
)

const (
	// backdate is how far before now the certificates of a new chain begin: the clocks of those who check a token made in
	// the chain's first second may be that far behind.
	backdate = 5 * time.Minute
	// rootYears and leafYears are how long new certificates hold. A leaf must be replaced before it ends; its tokens
	// verify on, since they are checked at their own time.
	rootYears = 10
	leafYears = 5
)

// ChainSpec says what a new authority's certificates are to be like.
type ChainSpec struct {
	// Organization is the O of both subjects. Required.
	Organization string
	// Name is the CN of the certificate that signs, and with " root" behind it that of the root; "" stands for "tsa".
	Name string
	// Now is the present. The certificates begin five minutes before; the root holds for ten years, the leaf for five. Required.
	Now time.Time
	// Root is the key of the root certificate, which is needed only here; nil makes one on P-384.
	Root crypto.Signer
	// Leaf is the key that will sign tokens; nil makes one on P-256.
	Leaf crypto.Signer
}

// Chain is a new authority.
type Chain struct {
	// Certificates are the leaf and the root: [Config.Chain].
	Certificates []*x509.Certificate
	// Leaf and Root are the keys, those of the spec or new ones. Root may be thrown away: a successor gets a root of its own.
	Leaf, Root crypto.Signer
}

// NewChain makes the certificates of a new authority: a self-signed root and a leaf that may stamp and nothing else
// (RFC 3161 2.3). Keys and serial numbers come from the system's randomness.
func NewChain(spec ChainSpec) (*Chain, error) {
	if spec.Organization == "" || spec.Now.IsZero() {
		return nil, errors.New("time-stamp authority: a new chain needs an organization and the present time")
	}
	if spec.Name == "" {
		spec.Name = "tsa"
	}
	c := &Chain{Leaf: spec.Leaf, Root: spec.Root}
	var err error
	if c.Root == nil {
		if c.Root, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader); err != nil {
			return nil, fmt.Errorf("time-stamp authority: root key: %w", err)
		}
	}
	if c.Leaf == nil {
		if c.Leaf, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, fmt.Errorf("time-stamp authority: key: %w", err)
		}
	}
	root, err := spec.certificate(spec.Name+" root", c.Root.Public(), func(t *x509.Certificate) {
		t.NotAfter = t.NotBefore.AddDate(rootYears, 0, 0)
		t.IsCA, t.MaxPathLenZero = true, true
		t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}, nil, c.Root)
	if err != nil {
		return nil, err
	}
	leaf, err := spec.certificate(spec.Name, c.Leaf.Public(), func(t *x509.Certificate) {
		t.NotAfter = t.NotBefore.AddDate(leafYears, 0, 0)
		t.KeyUsage = x509.KeyUsageDigitalSignature
		// Written out, since crypto/x509 would not mark it critical.
		t.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: timeStamping}}
	}, root, c.Root)
	if err != nil {
		return nil, err
	}
	c.Certificates = []*x509.Certificate{leaf, root}
	return c, nil
}

// timeStamping is ExtKeyUsageSyntax with id-kp-timeStamping, 1.3.6.1.5.5.7.3.8 (RFC 5280 4.2.1.12).
var timeStamping = []byte{0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 8}

func (spec *ChainSpec) certificate(name string, pub crypto.PublicKey, edit func(*x509.Certificate), parent *x509.Certificate, by crypto.Signer) (*x509.Certificate, error) {
	spki, err := algorithm.MarshalPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("time-stamp authority: %s: %w", name, err)
	}
	id := sha256.Sum256(spki)
	serial := make([]byte, 20)
	if _, err := rand.Read(serial); err != nil {
		return nil, fmt.Errorf("time-stamp authority: %s: serial number: %w", name, err)
	}
	serial[0] = serial[0]&0x3f | 0x40 // positive, and 20 bytes as RFC 5280 4.1.2.2 allows
	t := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		Subject:      pkix.Name{Organization: []string{spec.Organization}, CommonName: name},
		NotBefore:    spec.Now.UTC().Truncate(time.Second).Add(-backdate),
		SubjectKeyId: id[:20], BasicConstraintsValid: true,
	}
	edit(t)
	if parent == nil {
		parent = t
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, pub, by)
	if err != nil {
		return nil, fmt.Errorf("time-stamp authority: %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("time-stamp authority: %s: %w", name, err)
	}
	return cert, nil
}
