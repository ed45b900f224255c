package testenv

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"
)

// TSA is a time-stamp authority in memory: a root, an intermediate and a leaf. It writes tokens with encoding/asn1 alone,
// so that the code under test does not check itself.
type TSA struct {
	Root, Intermediate, Leaf *x509.Certificate

	key crypto.Signer
}

// TSAOptions says how a [TSA] differs from the usual one.
type TSAOptions struct {
	// Key is the leaf's key; nil for a new ECDSA key on P-256.
	Key crypto.Signer
	// Edit changes the certificate with the given role ("root", "intermediate", "leaf") before it is signed.
	Edit func(role string, template *x509.Certificate)
	// From and To are the validity of the three certificates; by default 2020-01-01 to 2040-01-01.
	From, To time.Time
}

// NewTSA makes an authority with new keys.
func NewTSA(t testing.TB, o TSAOptions) *TSA {
	t.Helper()
	if o.From.IsZero() {
		o.From = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if o.To.IsZero() {
		o.To = time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if o.Key == nil {
		o.Key = ECDSAKey(t, elliptic.P256())
	}
	a := &TSA{key: o.Key}
	rootKey, middleKey := ECDSAKey(t, elliptic.P384()), ECDSAKey(t, elliptic.P256())
	a.Root = o.certificate(t, "root", rootKey.Public(), nil, rootKey)
	a.Intermediate = o.certificate(t, "intermediate", middleKey.Public(), a.Root, rootKey)
	a.Leaf = o.certificate(t, "leaf", o.Key.Public(), a.Intermediate, middleKey)
	return a
}

// ECDSAKey makes a key for a test.
func ECDSAKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (o *TSAOptions) certificate(t testing.TB, role string, pub crypto.PublicKey, parent *x509.Certificate, key crypto.Signer) *x509.Certificate {
	t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	id := sha256.Sum256(spki)
	tmpl := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(id[:16]),
		Subject:      pkix.Name{Organization: []string{"test"}, CommonName: "TSA " + role},
		SubjectKeyId: id[:20],
		NotBefore:    o.From, NotAfter: o.To,
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}
	switch role {
	case "intermediate":
		tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}
		tmpl.MaxPathLenZero = true
	case "leaf":
		tmpl.IsCA, tmpl.KeyUsage = false, x509.KeyUsageDigitalSignature
		tmpl.ExtraExtensions = []pkix.Extension{TSAExtKeyUsage(true, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8})}
	}
	if o.Edit != nil {
		o.Edit(role, tmpl)
	}
	if parent == nil {
		parent = tmpl
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, key)
	if err != nil {
		t.Fatalf("%s: %v", role, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("%s: %v", role, err)
	}
	return cert
}

// TSAExtKeyUsage is the extended key usage extension for a certificate template's ExtraExtensions.
func TSAExtKeyUsage(critical bool, usages ...asn1.ObjectIdentifier) pkix.Extension {
	value, err := asn1.Marshal(usages)
	if err != nil {
		panic(err) // object identifiers of a test
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: critical, Value: value}
}

// Chain returns the leaf, the intermediate and the root.
func (a *TSA) Chain() []*x509.Certificate {
	return []*x509.Certificate{a.Leaf, a.Intermediate, a.Root}
}
