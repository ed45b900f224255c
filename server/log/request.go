package log

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/protojson"
	"github.com/bulla-sign/bulla/server/internal/treelog"
	"github.com/bulla-sign/bulla/tlog"
)

// Limits of a request.
const (
	// MaxRequest bounds a request's body in bytes: Rekor's own limit. A hashedrekord takes some kilobytes; an envelope
	// carries its payload.
	MaxRequest = 4 << 20
	// maxDepth bounds how deep a request nests; the message has five levels.
	maxDepth = 12
	// maxSignatures bounds lists of which more than one element is refused anyway, but by a clearer error.
	maxSignatures = 16
)

// request is dev.sigstore.rekor.v2.CreateEntryRequest.
type request struct {
	hashedRekord *hashedRekordRequest
	dsse         *dsseRequest
}

type hashedRekordRequest struct {
	digest    []byte
	signature *signature
}

type signature struct {
	content  []byte
	verifier *verifier
}

type verifier struct {
	publicKey, certificate *[]byte
	details                int32
}

type dsseRequest struct {
	envelope  *envelope
	verifiers []verifier
}

type envelope struct {
	payload     []byte
	payloadType string
	signatures  []envelopeSignature
}

type envelopeSignature struct {
	sig   []byte
	keyID string
}

type decoder = protojson.Decoder

var requestFields = []protojson.Field[request]{
	{Name: "hashedRekordRequestV002", Proto: "hashed_rekord_request_v002", OneOf: 1, Read: func(d *decoder, v *request) error {
		v.hashedRekord = &hashedRekordRequest{}
		return protojson.Object(d, hashedRekordFields, v.hashedRekord)
	}},
	{Name: "dsseRequestV002", Proto: "dsse_request_v002", OneOf: 1, Read: func(d *decoder, v *request) error {
		v.dsse = &dsseRequest{}
		return protojson.Object(d, dsseFields, v.dsse)
	}},
}

var hashedRekordFields = []protojson.Field[hashedRekordRequest]{
	{Name: "digest", Read: func(d *decoder, v *hashedRekordRequest) error { return d.Bytes(&v.digest) }},
	{Name: "signature", Read: func(d *decoder, v *hashedRekordRequest) error {
		v.signature = &signature{}
		return protojson.Object(d, signatureFields, v.signature)
	}},
}

var signatureFields = []protojson.Field[signature]{
	{Name: "content", Read: func(d *decoder, v *signature) error { return d.Bytes(&v.content) }},
	{Name: "verifier", Read: func(d *decoder, v *signature) error {
		v.verifier = &verifier{}
		return protojson.Object(d, verifierFields, v.verifier)
	}},
}

var verifierFields = []protojson.Field[verifier]{
	{Name: "publicKey", Proto: "public_key", OneOf: 1, Read: func(d *decoder, v *verifier) error {
		v.publicKey = new([]byte)
		return protojson.Object(d, rawBytesFields, v.publicKey)
	}},
	{Name: "x509Certificate", Proto: "x509_certificate", OneOf: 1, Read: func(d *decoder, v *verifier) error {
		v.certificate = new([]byte)
		return protojson.Object(d, rawBytesFields, v.certificate)
	}},
	{Name: "keyDetails", Proto: "key_details", Read: func(d *decoder, v *verifier) error {
		return d.EnumFunc(func(name string) (int32, bool) {
			details, ok := algorithm.ParseDetails(name)
			return int32(details), ok
		}, &v.details)
	}},
}

var rawBytesFields = []protojson.Field[[]byte]{
	{Name: "rawBytes", Proto: "raw_bytes", Read: func(d *decoder, v *[]byte) error { return d.Bytes(v) }},
}

var dsseFields = []protojson.Field[dsseRequest]{
	{Name: "envelope", Read: func(d *decoder, v *dsseRequest) error {
		v.envelope = &envelope{}
		return protojson.Object(d, envelopeFields, v.envelope)
	}},
	{Name: "verifiers", Read: func(d *decoder, v *dsseRequest) error {
		return protojson.List(d, &v.verifiers, maxSignatures, func(d *decoder, v *verifier) error {
			return protojson.Object(d, verifierFields, v)
		})
	}},
}

var envelopeFields = []protojson.Field[envelope]{
	{Name: "payload", Read: func(d *decoder, v *envelope) error { return d.Bytes(&v.payload) }},
	{Name: "payloadType", Proto: "payload_type", Read: func(d *decoder, v *envelope) error { return d.String(&v.payloadType) }},
	{Name: "signatures", Read: func(d *decoder, v *envelope) error {
		return protojson.List(d, &v.signatures, maxSignatures, func(d *decoder, v *envelopeSignature) error {
			return protojson.Object(d, envelopeSignatureFields, v)
		})
	}},
}

var envelopeSignatureFields = []protojson.Field[envelopeSignature]{
	{Name: "sig", Read: func(d *decoder, v *envelopeSignature) error { return d.Bytes(&v.sig) }},
	{Name: "keyid", Read: func(d *decoder, v *envelopeSignature) error { return d.String(&v.keyID) }},
}

// accepted is what is to be logged.
type accepted struct {
	body  []byte
	terms []string // what describe finds in the body
}

