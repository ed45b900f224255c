package tlog

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"strconv"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/protojson"
)

// Bodies of Rekor v1: plain JSON whose schemas lie in rekor's pkg/types. Bytes are in standard base64, padded; hashes in
// hexadecimal; a verifier is the base64 of PEM.

type (
	decoder     = protojson.Decoder
	hashV1      struct{ algorithm, value string }
	publicKeyV1 struct{ content []byte }
	signatureV1 struct {
		content   []byte
		format    string
		publicKey *publicKeyV1
	}
	dataV1 struct{ hash *Digest }
	// rekordV1 is the spec of hashedrekord 0.0.1 and rekord 0.0.1.
	rekordV1 struct {
		data      *dataV1
		signature *signatureV1
	}
)

var hashV1Fields = []protojson.Field[hashV1]{
	{Name: "algorithm", Read: func(d *decoder, v *hashV1) error { return d.String(&v.algorithm) }},
	{Name: "value", Read: func(d *decoder, v *hashV1) error { return d.String(&v.value) }},
}

var publicKeyV1Fields = []protojson.Field[publicKeyV1]{
	{Name: "content", Read: func(d *decoder, v *publicKeyV1) error { return readBase64(d, &v.content) }},
}

var signatureV1Fields = []protojson.Field[signatureV1]{
	{Name: "content", Read: func(d *decoder, v *signatureV1) error { return readBase64(d, &v.content) }},
	{Name: "publicKey", Read: func(d *decoder, v *signatureV1) error {
		v.publicKey = &publicKeyV1{}
		return protojson.Object(d, publicKeyV1Fields, v.publicKey)
	}},
}

// rekordSignatureFields adds the format, which only rekord has.
var rekordSignatureFields = []protojson.Field[signatureV1]{
	signatureV1Fields[0],
	signatureV1Fields[1],
	{Name: "format", Read: func(d *decoder, v *signatureV1) error { return d.String(&v.format) }},
}

var dataV1Fields = []protojson.Field[dataV1]{
	{Name: "hash", Read: func(d *decoder, v *dataV1) error { return readHashV1(d, &v.hash) }},
}

func readHashedRekordV1(d *decoder, b *Body) error {
	_, err := readRekordV1(d, b, signatureV1Fields)
	return err
}

func readRekord(d *decoder, b *Body) error {
	r, err := readRekordV1(d, b, rekordSignatureFields)
	if err != nil {
		return err
	}
	// The other formats (pgp, minisign, ssh) are no signatures of Sigstore; their keys would have been refused above.
	if r.signature.format != "x509" {
		return protojson.At("signature.format", protojson.Fail("is "+protojson.Quote(r.signature.format)+", only \"x509\" is supported"))
	}
	return nil
}

func readRekordV1(d *decoder, b *Body, signatureFields []protojson.Field[signatureV1]) (*rekordV1, error) {
	r := &rekordV1{}
	fields := []protojson.Field[rekordV1]{
		{Name: "data", Read: func(d *decoder, v *rekordV1) error {
			v.data = &dataV1{}
			return protojson.Object(d, dataV1Fields, v.data)
		}},
		{Name: "signature", Read: func(d *decoder, v *rekordV1) error {
			v.signature = &signatureV1{}
			return protojson.Object(d, signatureFields, v.signature)
		}},
	}
	if err := protojson.Object(d, fields, r); err != nil {
		return nil, err
	}
	switch {
	case r.data == nil || r.data.hash == nil:
		return nil, missing("data.hash")
	case r.signature == nil || len(r.signature.content) == 0:
		return nil, missing("signature.content")
	case r.signature.publicKey == nil:
		return nil, missing("signature.publicKey")
	}
	b.Subject, b.Digests = Artifact, []Digest{*r.data.hash}
	s := BodySignature{Signature: r.signature.content}
	if r.signature.format == "" || r.signature.format == "x509" {
		if err := s.setVerifier(r.signature.publicKey.content); err != nil {
			return nil, protojson.At("signature.publicKey.content", err)
		}
	}
	b.Signatures = []BodySignature{s}
	return r, nil
}

// dsseV1 is the spec of dsse 0.0.1 as the log stores it.
type dsseV1 struct {
	envelopeHash, payloadHash *Digest
	signatures                []dsseSignatureV1
}

type dsseSignatureV1 struct{ signature, verifier []byte }

