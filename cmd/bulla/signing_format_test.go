package main

import (
	"crypto/ecdsa"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/keys"
	"github.com/bulla-sign/bulla/sign"
)

// The older forms are verified as they read back: one that does not hold is not handed out.
func TestOlderFormsAreChecked(t *testing.T) {
	signer, err := keys.FromSigner(mint.NewKey(t, algorithm.ECDSAP256SHA256).(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	o := sign.Options{Signer: signer, Now: mint.Epoch}
	artifact := algorithm.Bytes([]byte("hello\n"))
	blob, err := sign.Blob(t.Context(), artifact, o)
	if err != nil {
		t.Fatal(err)
	}
	statement := []byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"}}],"predicateType":"https://example.com/p","predicate":{}}`)
	stated, err := sign.Statement(t.Context(), statement, artifact, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := olderBlob(blob, artifact, &o); err != nil {
		t.Error(err)
	}
	if _, err := olderLayer(stated, artifact, &o); err != nil {
		t.Error(err)
	}
	message, envelope := *blob.Message, *stated.Envelope
	message.Signature = append([]byte{}, message.Signature...)
	message.Signature[len(message.Signature)-1] ^= 1
	envelope.Payload = append([]byte{}, envelope.Payload...)
	envelope.Payload = append(envelope.Payload, ' ')
	spoiled, changed := *blob, *stated
	spoiled.Message, changed.Envelope = &message, &envelope
	const want = "does not verify in the older format, and nothing was written"
	if _, err := olderBlob(&spoiled, artifact, &o); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a spoiled signature: %v", err)
	}
	if _, err := olderLayer(&changed, artifact, &o); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a changed statement: %v", err)
	}
	several := *blob
	several.Material = bundle.Material{KeyHint: blob.Material.KeyHint, Timestamps: [][]byte{{1}, {2}}}
	if _, err := olderLayer(&several, artifact, &o); err == nil {
		t.Error("a layer for two timestamps")
	}
}
