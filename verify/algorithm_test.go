package verify_test

import (
	"crypto"
	"fmt"
	"net/netip"
	"strings"
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

// TestAlgorithmChoice checks who may say which algorithm it is: key, log entry, user, registry, in this order; and that
// the bundle cannot.
func TestAlgorithmChoice(t *testing.T) {
	sc := newScene(t)
	const bySilence = algorithm.Unspecified
	tests := []struct {
		name   string
		made   algorithm.Details
		log    world.Logged
		stated algorithm.Details // with the key
		hash   crypto.Hash       // of the policy
		ok     bool
		warned bool
	}{
		{"default", algorithm.ECDSAP256SHA256, world.NoLog, bySilence, 0, true, false},
		{"P-384 with SHA-256, as cosign signs", algorithm.ECDSAP384SHA256, world.NoLog, bySilence, 0, true, true},
		{"P-521 with SHA-256, as cosign signs", algorithm.ECDSAP521SHA256, world.NoLog, bySilence, 0, true, true},
		{"P-384 with SHA-256, logged as such", algorithm.ECDSAP384SHA256, world.LogV1, bySilence, 0, true, false},
		{"P-384 with SHA-256, demanded", algorithm.ECDSAP384SHA256, world.NoLog, bySilence, crypto.SHA256, true, false},
		{"P-384 with SHA-256, SHA-384 demanded", algorithm.ECDSAP384SHA256, world.NoLog, bySilence, crypto.SHA384, false, false},
		{"P-384 with SHA-256, SHA-384 stated", algorithm.ECDSAP384SHA256, world.NoLog, algorithm.ECDSAP384SHA384, 0, false, false},
		{"P-384, stated against the user's word", algorithm.ECDSAP384SHA384, world.NoLog, algorithm.ECDSAP384SHA384, crypto.SHA256, true, false},
		{"P-384, logged by v2 against the user's word", algorithm.ECDSAP384SHA384, world.LogV2, bySilence, crypto.SHA256, true, false},
		{"pure Ed25519", algorithm.Ed25519, world.NoLog, bySilence, 0, true, false},
		{"pure Ed25519, logged as rekord", algorithm.Ed25519, world.LogV1, bySilence, 0, true, false},
		{"pure Ed25519 stated", algorithm.Ed25519, world.NoLog, algorithm.Ed25519, 0, true, false},
		{"pure Ed25519, ph stated", algorithm.Ed25519, world.NoLog, algorithm.Ed25519ph, 0, false, false},
		{"Ed25519ph", algorithm.Ed25519ph, world.NoLog, bySilence, 0, true, false},
		{"Ed25519ph, logged", algorithm.Ed25519ph, world.LogV2, bySilence, 0, true, false},
		{"Ed25519ph, pure stated", algorithm.Ed25519ph, world.NoLog, algorithm.Ed25519, 0, false, false},
		{"RSA", algorithm.RSAPKCS1v15x2048SHA256, world.NoLog, bySilence, 0, true, false},
		{"RSA PSS", algorithm.RSAPSSx2048SHA256, world.NoLog, bySilence, 0, true, true},
		{"RSA PSS stated", algorithm.RSAPSSx2048SHA256, world.NoLog, algorithm.RSAPSSx2048SHA256, 0, true, false},
		{"RSA PSS, v1.5 stated", algorithm.RSAPSSx2048SHA256, world.NoLog, algorithm.RSAPKCS1v15x2048SHA256, 0, false, false},
		{"RSA, PSS stated", algorithm.RSAPKCS1v15x2048SHA256, world.NoLog, algorithm.RSAPSSx2048SHA256, 0, false, false},
		{"RSA, another size stated", algorithm.RSAPKCS1v15x2048SHA256, world.NoLog, algorithm.RSAPKCS1v15x3072SHA256, 0, false, false},
	}
	for _, tt := range tests {
		for _, content := range []world.Content{world.Blob, world.Statement} {
			if tt.log == world.LogV1 && content == world.Statement {
				continue // a dsse entry does not say what was signed
			}
			t.Run(tt.name+"/"+content.String(), func(t *testing.T) {
				e := makeEvidence(t, sc.w, world.Spec{Algorithm: tt.made, Log: tt.log, Content: content})
				req := e.request(t, sc.root)
				req.Policy.Keys[0].Details, req.Policy.Hash = tt.stated, tt.hash
				r := verify.Verify(req)
				wellRefused(t, r)
				if r.Verified != tt.ok {
					t.Fatalf("verified %v: %s: %s", r.Verified, r.Code, r.Reason)
				}
				if !tt.ok {
					return
				}
				alg, err := algorithm.ForDetails(tt.made)
				if err != nil {
					t.Fatal(err)
				}
				c := &r.Candidates[0]
				if c.Algorithm != alg.Name() {
					t.Errorf("algorithm %q, want %q", c.Algorithm, alg.Name())
				}
				if warned := len(c.Warnings) > 0; warned != tt.warned {
					t.Errorf("warnings %q", c.Warnings)
				}
			})
		}
	}
}

// TestBundleDoesNotWiden lets the untrusted bundle state another hash than the signature's: it changes nothing.
func TestBundleDoesNotWiden(t *testing.T) {
	sc := newScene(t)
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256} {
		// P-256 with SHA-512 is no algorithm of the registry, whatever messageDigest says.
		e := makeEvidence(t, sc.w, world.Spec{})
		m := e.bundle.Message
		sig, err := e.key.Sign(nil, mint.Sum(crypto.SHA512, e.artifact), crypto.SHA512)
		if err != nil {
			t.Fatal(err)
		}
		m.Signature, m.Hash, m.Digest = sig, h, mint.Sum(h, e.artifact)
		refused(t, e.request(t, sc.root), verify.CheckSignature, reason.Signature)
	}
}

