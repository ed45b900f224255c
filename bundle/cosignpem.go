package bundle

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"

	"github.com/bulla-sign/bulla/internal/protojson"
)

// maxPEM bounds certificates in text form: MaxCertificates of maxItem bytes, in
// base64 twice, with the lines around them.
const maxPEM = 2 << 20

// setCertificates takes the signing certificate and the chain above it. Without
// a certificate the material names no key.
func (m *Material) setCertificates(names cosignNames, certificate, chain []byte) error {
	if len(certificate) == 0 {
		if len(chain) > 0 {
			return malformed(names.chain, "given without a certificate that it could belong to")
		}
		m.NoKey = true
		return nil
	}
	certs, err := parseCertificates(certificate)
	if err != nil {
		return within(names.certificate, err)
	}
	if len(chain) > 0 {
		above, err := parseCertificates(chain)
		if err != nil {
			return within(names.chain, err)
		}
		if bytes.Equal(above[0], certs[0]) { // some chains start with the signing certificate
			above = above[1:]
		}
		certs = append(certs, above...)
	}
	if len(certs) > MaxCertificates {
		return malformed(names.chain, "more than 10 certificates")
	}
	m.Certificates, m.Chain = certs, len(certs) > 1
	return nil
}

// parseCertificates reads one or more certificates as PEM, base64 of PEM, or
// one as DER. Anything else among them is refused by name.
func parseCertificates(data []byte) ([][]byte, error) {
	if len(data) > maxPEM {
		return nil, malformed("", "longer than 2 MiB")
	}
	text := bytes.TrimSpace(data)
	if decoded, err := base64.StdEncoding.Strict().AppendDecode(nil, text); err == nil {
		text = bytes.TrimSpace(decoded)
	}
	switch {
	case len(text) == 0:
		return nil, malformed("", "empty")
	case text[0] == 0x30:
		return parseDER(text, data)
	}
	var certs [][]byte
	for {
		block, rest, ok := nextBlock(text)
		switch {
		case !ok && block == nil && certs != nil:
			return certs, nil
		case !ok:
			return nil, malformed("", "is not PEM, base64 of PEM or DER")
		case block.Type != "CERTIFICATE":
			return nil, malformed("", "holds a PEM block "+protojson.Quote(block.Type)+", want a certificate")
		case len(certs) == MaxCertificates:
			return nil, malformed("", "more than 10 certificates")
		}
		if err := checkDER(block.Bytes); err != nil {
			return nil, err
		}
		certs = append(certs, block.Bytes)
		text = rest
	}
}

// nextBlock returns the next PEM block. Text between blocks is explanatory (RFC
// 7468 2), but a broken block is not text: it gives a block without ok, lest it
// be skipped silently.
func nextBlock(text []byte) (block *pem.Block, rest []byte, ok bool) {
	begin := []byte("-----BEGIN ")
	i := bytes.Index(text, begin)
	if i < 0 {
		return nil, nil, false
	}
	text = text[i:]
	block, rest = pem.Decode(text)
	if block == nil || bytes.Count(text[:len(text)-len(rest)], begin) != 1 {
		return &pem.Block{}, nil, false
	}
	return block, rest, true
}

// parseDER takes one certificate in DER. data is the input as it came: white
// space that was trimmed may have belonged to it.
func parseDER(text, data []byte) ([][]byte, error) {
	if len(data) > 0 && data[0] == 0x30 && checkDER(data) == nil {
		text = data
	}
	if err := checkDER(text); err != nil {
		return nil, err
	}
	return [][]byte{bytes.Clone(text)}, nil
}

// checkDER wants a certificate. What kind of certificate it must be, identity
// says.
func checkDER(der []byte) error {
	if len(der) > maxItem {
		return malformed("", "certificate longer than 65536 bytes")
	}
	if _, err := x509.ParseCertificate(der); err == nil {
		return nil
	} else if _, keyErr := x509.ParsePKIXPublicKey(der); keyErr == nil {
		return malformed("", "is a public key, want a certificate")
	} else {
		return malformed("", "is not a certificate: "+err.Error())
	}
}

// encodePEM writes certificates one after the other.
func encodePEM(certs [][]byte) []byte {
	var text []byte
	for _, der := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return text
}
