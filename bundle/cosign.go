package bundle

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/bulla-sign/bulla/internal/protojson"
)

// cosignParts is what cosign's older formats are made of, wherever it lay: in
// one file, in several, in the annotations of a layer. Absent parts are empty.
type cosignParts struct {
	signature   []byte // raw, or the JSON of a DSSE envelope
	payload     []byte // signed bytes that travel with the signature
	certificate []byte // base64 of PEM, PEM or DER
	chain       []byte // the same
	timestamp   []byte // DER or {"SignedRFC3161Timestamp"}
	rekorBundle []byte // {"SignedEntryTimestamp","Payload"}
	sct         []byte
}

// cosignNames says what errors call the parts.
type cosignNames struct {
	signature, certificate, chain, timestamp, rekorBundle string
}

// convert makes a bundle of parts.
func (p *cosignParts) convert(names cosignNames) (*Bundle, error) {
	b := &Bundle{Version: Cosign}
	if err := b.setSignature(names.signature, p.signature); err != nil {
		return nil, err
	}
	if p.payload != nil {
		if err := b.setPayload(p.payload); err != nil {
			return nil, err
		}
	}
	m := &b.Material
	if err := m.setCertificates(names, p.certificate, p.chain); err != nil {
		return nil, err
	}
	if len(p.timestamp) > 0 {
		der, err := parseTimestamp(p.timestamp)
		if err != nil {
			return nil, within(names.timestamp, err)
		}
		m.Timestamps = [][]byte{der}
	}
	if len(p.rekorBundle) > 0 {
		e, err := parseRekorBundle(p.rekorBundle)
		if err != nil {
			return nil, within(names.rekorBundle, err)
		}
		m.Entries = append(m.Entries, *e)
	}
	if len(p.sct) > maxItem {
		return nil, malformed("signed certificate timestamp", "longer than 65536 bytes")
	}
	if len(p.sct) > 0 {
		m.SCT = bytes.Clone(p.sct)
	}
	return b, nil
}

// setSignature takes a raw signature or the JSON of a DSSE envelope, which
// cosign puts in the same place. No signature is text that starts like JSON.
func (b *Bundle) setSignature(path string, signature []byte) error {
	if isJSONObject(signature) {
		e, err := parseRawEnvelope(signature)
		if err != nil {
			return within(path, err)
		}
		b.Envelope = e
		return nil
	}
	if err := size(path, signature); err != nil {
		return err
	}
	b.Message = &MessageSignature{Signature: bytes.Clone(signature)}
	return nil
}

func (b *Bundle) setPayload(payload []byte) error {
	switch {
	case b.Envelope != nil:
		return malformed("payload", "given beside a dsse envelope, which holds its own")
	case len(payload) > MaxBytes:
		return malformed("payload", "longer than 64 MiB")
	}
	b.Message.Payload = append([]byte{}, payload...)
	return nil
}

// parseRawEnvelope reads an envelope and keeps its JSON.
func parseRawEnvelope(data []byte) (*Envelope, error) {
	e, err := ParseEnvelope(data)
	if err != nil {
		return nil, err
	}
	e.Raw = bytes.Clone(data)
	return e, nil
}

func isJSONObject(data []byte) bool {
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	return len(trimmed) > 0 && trimmed[0] == '{' && utf8.Valid(trimmed)
}

// cosignBlob is the bundle of cosign sign-blob and attest-blob before Sigstore
// bundles were (LocalSignedPayload in cosign's source).
type cosignBlob struct {
	signature, cert string
	rekorBundle     []byte
}

var cosignBlobFields = []protojson.Field[cosignBlob]{
	{Name: "base64Signature", Read: func(d *decoder, b *cosignBlob) error { return d.String(&b.signature) }},
	{Name: "cert", Read: func(d *decoder, b *cosignBlob) error { return d.String(&b.cert) }},
	{Name: "rekorBundle", Read: func(d *decoder, b *cosignBlob) error { return d.Raw(&b.rekorBundle) }},
}

