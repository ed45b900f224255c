package sign_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/verify"
)

// authority is a certificate authority without a wire.
type authority struct {
	t      *testing.T
	w      *world.World
	at     func() time.Time
	leaf   mint.LeafOptions
	issued int
	err    error
	empty  bool
}

func (a *authority) Certify(_ context.Context, id sign.Identity, key sign.Signer) ([][]byte, error) {
	if id.Token != "token" || id.Challenge != mint.Email {
		a.t.Errorf("shown %+v", id)
	}
	if a.err != nil || a.empty {
		return nil, a.err
	}
	a.issued++
	leaf := a.leaf
	leaf.Public, leaf.NotBefore = key.Public(), a.at()
	if leaf.CTLogs == nil {
		leaf.CTLogs = []*mint.CTLog{a.w.CTLog}
	}
	return [][]byte{a.w.CA.Issue(a.t, leaf), a.w.CA.Intermediate.Raw, a.w.CA.Root.Raw}, nil
}

func shown(context.Context) (sign.Identity, error) {
	return sign.Identity{Token: "token", Challenge: mint.Email}, nil
}

func TestSession(t *testing.T) {
	w := world.New(t)
	clock := now
	ca := &authority{t: t, w: w, at: func() time.Time { return clock }}
	s := &sign.Session{Authority: ca, Identity: shown, Now: ca.at}
	if cert, _ := s.Certificate(); cert != nil {
		t.Error("a certificate before there is one")
	}
	o := sign.Options{Root: w.Root(t), Clock: ca.at, Timestampers: []sign.Timestamper{stamping{t, w, ca.at}}}
	if err := s.Prepare(&o); err != nil || o.Signer == nil || ca.issued != 0 {
		t.Fatalf("prepared: %v, %d certificates", err, ca.issued)
	}
	first := o.Signer
	for range 3 {
		if err := s.Use(context.Background(), &o); err != nil {
			t.Fatal(err)
		}
		for _, c := range contents() {
			b, err := c.sign(t, artifact, algorithm.Bytes(artifact), o)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			// A Sigstore bundle holds the leaf alone; the older formats what is below the root.
			if want := map[bool]int{true: 1, false: 2}[b.Version != 0 && c.name != "simple signing"]; len(b.Material.Certificates) != want {
				t.Errorf("%s: %d certificates", c.name, len(b.Material.Certificates))
			}
		}
	}
	if ca.issued != 1 || o.Signer != first {
		t.Errorf("%d certificates for one session", ca.issued)
	}
	clock = clock.Add(8*time.Minute + time.Second) // two minutes are left, less a second
	if err := s.Use(context.Background(), &o); err != nil || ca.issued != 2 || o.Signer == first {
		t.Errorf("near its end: %v, %d certificates, the same key %v", err, ca.issued, o.Signer == first)
	}
	if _, err := sign.Blob(context.Background(), algorithm.Bytes(artifact), o); err != nil {
		t.Error(err)
	}
	if cert, until := s.Certificate(); string(cert) != string(o.Certificates[0]) || !until.Equal(clock.Truncate(time.Second).Add(10*time.Minute)) {
		t.Errorf("the certificate in use ends at %s", until)
	}
}

// A certificate that lives for less than what others must have left serves many signatures, too.
func TestSessionOfShortCertificates(t *testing.T) {
	w := world.New(t)
	clock := now
	ca := &authority{t: t, w: w, at: func() time.Time { return clock }}
	ca.leaf.NotAfter = clock.Add(time.Minute)
	s := &sign.Session{Authority: ca, Identity: shown, Now: ca.at}
	o := sign.Options{Root: w.Root(t), Clock: ca.at, Timestampers: []sign.Timestamper{stamping{t, w, ca.at}}}
	for i, after := range []time.Duration{0, 40 * time.Second, 10 * time.Second} {
		clock = clock.Add(after)
		ca.leaf.NotAfter = clock.Add(time.Minute)
		if err := s.Use(context.Background(), &o); err != nil || ca.issued != i/2+1 {
			t.Errorf("use %d: %v, %d certificates", i, err, ca.issued)
		}
	}
}

// stamping is a timestamp authority with a clock.
type stamping struct {
	t  *testing.T
	w  *world.World
	at func() time.Time
}

func (s stamping) Timestamp(_ context.Context, signature []byte) ([]byte, error) {
	return s.w.Stamp(s.t, signature, s.at()), nil
}

