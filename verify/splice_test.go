package verify_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/test/splice"
	"github.com/bulla-sign/bulla/verify"
)

// shape is one kind of evidence, made anew for each side of a splice.
type shape struct {
	name string
	spec world.Spec
	// finish adds what a world's specification cannot say; nil when there is nothing.
	finish func(t testing.TB, sc *scene, w *world.World, e *evidence)
	// demand changes the policy; nil when there is nothing.
	demand func(p *verify.Policy)
}

func (s *shape) make(t testing.TB, sc *scene, w *world.World, spec world.Spec) *evidence {
	t.Helper()
	e := makeEvidence(t, w, spec)
	if e.bundle.Envelope != nil {
		e.bundle.Envelope.Signatures[0].KeyID = hint(t, e.pub)
	}
	if s.finish != nil {
		s.finish(t, sc, w, e)
	}
	return e
}

// shapes are the world's and those that need more hands.
func shapes() []shape {
	var out []shape
	for _, s := range world.Specs() {
		name := s.Name()
		if s.EntryKind != "" {
			name += "/" + s.EntryKind
		}
		out = append(out, shape{name: name, spec: s})
	}
	for _, signer := range []world.Signer{world.Key, world.Cert} {
		name := signer.String()
		out = append(out,
			shape{name: name + "/blob/v1 proof alone", spec: world.Spec{Signer: signer, Log: world.LogV1, Timestamp: true}, finish: proofAlone},
			shape{name: name + "/statement/intoto-0.0.1", spec: world.Spec{
				Signer: signer, Content: world.Statement, Log: world.LogV1, Version: bundle.Cosign, EntryKind: mint.IntotoV1,
			}, finish: withRaw},
			shape{
				name: name + "/blob/two logs, two stamps", spec: world.Spec{Signer: signer, Log: world.LogV1, Timestamp: true},
				finish: twice, demand: func(p *verify.Policy) { p.Logs, p.Timestamps = 2, 2 },
			},
		)
	}
	return append(out,
		shape{name: "cert/simplesigning/detached SCT", spec: world.Spec{
			Signer: world.Cert, Content: world.SimpleSigning, Log: world.LogV1SET, NoSCT: true,
		}, finish: detachedSCT},
		shape{name: "cert/simplesigning/both SCTs", spec: world.Spec{Signer: world.Cert, Content: world.SimpleSigning, Log: world.LogV1}, finish: detachedSCT},
		shape{name: "cert/blob/v0.2 chain", spec: world.Spec{Signer: world.Cert, Log: world.LogV1, Version: bundle.V02}, finish: withChain},
		shape{
			name: "cert/blob/v0.3 chain", spec: world.Spec{Signer: world.Cert, Log: world.LogV1}, finish: withChain,
			demand: func(p *verify.Policy) { p.AllowCertificateChain = true },
		},
	)
}

func proofAlone(_ testing.TB, _ *scene, _ *world.World, e *evidence) {
	e.bundle.Material.Entries[0].Promise = nil
}

func withRaw(_ testing.TB, _ *scene, _ *world.World, e *evidence) {
	e.bundle.Envelope.Raw = rawEnvelope(e.bundle.Envelope)
}

func twice(t testing.TB, sc *scene, _ *world.World, e *evidence) {
	e.logAgain(t, sc.other.V2, mint.HashedRekordV2)
	e.stampAgain(t, sc.other, e.spec.Time.Add(time.Second))
	if e.bundle.Material.Entries[0].LogID == nil || len(e.bundle.Material.Timestamps) != 2 {
		t.Fatal("not made twice")
	}
}

func detachedSCT(t testing.TB, _ *scene, w *world.World, e *evidence) {
	e.bundle.Material.SCT = w.CTLog.Detached(t, e.bundle.Material.Certificates[0], e.spec.Leaf.NotBefore)
}

func withChain(_ testing.TB, _ *scene, w *world.World, e *evidence) {
	m := &e.bundle.Material
	m.Certificates, m.Chain = append(m.Certificates, w.CA.Intermediate.Raw), true
}

// pairing says how the second bundle relates to the first.
type pairing struct {
	name  string
	other func(sc *scene, a *evidence, s *world.Spec) *world.World
}

