package sign_test

import (
	"errors"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/sign"
)

// A session goes on with the certificate of an earlier one, and with that of its own key only.
func TestResumeRefuses(t *testing.T) {
	s := sign.Session{}
	key := signer(t, algorithm.ECDSAP256SHA256)
	if err := s.Resume(key, nil); err == nil {
		t.Error("no certificate was taken for one")
	}
	if err := s.Resume(key, [][]byte{{0x30}}); err == nil {
		t.Error("what is no certificate was taken for one")
	}
	w, clock := world.New(t), func() time.Time { return now }
	ca := &authority{t: t, w: w, at: clock}
	certify := func(k sign.Signer) [][]byte {
		id, _ := shown(t.Context())
		chain, err := ca.Certify(t.Context(), id, k)
		if err != nil {
			t.Fatal(err)
		}
		return chain
	}
	chain := certify(signer(t, algorithm.ECDSAP256SHA256))
	if err := s.Resume(key, chain); !errors.Is(err, sign.ErrOtherKey) {
		t.Errorf("another key's certificate: %v", err)
	}
	if cert, _ := s.Certificate(); cert != nil {
		t.Error("a refused certificate is in use")
	}
	s2 := &sign.Session{Authority: ca, Identity: shown, Now: clock}
	if err := s2.Resume(key, certify(key)); err != nil {
		t.Fatal(err)
	}
	_, until := s2.Certificate()
	for at, want := range map[time.Time]error{until.Add(time.Second): sign.ErrEnding, until.Add(-time.Second): sign.ErrEnding, until.Add(-3 * time.Minute): nil} {
		late := &sign.Session{Now: func() time.Time { return at }}
		if err := late.Resume(key, certify(key)); !errors.Is(err, want) {
			t.Errorf("%s before it ends: %v", until.Sub(at), err)
		}
		if cert, _ := late.Certificate(); (cert == nil) != (want != nil) {
			t.Errorf("%s before it ends the certificate is in use, or not", until.Sub(at))
		}
	}
	o := sign.Options{Root: w.Root(t), Clock: clock, Timestampers: []sign.Timestamper{stamping{t, w, clock}}}
	before := ca.issued
	if err := s2.Use(t.Context(), &o); err != nil || o.Signer != sign.Signer(key) || ca.issued != before {
		t.Errorf("resumed: %v, %d certificates more", err, ca.issued-before)
	}
}
