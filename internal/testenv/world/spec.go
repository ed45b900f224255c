package world

import (
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/tlog"
)

// Signer says whose signature it is.
type Signer int

// A signature is made with a managed key, or with a key that a short-lived certificate of the world's CA is for.
const (
	Key Signer = iota
	Cert
)

// String returns the name in [Spec.Name].
func (s Signer) String() string { return [...]string{"key", "cert"}[s] }

// Content says what is signed.
type Content int

// The artifact's bytes, an in-toto statement about them in a DSSE envelope, or cosign's simple-signing document about
// an image manifest.
const (
	Blob Content = iota
	Statement
	SimpleSigning
)

// String returns the name in [Spec.Name].
func (c Content) String() string { return [...]string{"blob", "statement", "simplesigning"}[c] }

// Logged says what of a transparency log comes along.
type Logged int

// Nothing, Rekor v1's signed entry timestamp alone, that and the inclusion proof, or Rekor v2's inclusion proof.
const (
	NoLog Logged = iota
	LogV1SET
	LogV1
	LogV2
)

// String returns the name in [Spec.Name].
func (l Logged) String() string { return [...]string{"nolog", "v1set", "v1", "v2"}[l] }

// Spec describes a bundle. The zero value is a signature over a blob with a P-256 key and no evidence.
type Spec struct {
	Signer    Signer
	Content   Content
	Log       Logged
	Timestamp bool              // a timestamp of the TSA over the signature, at Time
	Time      time.Time         // when it is signed, logged and stamped; a minute after mint.Epoch when zero
	Algorithm algorithm.Details // P-256 with SHA-256 when Unspecified
	// Version of the bundle. When zero: Cosign for simple signing, V01 for LogV1SET, else V03.
	Version bundle.Version

	Key       crypto.Signer    // signs instead of a fresh key; it must fit Algorithm
	Leaf      mint.LeafOptions // of the certificate; Public and CTLogs are filled in, NotBefore is mint.Epoch unless set
	NoSCT     bool             // a certificate without SCTs
	Artifact  []byte           // instead of the default artifact
	Payload   []byte           // of the envelope or the simple-signing document, instead of the default one
	EntryKind string           // of the log entry, for instance [mint.IntotoV2]; the services' current kind when empty
}

// SigningTime is the time of a bundle unless its Spec says otherwise.
var SigningTime = mint.Epoch.Add(time.Minute)

// PayloadType is the DSSE payload type of statements.
const PayloadType = "application/vnd.in-toto+json"

// Artifact is what default bundles are about; of simple signing it is the image's manifest.
const Artifact = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}`

// PredicateType is that of the default statement: what cosign and this project write when they sign an image.
const PredicateType = "https://sigstore.dev/cosign/sign/v1"

func (s Spec) details() algorithm.Details {
	if s.Algorithm == algorithm.Unspecified {
		return algorithm.ECDSAP256SHA256
	}
	return s.Algorithm
}

// Bundle makes a bundle; its evidence verifies under the world's root. It returns the artifact, and the public key that
// verifies the signature (of a certificate, the key in it).
func (w *World) Bundle(t testing.TB, s Spec) (b *bundle.Bundle, artifact []byte, pub crypto.PublicKey) {
	t.Helper()
	if s.Time.IsZero() {
		s.Time = SigningTime
	}
	if s.Key == nil {
		s.Key = mint.NewKey(t, s.details())
	}
	if s.Artifact == nil {
		s.Artifact = []byte(Artifact)
	}
	signed := mint.Signed{Message: s.message(), Details: s.details(), Public: s.Key.Public()}
	if s.Content == Statement {
		signed.PayloadType = PayloadType
	}
	signed.Signature = mint.Sign(t, s.Key, s.details(), signed.Bytes())
	b = &bundle.Bundle{Version: s.version()}
	b.MediaType = mediaType(b.Version)
	switch {
	case s.Signer == Cert:
		signed.Certificate = w.leaf(t, s)
		b.Material.Certificates = [][]byte{signed.Certificate}
		b.Material.Chain = b.Version < bundle.V03
	case b.Version == bundle.Cosign:
		b.Material.NoKey = true
	default:
		hint := sha256.Sum256(mint.SPKI(t, s.Key.Public()))
		text := b64(hint[:])
		b.Material.KeyHint = &text
	}
	s.content(b, signed)
	if s.Log != NoLog {
		b.Material.Entries = []tlog.Entry{w.entry(t, s, signed)}
	}
	if s.Timestamp {
		b.Material.Timestamps = [][]byte{w.Stamp(t, signed.Signature, s.Time)}
	}
	return b, s.Artifact, s.Key.Public()
}

// message is what the signature is about: the artifact, or the document that names it.
func (s Spec) message() []byte {
	if s.Content != Blob && s.Payload != nil {
		return s.Payload
	}
	digest := sha256.Sum256(s.Artifact)
	switch s.Content {
	case Statement:
		return StatementFor(s.Artifact, PredicateType, "{}")
	case SimpleSigning:
		return fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":"registry.bulla.test/app"},"image":`+
			`{"docker-manifest-digest":"sha256:%x"},"type":"cosign container image signature"},"optional":null}`, digest)
	}
	return s.Artifact
}