var otherArtifact = []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{}}`)

func pairings(a world.Spec) []pairing {
	out := []pairing{
		{"other signer, artifact and time", func(sc *scene, _ *evidence, s *world.Spec) *world.World {
			s.Artifact, s.Time = otherArtifact, world.SigningTime.Add(time.Hour)
			s.Leaf.SANs = []identity.SAN{{Kind: identity.Email, Value: "bob@bulla.test"}}
			return sc.other
		}},
		{"same signer and time, other artifact", func(sc *scene, a *evidence, s *world.Spec) *world.World {
			s.Key, s.Artifact = a.key, otherArtifact
			return sc.w
		}},
	}
	if a.Algorithm == algorithm.Unspecified { // signatures of other algorithms may come out the same
		out = append(out, pairing{"same signer and artifact, other time", func(sc *scene, a *evidence, s *world.Spec) *world.World {
			s.Key, s.Time = a.key, world.SigningTime.Add(time.Hour)
			return sc.w
		}})
	}
	return out
}

// matrix runs splices and keeps the books.
type matrix struct {
	scene     *scene
	exercised map[string]int // leaf fields: in how many splices the field differed
	used      map[string]int // rules of unsignedFields
	shapes    int            // that went through
	refused   int
	accepted  int
}

// TestSplice swaps every field and subtree between valid bundles. Each result is refused, or differs from the original
// only in fields that no signature covers, and then the report is the same but for those.
func TestSplice(t *testing.T) {
	testenv.Unwatched(t)
	m := &matrix{scene: newScene(t), exercised: map[string]int{}, used: map[string]int{}}
	all := shapes()
	for i := range all {
		t.Run(all[i].name, func(t *testing.T) {
			m.shape(t, &all[i], all)
			m.shapes++
		})
	}
	if m.shapes < len(all) {
		return // -run chose some, or one failed: the books are not complete
	}
	for _, leaf := range splice.Leaves() {
		if m.exercised[leaf] == 0 {
			t.Errorf("no pair of bundles differs in %s: add a shape that has it", leaf)
		}
	}
	for i := range unsignedFields {
		if m.used[unsignedFields[i].why] == 0 && (soak() || !unsignedFields[i].rare) {
			t.Errorf("nothing needs the exception for %s: %s", unsignedFields[i].field, unsignedFields[i].why)
		}
	}
	t.Logf("%d shapes: %d splices refused, %d accepted under %d exceptions", len(all), m.refused, m.accepted, len(unsignedFields))
}

func (m *matrix) shape(t *testing.T, s *shape, all []shape) {
	a := s.make(t, m.scene, m.scene.w, s.spec)
	for _, p := range pairings(s.spec) {
		spec := s.spec
		w := p.other(m.scene, a, &spec)
		b := s.make(t, m.scene, w, spec)
		if m.scene.w != w {
			b.bundle.MediaType = otherSpelling(b.bundle)
			if b.bundle.Envelope != nil {
				b.bundle.Envelope.PayloadType = "text/plain"
			}
		}
		m.pair(t, p.name, s, a, b)
	}
	if s.spec.Algorithm != algorithm.Unspecified && !soak() {
		return
	}
	// Pieces that this shape does not have, and that it has in another form.
	step := len(all) // one pair
	if soak() {
		step = 1
	}
	for i := len(s.name) % 7; i < len(all); i += step {
		other := &all[len(all)-1-i]
		spec := other.spec
		spec.Artifact, spec.Time = otherArtifact, world.SigningTime.Add(time.Hour)
		m.pair(t, "other shape: "+other.name, s, a, other.make(t, m.scene, m.scene.other, spec))
	}
}

// otherSpelling returns the other media type of the same version.
func otherSpelling(b *bundle.Bundle) string {
	switch b.Version {
	case bundle.V01:
		return "application/vnd.dev.sigstore.bundle.v0.1+json"
	case bundle.V02:
		return "application/vnd.dev.sigstore.bundle.v0.2+json"
	case bundle.V03:
		return "application/vnd.dev.sigstore.bundle+json;version=0.3"
	}
	return b.MediaType
}

func (m *matrix) pair(t *testing.T, how string, s *shape, a, b *evidence) {
	t.Helper()
	request := func(e *evidence) *verify.Request {
		req := e.request(t, m.scene.root)
		if s.demand != nil {
			s.demand(&req.Policy)
		}
		return req
	}
	req := request(a)
	original := accepted(t, req)
	for _, sp := range splice.All(a.bundle, b.bundle) {
		if len(splice.Differences(b.bundle, sp.Bundle)) == 0 && bytes.Equal(a.artifact, b.artifact) {
			continue // nothing of the first is left: this is the second bundle itself, and it is about the artifact
		}
		req.Candidates[0].Bundle = sp.Bundle
		report := verify.Verify(req)
		for _, leaf := range sp.Changed {
			if sp.Kind == splice.Swapped {
				m.exercised[leaf]++
			}
		}
		if !report.Verified {
			m.refused++
			wellRefused(t, report)
			continue
		}
		m.accepted++
		m.mayPass(t, fmt.Sprintf("%s: %s %s", how, sp.Kind, sp.Path), a, sp, original, report)
	}
}

// mayPass checks a spliced bundle that verified against the list of fields that no signature covers.
func (m *matrix) mayPass(t *testing.T, name string, a *evidence, sp splice.Spliced, before, after *verify.Report) {
	t.Helper()
	var masks []func(*verify.Report)
	for _, field := range sp.Changed {
		rule := exception(field, a, sp)
		if rule == nil {
			t.Errorf("%s: verified, and no rule says why a change of %s is harmless", name, field)
			return
		}
		m.used[rule.why]++
		if rule.mask != nil {
			masks = append(masks, rule.mask)
		}
	}
	if diff := cmp.Diff(masked(t, before, masks), masked(t, after, masks)); diff != "" {
		t.Errorf("%s: verified with another report:\n%s", name, diff)
	}
	if !bytes.Equal(before.Candidates[0].Payload, after.Candidates[0].Payload) {
		t.Errorf("%s: verified with another payload", name)
	}
}

// masked returns the report's JSON without what the masks take away.
func masked(t *testing.T, r *verify.Report, masks []func(*verify.Report)) string {
	t.Helper()
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var copied verify.Report
	if err := json.Unmarshal(data, &copied); err != nil {
		t.Fatal(err)
	}
	for _, mask := range masks {
		mask(&copied)
	}
	data, err = json.MarshalIndent(&copied, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
