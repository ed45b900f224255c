package verify_test

import (
	"bytes"
	"crypto"
	"fmt"
	"slices"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
)

// stream is a message that was hashed once, with what Needs listed, and then is gone.
type stream struct {
	needs   []verify.HashNeed
	content []byte
	missed  []string
}

func (s *stream) Digest(h crypto.Hash, prefix []byte) ([]byte, error) {
	for _, n := range s.needs {
		if n.Hash == h && bytes.Equal(n.Prefix, prefix) {
			return mint.Sum(h, slices.Concat(prefix, s.content)), nil
		}
	}
	s.missed = append(s.missed, fmt.Sprintf("%v with a prefix of %d bytes", h, len(prefix)))
	return nil, algorithm.ErrDigestUnavailable
}

// fromStream replaces the artifact by a stream that answers only what Needs lists.
func fromStream(t *testing.T, req *verify.Request, content []byte) *stream {
	t.Helper()
	s := &stream{needs: verify.Needs(req.Candidates, &req.Policy), content: content}
	if len(s.needs) == 0 || s.needs[0].Hash != crypto.SHA256 || s.needs[0].Prefix != nil {
		t.Errorf("needs %v, want SHA-256 first", s.needs)
	}
	req.Artifact.Message = s
	return s
}

// TestNeeds verifies every kind of evidence from streams.
func TestNeeds(t *testing.T) {
	sc := newScene(t)
	strangers := []trust.Key{
		{Name: "P-521", Public: mint.NewKey(t, algorithm.ECDSAP521SHA512).Public()},
		{Name: "Ed25519", Public: mint.NewKey(t, algorithm.Ed25519).Public()},
	}
	all := shapes()
	for i := range all {
		shape := &all[i]
		t.Run(shape.name, func(t *testing.T) {
			e := shape.make(t, sc, sc.w, shape.spec)
			req := e.request(t, sc.root)
			if shape.demand != nil {
				shape.demand(&req.Policy)
			}
			s := fromStream(t, req, e.artifact)
			accepted(t, req)
			if len(s.missed) > 0 {
				t.Errorf("asked for %v, which Needs did not list", s.missed)
			}
			if e.spec.Signer == world.Cert {
				return
			}
			req.Policy.Keys = append(slices.Clone(strangers), req.Policy.Keys...)
			s = fromStream(t, req, e.artifact)
			accepted(t, req)
			if len(s.missed) > 0 {
				t.Errorf("with several keys: asked for %v, which Needs did not list", s.missed)
			}
		})
	}
}

// TestNeedsOfPolicy checks that what the policy and the key state is listed too.
func TestNeedsOfPolicy(t *testing.T) {
	sc := newScene(t)
	for _, tt := range []struct {
		details algorithm.Details
		hash    crypto.Hash // demanded by the policy
		stated  bool        // with the key
	}{
		{algorithm.ECDSAP384SHA256, crypto.SHA256, false},
		{algorithm.ECDSAP384SHA384, crypto.SHA384, false},
		{algorithm.ECDSAP521SHA512, crypto.SHA512, false},
		{algorithm.Ed25519ph, crypto.SHA512, false},
		{algorithm.Ed25519, 0, true},
		{algorithm.Ed25519ph, 0, true},
		{algorithm.ECDSAP521SHA256, 0, true},
		{algorithm.RSAPSSx2048SHA256, 0, true},
	} {
		e := makeEvidence(t, sc.w, world.Spec{Algorithm: tt.details})
		e.bundle.Message.Hash, e.bundle.Message.Digest = 0, nil // nothing but the policy says it
		req := e.request(t, sc.root)
		req.Policy.Hash = tt.hash
		if tt.stated {
			req.Policy.Keys[0].Details = tt.details
		}
		s := fromStream(t, req, e.artifact)
		accepted(t, req)
		if len(s.missed) > 0 {
			t.Errorf("%v: asked for %v, which Needs did not list", tt.details, s.missed)
		}
	}
	// Candidates that are nothing need nothing, and do not break the list.
	if needs := verify.Needs([]verify.Candidate{{}, {Name: "x"}}, &verify.Policy{}); len(needs) != 1 {
		t.Errorf("needs %v", needs)
	}
}
