package tuf_test

import (
	"context"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/keys"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/trust/revocation"
	"github.com/bulla-sign/bulla/tuf"
)

// What a repository says is revoked comes with its root; if it cannot be read nothing of it is trusted.
func TestRevocations(t *testing.T) {
	s, err := keys.FromSigner(mint.NewKey(t, algorithm.ECDSAP256SHA256))
	if err != nil {
		t.Fatal(err)
	}
	k, err := trust.NewKey("revoker", s.Public(), algorithm.Unspecified, trust.Window{})
	if err != nil {
		t.Fatal(err)
	}
	st, err := revocation.Sign(context.Background(), trust.Revocation{Artifact: strings.Repeat("ab", 32), Reason: "x"}, s)
	if err != nil {
		t.Fatal(err)
	}
	list, err := (&revocation.List{Keys: []trust.Key{k}, Statements: [][]byte{st}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	r := newRepository(t)
	home := t.TempDir()
	if got := refresh(t, r.client(inHome(home))); got.Root.Revocable || got.Revocations() != nil {
		t.Error("there are revocations of nobody")
	}
	r.publish(append(publicTargets(t), tuf.Target{Name: "revocations.v1.json", Data: list})...)
	got := refresh(t, r.client(inHome(home)))
	if len(got.Root.Revocations) != 1 || !got.Root.Revocable || string(got.Revocations()) != string(list) {
		t.Errorf("revocations %+v", got.Root.Revocations)
	}
	cached, err := r.client(fromHome(home)).Cached()
	if err != nil || len(cached.Root.Revocations) != 1 {
		t.Errorf("from the cache: %v", err)
	}
	r.publish(append(publicTargets(t), tuf.Target{Name: "revocations.v1.json", Data: []byte("{}")})...)
	refused(t, r.client(inHome(home)), "revocations.v1.json: revocations: mediaType")
}
