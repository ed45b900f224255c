package verify_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
	"github.com/bulla-sign/bulla/verify/reason"
)

// TestImpossiblePolicies changes a policy that good evidence satisfies into one that names nobody or contradicts itself.
func TestImpossiblePolicies(t *testing.T) {
	sc := newScene(t)
	e := makeEvidence(t, sc.w, world.Spec{Signer: world.Cert, Log: world.LogV1})
	tests := []struct {
		name   string
		change func(p *verify.Policy)
	}{
		{"zero", func(p *verify.Policy) { *p = verify.Policy{} }},
		{"nobody", func(p *verify.Policy) { p.Identities = nil }},
		{"claims of no kind", func(p *verify.Policy) { p.Claims = verify.Claims{} }},
		{"an empty list of predicates", func(p *verify.Policy) { p.Claims = verify.Claims{Predicates: []string{}} }},
		{"any identity and one", func(p *verify.Policy) { p.AnyIdentityUnsafe = true }},
		{"no logs and one", func(p *verify.Policy) { p.IgnoreLog, p.Logs = true, 1 }},
		{"no certificate logs and one", func(p *verify.Policy) { p.IgnoreSCT, p.SCTs = true, 1 }},
		{"negative logs", func(p *verify.Policy) { p.Logs = -1 }},
		{"negative certificate logs", func(p *verify.Policy) { p.SCTs = -1 }},
		{"negative timestamps", func(p *verify.Policy) { p.Timestamps = -1 }},
		{"negative signers", func(p *verify.Policy) { p.Signers = -1 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := e.request(t, sc.root)
			accepted(t, req)
			tt.change(&req.Policy)
			refused(t, req, "", reason.EmptyPolicy)
		})
	}
}

// TestWaivers checks that each waiver waives its own check, says so, and waives no other.
func TestWaivers(t *testing.T) {
	sc := newScene(t)
	noSCT := world.Spec{Signer: world.Cert, Log: world.LogV1, NoSCT: true}
	tests := []struct {
		name   string
		spec   world.Spec
		strict func(e *evidence, req *verify.Request) // makes the evidence fail
		waive  func(p *verify.Policy)
		check  verify.CheckName
		code   reason.Code
		says   string // in NotChecked, or in the reason of the check
	}{
		{
			"log",
			world.Spec{},
			func(_ *evidence, req *verify.Request) { req.Policy.IgnoreLog = false },
			func(p *verify.Policy) { p.IgnoreLog = true }, verify.CheckLog, reason.NoLog, "transparency log",
		},
		{
			"certificate log", noSCT, func(*evidence, *verify.Request) {},
			func(p *verify.Policy) { p.IgnoreSCT = true }, verify.CheckSCT, reason.NoSCT, "certificate transparency log",
		},
		{
			"time",
			world.Spec{Signer: world.Cert},
			func(_ *evidence, req *verify.Request) { req.Policy.CurrentTime = false },
			func(p *verify.Policy) { p.CurrentTime = true }, verify.CheckTime, reason.NoTime, "present time",
		},
		{
			"artifact of a statement",
			world.Spec{Content: world.Statement},
			func(_ *evidence, req *verify.Request) { req.Artifact.Message = algorithm.Bytes(otherArtifact) },
			func(p *verify.Policy) { p.NoArtifactUnsafe = true }, verify.CheckArtifact, reason.Artifact, "about this artifact",
		},
		{
			"artifact of a document",
			world.Spec{Content: world.SimpleSigning},
			func(_ *evidence, req *verify.Request) { req.Artifact.Message = nil; req.Artifact.Image = false },
			func(p *verify.Policy) { p.NoImageUnsafe = true }, verify.CheckArtifact, reason.Artifact, "about this image",
		},
		{
			"identity",
			world.Spec{Signer: world.Cert, Log: world.LogV1, Leaf: mint.LeafOptions{SANs: []identity.SAN{{Kind: identity.Email, Value: "bob@bulla.test"}}}},
			func(_ *evidence, req *verify.Request) {
				req.Policy.Identities = []identity.Matcher{exactly(t, mint.Email, mint.Issuer)}
			},
			func(p *verify.Policy) { p.Identities, p.AnyIdentityUnsafe = nil, true }, verify.CheckIdentity, reason.Identity, "who the signer is",
		},
		{
			"withdrawn kind of entry",
			world.Spec{Content: world.Statement, Log: world.LogV2, EntryKind: mint.DSSEV2},
			func(_ *evidence, req *verify.Request) { req.Policy.AcceptLogDSSE = false },
			func(p *verify.Policy) { p.AcceptLogDSSE = true }, verify.CheckLog, reason.LogEntry, "",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := makeEvidence(t, sc.w, tt.spec)
			req := e.request(t, sc.root)
			tt.strict(e, req)
			refused(t, req, tt.check, tt.code)
			for _, other := range tests {
				if other.name == tt.name {
					continue
				}
				req.Policy = strictPolicy(t, e, req)
				tt.strict(e, req)
				other.waive(&req.Policy)
				if r := verify.Verify(req); r.Verified {
					t.Errorf("waiving %s was enough", other.name)
				}
			}
			req.Policy = strictPolicy(t, e, req)
			tt.strict(e, req)
			tt.waive(&req.Policy)
			r := accepted(t, req)
			said := strings.Join(r.NotChecked, "\n")
			for _, c := range r.Candidates[0].Checks {
				said += "\n" + c.Reason
			}
			if !strings.Contains(said, tt.says) {
				t.Errorf("the report does not say that %q was waived:\n%s", tt.says, said)
			}
		})
	}
}

