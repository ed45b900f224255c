package authority

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
)

// Kind is what a certificate below somebody else's root is for.
type Kind struct {
	name     string           // CommonName that is asked for
	usage    x509.ExtKeyUsage // the only extended key usage
	critical bool             // the extended key usage must be critical
	keyUsage byte             // key usage, as the first byte of its bit string
	unused   int              // its unused bits
	ca       bool
	spoken   string
}

// Signing is the certificate of an authority that issues certificates for code signing (Fulcio's certificate specification).
func Signing() Kind {
	return Kind{name: "sigstore-intermediate", usage: x509.ExtKeyUsageCodeSigning, keyUsage: 0x06, unused: 1, ca: true, spoken: "code signing"} // keyCertSign, cRLSign
}

// Stamping is the certificate of a timestamp authority (RFC 3161, 2.3).
func Stamping() Kind {
	return Kind{name: "timestamping", usage: x509.ExtKeyUsageTimeStamping, critical: true, keyUsage: 0x80, unused: 7, spoken: "time stamping"} // digitalSignature
}

// usages are the extended key usages of the two kinds, as in RFC 5280, 4.2.1.12.
var usages = map[x509.ExtKeyUsage]asn1.ObjectIdentifier{
	x509.ExtKeyUsageCodeSigning:  {1, 3, 6, 1, 5, 5, 7, 3, 3},
	x509.ExtKeyUsageTimeStamping: {1, 3, 6, 1, 5, 5, 7, 3, 8},
}

// Request is a certificate signing request (PKCS #10) in PEM. It asks for the extensions that [Accept] will look for, so
// that whoever signs can take them over.
func Request(kind Kind, organization string, key crypto.Signer) (string, error) {
	extensions, err := kind.extensions()
	if err != nil {
		return "", err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{Organization: []string{organization}, CommonName: kind.name}, ExtraExtensions: extensions,
	}, key)
	if err != nil {
		return "", fmt.Errorf("certificate signing request: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
}

func (k *Kind) extensions() ([]pkix.Extension, error) {
	usage, err := asn1.Marshal(asn1.BitString{Bytes: []byte{k.keyUsage}, BitLength: 8 - k.unused})
	if err != nil {
		return nil, err
	}
	extended, err := asn1.Marshal([]asn1.ObjectIdentifier{usages[k.usage]})
	if err != nil {
		return nil, err
	}
	list := []pkix.Extension{
		{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Critical: true, Value: usage},
		{Id: oidExtendedKeyUsage, Critical: k.critical, Value: extended},
	}
	if !k.ca {
		return list, nil
	}
	constraints, err := asn1.Marshal(struct {
		IsCA       bool
		MaxPathLen int
	}{true, 0})
	return append(list, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: constraints}), err
}
