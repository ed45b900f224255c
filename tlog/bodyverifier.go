package tlog

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/protojson"
)

// maxVerifierBlocks bounds the certificates in the verifier of a Rekor v1 entry: Rekor itself reads at most ten.
const maxVerifierBlocks = 10

// setVerifier takes the verifier of a Rekor v1 entry: PEM with one public key, or with a certificate that its chain may
// follow. Only the certificate is kept; what its chain is worth, the verifier decides from its own trust.
func (s *BodySignature) setVerifier(data []byte) error {
	rest := bytes.TrimSpace(data)
	if len(rest) == 0 {
		return protojson.Fail("missing")
	}
	for i := 0; len(rest) > 0; i++ {
		if i == maxVerifierBlocks {
			return protojson.Fail("has more than 10 PEM blocks")
		}
		begin := []byte("-----BEGIN ")
		block, after := pem.Decode(rest)
		// pem.Decode skips text and broken blocks; an entry has neither.
		if block == nil || !bytes.HasPrefix(rest, begin) || bytes.Count(rest[:len(rest)-len(after)], begin) != 1 {
			return protojson.Fail("is not the base64 of PEM")
		}
		rest = bytes.TrimSpace(after)
		if err := s.setBlock(i, block, len(rest) == 0); err != nil {
			return err
		}
	}
	return nil
}

func (s *BodySignature) setBlock(i int, block *pem.Block, last bool) error {
	switch {
	case block.Type == "CERTIFICATE":
		if err := checkCertificate(block.Bytes); err != nil {
			return err
		}
		if i == 0 {
			s.Certificate = block.Bytes
		}
		return nil
	case block.Type != "PUBLIC KEY":
		return protojson.Fail("has a PEM block " + protojson.Quote(block.Type) + ", want a certificate or a public key")
	case i > 0 || !last:
		return protojson.Fail("has more PEM blocks beside a public key")
	}
	return s.setPublicKey(block.Bytes)
}

func (s *BodySignature) setPublicKey(der []byte) error {
	if _, err := algorithm.ParsePublicKey(der); err != nil {
		return protojson.Fail(err.Error())
	}
	s.PublicKey = der
	return nil
}

func checkCertificate(der []byte) error {
	if _, err := x509.ParseCertificate(der); err != nil {
		return protojson.Fail("certificate does not parse: " + err.Error())
	}
	return nil
}
