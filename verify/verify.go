// Package verify is the decision: whether evidence vouches for an artifact, under what the user trusts and demands.
//
// Verification is a pure function. It takes bytes already decoded into a [bundle.Bundle], a [trust.Root], a [Policy] and
// a time, and returns a [Report] of every candidate and every check. It opens no file and no socket, reads no clock and
// no environment, and prints nothing. There is one path for all: keys and certificates, blobs, statements and images,
// Sigstore bundles of every version and cosign's older formats, which are converted before they come here.
//
// The order is that of the Sigstore client specification: first what says when the signature was made (timestamp
// authorities, transparency logs), then the certificate's path at every such time, its certificate transparency, the
// binding of the log's entry to this very signature, the signature over the artifact, what the signed claim says of the
// artifact, the signer's identity, and last what is revoked. A check that was not made is a refusal: the verdict is positive only when
// every check of the list is there and passed, or was waived by the policy and says so.
package verify

import (
	"crypto"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/verify/reason"
)

// Verify holds every candidate against the artifact and returns the whole report. It never returns nil.
func Verify(req *Request) *Report { return NewSeries(req).Add(req.Candidates...) }

// describe fills in what the report says of its inputs.
func (r *Report) describe(req *Request) {
	if req.Artifact.Message != nil {
		if sum, err := req.Artifact.Message.Digest(crypto.SHA256, nil); err == nil {
			r.Digest = "sha256:" + hex.EncodeToString(sum)
		}
	}
	if req.Root == nil {
		return
	}
	src := req.Root.Source
	r.Root = &RootReport{Name: src.Name, Embedded: src.Embedded}
	if src.SHA256 != [32]byte{} {
		r.Root.SHA256 = hex.EncodeToString(src.SHA256[:])
	}
	if !src.Date.IsZero() {
		r.Root.Date = src.Date.UTC().Format(time.DateOnly)
		r.Root.AgeDays = max(0, int(req.Now.Sub(src.Date)/(24*time.Hour)))
	}
}

// decide counts the distinct principals of the verified candidates and words the verdict.
func (r *Report) decide(req *Request) {
	var signers []*Signer
	best := -1
	for i := range r.Candidates {
		c := &r.Candidates[i]
		if c.Verified {
			signers = append(signers, c.Signer)
			continue
		}
		if best < 0 || c.passed() > r.Candidates[best].passed() {
			best = i
		}
	}
	for _, i := range distinct(signers, sameSigner) {
		r.Principals = append(r.Principals, signers[i].Principal)
	}
	r.Nearest = best
	r.NotChecked = notChecked(&req.Policy)
	switch need := req.Policy.signers(); {
	case len(r.Principals) >= need:
		r.Verified = true
	case len(r.Candidates) == 0:
		r.Code, r.Reason = reason.NoEvidence, "no signature or attestation was found"
	case len(r.Principals) > 0:
		r.Code = reason.Threshold
		r.Reason = fmt.Sprintf("%d distinct signers are demanded and %d verified", need, len(r.Principals))
	default:
		c := &r.Candidates[best]
		r.Code, r.Reason = c.Code, c.Reason
		if n := len(r.Candidates); n > 1 {
			r.Reason = fmt.Sprintf("none of %d candidates verifies; the nearest, %s: %s", n, c.Name, c.Reason)
		}
	}
}

// notChecked words what the policy waives.
func notChecked(p *Policy) []string {
	var out []string
	add := func(when bool, text string) {
		if when {
			out = append(out, text)
		}
	}
	add(p.IgnoreLog, "whether a transparency log holds the signature (waived)")
	add(p.IgnoreSCT && p.wantsCertificate(), "whether a certificate transparency log holds the certificate (waived)")
	add(p.NoArtifactUnsafe, "whether the statement is about this artifact (waived)")
	add(p.NoImageUnsafe, "whether a simple-signing document is about this image (waived)")
	add(p.AnyIdentityUnsafe, "who the signer is (any identity was accepted)")
	return out
}

// order lists the checks that a verdict rests on. A candidate is verified only if each is there and passed or was waived.
var order = [...]CheckName{
	CheckStructure, CheckMaterial, CheckTimestamp, CheckLog, CheckTime, CheckPath, CheckSCT, CheckKeyValidity,
	CheckSignature, CheckPredicate, CheckArtifact, CheckAnnotations, CheckIdentity, CheckRevocation,
}

// mayBeWaived lists the checks whose outcome may be "not required". The others must pass.
func mayBeWaived(n CheckName) bool {
	switch n {
	case CheckStructure, CheckMaterial, CheckSignature, CheckPredicate, CheckIdentity:
		return false
	}
	return true
}

// verifyCandidate makes every check on one candidate.
func verifyCandidate(req *Request, c *Candidate) CandidateReport {
	out := CandidateReport{Name: c.Name, Place: c.Place, Checks: make([]Check, 0, len(order))}
	if c.Bundle == nil {
		why := "there is nothing to verify"
		if c.Err != nil {
			why = oneLine(c.Err.Error())
		}
		out.Checks = append(out.Checks, Check{Name: CheckDecode, Outcome: Failed, Code: reason.Malformed, Reason: why})
		out.Code, out.Reason = reason.Malformed, why
		return out
	}
	out.Format = c.Bundle.MediaType
	if c.Bundle.Version == bundle.Cosign {
		out.Format = "cosign"
	}
	e := &evaluation{req: req, root: req.Root, policy: &req.Policy, b: c.Bundle, out: &out}
	e.run()
	out.Verified = verdict(out.Checks)
	if !out.Verified {
		out.Payload = nil
		if f := out.Failure(); f != nil {
			out.Code, out.Reason = f.Code, f.Reason
		} else {
			out.Code, out.Reason = reason.Malformed, "not every check was made"
		}
	}
	return out
}

// verdict says whether each check of the list is there once and holds. Anything else is a refusal.
func verdict(checks []Check) bool {
	if len(checks) != len(order) {
		return false
	}
	for i, name := range order {
		c := &checks[i]
		if c.Name != name {
			return false
		}
		switch c.Outcome {
		case Passed:
		case NotRequired:
			if !mayBeWaived(name) {
				return false
			}
		default:
			return false
		}
	}
	return true
}
