package bundle

import (
	"crypto"
	"strings"

	"github.com/bulla-sign/bulla/internal/protojson"
	"github.com/bulla-sign/bulla/tlog"
)

var decodeLimits = protojson.Limits{Bytes: MaxBytes, Depth: maxDepth}

// Decode reads one Sigstore bundle of version 0.1, 0.2 or 0.3 in its JSON form.
//
// Every field that the protobuf definition knows is accepted in every spelling
// that the ProtoJSON format allows. An unknown field is refused by name, as it
// may change the meaning of the others. A bundle without verification
// material, without a signature, or with two of either, is refused. Further
// rules depend on the version and are those of [Bundle.Validate], which a
// verifier must call.
//
// The *[FormatError] wraps ErrNotBundle when the input is something else and
// ErrUnsupportedVersion when its version is not known here.
func Decode(data []byte) (*Bundle, error) {
	b := new(Bundle)
	if err := protojson.Unmarshal(data, decodeLimits, bundleFields, b); err != nil {
		if len(data) > MaxBytes {
			return nil, formatError(err)
		}
		return nil, explain(data, manyDocuments(formatError(err)))
	}
	version, err := ParseMediaType(b.MediaType)
	if err != nil {
		return nil, explain(data, err)
	}
	b.Version = version
	m := &b.Material
	switch {
	case m.KeyHint == nil && len(m.Certificates) == 0 && !m.Chain:
		return nil, malformed("verificationMaterial", "missing, or without publicKey, certificate and x509CertificateChain, of which one is required")
	case b.Message == nil && b.Envelope == nil:
		return nil, malformed("", "neither messageSignature nor dsseEnvelope is given: nothing is signed")
	}
	return b, nil
}

// manyDocuments adds advice when several documents stand in one file.
func manyDocuments(err error) error {
	if e, ok := err.(*FormatError); ok && strings.HasPrefix(e.Reason, "more JSON") {
		e.Reason += "; if these are JSON Lines, decode each line by itself"
	}
	return err
}

// item reads a base64 value of limited size.
func item(d *protojson.Decoder, dst *[]byte) error {
	if err := d.Bytes(dst); err != nil {
		return err
	}
	return checkItem(*dst)
}

func checkItem(b []byte) error {
	if len(b) > maxItem {
		return protojson.Fail("longer than 65536 bytes")
	}
	return nil
}

type decoder = protojson.Decoder

var bundleFields = []protojson.Field[Bundle]{
	{Name: "mediaType", Proto: "media_type", Read: func(d *decoder, b *Bundle) error { return d.String(&b.MediaType) }},
	{Name: "verificationMaterial", Proto: "verification_material", Read: func(d *decoder, b *Bundle) error {
		return protojson.Object(d, materialFields, &b.Material)
	}},
	{Name: "messageSignature", Proto: "message_signature", OneOf: 1, Read: func(d *decoder, b *Bundle) error {
		b.Message = new(MessageSignature)
		return protojson.Object(d, messageFields, b.Message)
	}},
	{Name: "dsseEnvelope", Proto: "dsse_envelope", OneOf: 1, Read: func(d *decoder, b *Bundle) error {
		b.Envelope = new(Envelope)
		return protojson.Object(d, envelopeFields, b.Envelope)
	}},
}

var materialFields = []protojson.Field[Material]{
	{Name: "publicKey", Proto: "public_key", OneOf: 1, Read: func(d *decoder, m *Material) error {
		m.KeyHint = new(string)
		return protojson.Object(d, hintFields, m.KeyHint)
	}},
	{Name: "x509CertificateChain", Proto: "x509_certificate_chain", OneOf: 1, Read: func(d *decoder, m *Material) error {
		m.Chain = true
		return protojson.Object(d, chainFields, &m.Certificates)
	}},
	{Name: "certificate", OneOf: 1, Read: func(d *decoder, m *Material) error {
		m.Certificates = make([][]byte, 1)
		return protojson.Object(d, certificateFields, &m.Certificates[0])
	}},
	{Name: "tlogEntries", Proto: "tlog_entries", Read: func(d *decoder, m *Material) error {
		return protojson.List(d, &m.Entries, maxEntries, readEntry)
	}},
	{Name: "timestampVerificationData", Proto: "timestamp_verification_data", Read: func(d *decoder, m *Material) error {
		return protojson.Object(d, timestampsFields, &m.Timestamps)
	}},
}

var hintFields = []protojson.Field[string]{
	{Name: "hint", Read: func(d *decoder, s *string) error { return d.String(s) }},
}

var chainFields = []protojson.Field[[][]byte]{
	{Name: "certificates", Read: func(d *decoder, c *[][]byte) error {
		return protojson.List(d, c, MaxCertificates, readCertificate)
	}},
}

func readCertificate(d *decoder, der *[]byte) error {
	return protojson.Object(d, certificateFields, der)
}

var certificateFields = []protojson.Field[[]byte]{
	{Name: "rawBytes", Proto: "raw_bytes", Read: item},
}

var timestampsFields = []protojson.Field[[][]byte]{
	{Name: "rfc3161Timestamps", Proto: "rfc3161_timestamps", Read: func(d *decoder, t *[][]byte) error {
		return protojson.List(d, t, maxTimestamps, readTimestamp)
	}},
}

func readTimestamp(d *decoder, der *[]byte) error {
	return protojson.Object(d, timestampFields, der)
}

var timestampFields = []protojson.Field[[]byte]{
	{Name: "signedTimestamp", Proto: "signed_timestamp", Read: item},
}

func readEntry(d *decoder, e *tlog.Entry) error { return protojson.Object(d, entryFields, e) }

