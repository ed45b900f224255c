package differential

import (
	"crypto"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
)

// subject is bulla's verifier, set up with the same demands as the oracle.
type subject struct {
	roots map[string]*trust.Root
	now   time.Time
}

func newSubject() *subject { return &subject{roots: map[string]*trust.Root{}, now: time.Now()} }

func (s *subject) load(t testing.TB, v *vector) {
	t.Helper()
	if s.roots[v.root] != nil {
		return
	}
	r, err := trust.DecodeRoot(read(t, v.root))
	if err != nil {
		t.Fatalf("bulla reads %s: %v", v.root, err)
	}
	s.roots[v.root] = r
}

// judge says what bulla makes of a bundle in the place of the vector's own. A panic is not caught: it fails the test.
func (s *subject) judge(t testing.TB, v *vector, data []byte) verdict {
	t.Helper()
	b, err := bundle.Decode(data)
	r := verify.Verify(&verify.Request{
		Candidates: []verify.Candidate{{Name: v.name, Bundle: b, Err: err}},
		Artifact:   verify.Artifact{Name: v.name, Message: v.message()},
		Root:       s.roots[v.root],
		Policy:     v.policy(t),
		Now:        s.now,
	})
	if !r.Verified && (r.Reason == "" || r.Code == "") {
		t.Fatalf("%s: refused without a reason", v.name)
	}
	return verdict{accepted: r.Verified, code: string(r.Code), why: r.Reason}
}

func (v *vector) message() algorithm.Message {
	if v.artifact != nil {
		return algorithm.Bytes(v.artifact)
	}
	return algorithm.Precomputed(crypto.SHA256, v.digest)
}

func (v *vector) policy(t testing.TB) verify.Policy {
	t.Helper()
	p := verify.Policy{Claims: verify.Claims{Message: true, AnyPredicate: true}}
	if v.key != nil {
		pub, err := algorithm.ParsePublicKeyPEM(v.key)
		if err != nil {
			t.Fatal(err)
		}
		p.Keys = []trust.Key{{Name: "key", Public: pub}}
		return p
	}
	san, err := identity.Exact(v.identity)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := identity.Exact(v.issuer)
	if err != nil {
		t.Fatal(err)
	}
	m, err := identity.NewMatcher(identity.MatcherOptions{SAN: san, Issuer: issuer})
	if err != nil {
		t.Fatal(err)
	}
	p.Identities = []identity.Matcher{m}
	return p
}