// TestKeyWindow holds a key's window against every source of time (GHSA-wqqc-jjcq-vfxm: it was compared with none).
func TestKeyWindow(t *testing.T) {
	sc := newScene(t)
	start, end := mint.Epoch.Add(time.Hour), mint.Epoch.Add(2*time.Hour)
	windows := map[string]trust.Window{"both": {Start: start, End: end}, "from": {Start: start}, "until": {End: end}}
	for _, log := range []world.Logged{world.NoLog, world.LogV1SET, world.LogV1, world.LogV2} {
		for _, stamped := range []bool{false, true} {
			for at, inside := range map[time.Time][2]bool{ // within a start, within an end
				start.Add(-time.Hour):   {false, true},
				start.Add(-time.Second): {false, true},
				start:                   {true, true},
				start.Add(time.Minute):  {true, true},
				end:                     {true, true},
				end.Add(time.Second):    {true, false},
				end.Add(time.Hour):      {true, false},
			} {
				e := makeEvidence(t, sc.w, world.Spec{Log: log, Timestamp: stamped, Time: at})
				for name, window := range windows {
					req := e.request(t, sc.root)
					req.Policy.Keys[0].Window = window
					if !e.spec.HasTime() {
						req.Now = at // what else there is to hold against the window
					}
					ok := (inside[0] || window.Start.IsZero()) && (inside[1] || window.End.IsZero())
					what := fmt.Sprintf("%v, stamped %v, window %s, at %s", log, stamped, name, at)
					if r := verify.Verify(req); r.Verified != ok {
						t.Errorf("%s: verified %v: %s", what, r.Verified, r.Reason)
					} else if !ok && r.Code != reason.KeyTime {
						t.Errorf("%s: %s", what, r.Code)
					}
				}
			}
		}
	}
}

// TestKeyWindowBetween signs within the window and is stamped after it: every verified time counts.
func TestKeyWindowBetween(t *testing.T) {
	sc := newScene(t)
	e := makeEvidence(t, sc.w, world.Spec{Log: world.LogV1})
	e.stampAgain(t, sc.w, e.spec.Time.Add(time.Hour))
	req := e.request(t, sc.root)
	req.Policy.Keys[0].Window.End = e.spec.Time
	refused(t, req, verify.CheckKeyValidity, reason.KeyTime)
	req.Policy.Keys[0].Window = trust.Window{Start: e.spec.Time, End: e.spec.Time.Add(time.Hour)}
	accepted(t, req)
	req.Policy.Keys[0].Window.Start = e.spec.Time.Add(time.Second)
	refused(t, req, verify.CheckKeyValidity, reason.KeyTime)
}

