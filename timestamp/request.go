package timestamp

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/bulla-sign/bulla/algorithm"
)

// maxRequestSize is the largest request in bytes: an imprint, a policy and a nonce need some 150.
const maxRequestSize = 4 << 10

// Request is a TimeStampReq (RFC 3161 2.4.1).
type Request struct {
	// HashAlgorithm is the hash of Imprint: SHA-256, SHA-384 or SHA-512.
	HashAlgorithm crypto.Hash
	// Imprint is the hash of the bytes to be stamped.
	Imprint []byte
	// Policy asks for a policy of the authority; nil leaves it to the authority.
	Policy asn1.ObjectIdentifier
	// Nonce is to be repeated by the token; nil for none.
	Nonce *big.Int
	// Certificates asks that the signer's certificate travel with the token.
	Certificates bool
}

// NewRequest returns a request to stamp a message: its hash, and a nonce of 64 bits from random. Policy and Certificates
// may be set afterwards.
func NewRequest(message algorithm.Message, h crypto.Hash, random io.Reader) (*Request, error) {
	if hashOID(h) == "" {
		return nil, fmt.Errorf("time-stamp request: hash %s is not SHA-256, SHA-384 or SHA-512", h)
	}
	sum, err := message.Digest(h, nil)
	if err != nil {
		return nil, fmt.Errorf("time-stamp request: %w", err)
	}
	nonce := make([]byte, 8)
	if _, err := io.ReadFull(random, nonce); err != nil {
		return nil, fmt.Errorf("time-stamp request: nonce: %w", err)
	}
	return &Request{HashAlgorithm: h, Imprint: sum, Nonce: new(big.Int).SetBytes(nonce)}, nil
}

// Marshal returns the request's DER, to be sent as application/timestamp-query.
func (r *Request) Marshal() ([]byte, error) {
	oid := hashOID(r.HashAlgorithm)
	if oid == "" || len(r.Imprint) != r.HashAlgorithm.Size() {
		return nil, errors.New("time-stamp request: the imprint is not a SHA-256, SHA-384 or SHA-512 digest")
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes([]byte(oid)) })
				b.AddASN1NULL() // some authorities demand it, none refuses it
			})
			b.AddASN1OctetString(r.Imprint)
		})
		if r.Policy != nil {
			b.AddASN1ObjectIdentifier(r.Policy)
		}
		if r.Nonce != nil {
			b.AddASN1BigInt(r.Nonce)
		}
		if r.Certificates {
			b.AddASN1Boolean(true)
		}
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("time-stamp request: %w", err)
	}
	return der, nil
}

// ParseRequest reads a request. Extensions are refused, as Sigstore's authorities do: none is in use.
func ParseRequest(der []byte) (*Request, error) {
	if len(der) > maxRequestSize {
		return nil, fmt.Errorf("time-stamp request: %d bytes, the limit is %d", len(der), maxRequestSize)
	}
	var s cryptobyte.String
	in := cryptobyte.String(der)
	if !in.ReadASN1(&s, cbasn1.SEQUENCE) || !in.Empty() || !readVersion1(&s) {
		return nil, errors.New("time-stamp request: not one DER TimeStampReq of version 1")
	}
	r := new(Request)
	var err error
	if r.HashAlgorithm, r.Imprint, err = readImprint(&s); err != nil {
		return nil, fmt.Errorf("time-stamp request: %w", err)
	}
	if len(r.Imprint) != r.HashAlgorithm.Size() {
		return nil, fmt.Errorf("time-stamp request: the imprint has %d bytes, %s has %d", len(r.Imprint), r.HashAlgorithm, r.HashAlgorithm.Size())
	}
	if s.PeekASN1Tag(cbasn1.OBJECT_IDENTIFIER) && !s.ReadASN1ObjectIdentifier(&r.Policy) {
		return nil, errors.New("time-stamp request: malformed policy")
	}
	if s.PeekASN1Tag(cbasn1.INTEGER) {
		var ok bool
		if r.Nonce, ok = readInteger(&s); !ok {
			return nil, errors.New("time-stamp request: malformed nonce")
		}
	}
	if !readFlag(&s, &r.Certificates) {
		return nil, errors.New("time-stamp request: malformed certReq")
	}
	if !s.Empty() {
		return nil, errors.New("time-stamp request: extensions are not supported")
	}
	return r, nil
}

// readImprint reads MessageImprint. That the digest has the algorithm's length is left to whoever compares it: there are
// tokens over the hexadecimal text of a digest, which can be shown but match nothing.
func readImprint(s *cryptobyte.String) (crypto.Hash, []byte, error) {
	bad := errors.New("malformed message imprint")
	var seq, sum cryptobyte.String
	if !s.ReadASN1(&seq, cbasn1.SEQUENCE) {
		return 0, nil, bad
	}
	alg, ok := readAlgorithm(&seq)
	if !ok {
		return 0, nil, bad
	}
	h, err := alg.hash()
	if err != nil {
		return 0, nil, fmt.Errorf("message imprint: %w", err)
	}
	if !seq.ReadASN1(&sum, cbasn1.OCTET_STRING) || !seq.Empty() {
		return 0, nil, bad
	}
	return h, sum, nil
}

// Check checks that a token answers this request: the same imprint, nonce and policy (RFC 3161 2.4.2). It does not look
// at the token's signature.
func (r *Request) Check(t *Token) error {
	switch {
	case t.HashAlgorithm != r.HashAlgorithm || !bytes.Equal(t.Imprint, r.Imprint):
		return errors.New("time-stamp response: the token is for another message")
	case r.Nonce != nil && (t.Nonce == nil || t.Nonce.Cmp(r.Nonce) != 0):
		return errors.New("time-stamp response: the token does not repeat the request's nonce")
	case r.Policy != nil && !t.Policy.Equal(r.Policy):
		return fmt.Errorf("time-stamp response: the token has policy %s, %s was asked for", t.Policy, r.Policy)
	case r.Certificates && len(t.Certificates) == 0:
		return errors.New("time-stamp response: the token carries no certificate although it was asked for")
	}
	return nil
}