var entryFields = []protojson.Field[tlog.Entry]{
	{Name: "logIndex", Proto: "log_index", Read: func(d *decoder, e *tlog.Entry) error { return d.Int64(&e.LogIndex) }},
	{Name: "logId", Proto: "log_id", Read: func(d *decoder, e *tlog.Entry) error {
		return protojson.Object(d, logIDFields, &e.LogID)
	}},
	{Name: "kindVersion", Proto: "kind_version", Read: func(d *decoder, e *tlog.Entry) error {
		return protojson.Object(d, kindFields, e)
	}},
	{Name: "integratedTime", Proto: "integrated_time", Read: func(d *decoder, e *tlog.Entry) error {
		return d.Int64(&e.IntegratedTime)
	}},
	{Name: "inclusionPromise", Proto: "inclusion_promise", Read: func(d *decoder, e *tlog.Entry) error {
		e.Promise = []byte{}
		return protojson.Object(d, promiseFields, &e.Promise)
	}},
	{Name: "inclusionProof", Proto: "inclusion_proof", Read: func(d *decoder, e *tlog.Entry) error {
		e.Proof = new(tlog.InclusionProof)
		return protojson.Object(d, proofFields, e.Proof)
	}},
	{Name: "canonicalizedBody", Proto: "canonicalized_body", Read: func(d *decoder, e *tlog.Entry) error {
		return optional(d, &e.Body)
	}},
}

// optional reads base64; nil when it is empty.
func optional(d *decoder, dst *[]byte) error {
	err := d.Bytes(dst)
	if len(*dst) == 0 {
		*dst = nil
	}
	return err
}

var logIDFields = []protojson.Field[[]byte]{
	{Name: "keyId", Proto: "key_id", Read: optional},
}

var kindFields = []protojson.Field[tlog.Entry]{
	{Name: "kind", Read: func(d *decoder, e *tlog.Entry) error { return d.String(&e.Kind) }},
	{Name: "version", Read: func(d *decoder, e *tlog.Entry) error { return d.String(&e.Version) }},
}

var promiseFields = []protojson.Field[[]byte]{
	{Name: "signedEntryTimestamp", Proto: "signed_entry_timestamp", Read: item},
}

var proofFields = []protojson.Field[tlog.InclusionProof]{
	{Name: "logIndex", Proto: "log_index", Read: func(d *decoder, p *tlog.InclusionProof) error { return d.Int64(&p.LogIndex) }},
	{Name: "rootHash", Proto: "root_hash", Read: func(d *decoder, p *tlog.InclusionProof) error { return optional(d, &p.RootHash) }},
	{Name: "treeSize", Proto: "tree_size", Read: func(d *decoder, p *tlog.InclusionProof) error { return d.Int64(&p.TreeSize) }},
	{Name: "hashes", Read: func(d *decoder, p *tlog.InclusionProof) error {
		return protojson.List(d, &p.Hashes, maxHashes, readBytes)
	}},
	{Name: "checkpoint", Read: func(d *decoder, p *tlog.InclusionProof) error {
		return protojson.Object(d, checkpointFields, &p.Checkpoint)
	}},
}

func readBytes(d *decoder, b *[]byte) error { return d.Bytes(b) }

var checkpointFields = []protojson.Field[string]{
	{Name: "envelope", Read: func(d *decoder, s *string) error { return d.String(s) }},
}

var messageFields = []protojson.Field[MessageSignature]{
	{Name: "messageDigest", Proto: "message_digest", Read: func(d *decoder, m *MessageSignature) error {
		return protojson.Object(d, digestFields, m)
	}},
	{Name: "signature", Read: func(d *decoder, m *MessageSignature) error { return optional(d, &m.Signature) }},
}

var digestFields = []protojson.Field[MessageSignature]{
	{Name: "algorithm", Read: func(d *decoder, m *MessageSignature) error {
		var n int32
		if err := d.Enum(hashNames, &n); err != nil {
			return err
		}
		if n < 0 || int(n) >= len(hashes) {
			return protojson.Fail("unknown hash algorithm number, want one of SHA2_256, SHA2_384, SHA2_512")
		}
		m.Hash = hashes[n]
		return nil
	}},
	{Name: "digest", Read: func(d *decoder, m *MessageSignature) error { return optional(d, &m.Digest) }},
}

// hashNames and hashes are dev.sigstore.common.v1.HashAlgorithm, by number.
var (
	hashNames = []protojson.EnumValue{
		{Name: "HASH_ALGORITHM_UNSPECIFIED", Number: 0},
		{Name: "SHA2_256", Number: 1},
		{Name: "SHA2_384", Number: 2},
		{Name: "SHA2_512", Number: 3},
		{Name: "SHA3_256", Number: 4},
		{Name: "SHA3_384", Number: 5},
	}
	hashes = [...]crypto.Hash{0, crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_384}
)

var envelopeFields = []protojson.Field[Envelope]{
	{Name: "payload", Read: func(d *decoder, e *Envelope) error { return optional(d, &e.Payload) }},
	{Name: "payloadType", Read: func(d *decoder, e *Envelope) error { return d.String(&e.PayloadType) }},
	{Name: "signatures", Read: func(d *decoder, e *Envelope) error {
		return protojson.List(d, &e.Signatures, maxSignatures, readSignature)
	}},
}

func readSignature(d *decoder, s *EnvelopeSignature) error {
	return protojson.Object(d, signatureFields, s)
}

var signatureFields = []protojson.Field[EnvelopeSignature]{
	{Name: "sig", Read: func(d *decoder, s *EnvelopeSignature) error { return optional(d, &s.Sig) }},
	{Name: "keyid", Read: func(d *decoder, s *EnvelopeSignature) error { return d.String(&s.KeyID) }},
}
