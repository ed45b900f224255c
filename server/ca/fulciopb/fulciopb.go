// Package fulciopb reads and writes the messages of Fulcio's API, dev.sigstore.fulcio.v2, in both of their forms: protocol
// buffers for gRPC and ProtoJSON for REST. Field numbers and names are those of fulcio.proto in sigstore/fulcio v1.8.8.
//
//	CreateSigningCertificateRequest  1 credentials {1 oidc_identity_token}
//	                                 oneof key: 2 public_key_request {1 public_key {1 algorithm, 2 content}, 2 proof_of_possession}
//	                                            3 certificate_signing_request
//	SigningCertificate               oneof certificate: 2 signed_certificate_embedded_sct {1 chain {1 certificates}}
//	TrustBundle                      1 chains {1 certificates}
//	Configuration                    1 issuers {oneof issuer: 1 issuer_url, 2 wildcard_issuer_url; 3 audience, 4 challenge_claim,
//	                                            5 spiffe_trust_domain, 6 issuer_type, 7 subject_domain, 8 skip_email_verification}
//
// Nested messages of one field are flattened. Unknown fields are skipped in requests, in both forms, as Fulcio does: a
// newer client may send what this server need not know. The Go types have no generated code behind them.
package fulciopb

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/bulla-sign/bulla/internal/protojson"
	"google.golang.org/protobuf/encoding/protowire"
)

// SigningRequest is CreateSigningCertificateRequest, and its predecessor of API version 1.
type SigningRequest struct {
	// Token is credentials.oidc_identity_token.
	Token string
	// PublicKey is public_key_request.public_key.content: PEM or DER. The field algorithm is not looked at, as the key
	// says what it is.
	PublicKey []byte
	// Proof is public_key_request.proof_of_possession.
	Proof []byte
	// CSR is certificate_signing_request: PEM or DER.
	CSR []byte
	// HasKey and HasCSR say which member of the oneof was given.
	HasKey, HasCSR bool
}

// Chain is the certificates of a CertificateChain, each in PEM.
type Chain struct {
	Certificates []string `json:"certificates"`
}

// SigningCertificate is the answer with an embedded SCT, the only arm that is used here: leaf first, root last.
type SigningCertificate struct {
	Embedded EmbeddedSCT `json:"signedCertificateEmbeddedSct"`
}

// EmbeddedSCT is that arm.
type EmbeddedSCT struct {
	Chain Chain `json:"chain"`
}

// NewSigningCertificate makes the answer of a chain in PEM.
func NewSigningCertificate(chain []string) *SigningCertificate {
	return &SigningCertificate{EmbeddedSCT{Chain{chain}}}
}

// AppendJSON writes the answer as [json.Marshal] does, without a look at every character of texts that are known to be PEM.
func (s *SigningCertificate) AppendJSON(b []byte) ([]byte, error) {
	b = append(b, `{"signedCertificateEmbeddedSct":{"chain":{"certificates":[`...)
	for i, cert := range s.Embedded.Chain.Certificates {
		if i > 0 {
			b = append(b, ',')
		}
		if !isPEM(cert) {
			text, err := json.Marshal(cert)
			if err != nil {
				return nil, err
			}
			b = append(b, text...)
			continue
		}
		b = append(b, '"')
		for line := range strings.Lines(cert) {
			line, ended := strings.CutSuffix(line, "\n")
			if b = append(b, line...); ended {
				b = append(b, `\n`...)
			}
		}
		b = append(b, '"')
	}
	return append(b, `]}}}`...), nil
}

// isPEM says whether a text has nothing but characters that PEM is made of (RFC 7468 3). Of these, JSON writes the line's end
// alone in another way.
func isPEM(text string) bool {
	for i := range len(text) {
		if !ofPEM[text[i]] {
			return false
		}
	}
	return true
}

var ofPEM = func() (set [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=- \n") {
		set[c] = true
	}
	return set
}()

// TrustBundle lists the chains of the authority: intermediates first, root last.
type TrustBundle struct {
	Chains []Chain `json:"chains"`
}

// Configuration lists the accepted issuers.
type Configuration struct {
	Issuers []OIDCIssuer `json:"issuers"`
}

