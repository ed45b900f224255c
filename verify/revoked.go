package verify

import (
	"crypto"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify/reason"
)

// revocation holds the artifact, the key and the identity against what the root says is revoked. A signature counts if
// every verified time is before the revocation; one that nobody trusted says the time of does not. The present time, which
// a policy may let stand in for a time, says nothing of when the signature was made.
func (e *evaluation) revocation() {
	const spec = "docs/trust.md, revocations"
	if e.root == nil || len(e.root.Revocations) == 0 {
		e.notRequired(CheckRevocation, "nothing is revoked")
		if e.root == nil || !e.root.Revocable {
			e.out.Checks[len(e.out.Checks)-1].Reason = "there is no list of what is revoked"
		}
		return
	}
	for i := range e.root.Revocations {
		r := &e.root.Revocations[i]
		what, err := e.concerned(r)
		if err != nil {
			e.fail(CheckRevocation, reason.DigestUnknown, spec, "whether the artifact is revoked cannot be told: %v", err)
			return
		}
		if what == "" {
			continue
		}
		since := "for all time"
		if !r.From.IsZero() {
			since = "from " + stamp(r.From)
		}
		if when, struck := e.struck(r); struck {
			e.fail(CheckRevocation, reason.Revoked, spec, "%s is revoked %s, %s: %s (says %s)", what, since, when, r.Reason, r.By)
			return
		}
		e.warn("%s is revoked %s, after this signature was made: %s (says %s)", what, since, r.Reason, r.By)
	}
	e.pass(CheckRevocation, spec, Fact{"revocations known", fmt.Sprint(len(e.root.Revocations))})
}

// struck says whether a revocation that concerns the candidate strikes it, and words when it was made.
func (e *evaluation) struck(r *trust.Revocation) (when string, struck bool) {
	trusted := slices.DeleteFunc(slices.Clone(e.times), func(t VerifiedTime) bool { return t.Source == presentTime })
	if len(trusted) == 0 {
		return "and nothing trusted says that the signature is older", true
	}
	for _, t := range trusted {
		if r.At(t.Time) {
			return "and the signature was made at " + stamp(t.Time), true
		}
	}
	return "", false
}

// concerned names what of the candidate a revocation is about, empty if nothing.
func (e *evaluation) concerned(r *trust.Revocation) (string, error) {
	switch {
	case r.Artifact != "":
		return e.revokedArtifact(r)
	case r.Key != "":
		if e.out.Signer != nil && e.out.Signer.KeySHA256 == r.Key {
			return "the key sha256:" + r.Key, nil
		}
	case r.Subject != "":
		named := func(s identity.SAN) bool { return s.Value == r.Subject }
		if e.leaf != nil && e.leaf.Issuer == r.Issuer && slices.ContainsFunc(e.leaf.SANs, named) {
			return fmt.Sprintf("the identity %s, certified by %s,", r.Subject, r.Issuer), nil
		}
	}
	return "", nil
}

func (e *evaluation) revokedArtifact(r *trust.Revocation) (string, error) {
	if e.req.Artifact.Message == nil {
		// Only a policy that compares nothing gets here without an artifact; the report says so.
		return "", nil
	}
	sum, err := e.req.Artifact.Message.Digest(crypto.SHA256, nil)
	if err != nil {
		return "", err
	}
	if strings.EqualFold(hex.EncodeToString(sum), r.Artifact) {
		return "the artifact sha256:" + r.Artifact, nil
	}
	return "", nil
}