func TestSessionWithKey(t *testing.T) {
	w := world.New(t)
	at := func() time.Time { return now }
	key := signer(t, algorithm.ECDSAP384SHA384)
	s := &sign.Session{Authority: &authority{t: t, w: w, at: at}, Identity: shown, Key: key, Now: at}
	o := sign.Options{Root: w.Root(t), Now: now, Timestampers: []sign.Timestamper{stamping{t, w, at}}}
	if err := s.Use(context.Background(), &o); err != nil || o.Signer != sign.Signer(key) {
		t.Fatal(err)
	}
	if _, err := sign.Blob(context.Background(), algorithm.Bytes(artifact), o); err != nil {
		t.Error(err)
	}
}

func TestSessionRefusals(t *testing.T) {
	w := world.New(t)
	at := func() time.Time { return now }
	stamper := []sign.Timestamper{stamping{t, w, at}}
	lost := errors.New("no token")
	for name, c := range map[string]struct {
		ca       authority
		identity func(context.Context) (sign.Identity, error)
		stampers []sign.Timestamper
		want     string
		is       error
	}{
		"nothing states the time": {identity: shown, is: sign.ErrUntimed},
		"no token":                {identity: func(context.Context) (sign.Identity, error) { return sign.Identity{}, lost }, stampers: stamper, is: lost},
		"refused":                 {ca: authority{err: lost}, identity: shown, stampers: stamper, is: lost},
		"nothing came":            {ca: authority{empty: true}, identity: shown, stampers: stamper, want: "returned no certificate"},
		"over already":            {ca: authority{leaf: mint.LeafOptions{NotAfter: now.Add(-time.Second)}}, identity: shown, stampers: stamper, want: "is the clock right?"},
	} {
		c.ca.t, c.ca.w, c.ca.at = t, w, at
		s := &sign.Session{Authority: &c.ca, Identity: c.identity, Now: at}
		o := sign.Options{Timestampers: c.stampers}
		err := s.Use(context.Background(), &o)
		if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) || o.Certificates != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A log that states no time is none to rely on, one that does is.
	s := &sign.Session{Authority: &authority{t: t, w: w, at: at}, Identity: shown, Now: at}
	if err := s.Prepare(&sign.Options{Loggers: []sign.Logger{logger{}}}); !errors.Is(err, sign.ErrUntimed) {
		t.Errorf("a log without time: %v", err)
	}
	if err := s.Prepare(&sign.Options{Loggers: []sign.Logger{keeper{}}}); err != nil {
		t.Errorf("a log with time: %v", err)
	}
}

type keeper struct{ logger }

func (keeper) StatesTime() bool { return true }

// What verifiers would refuse is not written: a certificate without SCT, of a foreign authority, one that is over.
func TestShortLivedIsVerified(t *testing.T) {
	w, stranger := world.New(t), world.New(t)
	at := func() time.Time { return now }
	for name, c := range map[string]struct {
		ca   authority
		root *world.World
	}{
		"foreign SCT":       {authority{leaf: mint.LeafOptions{CTLogs: []*mint.CTLog{stranger.CTLog}}}, w},
		"foreign authority": {authority{}, stranger},
	} {
		c.ca.t, c.ca.w, c.ca.at = t, w, at
		s := &sign.Session{Authority: &c.ca, Identity: shown, Now: at}
		o := sign.Options{Root: c.root.Root(t), Now: now, Timestampers: []sign.Timestamper{stamping{t, w, at}}}
		if err := s.Use(context.Background(), &o); err != nil {
			t.Fatal(err)
		}
		var refused *verify.Error
		if b, err := sign.Blob(context.Background(), algorithm.Bytes(artifact), o); b != nil || !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The timestamp lies outside the certificate's life.
	s := &sign.Session{Authority: &authority{t: t, w: w, at: at}, Identity: shown, Now: at}
	o := sign.Options{Root: w.Root(t), Now: now, Timestampers: []sign.Timestamper{stamping{t, w, func() time.Time { return now.Add(-time.Hour) }}}}
	if err := s.Use(context.Background(), &o); err != nil {
		t.Fatal(err)
	}
	if _, err := sign.Blob(context.Background(), algorithm.Bytes(artifact), o); err == nil {
		t.Error("a timestamp from before the certificate was accepted")
	}
}