var dsseV1Fields = []protojson.Field[dsseV1]{
	{Name: "envelopeHash", Read: func(d *decoder, v *dsseV1) error { return readHashV1(d, &v.envelopeHash) }},
	{Name: "payloadHash", Read: func(d *decoder, v *dsseV1) error { return readHashV1(d, &v.payloadHash) }},
	{Name: "signatures", Read: func(d *decoder, v *dsseV1) error {
		return protojson.List(d, &v.signatures, maxBodySignatures, func(d *decoder, s *dsseSignatureV1) error {
			return protojson.Object(d, dsseSignatureV1Fields, s)
		})
	}},
}

var dsseSignatureV1Fields = []protojson.Field[dsseSignatureV1]{
	{Name: "signature", Read: func(d *decoder, v *dsseSignatureV1) error { return readBase64(d, &v.signature) }},
	{Name: "verifier", Read: func(d *decoder, v *dsseSignatureV1) error { return readBase64(d, &v.verifier) }},
}

func readDSSEV1(d *decoder, b *Body) error {
	var v dsseV1
	if err := protojson.Object(d, dsseV1Fields, &v); err != nil {
		return err
	}
	switch {
	case v.payloadHash == nil:
		return missing("payloadHash")
	case v.envelopeHash == nil:
		return missing("envelopeHash")
	case len(v.signatures) == 0:
		return missing("signatures")
	}
	b.Subject, b.Digests, b.EnvelopeHash = Payload, []Digest{*v.payloadHash}, v.envelopeHash
	for i, s := range v.signatures {
		at := "signatures[" + strconv.Itoa(i) + "]"
		if len(s.signature) == 0 {
			return missing(at + ".signature")
		}
		signature := BodySignature{Signature: s.signature}
		if err := signature.setVerifier(s.verifier); err != nil {
			return protojson.At(at+".verifier", err)
		}
		b.Signatures = append(b.Signatures, signature)
	}
	return nil
}

// intotoV1 is the spec of intoto 0.0.1.
type intotoV1 struct {
	content   *intotoContent
	publicKey []byte
}

// intotoContent is the content of intoto 0.0.1 (no envelope) and 0.0.2.
type intotoContent struct {
	envelope          *intotoEnvelope
	hash, payloadHash *Digest
}

type intotoEnvelope struct {
	payload     []byte
	payloadType string
	signatures  []intotoSignature
}

type intotoSignature struct {
	keyid          string
	publicKey, sig []byte
}

var intotoV1ContentFields = []protojson.Field[intotoContent]{
	{Name: "hash", Read: func(d *decoder, v *intotoContent) error { return readHashV1(d, &v.hash) }},
	{Name: "payloadHash", Read: func(d *decoder, v *intotoContent) error { return readHashV1(d, &v.payloadHash) }},
}

var intotoV2ContentFields = []protojson.Field[intotoContent]{
	intotoV1ContentFields[0],
	intotoV1ContentFields[1],
	{Name: "envelope", Read: func(d *decoder, v *intotoContent) error {
		v.envelope = &intotoEnvelope{}
		return protojson.Object(d, intotoEnvelopeFields, v.envelope)
	}},
}

var intotoEnvelopeFields = []protojson.Field[intotoEnvelope]{
	{Name: "payload", Read: func(d *decoder, v *intotoEnvelope) error { return readBase64(d, &v.payload) }},
	{Name: "payloadType", Read: func(d *decoder, v *intotoEnvelope) error { return d.String(&v.payloadType) }},
	{Name: "signatures", Read: func(d *decoder, v *intotoEnvelope) error {
		return protojson.List(d, &v.signatures, maxBodySignatures, func(d *decoder, s *intotoSignature) error {
			return protojson.Object(d, intotoSignatureFields, s)
		})
	}},
}

var intotoSignatureFields = []protojson.Field[intotoSignature]{
	{Name: "keyid", Read: func(d *decoder, v *intotoSignature) error { return d.String(&v.keyid) }},
	{Name: "publicKey", Read: func(d *decoder, v *intotoSignature) error { return readBase64(d, &v.publicKey) }},
	{Name: "sig", Read: func(d *decoder, v *intotoSignature) error { return readBase64(d, &v.sig) }},
}

