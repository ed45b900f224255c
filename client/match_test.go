package client

import (
	"crypto"
	"errors"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/tlog"
)

// An entry is what was asked for when all of it is: a log that lies, or was lied to, can hold a signature beside another
// digest or another key than those it was made with.
func TestMatch(t *testing.T) {
	signature := tlog.BodySignature{Signature: []byte("signature"), PublicKey: []byte("key")}
	certified := tlog.BodySignature{Signature: []byte("signature"), Certificate: []byte("certificate")}
	digest := tlog.Digest{Hash: crypto.SHA256, Sum: []byte("digest")}
	body := func(of tlog.BodySignature) *tlog.Body {
		return &tlog.Body{Subject: tlog.Artifact, Digests: []tlog.Digest{digest}, Signatures: []tlog.BodySignature{of}}
	}
	for _, of := range []tlog.BodySignature{signature, certified} {
		want := &expected{subject: tlog.Artifact, digests: []tlog.Digest{{Hash: crypto.SHA512, Sum: []byte("other")}, digest}, signature: of}
		if err := want.match(body(of)); err != nil {
			t.Errorf("what was asked for: %v", err)
		}
		for _, c := range []struct {
			name, says string
			edit       func(b *tlog.Body)
		}{
			{"the payload of an envelope", "other content", func(b *tlog.Body) { b.Subject = tlog.Payload }},
			{"another digest", "other content", func(b *tlog.Body) { b.Digests[0].Sum = []byte("digest of something else") }},
			{"another hash", "other content", func(b *tlog.Body) { b.Digests[0].Hash = crypto.SHA384 }},
			{"no digest", "other content", func(b *tlog.Body) { b.Digests = nil }},
			{"two digests", "other content", func(b *tlog.Body) { b.Digests = append(b.Digests, digest) }},
			{"another signature", "another signature", func(b *tlog.Body) { b.Signatures[0].Signature = []byte("another") }},
			{"no signature", "another signature", func(b *tlog.Body) { b.Signatures = nil }},
			{"two signatures", "another signature", func(b *tlog.Body) { b.Signatures = append(b.Signatures, signature) }},
			{"another key", "another signer", func(b *tlog.Body) { b.Signatures[0].PublicKey = []byte("another") }},
			{"another certificate", "another signer", func(b *tlog.Body) { b.Signatures[0].Certificate = []byte("another") }},
		} {
			b := body(of)
			c.edit(b)
			if err := want.match(b); !errors.Is(err, ErrAnswer) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: got %v, want %q", c.name, err, c.says)
			}
		}
	}
}
