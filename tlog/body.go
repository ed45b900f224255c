package tlog

import (
	"crypto"
	"errors"
	"fmt"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/protojson"
)

// Limits of entry bodies.
const (
	// MaxBodySize bounds a body in bytes. Rekor v2 leaves have at most 64 KiB (C2SP tlog-tiles); Rekor v1 stored what it was
	// given, for intoto 0.0.2 at times with the attestation in it.
	MaxBodySize = 4 << 20
	// maxBodySignatures bounds the signatures of one entry: envelopes have one, in practice.
	maxBodySignatures = 100
	// maxBodyDepth bounds nesting: the deepest body, intoto 0.0.2, has six levels.
	maxBodyDepth = 12
)

// Subject says what the digests of an entry are digests of.
type Subject int

// What an entry's digests are of.
const (
	// Artifact: the message that was signed. A hashedrekord 0.0.2 entry of a DSSE envelope also says this: there the message
	// is the envelope's PAE.
	Artifact Subject = iota + 1
	// Payload: the decoded payload of a DSSE envelope.
	Payload
)

// String returns "artifact" or "payload".
func (s Subject) String() string {
	switch s {
	case Artifact:
		return "artifact"
	case Payload:
		return "payload"
	}
	return "unknown"
}

// Body is the content of a log entry: what Rekor says it saw. Rekor has checked that the signatures verify, but a client
// must not rely on that: it compares every value with what it verified itself.
type Body struct {
	// Kind and Version are those inside the body: "hashedrekord" and "0.0.1".
	Kind, Version string
	// Digests are of Subject. Usually one; none for the oldest intoto 0.0.1 entries, which only know EnvelopeHash.
	Digests []Digest
	Subject Subject
	// EnvelopeHash is the hash of the envelope's JSON as the client posted it (dsse 0.0.1, intoto), nil when absent. From a
	// Sigstore bundle that JSON cannot be had again; cosign's attestation layers usually are it.
	EnvelopeHash *Digest
	// Signatures has at least one element.
	Signatures []BodySignature
}

// BodySignature is a signature of a log entry with what verifies it: a certificate or a public key, never both.
type BodySignature struct {
	// Signature is the signature itself; nil in intoto 0.0.1, which stores none.
	Signature []byte
	// Certificate is the signer's certificate in DER, without its chain.
	Certificate []byte
	// PublicKey is a public key in PKIX DER.
	PublicKey []byte
	// Details is the algorithm that the entry states (Rekor v2), else algorithm.Unspecified.
	Details algorithm.Details
}

// Digest is a hash value.
type Digest struct {
	Hash crypto.Hash
	// Sum has Hash.Size() bytes.
	Sum []byte
}

// ErrUnknownKind is wrapped by the errors of entries whose kind or version this package does not read.
var ErrUnknownKind = errors.New("unknown kind of log entry")

// rawBody is the frame around every entry.
type rawBody struct {
	kind, version string
	spec          []byte
}

var rawBodyFields = []protojson.Field[rawBody]{
	{Name: "apiVersion", Read: func(d *protojson.Decoder, v *rawBody) error { return d.String(&v.version) }},
	{Name: "kind", Read: func(d *protojson.Decoder, v *rawBody) error { return d.String(&v.kind) }},
	{Name: "spec", Read: func(d *protojson.Decoder, v *rawBody) error { return d.Raw(&v.spec) }},
}

// ParseBody reads the body of a log entry (canonicalizedBody): hashedrekord 0.0.1 and 0.0.2, dsse 0.0.1 and 0.0.2, intoto
// 0.0.1 and 0.0.2, rekord 0.0.1 with X.509 signatures. Other kinds give an error that wraps [ErrUnknownKind]. Unknown
// fields, fields given twice and missing values are errors.
func ParseBody(body []byte) (*Body, error) {
	var raw rawBody
	if err := protojson.Unmarshal(body, bodyLimits(), rawBodyFields, &raw); err != nil {
		return nil, fmt.Errorf("log entry body: %w", err)
	}
	parse := bodyParser(raw.kind, raw.version)
	if parse == nil {
		return nil, fmt.Errorf("log entry body: %w: kind %q, version %q", ErrUnknownKind, shorten(raw.kind), shorten(raw.version))
	}
	b := &Body{Kind: raw.kind, Version: raw.version}
	if err := protojson.Document(raw.spec, bodyLimits(), func(d *protojson.Decoder) error { return parse(d, b) }); err != nil {
		return nil, fmt.Errorf("log entry body: %s %s: %w", raw.kind, raw.version, protojson.At("spec", err))
	}
	return b, nil
}

// EntryKind reads the kind and version that a body of any kind states, and nothing else of it. Both may be empty.
func EntryKind(body []byte) (kind, version string, err error) {
	var raw rawBody
	if err := protojson.Unmarshal(body, bodyLimits(), rawBodyFields, &raw); err != nil {
		return "", "", fmt.Errorf("log entry body: %w", err)
	}
	return raw.kind, raw.version, nil
}

func bodyLimits() protojson.Limits {
	return protojson.Limits{Bytes: MaxBodySize, Depth: maxBodyDepth}
}

func bodyParser(kind, version string) func(*protojson.Decoder, *Body) error {
	switch kind + "/" + version {
	case "hashedrekord/0.0.1":
		return readHashedRekordV1
	case "rekord/0.0.1":
		return readRekord
	case "dsse/0.0.1":
		return readDSSEV1
	case "intoto/0.0.1":
		return readIntotoV1
	case "intoto/0.0.2":
		return readIntotoV2
	case "hashedrekord/0.0.2":
		return readHashedRekordV2
	case "dsse/0.0.2":
		return readDSSEV2
	}
	return nil
}

// missing reports a value that must be there.
func missing(field string) error { return protojson.At(field, protojson.Fail("missing")) }
