package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
)

// maxChain bounds the authority's chain: readers of bundles and of trusted roots accept no long ones.
const maxChain = 5

// checkChain checks what every client demands of a signing authority's chain (Fulcio's certificate specification): an
// intermediate for code signing below a root, linked, each with its key identifier.
func checkChain(chain []*x509.Certificate) error {
	if len(chain) < 2 || len(chain) > maxChain {
		return fmt.Errorf("the chain has %d certificates, it needs an intermediate and a root, and at most %d", len(chain), maxChain)
	}
	var start time.Time
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for i, cert := range chain {
		if cert == nil {
			return fmt.Errorf("certificate %d of the chain is nil", i)
		}
		if !cert.IsCA || !cert.BasicConstraintsValid || cert.KeyUsage&x509.KeyUsageCertSign == 0 {
			return fmt.Errorf("certificate %d of the chain (%s) is not one of an authority", i, cert.Subject)
		}
		if len(cert.SubjectKeyId) == 0 || len(cert.RawSubject) <= 2 {
			return fmt.Errorf("certificate %d of the chain has no subject or no subject key identifier", i)
		}
		if cert.NotBefore.After(start) {
			start = cert.NotBefore
		}
		if i > 0 && i < len(chain)-1 {
			between.AddCert(cert)
		}
	}
	issuing, root := chain[0], chain[len(chain)-1]
	if !slices.Contains(issuing.ExtKeyUsage, x509.ExtKeyUsageCodeSigning) || len(issuing.ExtKeyUsage) != 1 || len(issuing.UnknownExtKeyUsage) > 0 {
		return errors.New("the issuing certificate must be for code signing and nothing else")
	}
	if !bytes.Equal(root.RawSubject, root.RawIssuer) {
		return errors.New("the last certificate of the chain is not self-signed")
	}
	if err := root.CheckSignatureFrom(root); err != nil {
		return fmt.Errorf("the last certificate of the chain is not self-signed: %w", err)
	}
	roots.AddCert(root)
	paths, err := issuing.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: start, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	})
	if err != nil {
		return fmt.Errorf("the chain does not hold together: %w", err)
	}
	if !slices.ContainsFunc(paths, func(path []*x509.Certificate) bool { return slices.EqualFunc(path, chain, (*x509.Certificate).Equal) }) {
		return errors.New("the certificates of the chain are not in order, issuing certificate first, root last")
	}
	return nil
}

// signer is the issuing certificate with its key.
type signer struct {
	cert *x509.Certificate
	key  crypto.Signer
	rand io.Reader
	hash crypto.Hash
	alg  []byte // AlgorithmIdentifier, DER
}

// DER of the AlgorithmIdentifiers of RFC 5758 3.2 and RFC 4055 5.
var (
	ecdsaSHA256 = []byte{0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02}
	ecdsaSHA384 = []byte{0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03}
	ecdsaSHA512 = []byte{0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04}
	rsaSHA256   = []byte{0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00}
)

// newSigner checks that the key is the certificate's, and that it signs.
func newSigner(cert *x509.Certificate, key crypto.Signer, rand io.Reader) (*signer, error) {
	if key == nil {
		return nil, errors.New("the key of the issuing certificate is missing")
	}
	s := &signer{cert: cert, key: key, rand: rand, hash: crypto.SHA256}
	switch pub := key.Public().(type) {
	case *ecdsa.PublicKey:
		switch pub.Params().BitSize {
		case 256:
			s.alg = ecdsaSHA256
		case 384:
			s.alg, s.hash = ecdsaSHA384, crypto.SHA384
		case 521:
			s.alg, s.hash = ecdsaSHA512, crypto.SHA512
		}
	case *rsa.PublicKey:
		s.alg = rsaSHA256
	}
	if s.alg == nil {
		return nil, fmt.Errorf("an issuing key of type %T is not possible: several clients know ECDSA and RSA only", key.Public())
	}
	if _, err := algorithm.Default(key.Public()); err != nil {
		return nil, fmt.Errorf("issuing key: %w", err)
	}
	spki, err := algorithm.MarshalPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("issuing key: %w", err)
	}
	if !bytes.Equal(spki, cert.RawSubjectPublicKeyInfo) {
		return nil, errors.New("the key is not that of the issuing certificate")
	}
	probe := []byte("probe of the issuing key")
	sig, err := s.sign(probe)
	if err != nil {
		return nil, fmt.Errorf("the issuing key does not sign: %w", err)
	}
	if err := cert.CheckSignature(s.x509(), probe, sig); err != nil {
		return nil, fmt.Errorf("the issuing key's signature does not verify: %w", err)
	}
	return s, nil
}

// sign hashes and signs.
func (s *signer) sign(message []byte) ([]byte, error) {
	h := s.hash.New()
	h.Write(message)
	return s.key.Sign(s.rand, h.Sum(nil), s.hash)
}

// x509 is the algorithm's name there.
func (s *signer) x509() x509.SignatureAlgorithm {
	switch {
	case bytes.Equal(s.alg, ecdsaSHA256):
		return x509.ECDSAWithSHA256
	case bytes.Equal(s.alg, ecdsaSHA384):
		return x509.ECDSAWithSHA384
	case bytes.Equal(s.alg, ecdsaSHA512):
		return x509.ECDSAWithSHA512
	}
	return x509.SHA256WithRSA
}

// keyID is what a certificate names a key by: RFC 7093 2, method 1, the leftmost 160 bits of SHA-256 over the key's bits.
func keyID(spki []byte) ([]byte, error) {
	bits, err := keyBits(spki)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(bits)
	return sum[:20], nil
}

func encodePEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
