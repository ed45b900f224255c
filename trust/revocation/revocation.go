// Package revocation reads and writes statements that withdraw an artifact, a key or an identity from a time on, and the
// list in which they travel with the trust material.
//
// A statement is an in-toto statement of [PredicateType] in a DSSE envelope with one signature. Its subject is what is
// revoked: an artifact or a public key (in its PKIX form) by SHA-256, or an identity, whose digest is that of its name, a
// line feed and its issuer. The predicate says the same in words:
//
//	{"kind": "artifact" | "key" | "identity", "subject": …, "issuer": …, "from": "2026-11-25T00:00:00Z", "reason": …}
//
// A list holds the keys that may revoke, and the statements. Whoever distributes the list says with it which keys those
// are: as a target of a TUF repository, or in a file that the user trusts. A list is good as a whole or not at all: a
// statement that is unknown, unsigned or malformed could be the one that matters.
//
// The package is pure, as package trust is.
package revocation

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/protojson"
	"github.com/bulla-sign/bulla/trust"
)

// PredicateType is that of a revocation.
const PredicateType = "https://github.com/bulla-sign/bulla/revocation/v1"

const (
	// maxStatement bounds one statement in bytes: a digest, two names and a sentence.
	maxStatement = 64 << 10
	// maxText bounds a reason or a name in bytes: people read it in a line or two.
	maxText = 1000
	// maxDepth bounds the nesting of a list: list, statements, envelope, signatures, signature.
	maxDepth = 8
)

// Kinds of what is revoked.
const (
	artifact = "artifact"
	key      = "key"
	person   = "identity"
)

// Signer signs statements; keys.Signer is one.
type Signer interface {
	Public() crypto.PublicKey
	Sign(ctx context.Context, alg algorithm.Algorithm, m algorithm.Message) ([]byte, error)
}

// predicate is what a statement says.
type predicate struct {
	kind, subject, issuer, reason string
	from                          time.Time
}

var predicateFields = []protojson.Field[predicate]{
	{Name: "kind", Read: func(d *protojson.Decoder, p *predicate) error { return d.String(&p.kind) }},
	{Name: "subject", Read: func(d *protojson.Decoder, p *predicate) error { return d.String(&p.subject) }},
	{Name: "issuer", Read: func(d *protojson.Decoder, p *predicate) error { return d.String(&p.issuer) }},
	{Name: "from", Read: func(d *protojson.Decoder, p *predicate) error { return d.Timestamp(&p.from) }},
	{Name: "reason", Read: func(d *protojson.Decoder, p *predicate) error { return d.String(&p.reason) }},
}

// Sign makes the statement of a revocation, as the JSON of a DSSE envelope. By is not looked at.
func Sign(ctx context.Context, r trust.Revocation, by Signer) ([]byte, error) {
	payload, err := statement(r)
	if err != nil {
		return nil, fmt.Errorf("revocation: %w", err)
	}
	if _, err := read(payload); err != nil {
		return nil, err
	}
	alg, err := algorithm.Default(by.Public())
	if err != nil {
		return nil, fmt.Errorf("revocation: %w", err)
	}
	env := &bundle.Envelope{Payload: payload, PayloadType: bundle.StatementPayloadType}
	sig, err := by.Sign(ctx, alg, algorithm.Bytes(env.PAE()))
	if err != nil {
		return nil, fmt.Errorf("revocation: %w", err)
	}
	env.Signatures = []bundle.EnvelopeSignature{{Sig: sig}}
	return env.Encode()
}

func statement(r trust.Revocation) ([]byte, error) {
	p := predicate{from: r.From, reason: r.Reason}
	var sum string
	switch {
	case r.Artifact != "" && r.Key == "" && r.Subject == "" && r.Issuer == "":
		p.kind, sum = artifact, r.Artifact
	case r.Key != "" && r.Artifact == "" && r.Subject == "" && r.Issuer == "":
		p.kind, sum = key, r.Key
	case r.Subject != "" && r.Issuer != "" && r.Artifact == "" && r.Key == "":
		p.kind, p.subject, p.issuer, sum = person, r.Subject, r.Issuer, identityDigest(r.Subject, r.Issuer)
	default:
		return nil, errors.New("it must name an artifact, or a key, or an identity with its issuer")
	}
	var w protojson.Writer
	w.Begin("")
	w.String("kind", p.kind)
	w.String("subject", p.subject)
	w.String("issuer", p.issuer)
	if !p.from.IsZero() {
		w.Time("from", p.from.UTC())
	}
	w.String("reason", p.reason)
	w.End()
	body, err := w.Done()
	if err != nil {
		return nil, err
	}
	s := &bundle.Statement{
		Type: bundle.StatementV1, PredicateType: PredicateType, Predicate: body,
		Subjects: []bundle.Subject{{Name: p.kind, Digests: map[string]string{"sha256": sum}}},
	}
	return s.Encode()
}