func strictPolicy(t *testing.T, e *evidence, req *verify.Request) verify.Policy {
	return e.request(t, req.Root).Policy
}

// TestWaivedIsStillChecked checks that what is there must be right even where it need not be there.
func TestWaivedIsStillChecked(t *testing.T) {
	sc := newScene(t)
	e := makeEvidence(t, sc.w, world.Spec{Signer: world.Cert, Log: world.LogV1})
	req := e.request(t, sc.root)
	req.Policy.IgnoreLog = true
	r := accepted(t, req)
	if len(r.Candidates[0].Logs) != 1 {
		t.Error("the log entry that is there was not looked at")
	}
	entry(e).Promise = flip(entry(e).Promise)
	refused(t, req, verify.CheckLog, reason.LogEntry)
}

// TestCandidates checks how several candidates make one verdict.
func TestCandidates(t *testing.T) {
	sc := newScene(t)
	good := makeEvidence(t, sc.w, world.Spec{Log: world.LogV1})
	req := good.request(t, sc.root)
	bad := verify.Candidate{Name: "bad", Bundle: makeEvidence(t, sc.w, world.Spec{Log: world.LogV1}).bundle}
	broken := verify.Candidate{Name: "broken"}
	fine := req.Candidates[0]
	for _, order := range [][]verify.Candidate{{fine, bad, broken}, {bad, broken, fine}, {broken, fine, bad}} {
		req.Candidates = order
		r := accepted(t, req)
		if len(r.Candidates) != 3 || len(r.Principals) != 1 {
			t.Errorf("%d candidates, principals %q", len(r.Candidates), r.Principals)
		}
		for i, c := range r.Candidates {
			if c.Name != order[i].Name || c.Verified != (c.Name == fine.Name) {
				t.Errorf("candidate %q: verified %v", c.Name, c.Verified)
			}
		}
	}
	req.Candidates = []verify.Candidate{broken, bad}
	r := refused(t, req, verify.CheckDecode, reason.LogMismatch)
	if r.Nearest != 1 || !strings.Contains(r.Reason, "bad") {
		t.Errorf("nearest %d: %s", r.Nearest, r.Reason)
	}
	// Halves of two candidates do not make a whole.
	noLog := makeEvidence(t, sc.w, world.Spec{Key: good.key})
	req.Candidates = []verify.Candidate{{Name: "unlogged", Bundle: noLog.bundle}, bad}
	if r := verify.Verify(req); r.Verified {
		t.Error("verified by halves")
	}
}

// TestKeyChoice checks which of the policy's keys is taken: the one that signed, whatever the hint says.
func TestKeyChoice(t *testing.T) {
	sc := newScene(t)
	e := makeEvidence(t, sc.w, world.Spec{})
	key := func(name string, of *evidence) trust.Key {
		k, err := trust.NewKey(name, of.pub, algorithm.Unspecified, trust.Window{})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	other := key("other", makeEvidence(t, sc.w, world.Spec{}))
	signer := key("signer", e)
	for _, keys := range [][]trust.Key{{signer}, {signer, other}, {other, signer}, {other, signer, signer}} {
		for _, hint := range []string{"", signer.Hint, other.Hint, "nonsense"} {
			e.bundle.Material.KeyHint = &hint
			req := e.request(t, sc.root)
			req.Policy.Keys = keys
			if r := accepted(t, req); r.Candidates[0].Signer.KeyName != "signer" {
				t.Errorf("taken was %q", r.Candidates[0].Signer.KeyName)
			}
			req.Policy.Keys = slices.DeleteFunc(slices.Clone(keys), func(k trust.Key) bool { return k.Name == "signer" })
			if r := verify.Verify(req); r.Verified {
				t.Error("verified without the signer's key")
			}
		}
	}
}

// TestKeyBesideCertificate covers cosign's older signatures by a key with a certificate for it beside.
func TestKeyBesideCertificate(t *testing.T) {
	sc := newScene(t)
	e := makeEvidence(t, sc.w, world.Spec{Signer: world.Cert, Content: world.SimpleSigning, Log: world.LogV1SET})
	req := e.request(t, sc.root)
	req.Policy.Identities, req.Policy.Keys = nil, []trust.Key{{Name: "key.pub", Public: e.pub}}
	req.Now = e.spec.Time.Add(24 * time.Hour)
	if r := accepted(t, req); r.Candidates[0].Signer.KeyName != "key.pub" {
		t.Errorf("signer %+v", r.Candidates[0].Signer)
	}
	req.Policy.Keys[0].Public = makeEvidence(t, sc.w, world.Spec{}).pub
	refused(t, req, verify.CheckMaterial, reason.WrongMaterial)
}