func readIntotoV1(d *decoder, b *Body) error {
	var v intotoV1
	err := protojson.Object(d, []protojson.Field[intotoV1]{
		{Name: "content", Read: func(d *decoder, v *intotoV1) error {
			v.content = &intotoContent{}
			return protojson.Object(d, intotoV1ContentFields, v.content)
		}},
		{Name: "publicKey", Read: func(d *decoder, v *intotoV1) error { return readBase64(d, &v.publicKey) }},
	}, &v)
	switch {
	case err != nil:
		return err
	case v.content == nil || v.content.hash == nil:
		return missing("content.hash")
	}
	b.Subject, b.EnvelopeHash = Payload, v.content.hash
	if v.content.payloadHash != nil {
		b.Digests = []Digest{*v.content.payloadHash}
	}
	var signature BodySignature
	if err := signature.setVerifier(v.publicKey); err != nil {
		return protojson.At("publicKey", err)
	}
	b.Signatures = []BodySignature{signature}
	return nil
}

func readIntotoV2(d *decoder, b *Body) error {
	var content *intotoContent
	err := protojson.Object(d, []protojson.Field[*intotoContent]{
		{Name: "content", Read: func(d *decoder, v **intotoContent) error {
			*v = &intotoContent{}
			return protojson.Object(d, intotoV2ContentFields, *v)
		}},
	}, &content)
	switch {
	case err != nil:
		return err
	case content == nil || content.envelope == nil || len(content.envelope.signatures) == 0:
		return missing("content.envelope.signatures")
	case content.payloadHash == nil:
		return missing("content.payloadHash")
	}
	b.Subject, b.Digests, b.EnvelopeHash = Payload, []Digest{*content.payloadHash}, content.hash
	if p := content.envelope.payload; p != nil && !intotoPayloadMatches(p, content.payloadHash) {
		return protojson.At("content.envelope.payload", protojson.Fail("does not have the hash that payloadHash states"))
	}
	for i, s := range content.envelope.signatures {
		at := "content.envelope.signatures[" + strconv.Itoa(i) + "]"
		// Rekor's clients put the base64 of the envelope into a field that is base64 itself, and so it is logged.
		raw, ok := decodeBase64(s.sig)
		if !ok || len(raw) == 0 {
			return protojson.At(at+".sig", protojson.Fail("is not the base64 of the base64 of a signature"))
		}
		signature := BodySignature{Signature: raw}
		if err := signature.setVerifier(s.publicKey); err != nil {
			return protojson.At(at+".publicKey", err)
		}
		b.Signatures = append(b.Signatures, signature)
	}
	return nil
}

// intotoPayloadMatches tells whether a payload that was logged with an intoto 0.0.2 entry, usually in base64 once more, is
// the one that was hashed.
func intotoPayloadMatches(payload []byte, want *Digest) bool {
	if bytes.Equal(digest(want.Hash, payload), want.Sum) {
		return true
	}
	inner, ok := decodeBase64(payload)
	return ok && bytes.Equal(digest(want.Hash, inner), want.Sum)
}

// readHashV1 reads {"algorithm":"sha256","value":"hex"}.
func readHashV1(d *decoder, dst **Digest) error {
	var v hashV1
	if err := protojson.Object(d, hashV1Fields, &v); err != nil {
		return err
	}
	var hash crypto.Hash
	switch v.algorithm {
	case "sha256", "sha384", "sha512":
		hash, _ = algorithm.Hash(v.algorithm)
	default:
		return protojson.At("algorithm", protojson.Fail("is "+protojson.Quote(v.algorithm)+", want sha256, sha384 or sha512"))
	}
	sum, err := hex.DecodeString(v.value)
	if err != nil || len(sum) != hash.Size() || hex.EncodeToString(sum) != v.value {
		return protojson.At("value", protojson.Fail("is not a "+v.algorithm+" in lower-case hexadecimal digits"))
	}
	*dst = &Digest{Hash: hash, Sum: sum}
	return nil
}

// readBase64 reads a string of padded standard base64.
func readBase64(d *decoder, dst *[]byte) error {
	var s string
	if err := d.String(&s); err != nil {
		return err
	}
	raw, ok := decodeBase64([]byte(s))
	if !ok {
		return protojson.Fail("is not standard base64")
	}
	*dst = raw
	return nil
}

func decodeBase64(s []byte) ([]byte, bool) {
	if bytes.ContainsAny(s, "\r\n") { // encoding/base64 skips them
		return nil, false
	}
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(s)))
	n, err := base64.StdEncoding.Strict().Decode(raw, s)
	return raw[:n], err == nil
}