func identityDigest(subject, issuer string) string {
	sum := sha256.Sum256([]byte(subject + "\n" + issuer))
	return hex.EncodeToString(sum[:])
}

// Open reads one statement and checks its signature with the keys that may revoke.
func Open(envelope []byte, by []trust.Key) (trust.Revocation, error) {
	if len(envelope) > maxStatement {
		return trust.Revocation{}, fmt.Errorf("revocation: it has %d bytes, the limit is %d", len(envelope), maxStatement)
	}
	env, err := bundle.ParseEnvelope(envelope)
	if err != nil {
		return trust.Revocation{}, fmt.Errorf("revocation: %w", err)
	}
	if env.PayloadType != bundle.StatementPayloadType || len(env.Signatures) != 1 {
		return trust.Revocation{}, fmt.Errorf("revocation: the envelope has the payload type %s and %d signatures, want %q and one",
			protojson.Quote(env.PayloadType), len(env.Signatures), bundle.StatementPayloadType)
	}
	signer := ""
	for i := range by {
		if signedBy(env, &by[i]) {
			der, err := algorithm.MarshalPublicKey(by[i].Public)
			if err != nil {
				return trust.Revocation{}, fmt.Errorf("revocation: %w", err)
			}
			sum := sha256.Sum256(der)
			signer = "key sha256:" + hex.EncodeToString(sum[:])
			break
		}
	}
	if signer == "" {
		return trust.Revocation{}, errors.New("revocation: it is not signed by a key that may revoke")
	}
	r, err := read(env.Payload)
	r.By = signer
	return r, err
}

func signedBy(env *bundle.Envelope, k *trust.Key) bool {
	algs, err := k.Algorithms()
	if err != nil {
		return false
	}
	for _, alg := range algs {
		if alg.Verify(k.Public, algorithm.Bytes(env.PAE()), env.Signatures[0].Sig) == nil {
			return true
		}
	}
	return false
}

// read reads what a statement says. Nothing in it may be unknown, and both of its halves say the same.
func read(payload []byte) (trust.Revocation, error) {
	fail := func(format string, args ...any) (trust.Revocation, error) {
		return trust.Revocation{}, fmt.Errorf("revocation: "+format, args...)
	}
	st, err := bundle.ParseStatement(payload)
	if err != nil {
		return fail("%w", err)
	}
	if st.PredicateType != PredicateType {
		return fail("the predicate type is %s, want %q", protojson.Quote(st.PredicateType), PredicateType)
	}
	var p predicate
	if err := protojson.Unmarshal(st.Predicate, protojson.Limits{Bytes: maxStatement, Depth: 2}, predicateFields, &p); err != nil {
		return fail("predicate: %w", err)
	}
	if len(st.Subjects) != 1 || len(st.Subjects[0].Digests) != 1 || len(st.Subjects[0].Digests["sha256"]) != 2*sha256.Size {
		return fail("it must have one subject with a SHA-256 and nothing else")
	}
	if p.reason == "" || !printable(p.reason) || !printable(p.subject) || !printable(p.issuer) {
		return fail("the reason must be given, and all texts must be printable and have at most %d bytes", maxText)
	}
	sum := st.Subjects[0].Digests["sha256"]
	r := trust.Revocation{From: p.from, Reason: p.reason}
	named := p.subject != "" || p.issuer != ""
	switch {
	case p.kind == artifact && !named:
		r.Artifact = sum
	case p.kind == key && !named:
		r.Key = sum
	case p.kind == person && p.subject != "" && p.issuer != "" && sum == identityDigest(p.subject, p.issuer):
		r.Subject, r.Issuer = p.subject, p.issuer
	default:
		return fail("what is revoked is not clear: kind %s, subject %s, issuer %s", protojson.Quote(p.kind), protojson.Quote(p.subject), protojson.Quote(p.issuer))
	}
	return r, nil
}

func printable(s string) bool {
	return len(s) <= maxText && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}
