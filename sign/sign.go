// Package sign makes signatures: artifact or statement → signature → timestamp → log entry → bundle → verified.
//
// It walks the way of package verify backwards, over small interfaces for whatever lives elsewhere: the key, the
// timestamp authorities, the transparency logs. Nothing leaves this package that package verify does not accept under the
// signer's own key and, where one is given, under the trusted root that verifiers will use.
package sign

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/tlog"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
)

// Signer holds a private key, or knows who does. Package keys has implementations.
type Signer interface {
	// Public returns an *ecdsa.PublicKey, *rsa.PublicKey or ed25519.PublicKey.
	Public() crypto.PublicKey
	// Sign signs the message with the algorithm, which fits the key.
	Sign(ctx context.Context, alg algorithm.Algorithm, m algorithm.Message) ([]byte, error)
}

// Timestamper gets a time-stamp token over the bytes of a signature (RFC 3161): the DER of a TimeStampResp. Its errors name
// the authority.
type Timestamper interface {
	Timestamp(ctx context.Context, signature []byte) ([]byte, error)
}

// Logger enters a signature into a transparency log and returns the entry, with what the log signed. Its errors name the log.
type Logger interface {
	Log(ctx context.Context, s *Signature) (*tlog.Entry, error)
}

// Signature is a signature that was just made, with all that a log wants to know of it.
type Signature struct {
	// Bytes are the signature as the algorithm returns it.
	Bytes     []byte
	Algorithm algorithm.Algorithm
	// Message is what was signed: the artifact, a simple-signing document, or the PAE of Envelope.
	Message algorithm.Message
	// Envelope is the DSSE envelope that the signature is in, nil for a signature over a message.
	Envelope *bundle.Envelope
	// Public is the key that verifies the signature, Certificate the DER of the certificate for it; nil without one.
	Public      crypto.PublicKey
	Certificate []byte
}

// Options say with what a signature is made.
type Options struct {
	Signer Signer
	// Algorithm is how to sign; the zero value takes the key's default.
	Algorithm algorithm.Algorithm
	// Certificates are the DER certificate of the signer's key, leaf first, where there is one. A root at the end is left
	// out of the bundle: verifiers bring their own.
	Certificates [][]byte
	// ShortLived says that the certificate lives for minutes and comes from an authority that verifiers know: only the
	// signer's own certificate goes into a Sigstore bundle, where the trusted root names certificate transparency logs one of
	// them must vouch for it, and something trusted must say when the signature was made. [Session.Use] sets it.
	ShortLived   bool
	Timestampers []Timestamper
	Loggers      []Logger
	// Defer leaves the loggers for later: the signature is made as they want it, and [Log] enters it.
	Defer bool
	// Root is the trusted root that verifiers will use. With one, the finished bundle must verify under it.
	Root *trust.Root
	// Now is the present time. Clock, where it is set, is asked instead whenever the time matters: services may take minutes.
	Now   time.Time
	Clock func() time.Time
}

// now is the present time.
func (o *Options) now() time.Time {
	switch {
	case o.Clock != nil:
		return o.Clock()
	case o.Now.IsZero():
		return time.Now()
	}
	return o.Now
}

// Needs lists the digests of an artifact that [Blob] will ask for, so that a stream can be hashed in one pass beforehand.
// rereads says that more will be asked, which only the signature itself tells: pure Ed25519 hashes the message twice, each
// time behind a prefix that depends on what came before. Such an artifact must be readable several times.
func (o *Options) Needs() (needs []verify.HashNeed, rereads bool, err error) {
	alg, err := o.ChosenAlgorithm()
	if err != nil {
		return nil, false, err
	}
	if alg.Details() == algorithm.Ed25519 {
		return []verify.HashNeed{{Hash: crypto.SHA256}}, true, nil
	}
	// The prehashed form is tried before the pure one, so no other digest of an Ed25519 key's message is asked for.
	needs = []verify.HashNeed{{Hash: crypto.SHA256}}
	if alg.Hash() != crypto.SHA256 {
		needs = append(needs, verify.HashNeed{Hash: alg.Hash()})
	}
	return needs, false, nil
}

// Blob signs an artifact itself: a bundle with a message signature. The artifact is only asked for digests, so it can be a
// stream that was hashed before, if that covered what [Options.Needs] asks for.
func Blob(ctx context.Context, artifact algorithm.Message, opts Options) (*bundle.Bundle, error) {
	alg, material, err := opts.prepare()
	if err != nil {
		return nil, err
	}
	digest, err := artifact.Digest(messageDigestHash(alg), nil)
	if err != nil {
		return nil, fmt.Errorf("hashing the artifact: %w", err)
	}
	sig, err := opts.Signer.Sign(ctx, alg, artifact)
	if err != nil {
		return nil, err
	}
	b := &bundle.Bundle{Material: material, Message: &bundle.MessageSignature{Hash: messageDigestHash(alg), Digest: digest, Signature: sig}}
	return opts.finish(ctx, b, artifact, &Signature{Bytes: sig, Algorithm: alg, Message: artifact})
}

