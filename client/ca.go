package client

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/protojson"
	"github.com/bulla-sign/bulla/sign"
)

// CA is a certificate authority with Fulcio's HTTP API v2 (dev.sigstore.fulcio.v2.CA).
type CA struct{ s *service }

// Limits of what an authority answers.
const (
	// caTimeout: an authority that logs its certificates in the public CT log takes some three seconds.
	caTimeout = 30 * time.Second
	// maxChain bounds the certificates of an answer: leaf, intermediate, root, and room for a longer hierarchy.
	maxChain = 10
	// maxCAAnswer bounds the answer in bytes: a chain of ten RSA certificates has some 25 KiB.
	maxCAAnswer = 256 << 10
	caDepth     = 6 // nested objects; the real answer has three
)

// NewCA returns the authority at an address, the base below which api/v2/signingCert lies.
func NewCA(address string, o Options) (*CA, error) {
	s, err := newService("certificate authority", address, o, caTimeout)
	if err != nil {
		return nil, err
	}
	return &CA{s}, nil
}

// Certify gets a certificate for the key: it proves that the key is the token holder's by signing the challenge, and
// checks the certificate as [Options] say. It implements [sign.Certifier].
func (c *CA) Certify(ctx context.Context, id sign.Identity, key sign.Signer) ([][]byte, error) {
	proof, err := prove(ctx, id.Challenge, key)
	if err != nil {
		return nil, fmt.Errorf("proof of possession of the key: %w", err)
	}
	spki, err := algorithm.MarshalPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	var w protojson.Writer
	w.Begin("")
	w.Begin("publicKeyRequest")
	w.Begin("publicKey")
	w.String("content", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})))
	w.End()
	w.Bytes("proofOfPossession", proof)
	w.End()
	w.End()
	body, err := w.Done()
	if err != nil {
		return nil, err
	}
	return c.request(ctx, id, body, spki)
}

// CertifyRequest is Certify with a certificate signing request (PKCS #10, DER) in place of public key and challenge: its
// own signature is the proof. Authorities read nothing of it but the key.
func (c *CA) CertifyRequest(ctx context.Context, id sign.Identity, csr []byte) ([][]byte, error) {
	parsed, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, fmt.Errorf("certificate signing request: %w", err)
	}
	if err := parsed.CheckSignature(); err != nil {
		return nil, fmt.Errorf("certificate signing request: %w", err)
	}
	var w protojson.Writer
	w.Begin("")
	w.Bytes("certificateSigningRequest", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))
	w.End()
	body, err := w.Done()
	if err != nil {
		return nil, err
	}
	return c.request(ctx, id, body, parsed.RawSubjectPublicKeyInfo)
}

func (c *CA) request(ctx context.Context, id sign.Identity, body, spki []byte) ([][]byte, error) {
	r := &request{
		asked: "a certificate", method: http.MethodPost, url: c.s.base + "/api/v2/signingCert",
		contentType: "application/json", accept: "application/json", token: id.Token, body: body,
		limit: maxCAAnswer, said: statusMessage,
	}
	a, err := c.s.do(ctx, r)
	if err != nil {
		return nil, err
	}
	issued, err := parseIssued(a.body)
	if err == nil {
		err = c.check(issued, id, spki)
	}
	if err != nil {
		return nil, c.s.fail(r, a, err)
	}
	return issued.chain, nil
}

// prove signs the challenge as Fulcio wants it: with the key's default algorithm, but Ed25519 in its pure form.
func prove(ctx context.Context, challenge string, key sign.Signer) ([]byte, error) {
	if challenge == "" {
		return nil, errors.New("the identity token names nobody: neither e-mail address nor subject")
	}
	alg, err := algorithm.Default(key.Public())
	if _, ok := key.Public().(ed25519.PublicKey); ok {
		alg, err = algorithm.ForDetails(algorithm.Ed25519)
	}
	if err != nil {
		return nil, err
	}
	return key.Sign(ctx, alg, algorithm.Bytes([]byte(challenge)))
}

// statusMessage reads the message of a google.rpc.Status, which is how these services say no.
func statusMessage(body []byte) string {
	var status struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &status) != nil || status.Message == "" {
		return string(body)
	}
	return status.Message
}

// issued is an answer: the chain in DER, the key's certificate first.
type issued struct {
	pems     []string
	detached []byte // an SCT beside the chain
	chain    [][]byte
	certs    []*x509.Certificate
}

var chainFields = []protojson.Field[issued]{
	{Name: "certificates", Read: func(d *protojson.Decoder, v *issued) error {
		return protojson.List(d, &v.pems, maxChain, func(d *protojson.Decoder, s *string) error { return d.String(s) })
	}},
}

var signedCertificateFields = []protojson.Field[issued]{
	{Name: "chain", Read: func(d *protojson.Decoder, v *issued) error { return protojson.OpenObject(d, chainFields, v) }},
	{Name: "signedCertificateTimestamp", Proto: "signed_certificate_timestamp", Read: func(d *protojson.Decoder, v *issued) error {
		return d.Bytes(&v.detached)
	}},
}

func readSignedCertificate(d *protojson.Decoder, v *issued) error {
	return protojson.OpenObject(d, signedCertificateFields, v)
}

var issuedFields = []protojson.Field[issued]{
	{Name: "signedCertificateDetachedSct", Proto: "signed_certificate_detached_sct", OneOf: 1, Read: readSignedCertificate},
	{Name: "signedCertificateEmbeddedSct", Proto: "signed_certificate_embedded_sct", OneOf: 1, Read: readSignedCertificate},
}

// parseIssued reads the message SigningCertificate.
func parseIssued(body []byte) (*issued, error) {
	var v issued
	err := protojson.Document(body, protojson.Limits{Bytes: maxCAAnswer, Depth: caDepth}, func(d *protojson.Decoder) error {
		return protojson.OpenObject(d, issuedFields, &v)
	})
	if err != nil {
		return nil, wrong("the answer is not a certificate: %w (it begins with %s)", err, beginning(body))
	}
	for i, text := range v.pems {
		block, rest := pem.Decode([]byte(text))
		if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
			return nil, wrong("certificate %d of the answer is not one PEM block", i)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, wrong("certificate %d of the answer: %w", i, err)
		}
		v.chain, v.certs = append(v.chain, cert.Raw), append(v.certs, cert)
	}
	if len(v.certs) == 0 {
		return nil, wrong("the answer holds no certificate")
	}
	return &v, nil
}

// beginning quotes the start of an answer that is something else, a login page for instance.
func beginning(body []byte) string {
	const most = 40
	return protojson.Quote(string(body[:min(len(body), most)]))
}
