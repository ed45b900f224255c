package bundle

import (
	"strconv"

	"github.com/bulla-sign/bulla/internal/protojson"
)

// PAE returns the pre-authentication encoding of a payload, which is what the
// signatures of a DSSE envelope cover (secure-systems-lab/dsse, protocol.md):
// "DSSEv1" SP len(type) SP type SP len(payload) SP payload, lengths in bytes and
// decimal.
func PAE(payloadType string, payload []byte) []byte {
	const room = len("DSSEv1  ") + 2*20 + 2
	out := make([]byte, 0, room+len(payloadType)+len(payload))
	out = append(out, "DSSEv1 "...)
	out = strconv.AppendInt(out, int64(len(payloadType)), 10)
	out = append(out, ' ')
	out = append(out, payloadType...)
	out = append(out, ' ')
	out = strconv.AppendInt(out, int64(len(payload)), 10)
	out = append(out, ' ')
	return append(out, payload...)
}

// ParseEnvelope reads a bare DSSE envelope in its JSON form (envelope.md), as
// in cosign's attestation layers. Members that DSSE does not define are ignored,
// as it demands; a member given twice is refused. Several signatures are kept,
// at least one is required.
func ParseEnvelope(data []byte) (*Envelope, error) {
	e := new(Envelope)
	err := protojson.Document(data, decodeLimits, func(d *decoder) error {
		return protojson.OpenObject(d, bareEnvelopeFields, e)
	})
	switch {
	case err != nil:
		return nil, formatError(err)
	case e.PayloadType == "":
		return nil, malformed("payloadType", "missing or empty")
	case e.Payload == nil:
		return nil, malformed("payload", "missing or empty")
	case len(e.Signatures) == 0:
		return nil, malformed("signatures", "missing or empty")
	}
	return e, nil
}

var bareEnvelopeFields = []protojson.Field[Envelope]{
	{Name: "payload", Read: func(d *decoder, e *Envelope) error { return optional(d, &e.Payload) }},
	{Name: "payloadType", Read: func(d *decoder, e *Envelope) error { return d.String(&e.PayloadType) }},
	{Name: "signatures", Read: func(d *decoder, e *Envelope) error {
		return protojson.List(d, &e.Signatures, maxSignatures, func(d *decoder, s *EnvelopeSignature) error {
			return protojson.OpenObject(d, signatureFields, s)
		})
	}},
}

// PAE returns what the envelope's signatures cover.
func (e *Envelope) PAE() []byte { return PAE(e.PayloadType, e.Payload) }

// Encode writes the bare envelope as compact JSON: payloadType, payload (both
// in standard base64 where bytes) and signatures, the order of cosign's layers.
func (e *Envelope) Encode() ([]byte, error) {
	w := new(protojson.Writer)
	w.Begin("")
	w.String("payloadType", e.PayloadType)
	w.Bytes("payload", e.Payload)
	e.encodeSignatures(w)
	w.End()
	data, err := w.Done()
	if err != nil {
		return nil, malformed("", err.Error())
	}
	return data, nil
}

func (e *Envelope) encode(w *protojson.Writer) {
	w.Bytes("payload", e.Payload)
	w.String("payloadType", e.PayloadType)
	e.encodeSignatures(w)
}

func (e *Envelope) encodeSignatures(w *protojson.Writer) {
	if len(e.Signatures) == 0 {
		return
	}
	w.BeginList("signatures")
	for _, s := range e.Signatures {
		w.Begin("")
		w.Bytes("sig", s.Sig)
		w.String("keyid", s.KeyID)
		w.End()
	}
	w.EndList()
}