// OIDCIssuer is an accepted issuer. One of the first two fields is set.
type OIDCIssuer struct {
	IssuerURL             string `json:"issuerUrl,omitempty"`
	WildcardIssuerURL     string `json:"wildcardIssuerUrl,omitempty"`
	Audience              string `json:"audience"`
	ChallengeClaim        string `json:"challengeClaim"`
	SpiffeTrustDomain     string `json:"spiffeTrustDomain"`
	IssuerType            string `json:"issuerType"`
	SubjectDomain         string `json:"subjectDomain"`
	SkipEmailVerification bool   `json:"skipEmailVerification"`
}

// Empty is GetTrustBundleRequest and GetConfigurationRequest.
type Empty struct{}

// limits on a request in JSON; the number of bytes is bounded where it is read.
var limits = protojson.Limits{Depth: 32}

type publicKey struct{ content string }

var credentialsFields = []protojson.Field[SigningRequest]{
	{Name: "oidcIdentityToken", Proto: "oidc_identity_token", Read: func(d *protojson.Decoder, r *SigningRequest) error {
		return d.String(&r.Token)
	}},
}

func readPublicKey(d *protojson.Decoder, r *SigningRequest) error {
	var key publicKey
	err := protojson.OpenObject(d, []protojson.Field[publicKey]{
		{Name: "content", Read: func(d *protojson.Decoder, k *publicKey) error { return d.String(&k.content) }},
	}, &key)
	r.PublicKey = []byte(key.content)
	return err
}

var keyRequestFields = []protojson.Field[SigningRequest]{
	{Name: "publicKey", Proto: "public_key", Read: readPublicKey},
	{Name: "proofOfPossession", Proto: "proof_of_possession", Read: func(d *protojson.Decoder, r *SigningRequest) error {
		return d.Bytes(&r.Proof)
	}},
}

var requestFields = []protojson.Field[SigningRequest]{
	{Name: "credentials", Read: func(d *protojson.Decoder, r *SigningRequest) error {
		return protojson.OpenObject(d, credentialsFields, r)
	}},
	{Name: "publicKeyRequest", Proto: "public_key_request", OneOf: 1, Read: func(d *protojson.Decoder, r *SigningRequest) error {
		r.HasKey = true
		return protojson.OpenObject(d, keyRequestFields, r)
	}},
	{Name: "certificateSigningRequest", Proto: "certificate_signing_request", OneOf: 1, Read: func(d *protojson.Decoder, r *SigningRequest) error {
		r.HasCSR = true
		return d.Bytes(&r.CSR)
	}},
}

// ParseJSON reads a request of REST API version 2.
func ParseJSON(data []byte) (*SigningRequest, error) {
	var r SigningRequest
	if err := protojson.Document(data, limits, func(d *protojson.Decoder) error {
		return protojson.OpenObject(d, requestFields, &r)
	}); err != nil {
		return nil, err
	}
	return &r, nil
}

var legacyFields = []protojson.Field[SigningRequest]{
	{Name: "publicKey", Proto: "public_key", Read: func(d *protojson.Decoder, r *SigningRequest) error {
		r.HasKey = true
		return protojson.OpenObject(d, []protojson.Field[SigningRequest]{
			{Name: "content", Read: func(d *protojson.Decoder, r *SigningRequest) error { return d.Bytes(&r.PublicKey) }},
		}, r)
	}},
	{Name: "signedEmailAddress", Proto: "signed_email_address", Read: func(d *protojson.Decoder, r *SigningRequest) error {
		return d.Bytes(&r.Proof)
	}},
	{Name: "certificateSigningRequest", Proto: "certificate_signing_request", Read: func(d *protojson.Decoder, r *SigningRequest) error {
		r.HasCSR = true
		return d.Bytes(&r.CSR)
	}},
}

// ParseLegacyJSON reads a request of REST API version 1 (fulcio_legacy.proto). It has no field for the token.
func ParseLegacyJSON(data []byte) (*SigningRequest, error) {
	var r SigningRequest
	if err := protojson.Document(data, limits, func(d *protojson.Decoder) error {
		return protojson.OpenObject(d, legacyFields, &r)
	}); err != nil {
		return nil, err
	}
	if r.HasCSR && r.HasKey { // Fulcio's own client of this API writes both members, one of them with nothing in it
		r.HasCSR, r.HasKey = len(r.CSR) > 0, len(r.PublicKey) > 0
	}
	if r.HasCSR && r.HasKey {
		return nil, errors.New("the request has both a public key and a certificate signing request")
	}
	return &r, nil
}

