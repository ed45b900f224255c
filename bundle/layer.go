package bundle

import (
	"bytes"
	"encoding/base64"

	"github.com/bulla-sign/bulla/internal/protojson"
)

// Media types of the layers in which cosign keeps image signatures and
// attestations below the tags sha256-….sig and sha256-….att.
const (
	simpleSigningLayer = "application/vnd.dev.cosign.simplesigning.v1+json"
	envelopeLayer      = "application/vnd.dsse.envelope.v1+json"
)

// Annotations of such layers.
const (
	signatureAnnotation   = "dev.cosignproject.cosign/signature"
	certificateAnnotation = "dev.sigstore.cosign/certificate"
	chainAnnotation       = "dev.sigstore.cosign/chain"
	rekorAnnotation       = "dev.sigstore.cosign/bundle"
	timestampAnnotation   = "dev.sigstore.cosign/rfc3161timestamp"
	predicateAnnotation   = "predicateType"
)

// FromLayer converts a layer of cosign's signature and attestation images into
// a bundle of version [Cosign]; payload is the layer's content.
//
// A simple signing layer (application/vnd.dev.cosign.simplesigning.v1+json) is
// the signed payload, its signature is an annotation. A DSSE layer
// (application/vnd.dsse.envelope.v1+json) is an envelope. Certificate, chain,
// log entry and timestamp are annotations of either; empty ones count as absent,
// other annotations say nothing about the signature and are ignored.
func FromLayer(payload []byte, mediaType string, annotations map[string]string) (*Bundle, error) {
	part := func(name string) []byte { return []byte(annotations[name]) }
	p := cosignParts{
		certificate: part(certificateAnnotation), chain: part(chainAnnotation),
		timestamp: part(timestampAnnotation), rekorBundle: part(rekorAnnotation),
	}
	switch mediaType {
	case simpleSigningLayer:
		signature, err := base64.StdEncoding.Strict().AppendDecode(nil, bytes.TrimSpace(part(signatureAnnotation)))
		switch {
		case err != nil:
			return nil, malformed(annotation(signatureAnnotation), "is not standard base64")
		case isJSONObject(signature):
			return nil, malformed(annotation(signatureAnnotation), "is a dsse envelope, want a signature over the layer")
		}
		p.signature, p.payload = signature, append([]byte{}, payload...)
	case envelopeLayer:
		if annotations[signatureAnnotation] != "" {
			return nil, malformed(annotation(signatureAnnotation), "must be empty beside a dsse envelope, which holds its own signatures")
		}
		if !isJSONObject(payload) {
			return nil, malformed("payload", "is not the JSON of a dsse envelope")
		}
		p.signature = payload
	default:
		return nil, malformed("mediaType", "is "+protojson.Quote(mediaType)+", want "+simpleSigningLayer+" or "+envelopeLayer)
	}
	names := cosignNames{
		signature: annotation(signatureAnnotation), certificate: annotation(certificateAnnotation),
		chain: annotation(chainAnnotation), timestamp: annotation(timestampAnnotation), rekorBundle: annotation(rekorAnnotation),
	}
	if mediaType == envelopeLayer {
		names.signature = "payload"
	}
	b, err := p.convert(names)
	if err != nil {
		return nil, err
	}
	b.MediaType = mediaType
	return b, nil
}

func annotation(name string) string { return "annotation " + name }

// Layer writes b as a layer of cosign's signature and attestation images, the
// reverse of [FromLayer]: its content, media type and annotations. A message
// signature must carry the payload that was signed. The format has a place for
// one log entry with a signed entry timestamp (Rekor v1), without its inclusion
// proof, and for one timestamp; what it cannot hold is an error.
func (b *Bundle) Layer() (payload []byte, mediaType string, annotations map[string]string, err error) {
	signature, err := b.cosignSignature()
	if err != nil {
		return nil, "", nil, err
	}
	annotations, err = b.Material.layerAnnotations()
	if err != nil {
		return nil, "", nil, err
	}
	if b.Message != nil {
		if b.Message.Payload == nil {
			return nil, "", nil, malformed("messageSignature", "is over an artifact, a layer holds the signed payload itself")
		}
		annotations[signatureAnnotation] = base64.StdEncoding.EncodeToString(signature)
		return b.Message.Payload, simpleSigningLayer, annotations, nil
	}
	annotations[signatureAnnotation] = ""
	if b.Envelope.PayloadType == StatementPayloadType {
		s, err := ParseStatement(b.Envelope.Payload)
		if err != nil {
			return nil, "", nil, within("dsseEnvelope.payload", err)
		}
		annotations[predicateAnnotation] = s.PredicateType
	}
	return signature, envelopeLayer, annotations, nil
}

func (m *Material) layerAnnotations() (map[string]string, error) {
	annotations := map[string]string{}
	if m.SCT != nil {
		return nil, malformed("verificationMaterial", "a detached signed certificate timestamp has no place in a layer")
	}
	if len(m.Certificates) > 0 {
		annotations[certificateAnnotation] = string(encodePEM(m.Certificates[:1]))
	}
	if len(m.Certificates) > 1 {
		annotations[chainAnnotation] = string(encodePEM(m.Certificates[1:]))
	}
	switch len(m.Timestamps) {
	case 0:
	case 1:
		w := new(protojson.Writer)
		w.Begin("")
		w.Bytes("SignedRFC3161Timestamp", m.Timestamps[0])
		w.End()
		data, err := done(w)
		if err != nil {
			return nil, err
		}
		annotations[timestampAnnotation] = string(data)
	default:
		return nil, malformed("verificationMaterial.timestampVerificationData", "several timestamps, a layer has a place for one")
	}
	w := new(protojson.Writer)
	if err := m.writeRekorBundle(w, ""); err != nil {
		return nil, err
	}
	data, err := done(w)
	if err != nil {
		return nil, err
	}
	if len(data) > 0 {
		annotations[rekorAnnotation] = string(data)
	}
	return annotations, nil
}