// parseRequest reads a request and returns the entry that it asks for. The signature has been verified.
func parseRequest(data []byte) (*accepted, error) {
	var r request
	if err := protojson.Unmarshal(data, protojson.Limits{Bytes: MaxRequest, Depth: maxDepth}, requestFields, &r); err != nil {
		return nil, err
	}
	switch {
	case r.hashedRekord != nil:
		e, err := r.hashedRekord.entry()
		return e, under("hashedRekordRequestV002", err)
	case r.dsse != nil:
		e, err := r.dsse.entry()
		return e, under("dsseRequestV002", err)
	}
	return nil, errors.New("the request has neither hashedRekordRequestV002 nor dsseRequestV002")
}

func under(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

func (r *hashedRekordRequest) entry() (*accepted, error) {
	switch {
	case len(r.digest) == 0:
		return nil, errors.New("digest is missing")
	case r.signature == nil || len(r.signature.content) == 0:
		return nil, errors.New("signature.content is missing")
	case r.signature.verifier == nil:
		return nil, errors.New("signature.verifier is missing")
	}
	key, err := r.signature.verifier.key()
	if err != nil {
		return nil, under("signature.verifier", err)
	}
	if h := key.alg.Hash(); len(r.digest) != h.Size() {
		return nil, fmt.Errorf("digest has %d bytes, but %s goes with %s, which has %d", len(r.digest),
			key.alg.Details(), h, h.Size())
	}
	return key.entry(r.digest, r.signature.content)
}

// entry logs an envelope as what current verifiers look for: a hashedrekord over the digest of its PAE.
func (r *dsseRequest) entry() (*accepted, error) {
	switch {
	case r.envelope == nil:
		return nil, errors.New("envelope is missing")
	case len(r.envelope.payload) == 0:
		return nil, errors.New("envelope.payload is missing")
	case r.envelope.payloadType == "":
		return nil, errors.New("envelope.payloadType is missing")
	case len(r.envelope.signatures) != 1 || len(r.verifiers) != 1:
		return nil, fmt.Errorf("%d signatures and %d verifiers: an envelope with exactly one of each can be logged",
			len(r.envelope.signatures), len(r.verifiers))
	case len(r.envelope.signatures[0].sig) == 0:
		return nil, errors.New("envelope.signatures[0].sig is missing")
	}
	key, err := r.verifiers[0].key()
	if err != nil {
		return nil, under("verifiers[0]", err)
	}
	h := key.alg.Hash().New()
	h.Write(bundle.PAE(r.envelope.payloadType, r.envelope.payload))
	return key.entry(h.Sum(nil), r.envelope.signatures[0].sig)
}

// signingKey is what a signature is verified with.
type signingKey struct {
	pub  crypto.PublicKey
	alg  algorithm.Algorithm
	cert *x509.Certificate  // nil: the key came without
	body tlog.BodySignature // without the signature
}

// key reads the verifier. The algorithm must be the one that verifiers assume for this type of key.
func (v *verifier) key() (*signingKey, error) {
	k := &signingKey{body: tlog.BodySignature{Details: algorithm.Details(v.details)}}
	var err error
	switch {
	case v.certificate != nil:
		if k.cert, err = x509.ParseCertificate(*v.certificate); err != nil {
			return nil, fmt.Errorf("x509Certificate: %w", err)
		}
		k.pub, k.body.Certificate = k.cert.PublicKey, *v.certificate
	case v.publicKey != nil:
		if k.pub, err = algorithm.ParsePublicKey(*v.publicKey); err != nil {
			return nil, fmt.Errorf("publicKey: %w", err)
		}
		// A second encoding of the same key would be a second entry for the same signature, which nobody looks for.
		if again, err := algorithm.MarshalPublicKey(k.pub); err != nil || !bytes.Equal(again, *v.publicKey) {
			return nil, errors.New("publicKey: not the DER encoding of its key")
		}
		k.body.PublicKey = *v.publicKey
	default:
		return nil, errors.New("neither x509Certificate nor publicKey is given")
	}
	if k.body.Details == algorithm.Unspecified {
		return nil, errors.New("keyDetails is missing")
	}
	want, err := algorithm.Default(k.pub)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if want.Details() == algorithm.Unspecified {
		return nil, fmt.Errorf("key: %s has no number in the algorithm registry", want.Name())
	}
	if k.body.Details != want.Details() {
		return nil, fmt.Errorf("keyDetails is %s; for this key it must be %s, because that is what verifiers assume",
			k.body.Details, want.Details())
	}
	k.alg = want
	return k, nil
}

// entry verifies a signature over a digest and forms the entry.
func (k *signingKey) entry(sum, sig []byte) (*accepted, error) {
	digest := tlog.Digest{Hash: k.alg.Hash(), Sum: sum}
	if err := k.alg.Verify(k.pub, algorithm.Precomputed(digest.Hash, sum), sig); err != nil {
		return nil, fmt.Errorf("the signature does not verify over the digest with this key: %w", err)
	}
	s := k.body
	s.Signature = sig
	body, err := tlog.HashedRekordV2Body(digest, s)
	if err != nil {
		return nil, err
	}
	if len(body) > treelog.MaxEntry {
		return nil, fmt.Errorf("the entry would have %d bytes; at most %d fit into a tile", len(body), treelog.MaxEntry)
	}
	var a about
	a.digest(digest)
	a.signer(k.cert, k.body.PublicKey)
	return &accepted{body, a.terms()}, nil
}
