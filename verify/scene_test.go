package verify_test

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/tlog"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
	"github.com/bulla-sign/bulla/verify/reason"
)

// soak says that the tests may take minutes.
func soak() bool { return os.Getenv("SOAK") == "1" }

// scene is two worlds that are both trusted, so that nothing is refused merely because it comes from strangers.
type scene struct {
	w, other *world.World
	root     *trust.Root
}

func newScene(t testing.TB) *scene {
	t.Helper()
	s := &scene{w: world.New(t), other: world.New(t)}
	s.root = bothRoots(t, s.w, s.other)
	return s
}

func bothRoots(t testing.TB, a, b *world.World) *trust.Root {
	x, y := a.Root(t), b.Root(t)
	y.TSAs[0].URI = "https://tsa.other.test" // one address would make the two one party
	return &trust.Root{
		Logs: append(x.Logs, y.Logs...), CTLogs: append(x.CTLogs, y.CTLogs...),
		CAs: append(x.CAs, y.CAs...), TSAs: append(x.TSAs, y.TSAs...),
		Source: trust.Source{Name: "two worlds"},
	}
}

// evidence is a bundle and what it was made of.
type evidence struct {
	spec     world.Spec
	bundle   *bundle.Bundle
	artifact []byte
	pub      crypto.PublicKey
	key      crypto.Signer
}

// make makes a bundle in a world. The certificate is issued a minute before the signature.
func makeEvidence(t testing.TB, w *world.World, s world.Spec) *evidence {
	t.Helper()
	if s.Time.IsZero() {
		s.Time = world.SigningTime
	}
	if s.Key == nil {
		s.Key = mint.NewKey(t, detailsOf(s))
	}
	if s.Leaf.NotBefore.IsZero() {
		s.Leaf.NotBefore = s.Time.Add(-time.Minute)
	}
	b, artifact, pub := w.Bundle(t, s)
	return &evidence{s, b, artifact, pub, s.Key}
}

func detailsOf(s world.Spec) algorithm.Details {
	if s.Algorithm == algorithm.Unspecified {
		return algorithm.ECDSAP256SHA256
	}
	return s.Algorithm
}

// request is the strictest policy that the evidence satisfies: all that it carries is demanded.
func (e *evidence) request(t testing.TB, root *trust.Root) *verify.Request {
	t.Helper()
	req := &verify.Request{
		Candidates: []verify.Candidate{{Name: "evidence", Bundle: e.bundle}},
		Artifact:   verify.Artifact{Name: "artifact", Message: algorithm.Bytes(e.artifact), Image: e.spec.Content == world.SimpleSigning},
		Root:       root,
		Now:        mint.Epoch.AddDate(1, 0, 0),
		Policy: verify.Policy{
			Claims:        verify.Claims{Message: true, SimpleSigning: true, AnyPredicate: true},
			IgnoreLog:     e.spec.Log == world.NoLog,
			AcceptLogDSSE: e.spec.EntryKind == mint.DSSEV2,
		},
	}
	p := &req.Policy
	if e.spec.Signer == world.Key {
		p.Keys = []trust.Key{{Name: "key.pub", Public: e.pub}}
	} else {
		p.Identities = []identity.Matcher{exactly(t, emailOf(e.spec), mint.Issuer)}
		if !e.spec.HasTime() {
			p.CurrentTime, req.Now = true, e.spec.Time
		}
	}
	if e.spec.Timestamp {
		p.Timestamps = 1
	}
	return req
}

func emailOf(s world.Spec) string {
	if len(s.Leaf.SANs) > 0 {
		return s.Leaf.SANs[0].Value
	}
	return mint.Email
}

// accepted fails the test unless the report is positive, and returns it.
func accepted(t testing.TB, req *verify.Request) *verify.Report {
	t.Helper()
	r := verify.Verify(req)
	if !r.Verified {
		t.Fatalf("refused: %s: %s", r.Code, r.Reason)
	}
	return r
}

// refused fails the test unless the report is negative with this code, a reason, and a check that bears both.
func refused(t testing.TB, req *verify.Request, check verify.CheckName, code reason.Code) *verify.Report {
	t.Helper()
	r := verify.Verify(req)
	wellRefused(t, r)
	switch {
	case r.Verified:
		t.Errorf("verified; want %s: %s", check, code)
	case r.Code != code:
		t.Errorf("%s (%s); want %s", r.Code, r.Reason, code)
	case check != "":
		if f := r.Candidates[0].Failure(); f == nil || f.Name != check {
			t.Errorf("failed at %+v; want %s", f, check)
		}
	}
	return r
}

// wellRefused checks what every refused report must say.
func wellRefused(t testing.TB, r *verify.Report) {
	t.Helper()
	if r.Verified {
		return
	}
	if r.Code == "" || r.Reason == "" {
		t.Errorf("refused with code %q and reason %q", r.Code, r.Reason)
	}
	for _, c := range r.Candidates {
		if c.Verified {
			continue
		}
		f := c.Failure()
		if f == nil || f.Code == "" || f.Reason == "" || c.Code != f.Code || c.Reason != f.Reason {
			t.Errorf("candidate refused with %q %q, first failed check %+v", c.Code, c.Reason, f)
		}
		for _, check := range c.Checks {
			if check.Outcome != verify.Passed && check.Reason == "" {
				t.Errorf("check %s is %s without a reason", check.Name, check.Outcome)
			}
		}
	}
}

// logAgain adds an entry of a further log to a bundle whose key or certificate signed.
func (e *evidence) logAgain(t testing.TB, log *mint.Log, kind string) {
	t.Helper()
	e.bundle.Material.Entries = append(e.bundle.Material.Entries, e.entry(t, log, kind))
}

func (e *evidence) signed() mint.Signed {
	signed := mint.Signed{Message: e.artifact, Details: detailsOf(e.spec), Public: e.pub}
	switch b := e.bundle; {
	case b.Envelope != nil:
		signed.Message, signed.PayloadType, signed.Signature = b.Envelope.Payload, b.Envelope.PayloadType, b.Envelope.Signatures[0].Sig
	default:
		signed.Signature = b.Message.Signature
		if b.Message.Payload != nil {
			signed.Message = b.Message.Payload
		}
	}
	if e.spec.Signer == world.Cert {
		signed.Certificate = e.bundle.Material.Certificates[0]
	}
	return signed
}

func (e *evidence) entry(t testing.TB, log *mint.Log, kind string) tlog.Entry {
	t.Helper()
	return log.Add(t, kind, mint.Body(t, kind, e.signed()), e.spec.Time)
}

// stampAgain adds a timestamp.
func (e *evidence) stampAgain(t testing.TB, w *world.World, at time.Time) {
	t.Helper()
	e.bundle.Material.Timestamps = append(e.bundle.Material.Timestamps, w.Stamp(t, e.signed().Signature, at))
}

// rawEnvelope is the envelope's JSON as package mint logs its hash.
func rawEnvelope(env *bundle.Envelope) []byte {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `{"payload":"%s","payloadType":"%s","signatures":[{"sig":"%s"}]}`, b64(env.Payload), env.PayloadType, b64(env.Signatures[0].Sig))
}

func hint(t testing.TB, pub crypto.PublicKey) string {
	sum := sha256.Sum256(mint.SPKI(t, pub))
	return base64.StdEncoding.EncodeToString(sum[:])
}