// DecodeCosignBlob reads cosign's own bundle of a blob:
// {"base64Signature","cert","rekorBundle"}, the last two optional. For
// attestations base64Signature holds the base64 of a DSSE envelope.
//
// cert must hold certificates: a public key in its place is refused, since a
// verifier that took it would trust whoever wrote the file
// (GHSA-fx35-mq7g-6g98). Some releases of cosign 1 and 2 wrote one when they
// signed with a key; such a signature verifies as a detached one.
//
// beside holds what lies in other files: chain, timestamp, SCT. A part that is
// in both places is refused, but for a certificate that is the same.
func DecodeCosignBlob(data []byte, beside Detached) (*Bundle, error) {
	var blob cosignBlob
	if err := protojson.Unmarshal(data, decodeLimits, cosignBlobFields, &blob); err != nil {
		return nil, formatError(err)
	}
	if blob.signature == "" {
		return nil, malformed("base64Signature", "missing or empty")
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(blob.signature))
	if err != nil {
		return nil, malformed("base64Signature", "is not standard base64")
	}
	p := beside.parts()
	switch {
	case len(beside.Signature) > 0:
		return nil, malformed("base64Signature", "another signature is given beside the bundle")
	case blob.rekorBundle != nil && len(p.rekorBundle) > 0:
		return nil, malformed("rekorBundle", "another one is given beside the bundle")
	}
	names := detachedNames()
	p.signature, names.signature = signature, "base64Signature"
	if blob.rekorBundle != nil {
		p.rekorBundle, names.rekorBundle = blob.rekorBundle, "rekorBundle"
	}
	if blob.cert != "" {
		if err := sameCertificate(p.certificate, blob.cert); err != nil {
			return nil, err
		}
		p.certificate, names.certificate = []byte(blob.cert), "cert"
	}
	return p.convert(names)
}

// sameCertificate compares a certificate given beside a blob bundle with the
// one inside.
func sameCertificate(beside []byte, cert string) error {
	if len(beside) == 0 {
		return nil
	}
	inside, err := parseCertificates([]byte(cert))
	if err != nil {
		return within("cert", err)
	}
	given, err := parseCertificates(beside)
	if err != nil {
		return within("certificate", err)
	}
	if !bytes.Equal(inside[0], given[0]) {
		return malformed("cert", "is another certificate than the one given beside the bundle")
	}
	return nil
}

// CosignBlob writes b as cosign's own bundle of a blob. That format has a place
// for one signature or envelope, the signing certificate without its chain, and
// one log entry with a signed entry timestamp (Rekor v1) without its inclusion
// proof. Timestamps lie in a file beside it, and so does a detached SCT.
func (b *Bundle) CosignBlob() ([]byte, error) {
	signature, err := b.cosignSignature()
	if err != nil {
		return nil, err
	}
	if b.Message != nil && b.Message.Payload != nil {
		return nil, malformed("messageSignature", "the signed payload has no place in cosign's blob bundle")
	}
	w := new(protojson.Writer)
	w.Begin("")
	w.Bytes("base64Signature", signature)
	if certs := b.Material.Certificates; len(certs) > 0 {
		w.Bytes("cert", encodePEM(certs[:1]))
	}
	if err := b.Material.writeRekorBundle(w, "rekorBundle"); err != nil {
		return nil, err
	}
	w.End()
	return done(w)
}

// cosignSignature returns what cosign's older formats hold as the signature:
// the signature itself, or the JSON of the envelope.
func (b *Bundle) cosignSignature() ([]byte, error) {
	switch {
	case (b.Message == nil) == (b.Envelope == nil):
		return nil, malformed("", "exactly one of message signature and envelope must be set")
	case b.Message != nil && len(b.Message.Signature) == 0:
		return nil, malformed("messageSignature.signature", "missing or empty")
	case b.Message != nil:
		return b.Message.Signature, nil
	case b.Envelope.Raw != nil:
		return b.Envelope.Raw, nil
	}
	return b.Envelope.Encode()
}
