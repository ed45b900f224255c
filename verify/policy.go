package verify

import (
	"crypto"
	"errors"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/trust"
)

// MaxCandidates is how many pieces of evidence one verification looks at: more than any honest image carries, few
// enough that a hostile repository costs a bounded price.
const MaxCandidates = 1024

// Claims are the kinds of signed content a policy accepts. The zero value accepts none.
type Claims struct {
	// Message accepts a signature over the artifact itself.
	Message bool
	// SimpleSigning accepts cosign's older image signatures, whose payload names the image's digest.
	SimpleSigning bool
	// AnyPredicate accepts in-toto statements of every predicate type; Predicates accepts those of these types only.
	AnyPredicate bool
	Predicates   []string
}

// SignPredicate is the predicate type of cosign's image signatures since version 3: a statement that says nothing but
// "this is ours".
const SignPredicate = "https://sigstore.dev/cosign/sign/v1"

// Policy is what the caller demands of a signature. The zero value names nobody and so refuses everything; of the
// checks, the zero value waives none.
type Policy struct {
	// Keys and Identities are the accepted signers: any one of them suffices for a signature.
	Keys       []trust.Key
	Identities []identity.Matcher
	// AnyIdentityUnsafe accepts whomever a trusted authority certified. It is for looking at what was just signed and for
	// inspection, never for admission; it excludes Identities.
	AnyIdentityUnsafe bool
	// Signers is how many distinct principals must have signed; 0 means 1. One key is one principal under any name, bare or
	// certified, and so is one name of one issuer in any number of certificates.
	Signers int

	// Logs is how many distinct transparency logs must vouch for each signature; 0 means 1. IgnoreLog demands none.
	Logs      int
	IgnoreLog bool
	// SCTs is how many distinct certificate transparency logs must vouch for each certificate; 0 means 1. IgnoreSCT
	// demands none.
	SCTs      int
	IgnoreSCT bool
	// Timestamps is how many distinct timestamp authorities must vouch for each signature; 0 demands none, but a
	// certificate always needs a verified time from somewhere.
	Timestamps int
	// SignedTimestampsOnly lets only timestamp authorities say when a signature was made, not logs.
	SignedTimestampsOnly bool
	// CurrentTime lets the present time stand in where nothing trusted says when a certificate's signature was made.
	CurrentTime bool

	// Claims are the accepted kinds of content.
	Claims Claims
	// Annotations must all be present, with these values, in what was signed.
	Annotations map[string]string
	// NoArtifactUnsafe skips the comparison of a statement's subject with the artifact (verify-blob-attestation
	// --check-claims=false), NoImageUnsafe that of a simple-signing document's digest with the image (verify
	// --check-claims=false). The report says that nothing was compared.
	NoArtifactUnsafe bool
	NoImageUnsafe    bool

	// AllowCertificateChain accepts certificate chains in v0.3 bundles, and intermediates from the bundle (cosign's
	// --allow-certificate-chain). Cosign's older formats carry intermediates without it.
	AllowCertificateChain bool
	// AcceptLogDSSE accepts dsse/0.0.2 entries of a v2 log, a kind withdrawn in 2026.
	AcceptLogDSSE bool
	// Hash is the user's word on what the message was hashed with (--signature-digest-algorithm); 0 leaves it to the
	// trust material, the log entry and the key.
	Hash crypto.Hash
}

// Artifact is what the evidence must be about.
type Artifact struct {
	// Name is for the report.
	Name string
	// Message gives the artifact's digests.
	Message algorithm.Message
	// Image says that the artifact is an image manifest, which cosign's simple-signing documents name by digest.
	Image bool
}

// Candidate is one piece of evidence, and where it was found.
type Candidate struct {
	Name   string
	Place  string // where in a registry it was found, in the caller's words; may be empty
	Bundle *bundle.Bundle
	// Err says why the candidate could not be decoded; Bundle is then nil.
	Err error
}

// Request is everything a verification depends on. The verdict is a function of it and of nothing else.
type Request struct {
	Candidates []Candidate
	Artifact   Artifact
	// Root is the trusted material; nil where only keys are trusted and nothing else is demanded.
	Root   *trust.Root
	Policy Policy
	// Now is the present time, used for the root's age, for keys without any other time, and where Policy.CurrentTime
	// allows it.
	Now time.Time
}

// check says what makes the policy impossible or contradictory.
func (p *Policy) check() error {
	switch {
	case len(p.Keys) == 0 && len(p.Identities) == 0 && !p.AnyIdentityUnsafe:
		return errors.New("the policy names no key and no identity, so no signature can satisfy it")
	case p.AnyIdentityUnsafe && len(p.Identities) > 0:
		return errors.New("the policy accepts any identity and also names identities; it must be one or the other")
	case p.Logs < 0 || p.SCTs < 0 || p.Timestamps < 0 || p.Signers < 0:
		return errors.New("the policy has a negative threshold")
	case p.IgnoreLog && p.Logs > 0:
		return errors.New("the policy ignores transparency logs and also demands some")
	case p.IgnoreSCT && p.SCTs > 0:
		return errors.New("the policy ignores certificate transparency and also demands some")
	case !p.Claims.Message && !p.Claims.SimpleSigning && !p.Claims.AnyPredicate && len(p.Claims.Predicates) == 0:
		return errors.New("the policy accepts no kind of claim, so no signature can satisfy it")
	}
	return nil
}

func (p *Policy) logs() int {
	if p.IgnoreLog {
		return 0
	}
	return max(p.Logs, 1)
}

func (p *Policy) scts() int {
	if p.IgnoreSCT {
		return 0
	}
	return max(p.SCTs, 1)
}

func (p *Policy) signers() int { return max(p.Signers, 1) }

// wantsCertificate says whether a certificate could satisfy the policy.
func (p *Policy) wantsCertificate() bool { return len(p.Identities) > 0 || p.AnyIdentityUnsafe }
