package main

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/oci"
)

// signatureLine writes a signature of cosign's older form as cosign prints it: certificates in the form that Go's JSON
// gives its type, which scripts read .Cert.Raw of.
func signatureLine(item *oci.Item) ([]byte, error) {
	b := item.Bundle
	sig := theSignature(b)
	if sig == nil {
		return nil, errors.New("there is no signature in it")
	}
	doc := struct {
		Base64Signature  string
		Payload          []byte
		Cert             *x509.Certificate
		Chain            []*x509.Certificate
		Bundle           json.RawMessage
		RFC3161Timestamp json.RawMessage
	}{
		Base64Signature: base64.StdEncoding.EncodeToString(sig), Payload: item.Raw,
		Bundle: annotation(item, "bundle"), RFC3161Timestamp: annotation(item, "rfc3161timestamp"),
	}
	for i, der := range b.Material.Certificates {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			doc.Cert = cert
		} else {
			doc.Chain = append(doc.Chain, cert)
		}
	}
	return lineOf(doc)
}

// annotation returns the JSON in one of cosign's annotations, null if it is absent. It was decoded before.
func annotation(item *oci.Item, name string) json.RawMessage {
	value := item.Annotations["dev.sigstore.cosign/"+name]
	if value == "" {
		return json.RawMessage("null")
	}
	return json.RawMessage(value)
}

// attestationLine writes an envelope as cosign prints it, with a key ID even if that is empty.
func attestationLine(b *bundle.Bundle) ([]byte, error) {
	type signature struct {
		KeyID string `json:"keyid"`
		Sig   []byte `json:"sig"`
	}
	if b.Envelope == nil {
		return nil, errors.New("there is no envelope in it")
	}
	doc := struct {
		PayloadType string      `json:"payloadType"`
		Payload     []byte      `json:"payload"`
		Signatures  []signature `json:"signatures"`
	}{b.Envelope.PayloadType, b.Envelope.Payload, nil}
	for _, s := range b.Envelope.Signatures {
		doc.Signatures = append(doc.Signatures, signature{s.KeyID, s.Sig})
	}
	return lineOf(doc)
}

// lineOf writes compact JSON without escaping what HTML would need.
func lineOf(v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimRight(out.Bytes(), "\n"), err
}
