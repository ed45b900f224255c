package verify_test

import (
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
	"github.com/bulla-sign/bulla/verify/reason"
)

// revoke puts revocations into the request's root, of which it makes a copy.
func revoke(req *verify.Request, all ...trust.Revocation) {
	root := *req.Root
	root.Revocations, root.Revocable = all, true
	req.Root = &root
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func revokedKey(t *testing.T, e *evidence, from time.Time) trust.Revocation {
	return trust.Revocation{Key: hexSum(mint.SPKI(t, e.pub)), From: from, Reason: "stolen", By: "key sha256:1"}
}

func revocationTwins() []twin {
	at := world.SigningTime
	alice := trust.Revocation{Subject: "alice@bulla.test", Issuer: "https://issuer.bulla.test", From: at, Reason: "left", By: "key sha256:1"}
	return []twin{
		{"artifact revoked", verify.CheckRevocation, reason.Revoked, keyBlob, func(_ *testing.T, _ *scene, e *evidence, req *verify.Request) {
			revoke(req, trust.Revocation{Artifact: hexSum(e.artifact), Reason: "broken"})
		}},
		{"image revoked", verify.CheckRevocation, reason.Revoked, keyImage, func(_ *testing.T, _ *scene, e *evidence, req *verify.Request) {
			revoke(req, trust.Revocation{Artifact: hexSum(e.artifact), Reason: "broken"})
		}},
		{"key revoked, no time", verify.CheckRevocation, reason.Revoked, keyBlob, func(t *testing.T, _ *scene, e *evidence, req *verify.Request) {
			revoke(req, revokedKey(t, e, at.AddDate(50, 0, 0)))
		}},
		{"key revoked by time of a log", verify.CheckRevocation, reason.Revoked, keyLogged, func(t *testing.T, _ *scene, e *evidence, req *verify.Request) {
			revoke(req, revokedKey(t, e, at))
		}},
		{"key of a certificate revoked", verify.CheckRevocation, reason.Revoked, certLogged, func(t *testing.T, _ *scene, e *evidence, req *verify.Request) {
			revoke(req, revokedKey(t, e, at))
		}},
		{"identity revoked", verify.CheckRevocation, reason.Revoked, certLoggedV2, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			revoke(req, alice)
		}},
		{"identity revoked, the second of two", verify.CheckRevocation, reason.Revoked, certImage, func(_ *testing.T, _ *scene, _ *evidence, req *verify.Request) {
			revoke(req, trust.Revocation{Key: strings.Repeat("0", 64), Reason: "another"}, alice)
		}},
		{"revoked artifacts and no SHA-256", verify.CheckRevocation, reason.DigestUnknown, keyStatement, func(t *testing.T, _ *scene, e *evidence, req *verify.Request) {
			e.bundle.Envelope.Payload = []byte(strings.Replace(string(e.bundle.Envelope.Payload), `"digest":{`, `"digest":{"sha512":"`+hex.EncodeToString(mint.Sum(crypto.SHA512, e.artifact))+`",`, 1))
			env := e.bundle.Envelope
			env.Signatures[0].Sig = mint.Sign(t, e.key, detailsOf(e.spec), env.PAE())
			req.Artifact.Message = algorithm.Precomputed(crypto.SHA512, mint.Sum(crypto.SHA512, e.artifact))
			revoke(req, trust.Revocation{Artifact: strings.Repeat("0", 64), Reason: "another"})
		}},
	}
}

// A revocation holds from its moment on, that moment included. What is about others, or came later, is no obstacle; that
// the signer was revoked later is said.
func TestRevocationAtTheEdge(t *testing.T) {
	sc := newScene(t)
	for _, spec := range []world.Spec{keyLogged, keyStamped, certLogged, certLoggedV2} {
		e := makeEvidence(t, sc.w, spec)
		for after, struck := range map[time.Duration]bool{-time.Hour: true, -time.Second: true, 0: true, time.Second: false, time.Hour: false} {
			req := e.request(t, sc.root)
			times := accepted(t, req).Candidates[0].Times
			latest := times[0].Time
			for _, at := range times {
				if at.Time.After(latest) {
					latest = at.Time
				}
			}
			revoke(req, revokedKey(t, e, latest.Add(after)))
			if struck {
				refused(t, req, verify.CheckRevocation, reason.Revoked)
				continue
			}
			r := accepted(t, req)
			if w := strings.Join(r.Candidates[0].Warnings, "\n"); !strings.Contains(w, "is revoked from") || !strings.Contains(w, "stolen") {
				t.Errorf("%s after: warnings %q", after, w)
			}
		}
	}
}

func TestRevocationOfOthers(t *testing.T) {
	sc := newScene(t)
	e := makeEvidence(t, sc.w, certLogged)
	other := strings.Repeat("0", 64)
	req := e.request(t, sc.root)
	revoke(
		req, trust.Revocation{Artifact: other, Reason: "x"}, trust.Revocation{Key: other, Reason: "x"},
		trust.Revocation{Subject: "alice@bulla.test", Issuer: "https://other.test", Reason: "x"},
		trust.Revocation{Subject: "bob@bulla.test", Issuer: "https://issuer.bulla.test", Reason: "x"}, trust.Revocation{Reason: "nothing"},
	)
	if r := accepted(t, req); len(r.Candidates[0].Warnings) != 0 {
		t.Errorf("warnings %q", r.Candidates[0].Warnings)
	}
}

// The present time is no witness: where it stands in for the time of a certificate's signature, revoked is revoked.
func TestRevocationAndPresentTime(t *testing.T) {
	sc := newScene(t)
	e := makeEvidence(t, sc.w, world.Spec{Signer: world.Cert})
	req := e.request(t, sc.root)
	req.Policy.IgnoreLog, req.Policy.CurrentTime, req.Now = true, true, world.SigningTime
	accepted(t, req)
	revoke(req, revokedKey(t, e, world.SigningTime.AddDate(50, 0, 0)))
	refused(t, req, verify.CheckRevocation, reason.Revoked)
}
