package main

import (
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/world"
)

// Every log entry and timestamp must be of the signature in the bundle.
func TestConsistent(t *testing.T) {
	w := world.New(t)
	for _, tt := range []struct {
		name string
		spec world.Spec
		want string
	}{
		{"hashedrekord", world.Spec{Log: world.LogV1SET}, ""},
		{"dsse", world.Spec{Log: world.LogV1SET, Content: world.Statement}, ""},
		{"intoto 0.0.2", world.Spec{Log: world.LogV1SET, Content: world.Statement, EntryKind: mint.IntotoV2}, ""},
		{"intoto 0.0.1", world.Spec{Log: world.LogV1SET, Content: world.Statement, EntryKind: mint.IntotoV1}, "kind intoto 0.0.1, which cannot be tied"},
		{"timestamp", world.Spec{Timestamp: true}, ""},
	} {
		b, _, _ := w.Bundle(t, tt.spec)
		if err := consistent(b); (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		// The same evidence beside another signature.
		other, _, _ := w.Bundle(t, tt.spec)
		other.Material = b.Material
		if err := consistent(other); err == nil {
			t.Errorf("%s: evidence of another signature is accepted", tt.name)
		}
	}
}
