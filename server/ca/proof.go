package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/server/ca/fulciopb"
)

// Limits on what a request carries.
const (
	maxKeyBytes   = 8 << 10  // the PEM of an RSA-4096 key has 800 bytes
	maxCSRBytes   = 32 << 10 // CSRs carry attributes, which are ignored
	maxProofBytes = 1 << 10  // an RSA-4096 signature has 512 bytes
)

// possessed returns the DER of the public key of a request, once it is clear that the client holds the other half: by a
// signature over one of the challenges, or by a certificate signing request, which is signed with the key.
func possessed(req *fulciopb.SigningRequest, challenges []string) ([]byte, error) {
	var pub crypto.PublicKey
	var err error
	switch {
	case req.HasCSR && len(req.CSR) > 0:
		pub, err = checkCSR(req.CSR)
	case req.HasKey:
		pub, err = checkProof(req, challenges)
	default:
		return nil, errors.New("the request has neither a public key with a proof of possession nor a certificate signing request")
	}
	if err != nil {
		return nil, err
	}
	return algorithm.MarshalPublicKey(pub)
}

func checkProof(req *fulciopb.SigningRequest, challenges []string) (crypto.PublicKey, error) {
	pub, err := parseKey(req.PublicKey)
	if err != nil {
		return nil, err
	}
	if err := goodKey(pub); err != nil {
		return nil, fmt.Errorf("the public key is not accepted: %w", err)
	}
	if len(req.Proof) == 0 {
		return nil, errors.New("the proof of possession is missing")
	}
	if len(req.Proof) > maxProofBytes {
		return nil, fmt.Errorf("the proof of possession is longer than %d bytes", maxProofBytes)
	}
	alg, err := proofAlgorithm(pub)
	if err != nil {
		return nil, fmt.Errorf("the public key is not accepted: %w", err)
	}
	for _, challenge := range challenges {
		if challenge != "" && alg.Verify(pub, algorithm.Bytes([]byte(challenge)), req.Proof) == nil {
			return pub, nil
		}
	}
	quoted := make([]string, len(challenges))
	for i, c := range challenges {
		quoted[i] = fmt.Sprintf("%q", c)
	}
	return nil, fmt.Errorf("the proof of possession does not verify: it must be a signature with the key (%s) over %s, a claim of the token",
		alg, strings.Join(quoted, " or "))
}

// proofAlgorithm is the one algorithm for a key: the registry's default, but pure Ed25519, as Fulcio takes it.
func proofAlgorithm(pub crypto.PublicKey) (algorithm.Algorithm, error) {
	if _, ok := pub.(ed25519.PublicKey); ok {
		return algorithm.ForDetails(algorithm.Ed25519)
	}
	return algorithm.Default(pub)
}

// parseKey reads PEM or DER; DER in base64, too, since JSON cannot carry it otherwise.
func parseKey(content []byte) (crypto.PublicKey, error) {
	switch {
	case len(content) == 0:
		return nil, errors.New("the public key is missing")
	case len(content) > maxKeyBytes:
		return nil, fmt.Errorf("the public key is longer than %d bytes", maxKeyBytes)
	}
	if bytes.Contains(content, []byte("-----BEGIN")) {
		pub, err := algorithm.ParsePublicKeyPEM(content)
		if err != nil {
			return nil, fmt.Errorf("the public key cannot be parsed: %w", err)
		}
		return pub, nil
	}
	pub, err := algorithm.ParsePublicKey(content)
	if err == nil {
		return pub, nil
	}
	if der, decodeErr := base64.StdEncoding.DecodeString(string(content)); decodeErr == nil {
		pub, err = algorithm.ParsePublicKey(der)
	}
	if err != nil {
		return nil, fmt.Errorf("the public key cannot be parsed, it is neither PEM nor DER: %w", err)
	}
	return pub, nil
}

// csrAlgorithms are those in which a CSR may be signed. Subject and requested extensions mean nothing here.
var csrAlgorithms = []x509.SignatureAlgorithm{
	x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512,
	x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
	x509.PureEd25519,
}

func checkCSR(data []byte) (crypto.PublicKey, error) {
	if len(data) > maxCSRBytes {
		return nil, fmt.Errorf("the certificate signing request is longer than %d bytes", maxCSRBytes)
	}
	der := data
	if bytes.Contains(data, []byte("-----BEGIN")) {
		block, rest := pem.Decode(data)
		if block == nil || len(bytes.TrimSpace(rest)) > 0 {
			return nil, errors.New("the certificate signing request is not one PEM block")
		}
		if block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" {
			return nil, fmt.Errorf("the PEM block is a %q, not a certificate signing request", block.Type)
		}
		der = block.Bytes
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("the certificate signing request cannot be parsed: %w", err)
	}
	switch csr.PublicKey.(type) {
	case *ecdsa.PublicKey, *rsa.PublicKey, ed25519.PublicKey:
	default:
		return nil, fmt.Errorf("the certificate signing request's key is of a type that is not accepted: %s", csr.PublicKeyAlgorithm)
	}
	if err := goodKey(csr.PublicKey); err != nil {
		return nil, fmt.Errorf("the certificate signing request's key is not accepted: %w", err)
	}
	if !slices.Contains(csrAlgorithms, csr.SignatureAlgorithm) {
		return nil, fmt.Errorf("the certificate signing request is signed with %s, which is not accepted", csr.SignatureAlgorithm)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, errors.New("the certificate signing request's own signature does not verify")
	}
	return csr.PublicKey, nil
}
