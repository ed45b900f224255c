package sign_test

import (
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/sign"
)

// Every log and every authority that was asked must have been heard: one that verifiers do not know is not made up for by
// another that they do.
func TestEveryServiceCounts(t *testing.T) {
	w, stranger := world.New(t), world.New(t)
	root := w.Root(t)
	root.TSAs = append(root.TSAs, world.New(t).Root(t).TSAs...) // one more, who is not asked
	same := func(sig []byte) []byte { return sig }
	for _, c := range []struct {
		name    string
		logs    []sign.Logger
		stamps  []sign.Timestamper
		refused bool
	}{
		{"a log and an authority", []sign.Logger{honest{t, w.V2}}, []sign.Timestamper{stamper{t, w, same}}, false},
		{"a stranger's log beside", []sign.Logger{honest{t, w.V2}, honest{t, stranger.V2}}, nil, true},
		{"a stranger's timestamp beside", nil, []sign.Timestamper{stamper{t, w, same}, stamper{t, stranger, same}}, true},
	} {
		o := sign.Options{Signer: signer(t, algorithm.ECDSAP256SHA256), Root: root, Now: now, Loggers: c.logs, Timestampers: c.stamps}
		b, err := sign.Blob(t.Context(), algorithm.Bytes(artifact), o)
		if (err != nil) != c.refused || (b == nil) != c.refused {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// What a log returns for a signature that waited is verified as what it returns at once.
func TestLoggedLaterIsVerified(t *testing.T) {
	w := world.New(t)
	o := sign.Options{Signer: signer(t, algorithm.ECDSAP256SHA256), Root: w.Root(t), Now: now, Loggers: []sign.Logger{neverLogger{t}}, Defer: true}
	waiting, err := sign.Blob(t.Context(), algorithm.Bytes(artifact), o)
	if err != nil {
		t.Fatal(err)
	}
	if o.Algorithm, err = o.ChosenAlgorithm(); err != nil {
		t.Fatal(err)
	}
	o.Defer = false
	o.Loggers = []sign.Logger{honest{t, world.New(t).V2}}
	if b, err := sign.Log(t.Context(), waiting, algorithm.Bytes(artifact), o); b != nil || err == nil || !strings.Contains(err.Error(), "the logged signature does not verify") {
		t.Errorf("an entry of a foreign log: %v", err)
	}
	other, _, _ := w.Bundle(t, world.Spec{Log: world.LogV1})
	o.Loggers = []sign.Logger{logger{&other.Material.Entries[0]}}
	if b, err := sign.Log(t.Context(), waiting, algorithm.Bytes(artifact), o); b != nil || err == nil {
		t.Errorf("the entry of another signature: %v", err)
	}
	if len(waiting.Material.Entries) != 0 {
		t.Error("what waits was changed")
	}
	o.Loggers = []sign.Logger{honest{t, w.V2}}
	if b, err := sign.Log(t.Context(), waiting, algorithm.Bytes(artifact), o); err != nil || len(b.Material.Entries) != 1 {
		t.Errorf("a good entry: %v", err)
	}
}