// Statement signs an in-toto statement, byte for byte as given, in a DSSE envelope. The artifact is what the statement
// must be about; nil leaves that unchecked.
func Statement(ctx context.Context, payload []byte, artifact algorithm.Message, opts Options) (*bundle.Bundle, error) {
	alg, material, err := opts.prepare()
	if err != nil {
		return nil, err
	}
	if _, err := bundle.ParseStatement(payload); err != nil {
		return nil, fmt.Errorf("the statement: %w", err)
	}
	env := &bundle.Envelope{Payload: payload, PayloadType: bundle.StatementPayloadType}
	pae := algorithm.Bytes(env.PAE())
	sig, err := opts.Signer.Sign(ctx, alg, pae)
	if err != nil {
		return nil, err
	}
	env.Signatures = []bundle.EnvelopeSignature{{Sig: sig}}
	b := &bundle.Bundle{Material: material, Envelope: env}
	return opts.finish(ctx, b, artifact, &Signature{Bytes: sig, Algorithm: alg, Message: pae, Envelope: env})
}

// SimpleSigning signs an image's digest in cosign's older form. The result is converted by [bundle.Bundle.Layer].
func SimpleSigning(ctx context.Context, payload []byte, image algorithm.Message, opts Options) (*bundle.Bundle, error) {
	alg, material, err := opts.prepare()
	if err != nil {
		return nil, err
	}
	if _, err := bundle.ParseSimpleSigning(payload); err != nil {
		return nil, fmt.Errorf("the simple-signing document: %w", err)
	}
	message := algorithm.Bytes(payload)
	sig, err := opts.Signer.Sign(ctx, alg, message)
	if err != nil {
		return nil, err
	}
	b := &bundle.Bundle{Version: bundle.Cosign, Material: material, Message: &bundle.MessageSignature{Signature: sig, Payload: payload}}
	return opts.finish(ctx, b, image, &Signature{Bytes: sig, Algorithm: alg, Message: message})
}

// ChosenAlgorithm is how the options sign: by Algorithm, or else as the readers of the time expect of the key.
//
// That is the default of Sigstore's algorithm registry, which logs demand (P-384 with SHA-384, P-521 with SHA-512, RSA
// PKCS #1 v1.5 with SHA-256), also where cosign 3.1 must be told to verify it (--signature-digest-algorithm), since it
// signs the same itself. Ed25519 has two forms: the prehashed one, which is what logs take, and the pure one, which is
// the only one that cosign 3.1 and most other readers check without a log entry that states the form. So what is
// logged is signed in the former, everything else in the latter.
func (o *Options) ChosenAlgorithm() (algorithm.Algorithm, error) {
	if o.Signer == nil {
		return algorithm.Algorithm{}, errors.New("no key was given to sign with")
	}
	pub := o.Signer.Public()
	if o.Algorithm != (algorithm.Algorithm{}) {
		return o.Algorithm, o.Algorithm.CheckKey(pub)
	}
	if _, ok := pub.(ed25519.PublicKey); ok && len(o.Loggers) == 0 {
		return algorithm.ForDetails(algorithm.Ed25519)
	}
	return algorithm.Default(pub)
}

// messageDigestHash is the hash that the bundle states beside a message signature: the algorithm's own, or SHA-256 where
// that is not a plain hash of the message.
func messageDigestHash(a algorithm.Algorithm) crypto.Hash {
	if a.Details() == algorithm.Ed25519 {
		return crypto.SHA256
	}
	return a.Hash()
}

// finish adds the timestamps and the log entries, and verifies the whole, before it is logged as well. Timestamps come first, since a log that states
// no time proves nothing of when an entry was made.
func (o *Options) finish(ctx context.Context, b *bundle.Bundle, artifact algorithm.Message, made *Signature) (*bundle.Bundle, error) {
	if b.Version != bundle.Cosign {
		b.Version, b.MediaType = bundle.V03, bundle.MediaType
		if o.ShortLived {
			b.Material.Certificates, b.Material.Chain = b.Material.Certificates[:1], false
		}
	}
	made.Public = o.Signer.Public()
	if len(b.Material.Certificates) > 0 {
		made.Certificate = b.Material.Certificates[0]
	}
	tokens, err := fromAll(o.Timestampers, func(t Timestamper) ([]byte, error) { return t.Timestamp(ctx, made.Bytes) })
	if err != nil {
		return nil, err
	}
	b.Material.Timestamps = append(b.Material.Timestamps, tokens...)
	if !o.Defer && len(o.Loggers) > 0 {
		if err := o.checkUnlogged(b, artifact); err != nil {
			return nil, fmt.Errorf("the signature just made does not verify, and nothing was written or logged: %w", err)
		}
		if err := o.log(ctx, b, made); err != nil {
			return nil, err
		}
	}
	if err := o.check(b, artifact); err != nil {
		return nil, fmt.Errorf("the signature just made does not verify, and nothing was written: %w", err)
	}
	return b, nil
}