// message calls read for each field of a message. Fields that read does not take are skipped.
func message(data []byte, read func(num protowire.Number, typ protowire.Type, value []byte) error) error {
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return errors.New("malformed protocol buffer")
		}
		data = data[n:]
		size := protowire.ConsumeFieldValue(num, typ, data)
		if size < 0 {
			return errors.New("malformed protocol buffer")
		}
		value := data[:size]
		if typ == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(value)
		}
		if err := read(num, typ, value); err != nil {
			return err
		}
		data = data[size:]
	}
	return nil
}

func text(dst *string, value []byte) error {
	if !utf8.Valid(value) {
		return errors.New("malformed protocol buffer: text is not UTF-8")
	}
	*dst = string(value)
	return nil
}

// UnmarshalProto reads a request in binary form. As protocol buffers demand, the last value of a field counts, and the
// last member of a oneof.
func (r *SigningRequest) UnmarshalProto(data []byte) error {
	*r = SigningRequest{}
	return message(data, func(num protowire.Number, typ protowire.Type, value []byte) error {
		if typ != protowire.BytesType {
			return nil
		}
		switch num {
		case 1:
			return message(value, func(num protowire.Number, typ protowire.Type, value []byte) error {
				if num == 1 && typ == protowire.BytesType {
					return text(&r.Token, value)
				}
				return nil
			})
		case 2:
			if r.HasCSR {
				r.HasCSR, r.CSR = false, nil
			}
			r.HasKey = true
			return r.keyRequest(value)
		case 3:
			r.HasKey, r.PublicKey, r.Proof = false, nil, nil
			r.HasCSR, r.CSR = true, append([]byte{}, value...)
		}
		return nil
	})
}

func (r *SigningRequest) keyRequest(data []byte) error {
	return message(data, func(num protowire.Number, typ protowire.Type, value []byte) error {
		switch {
		case num == 1 && typ == protowire.BytesType:
			return message(value, func(num protowire.Number, typ protowire.Type, value []byte) error {
				if num != 2 || typ != protowire.BytesType {
					return nil
				}
				var content string
				err := text(&content, value)
				r.PublicKey = []byte(content)
				return err
			})
		case num == 2 && typ == protowire.BytesType:
			r.Proof = append([]byte{}, value...)
		}
		return nil
	})
}

func appendField(b []byte, num protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), value)
}

// appendText leaves an empty text out, as proto3 does outside of a oneof.
func appendText(b []byte, num protowire.Number, value string) []byte {
	if value == "" {
		return b
	}
	return appendField(b, num, []byte(value))
}

func (c Chain) marshal() []byte {
	var out []byte
	for _, pem := range c.Certificates {
		out = appendField(out, 1, []byte(pem))
	}
	return out
}

// MarshalProto writes the binary form.
func (s *SigningCertificate) MarshalProto() []byte {
	return appendField(nil, 2, appendField(nil, 1, s.Embedded.Chain.marshal()))
}

// MarshalProto writes the binary form.
func (t *TrustBundle) MarshalProto() []byte {
	var out []byte
	for _, chain := range t.Chains {
		out = appendField(out, 1, chain.marshal())
	}
	return out
}

// MarshalProto writes the binary form.
func (c *Configuration) MarshalProto() []byte {
	var out []byte
	for _, issuer := range c.Issuers {
		var b []byte
		b = appendText(b, 1, issuer.IssuerURL)
		b = appendText(b, 2, issuer.WildcardIssuerURL)
		b = appendText(b, 3, issuer.Audience)
		b = appendText(b, 4, issuer.ChallengeClaim)
		b = appendText(b, 5, issuer.SpiffeTrustDomain)
		b = appendText(b, 6, issuer.IssuerType)
		b = appendText(b, 7, issuer.SubjectDomain)
		if issuer.SkipEmailVerification {
			b = protowire.AppendVarint(protowire.AppendTag(b, 8, protowire.VarintType), 1)
		}
		out = appendField(out, 1, b)
	}
	return out
}

// UnmarshalProto accepts any well-formed message: its fields, if a newer client sends some, are not known here.
func (e *Empty) UnmarshalProto(data []byte) error {
	if err := message(data, func(protowire.Number, protowire.Type, []byte) error { return nil }); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	return nil
}
