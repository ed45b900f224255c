package sign_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/tlog"
	"github.com/bulla-sign/bulla/trust"
)

// neverLogger must not be asked.
type neverLogger struct{ t *testing.T }

func (l neverLogger) Log(context.Context, *sign.Signature) (*tlog.Entry, error) {
	l.t.Error("the log was asked")
	return nil, errors.New("asked")
}

// What is not a deferred signature is not logged.
func TestLogRefuses(t *testing.T) {
	key := signer(t, algorithm.ECDSAP256SHA256)
	artifact := algorithm.Bytes(artifact)
	opts := sign.Options{Signer: key, Loggers: []sign.Logger{neverLogger{t}}, Defer: true}
	made, err := sign.Blob(t.Context(), artifact, opts)
	if err != nil {
		t.Fatal(err)
	}
	alg, err := opts.ChosenAlgorithm()
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(o *sign.Options, b *bundle.Bundle){
		"there is no log":                            func(o *sign.Options, _ *bundle.Bundle) { o.Loggers = nil },
		"no log to enter":                            func(o *sign.Options, _ *bundle.Bundle) { o.Defer = true },
		"is logged already":                          func(_ *sign.Options, b *bundle.Bundle) { b.Material.Entries = make([]tlog.Entry, 1) },
		"holds no signature":                         func(_ *sign.Options, b *bundle.Bundle) { b.Message = nil },
		"does not verify, and was not logged":        func(o *sign.Options, _ *bundle.Bundle) { o.Signer = signer(t, algorithm.ECDSAP256SHA256) },
		"the signature does not verify, and was not": func(_ *sign.Options, b *bundle.Bundle) { m := *b.Message; m.Signature = []byte("x"); b.Message = &m },
	} {
		o, b := opts, *made
		o.Defer, o.Algorithm = false, alg
		change(&o, &b)
		if _, err := sign.Log(t.Context(), &b, artifact, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// What is written in another form is verified in that form.
func TestCheckRefuses(t *testing.T) {
	opts := sign.Options{Signer: signer(t, algorithm.ECDSAP256SHA256), Now: now}
	b, err := sign.Blob(t.Context(), algorithm.Bytes(artifact), opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := sign.Check(b, algorithm.Bytes(artifact), opts); err != nil {
		t.Error(err)
	}
	if err := sign.Check(b, algorithm.Bytes([]byte("another")), opts); err == nil {
		t.Error("a signature of something else was taken")
	}
	other := opts
	other.Signer = signer(t, algorithm.ECDSAP256SHA256)
	if err := sign.Check(b, algorithm.Bytes(artifact), other); err == nil {
		t.Error("a signature by another key was taken")
	}
}

// What the verifier would refuse does not become public first: what is revoked now, and what no authority of the root vouches
// for. What is revoked from a later time on is logged.
func TestRefusedBeforeTheLog(t *testing.T) {
	w := world.New(t)
	at := func() time.Time { return now }
	key := signer(t, algorithm.ECDSAP256SHA256)
	der, err := algorithm.MarshalPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	revokedKey := trust.Revocation{Key: fmt.Sprintf("%x", sha256.Sum256(der)), Reason: "stolen", By: "us"}
	revokedArtifact := trust.Revocation{Artifact: fmt.Sprintf("%x", sha256.Sum256(artifact)), Reason: "bad", By: "us"}
	options := func(root *trust.Root, revoked ...trust.Revocation) sign.Options {
		root.Revocations = revoked
		return sign.Options{Signer: key, Root: root, Now: now, Loggers: []sign.Logger{neverLogger{t}}}
	}
	session := sign.Session{Authority: &authority{t: t, w: w, at: at}, Identity: shown, Now: at}
	keyless := options(w.Root(t), revokedArtifact)
	keyless.Timestampers = []sign.Timestamper{stamping{t, w, at}}
	if err := session.Use(t.Context(), &keyless); err != nil {
		t.Fatal(err)
	}
	foreign := keyless
	foreign.Root = world.New(t).Root(t)
	for name, o := range map[string]sign.Options{
		"a revoked key": options(w.Root(t), revokedKey), "a revoked artifact": options(w.Root(t), revokedArtifact),
		"a revoked artifact, keyless": keyless, "a foreign authority": foreign,
	} {
		for _, c := range contents() {
			if b, err := c.sign(t, artifact, algorithm.Bytes(artifact), o); b != nil || err == nil || !strings.Contains(err.Error(), "nothing was written or logged") {
				t.Errorf("%s, %s: %v", name, c.name, err)
			}
		}
	}
	later := revokedKey
	later.From = now.Add(time.Hour)
	o := options(w.Root(t), later)
	asked := false
	o.Loggers = []sign.Logger{askedLogger{&asked}}
	if _, err := sign.Blob(t.Context(), algorithm.Bytes(artifact), o); err == nil || !asked {
		t.Errorf("what is revoked later was not to be logged: %v", err)
	}
}

// askedLogger notes that it was asked.
type askedLogger struct{ asked *bool }

func (l askedLogger) Log(context.Context, *sign.Signature) (*tlog.Entry, error) {
	*l.asked = true
	return nil, errors.New("asked")
}