// StatementFor returns an in-toto statement v1 about an artifact. The predicate is JSON.
func StatementFor(artifact []byte, predicateType, predicate string) []byte {
	digest := sha256.Sum256(artifact)
	return []byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"` + hex.EncodeToString(digest[:]) +
		`"}}],"predicateType":"` + predicateType + `","predicate":` + predicate + `}`)
}

func (s Spec) content(b *bundle.Bundle, signed mint.Signed) {
	switch s.Content {
	case Blob:
		hash := mint.Hash(s.details())
		b.Message = &bundle.MessageSignature{Hash: hash, Digest: mint.Sum(hash, s.Artifact), Signature: signed.Signature}
	case Statement:
		b.Envelope = &bundle.Envelope{
			Payload: signed.Message, PayloadType: PayloadType,
			Signatures: []bundle.EnvelopeSignature{{Sig: signed.Signature}},
		}
	case SimpleSigning:
		b.Message = &bundle.MessageSignature{Signature: signed.Signature, Payload: signed.Message}
	}
}

func (s Spec) version() bundle.Version {
	switch {
	case s.Version != 0:
		return s.Version
	case s.Content == SimpleSigning:
		return bundle.Cosign
	case s.Log == LogV1SET:
		return bundle.V01
	}
	return bundle.V03
}

func mediaType(v bundle.Version) string {
	switch v {
	case bundle.V01:
		return "application/vnd.dev.sigstore.bundle+json;version=0.1"
	case bundle.V02:
		return "application/vnd.dev.sigstore.bundle+json;version=0.2"
	case bundle.V03:
		return "application/vnd.dev.sigstore.bundle.v0.3+json"
	}
	return ""
}

// leaf issues the certificate of a bundle.
func (w *World) leaf(t testing.TB, s Spec) []byte {
	opts := s.Leaf
	opts.Public = s.Key.Public()
	if opts.CTLogs == nil && !s.NoSCT {
		opts.CTLogs = []*mint.CTLog{w.CTLog}
	}
	return w.CA.Issue(t, opts)
}

// entry logs the signature and keeps of the log's answer what the specification asks for.
func (w *World) entry(t testing.TB, s Spec, signed mint.Signed) tlog.Entry {
	t.Helper()
	kind := s.EntryKind
	if kind == "" {
		kind = s.defaultKind(t)
	}
	log := w.V1
	if s.Log == LogV2 {
		log = w.V2
	}
	entry := log.Add(t, kind, mint.Body(t, kind, signed), s.Time)
	if s.Log == LogV1SET {
		entry.Proof = nil
	}
	return entry
}

// defaultKind is the kind that today's clients ask for.
func (s Spec) defaultKind(t testing.TB) string {
	switch {
	case s.Log == LogV2 && s.details() == algorithm.Ed25519:
		t.Fatal("Rekor v2 takes no pure Ed25519: use Ed25519ph")
	case s.Log == LogV2:
		return mint.HashedRekordV2
	case s.Content == Statement:
		return mint.DSSEV1
	case s.details() == algorithm.Ed25519:
		return mint.RekordV1 // a hash alone does not verify pure Ed25519
	}
	return mint.HashedRekordV1
}
