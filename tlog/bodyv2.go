package tlog

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/protojson"
)

// Bodies of Rekor v2: the ProtoJSON of dev.sigstore.rekor.v2.Entry in canonical form (RFC 8785).

// verifierV2 is a Verifier: a public key or a certificate, and the algorithm.
type verifierV2 struct {
	publicKey, certificate *[]byte
	details                int32
}

type signatureV2 struct {
	content  []byte
	verifier *verifierV2
}

// hashOutput is dev.sigstore.common.v1.HashOutput.
type hashOutput struct {
	algorithm int32
	digest    []byte
}

var rawBytesFields = []protojson.Field[[]byte]{
	{Name: "rawBytes", Proto: "raw_bytes", Read: func(d *decoder, v *[]byte) error { return d.Bytes(v) }},
}

var verifierV2Fields = []protojson.Field[verifierV2]{
	{Name: "publicKey", Proto: "public_key", OneOf: 1, Read: func(d *decoder, v *verifierV2) error {
		v.publicKey = new([]byte)
		return protojson.Object(d, rawBytesFields, v.publicKey)
	}},
	{Name: "x509Certificate", Proto: "x509_certificate", OneOf: 1, Read: func(d *decoder, v *verifierV2) error {
		v.certificate = new([]byte)
		return protojson.Object(d, rawBytesFields, v.certificate)
	}},
	{Name: "keyDetails", Proto: "key_details", Read: func(d *decoder, v *verifierV2) error {
		return d.EnumFunc(func(name string) (int32, bool) {
			details, ok := algorithm.ParseDetails(name)
			return int32(details), ok
		}, &v.details)
	}},
}

var signatureV2Fields = []protojson.Field[signatureV2]{
	{Name: "content", Read: func(d *decoder, v *signatureV2) error { return d.Bytes(&v.content) }},
	{Name: "verifier", Read: func(d *decoder, v *signatureV2) error {
		v.verifier = &verifierV2{}
		return protojson.Object(d, verifierV2Fields, v.verifier)
	}},
}

var hashOutputFields = []protojson.Field[hashOutput]{
	{Name: "algorithm", Read: func(d *decoder, v *hashOutput) error {
		return d.Enum(hashAlgorithms, &v.algorithm)
	}},
	{Name: "digest", Read: func(d *decoder, v *hashOutput) error { return d.Bytes(&v.digest) }},
}

// hashAlgorithms is the enum dev.sigstore.common.v1.HashAlgorithm.
var hashAlgorithms = []protojson.EnumValue{
	{Name: "HASH_ALGORITHM_UNSPECIFIED", Number: 0},
	{Name: "SHA2_256", Number: 1},
	{Name: "SHA2_384", Number: 2},
	{Name: "SHA2_512", Number: 3},
	{Name: "SHA3_256", Number: 4},
	{Name: "SHA3_384", Number: 5},
}

// hashedRekordV2 is HashedRekordLogEntryV002.
type hashedRekordV2 struct {
	data      *hashOutput
	signature *signatureV2
}

var hashedRekordV2Fields = []protojson.Field[hashedRekordV2]{
	{Name: "data", Read: func(d *decoder, v *hashedRekordV2) error {
		v.data = &hashOutput{}
		return protojson.Object(d, hashOutputFields, v.data)
	}},
	{Name: "signature", Read: func(d *decoder, v *hashedRekordV2) error {
		v.signature = &signatureV2{}
		return protojson.Object(d, signatureV2Fields, v.signature)
	}},
}

// dsseV2 is DSSELogEntryV002.
type dsseV2 struct {
	payloadHash *hashOutput
	signatures  []signatureV2
}

var dsseV2Fields = []protojson.Field[dsseV2]{
	{Name: "payloadHash", Read: func(d *decoder, v *dsseV2) error {
		v.payloadHash = &hashOutput{}
		return protojson.Object(d, hashOutputFields, v.payloadHash)
	}},
	{Name: "signatures", Read: func(d *decoder, v *dsseV2) error {
		return protojson.List(d, &v.signatures, maxBodySignatures, func(d *decoder, s *signatureV2) error {
			return protojson.Object(d, signatureV2Fields, s)
		})
	}},
}

func readHashedRekordV2(d *decoder, b *Body) error {
	var v hashedRekordV2
	err := protojson.Object(d, []protojson.Field[hashedRekordV2]{
		{Name: "hashedRekordV002", Proto: "hashed_rekord_v002", Read: func(d *decoder, v *hashedRekordV2) error {
			return protojson.Object(d, hashedRekordV2Fields, v)
		}},
	}, &v)
	if err != nil {
		return err
	}
	const at = "hashedRekordV002"
	digest, err := v.data.digestOf()
	if err != nil {
		return protojson.At(at+".data", err)
	}
	signature, err := v.signature.bodySignature()
	if err != nil {
		return protojson.At(at+".signature", err)
	}
	b.Subject, b.Digests, b.Signatures = Artifact, []Digest{digest}, []BodySignature{signature}
	return nil
}