func (o *Options) log(ctx context.Context, b *bundle.Bundle, made *Signature) error {
	entries, err := fromAll(o.Loggers, func(l Logger) (*tlog.Entry, error) { return l.Log(ctx, made) })
	if err != nil {
		return err
	}
	for _, e := range entries {
		b.Material.Entries = append(b.Material.Entries, *e)
	}
	return nil
}

// fromAll asks services of one kind at the same time, all of which are needed, and returns what they give in their order.
// All are waited for, so that none is cut off in the middle of an upload.
func fromAll[S, T any](services []S, ask func(S) (T, error)) ([]T, error) {
	out, errs := make([]T, len(services)), make([]error, len(services))
	var wg sync.WaitGroup
	for i, s := range services {
		wg.Go(func() { out[i], errs[i] = ask(s) })
	}
	wg.Wait()
	var failed error
	for _, err := range errs {
		switch {
		case failed == nil:
			failed = err
		case err != nil:
			failed = fmt.Errorf("%w; %w", failed, err)
		}
	}
	return out, failed
}

// Log enters a signature that was made with [Options.Defer] into the loggers, verifies the whole as if it had been logged
// at once, and returns the finished bundle. Of the signer only the public key is used, and the options must name the
// algorithm. A signature that a log holds already is found by it and not entered twice.
func Log(ctx context.Context, unlogged *bundle.Bundle, artifact algorithm.Message, opts Options) (*bundle.Bundle, error) {
	b := *unlogged
	made := &Signature{Algorithm: opts.Algorithm, Public: opts.Signer.Public()}
	switch {
	case opts.Defer || len(opts.Loggers) == 0:
		return nil, errors.New("there is no log to enter the signature into")
	case len(b.Material.Entries) > 0:
		return nil, errors.New("the signature is logged already")
	case b.Envelope != nil && len(b.Envelope.Signatures) == 1:
		made.Bytes, made.Envelope, made.Message = b.Envelope.Signatures[0].Sig, b.Envelope, algorithm.Bytes(b.Envelope.PAE())
	case b.Message != nil && artifact != nil:
		made.Bytes, made.Message = b.Message.Signature, artifact
	default:
		return nil, errors.New("it holds no signature that can be logged")
	}
	if len(b.Material.Certificates) > 0 {
		made.Certificate = b.Material.Certificates[0]
	}
	// Before the log is asked: what it takes it keeps for ever.
	bare := opts
	bare.Loggers = nil
	if err := bare.check(&b, artifact); err != nil {
		return nil, fmt.Errorf("%w, and was not logged: %w", ErrNotVerified, err)
	}
	if err := opts.log(ctx, &b, made); err != nil {
		return nil, err
	}
	if err := opts.check(&b, artifact); err != nil {
		return nil, fmt.Errorf("the logged signature does not verify: %w", err)
	}
	return &b, nil
}

// prepare settles how to sign, and makes the material that says who signs: the certificate, or a hint to the key. A key
// is asked for nothing before that is known to fit.
func (o *Options) prepare() (algorithm.Algorithm, bundle.Material, error) {
	var m bundle.Material
	alg, err := o.ChosenAlgorithm()
	if err != nil {
		return alg, m, err
	}
	der, err := algorithm.MarshalPublicKey(o.Signer.Public())
	if err != nil {
		return alg, m, err
	}
	if len(o.Certificates) == 0 {
		sum := sha256.Sum256(der)
		hint := base64.StdEncoding.EncodeToString(sum[:])
		m.KeyHint = &hint
		return alg, m, nil
	}
	leaf, err := x509.ParseCertificate(o.Certificates[0])
	if err != nil {
		return alg, m, fmt.Errorf("the certificate to sign with: %w", err)
	}
	if string(leaf.RawSubjectPublicKeyInfo) != string(der) {
		return alg, m, ErrOtherKey
	}
	m.Certificates, err = o.Chain()
	m.Chain = len(m.Certificates) > 1
	return alg, m, err
}

// Chain returns the certificates without those that issued themselves, which verifiers bring along; nil with a key alone.
func (o *Options) Chain() ([][]byte, error) {
	var chain [][]byte
	for i, c := range o.Certificates {
		cert, err := x509.ParseCertificate(c)
		if err != nil {
			return nil, fmt.Errorf("the certificate chain: %w", err)
		}
		if i == 0 || string(cert.RawIssuer) != string(cert.RawSubject) {
			chain = append(chain, c)
		}
	}
	return chain, nil
}

// ErrNotVerified says that a signature that was to be logged does not verify.
var ErrNotVerified = errors.New("the signature does not verify")

// ErrOtherKey says that the certificate to sign with is one of another key.
var ErrOtherKey = errors.New("the certificate is not one of the key that signs")