// TestNames verifies certificates with names of every kind, and with several.
func TestNames(t *testing.T) {
	sc := newScene(t)
	otherKind := map[identity.SANKind]identity.SANKind{
		identity.Email: identity.URI, identity.URI: identity.DNS, identity.DNS: identity.IP, identity.IP: identity.OtherName, identity.OtherName: identity.Email,
	}
	for _, san := range []identity.SAN{
		{Kind: identity.Email, Value: mint.Email},
		{Kind: identity.URI, Value: "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1"},
		{Kind: identity.DNS, Value: "build.bulla.test"},
		{Kind: identity.IP, Value: netip.MustParseAddr("2001:db8::1").String()},
		{Kind: identity.IP, Value: "192.0.2.7"},
		{Kind: identity.OtherName, Value: "alice!bulla.test"},
	} {
		for _, sans := range [][]identity.SAN{{san}, {{Kind: identity.DNS, Value: "first.bulla.test"}, san}, {san, {Kind: identity.DNS, Value: "last.bulla.test"}}} {
			e := makeEvidence(t, sc.w, world.Spec{Signer: world.Cert, Log: world.LogV2, Timestamp: true, Leaf: mint.LeafOptions{SANs: sans}})
			req := e.request(t, sc.root)
			match := func(value string, kind identity.SANKind) []identity.Matcher {
				name, err := identity.Exact(value)
				if err != nil {
					t.Fatal(err)
				}
				m, err := identity.NewMatcher(identity.MatcherOptions{SAN: name, SANKind: kind})
				if err != nil {
					t.Fatal(err)
				}
				return []identity.Matcher{m}
			}
			for _, kind := range []identity.SANKind{0, san.Kind} {
				req.Policy.Identities = match(san.Value, kind)
				r := accepted(t, req)
				if got := r.Candidates[0].Signer.Subjects; len(got) != len(sans) || !strings.Contains(strings.Join(got, " "), san.Value) {
					t.Errorf("subjects %q", got)
				}
			}
			req.Policy.Identities = match(san.Value, otherKind[san.Kind])
			refused(t, req, verify.CheckIdentity, reason.Identity)
			req.Policy.Identities = match(san.Value+"x", 0)
			refused(t, req, verify.CheckIdentity, reason.Identity)
		}
	}
}

// TestDetachedSCT verifies certificates whose only timestamp came beside them, as in cosign's older formats.
func TestDetachedSCT(t *testing.T) {
	sc := newScene(t)
	e := makeEvidence(t, sc.w, world.Spec{Signer: world.Cert, Content: world.SimpleSigning, Log: world.LogV1SET, NoSCT: true})
	req := e.request(t, sc.root)
	refused(t, req, verify.CheckSCT, reason.NoSCT)
	leaf := e.bundle.Material.Certificates[0]
	for _, form := range [][]byte{sc.w.CTLog.Detached(t, leaf, e.spec.Time), sc.w.CTLog.SignCertificate(t, leaf, e.spec.Time)} {
		e.bundle.Material.SCT = form
		accepted(t, req)
	}
	e.bundle.Material.SCT = mint.NewCTLog(t, nil).Detached(t, leaf, e.spec.Time)
	refused(t, req, verify.CheckSCT, reason.NoSCT)
	e.bundle.Material.SCT = []byte("{}")
	refused(t, req, verify.CheckSCT, reason.SCT)
	// A Sigstore bundle has no place for it.
	s := e.spec
	s.Content, s.Version, s.Log = world.Blob, bundle.V03, world.LogV1
	other := makeEvidence(t, sc.w, s)
	other.bundle.Material.SCT = sc.w.CTLog.Detached(t, other.bundle.Material.Certificates[0], e.spec.Time)
	refused(t, other.request(t, sc.root), verify.CheckStructure, reason.Malformed)
}

// TestIntotoWithoutSignature is about intoto/0.0.1, whose entries name the envelope's hash and no signature.
func TestIntotoWithoutSignature(t *testing.T) {
	sc := newScene(t)
	for _, signer := range []world.Signer{world.Key, world.Cert} {
		spec := world.Spec{Signer: signer, Content: world.Statement, Log: world.LogV1, Version: bundle.Cosign, EntryKind: mint.IntotoV1}
		e := makeEvidence(t, sc.w, spec)
		req := e.request(t, sc.root)
		env := e.bundle.Envelope
		refused(t, req, verify.CheckLog, reason.LogMismatch) // nothing to hold the hash against
		env.Raw = rawEnvelope(env)
		accepted(t, req)
		env.Raw = append(env.Raw, ' ')
		refused(t, req, verify.CheckLog, reason.LogMismatch)

		// An envelope that was never logged, with the bytes and the entry of one that was.
		spec.Key, spec.Artifact = e.key, otherArtifact
		spec.Leaf = mint.LeafOptions{NotBefore: e.spec.Leaf.NotBefore}
		evil := makeEvidence(t, sc.w, spec)
		evil.bundle.Material = e.bundle.Material
		evil.bundle.Envelope.Raw = rawEnvelope(env)
		refused(t, evil.request(t, sc.root), verify.CheckLog, reason.LogMismatch)

		// The same envelope, logged by another's key or certificate.
		stolen := mint.Signed{Message: env.Payload, PayloadType: env.PayloadType, Signature: env.Signatures[0].Sig, Public: mint.NewKey(t, algorithm.ECDSAP256SHA256).Public()}
		e.bundle.Material.Entries = []tlog.Entry{sc.w.V1.Add(t, mint.IntotoV1, mint.Body(t, mint.IntotoV1, stolen), e.spec.Time)}
		env.Raw = rawEnvelope(env)
		refused(t, req, verify.CheckLog, reason.LogMismatch)
	}
}
