package bundle

import (
	"strconv"

	"github.com/bulla-sign/bulla/internal/protojson"
	"github.com/bulla-sign/bulla/tlog"
)

// Encode writes b as canonical ProtoJSON: compact, lowerCamelCase names, enums
// by name, 64-bit integers as strings, standard base64, members in the order in
// which sigstore_bundle.proto declares them (which other implementations keep
// too). The media type is b.MediaType if that is one of b.Version, otherwise
// the one usual for b.Version.
//
// A bundle that these formats cannot express is an error, in particular one
// converted from cosign's older formats; see [Bundle.Upgrade]. The result is
// not validated.
func (b *Bundle) Encode() ([]byte, error) {
	mediaType, err := b.encodedMediaType()
	if err != nil {
		return nil, err
	}
	if err := b.encodable(); err != nil {
		return nil, err
	}
	w := new(protojson.Writer)
	w.Begin("")
	w.String("mediaType", mediaType)
	w.Begin("verificationMaterial")
	b.Material.encode(w)
	w.End()
	if b.Message != nil {
		b.Message.encode(w)
	} else {
		w.Begin("dsseEnvelope")
		b.Envelope.encode(w)
		w.End()
	}
	w.End()
	data, err := w.Done()
	if err != nil {
		return nil, malformed("", err.Error())
	}
	return data, nil
}

func (b *Bundle) encodedMediaType() (string, error) {
	if v, err := ParseMediaType(b.MediaType); err == nil && v == b.Version {
		return b.MediaType, nil
	}
	switch b.Version {
	case V01, V02:
		return mediaTypePrefix + versionInfix + b.Version.String()[1:], nil
	case V03:
		return MediaType, nil
	}
	return "", malformed("", "a bundle of "+b.Version.String()+" format has no encoding as a sigstore bundle; upgrade it first")
}

// encodable refuses what the format has no place for.
func (b *Bundle) encodable() error {
	m := &b.Material
	switch {
	case (b.Message == nil) == (b.Envelope == nil):
		return malformed("", "exactly one of message signature and envelope must be set")
	case m.KeyHint != nil && (m.Chain || len(m.Certificates) > 0):
		return malformed("verificationMaterial", "both a key hint and certificates are set")
	case m.NoKey || m.KeyHint == nil && len(m.Certificates) == 0 && !m.Chain:
		return malformed("verificationMaterial", "neither a key hint nor a certificate is set")
	case len(m.Certificates) > 1 && !m.Chain:
		return malformed("verificationMaterial", strconv.Itoa(len(m.Certificates))+" certificates without Chain set")
	case m.SCT != nil:
		return malformed("verificationMaterial", "a detached signed certificate timestamp has no place in a sigstore bundle")
	case b.Message != nil && b.Message.Payload != nil:
		return malformed("messageSignature", "the signed payload has no place in a sigstore bundle")
	}
	return nil
}

func (m *Material) encode(w *protojson.Writer) {
	switch {
	case m.KeyHint != nil:
		w.Begin("publicKey")
		w.String("hint", *m.KeyHint)
		w.End()
	case m.Chain:
		w.Begin("x509CertificateChain")
		encodeList(w, "certificates", "rawBytes", m.Certificates)
		w.End()
	default:
		w.Begin("certificate")
		w.Bytes("rawBytes", m.Certificates[0])
		w.End()
	}
	if len(m.Entries) > 0 {
		w.BeginList("tlogEntries")
		for i := range m.Entries {
			encodeEntry(w, &m.Entries[i])
		}
		w.EndList()
	}
	if len(m.Timestamps) > 0 {
		w.Begin("timestampVerificationData")
		encodeList(w, "rfc3161Timestamps", "signedTimestamp", m.Timestamps)
		w.End()
	}
}

// encodeList writes a list of objects with one member of bytes each.
func encodeList(w *protojson.Writer, list, member string, items [][]byte) {
	if len(items) == 0 {
		return
	}
	w.BeginList(list)
	for _, b := range items {
		w.Begin("")
		w.Bytes(member, b)
		w.End()
	}
	w.EndList()
}

func encodeEntry(w *protojson.Writer, e *tlog.Entry) {
	w.Begin("")
	w.Int64("logIndex", e.LogIndex)
	if len(e.LogID) > 0 {
		w.Begin("logId")
		w.Bytes("keyId", e.LogID)
		w.End()
	}
	if e.Kind != "" || e.Version != "" {
		w.Begin("kindVersion")
		w.String("kind", e.Kind)
		w.String("version", e.Version)
		w.End()
	}
	w.Int64("integratedTime", e.IntegratedTime)
	if e.Promise != nil {
		w.Begin("inclusionPromise")
		w.Bytes("signedEntryTimestamp", e.Promise)
		w.End()
	}
	if e.Proof != nil {
		encodeProof(w, e.Proof)
	}
	w.Bytes("canonicalizedBody", e.Body)
	w.End()
}

func encodeProof(w *protojson.Writer, p *tlog.InclusionProof) {
	w.Begin("inclusionProof")
	w.Int64("logIndex", p.LogIndex)
	w.Bytes("rootHash", p.RootHash)
	w.Int64("treeSize", p.TreeSize)
	if len(p.Hashes) > 0 {
		w.BeginList("hashes")
		for _, h := range p.Hashes {
			w.Bytes("", h)
		}
		w.EndList()
	}
	if p.Checkpoint != "" {
		w.Begin("checkpoint")
		w.String("envelope", p.Checkpoint)
		w.End()
	}
	w.End()
}

func (m *MessageSignature) encode(w *protojson.Writer) {
	w.Begin("messageSignature")
	if m.Hash != 0 || len(m.Digest) > 0 {
		w.Begin("messageDigest")
		for i, h := range hashes {
			if h == m.Hash && i > 0 {
				w.String("algorithm", hashNames[i].Name)
			}
		}
		w.Bytes("digest", m.Digest)
		w.End()
	}
	w.Bytes("signature", m.Signature)
	w.End()
}