func readDSSEV2(d *decoder, b *Body) error {
	var v dsseV2
	err := protojson.Object(d, []protojson.Field[dsseV2]{
		{Name: "dsseV002", Proto: "dsse_v002", Read: func(d *decoder, v *dsseV2) error {
			return protojson.Object(d, dsseV2Fields, v)
		}},
	}, &v)
	if err != nil {
		return err
	}
	const at = "dsseV002"
	digest, err := v.payloadHash.digestOf()
	if err != nil {
		return protojson.At(at+".payloadHash", err)
	}
	if len(v.signatures) == 0 {
		return missing(at + ".signatures")
	}
	b.Subject, b.Digests = Payload, []Digest{digest}
	for i := range v.signatures {
		signature, err := v.signatures[i].bodySignature()
		if err != nil {
			return protojson.At(at+".signatures["+strconv.Itoa(i)+"]", err)
		}
		b.Signatures = append(b.Signatures, signature)
	}
	return nil
}

func (h *hashOutput) digestOf() (Digest, error) {
	if h == nil {
		return Digest{}, protojson.Fail("missing")
	}
	hash, ok := algorithm.BundleHashNumber(h.algorithm)
	if !ok {
		return Digest{}, protojson.At("algorithm", protojson.Fail("is missing or unknown"))
	}
	if len(h.digest) != hash.Size() {
		return Digest{}, protojson.At("digest", protojson.Fail(fmt.Sprintf("has %d bytes, %s has %d", len(h.digest), hash, hash.Size())))
	}
	return Digest{Hash: hash, Sum: h.digest}, nil
}

func (s *signatureV2) bodySignature() (BodySignature, error) {
	if s == nil || len(s.content) == 0 {
		return BodySignature{}, missing("content")
	}
	v := s.verifier
	switch {
	case v == nil || v.publicKey == nil && v.certificate == nil:
		return BodySignature{}, missing("verifier")
	case v.details == 0:
		return BodySignature{}, missing("verifier.keyDetails")
	}
	b := BodySignature{Signature: s.content, Details: algorithm.Details(v.details)}
	if v.publicKey != nil {
		return b, protojson.At("verifier.publicKey.rawBytes", b.setPublicKey(*v.publicKey))
	}
	b.Certificate = *v.certificate
	return b, protojson.At("verifier.x509Certificate.rawBytes", checkCertificate(b.Certificate))
}

// HashedRekordV2Body returns the canonical body of a hashedrekord 0.0.2 entry (Rekor v2): what the log's leaf must be,
// byte for byte, for this digest, signature and verifier. For a DSSE envelope the digest is that of its PAE. The signature
// names exactly one of certificate and public key, and its algorithm.
func HashedRekordV2Body(digest Digest, signature BodySignature) ([]byte, error) {
	hash, ok := algorithm.BundleHashName(digest.Hash)
	if !ok || len(digest.Sum) != digest.Hash.Size() {
		return nil, fmt.Errorf("hashedrekord body: %d bytes are no digest by hash %d", len(digest.Sum), digest.Hash)
	}
	if len(signature.Signature) == 0 {
		return nil, errors.New("hashedrekord body: no signature")
	}
	details := signature.Details.String()
	if _, ok := algorithm.ParseDetails(details); !ok || signature.Details == algorithm.Unspecified {
		return nil, fmt.Errorf("hashedrekord body: key details %d have no name", signature.Details)
	}
	verifier, der := "x509Certificate", signature.Certificate
	if len(der) == 0 {
		verifier, der = "publicKey", signature.PublicKey
	}
	if len(der) == 0 || len(signature.Certificate) > 0 && len(signature.PublicKey) > 0 {
		return nil, errors.New("hashedrekord body: want either a certificate or a public key")
	}
	// The order of the calls is that of RFC 8785: names sorted.
	var w protojson.Writer
	w.Begin("")
	w.String("apiVersion", "0.0.2")
	w.String("kind", "hashedrekord")
	w.Begin("spec")
	w.Begin("hashedRekordV002")
	w.Begin("data")
	w.String("algorithm", hash)
	w.Bytes("digest", digest.Sum)
	w.End()
	w.Begin("signature")
	w.Bytes("content", signature.Signature)
	w.Begin("verifier")
	w.String("keyDetails", details)
	w.Begin(verifier)
	w.Bytes("rawBytes", der)
	for range 6 {
		w.End()
	}
	return w.Done()
}
