package sign_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/tlog"
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
