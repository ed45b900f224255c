package world

import (
	"crypto"
	"crypto/ecdsa"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/timestamp"
	"github.com/bulla-sign/bulla/tlog"
)

// TestBundles makes every kind of bundle and verifies its parts: signature, version's rules, encoding, timestamp.
func TestBundles(t *testing.T) {
	w := New(t)
	root := w.Root(t)
	if len(root.Logs) != 2 || len(root.CTLogs) != 1 || len(root.CAs) != 1 || len(root.TSAs) != 1 {
		t.Fatalf("root %+v", root)
	}
	for _, s := range Specs() {
		t.Run(s.Name(), func(t *testing.T) { checkBundle(t, w, s) })
	}
}

func checkBundle(t *testing.T, w *World, s Spec) {
	b, artifact, pub := w.Bundle(t, s)
	if err := b.Validate(bundle.ValidateOptions{}); err != nil {
		t.Error(err)
	}
	signature, message := signatureOf(b, artifact)
	alg, err := algorithm.ForDetails(s.details())
	if err != nil {
		t.Fatal(err)
	}
	if err := alg.Verify(pub, algorithm.Bytes(message), signature); err != nil {
		t.Error(err)
	}
	if s.Signer == Cert {
		c, err := identity.ParseCertificate(b.Material.Certificates[0])
		if err != nil {
			t.Fatal(err)
		}
		if !pub.(interface{ Equal(crypto.PublicKey) bool }).Equal(c.X509.PublicKey) {
			t.Error("the certificate is for another key")
		}
	}
	for i := range b.Material.Entries {
		e := &b.Material.Entries[i]
		if _, err := tlog.ParseBody(e.Body); err != nil {
			t.Error(err)
		}
		if (e.Proof == nil) != (s.Log == LogV1SET) || (e.Promise == nil) != (s.Log == LogV2) {
			t.Errorf("proof %v, promise %x", e.Proof, e.Promise)
		}
	}
	if s.Timestamp {
		token, err := timestamp.Parse(b.Material.Timestamps[0])
		if err != nil {
			t.Fatal(err)
		}
		authority, err := timestamp.NewAuthority(w.TSA.Chain())
		if err != nil {
			t.Fatal(err)
		}
		if r, err := token.Verify(algorithm.Bytes(signature), authority); err != nil || !r.Time.Equal(SigningTime) {
			t.Errorf("%v, %v", r, err)
		}
	}
	if b.Version == bundle.Cosign {
		return
	}
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := bundle.Decode(data); err != nil || again.Version != b.Version {
		t.Errorf("decoded again: %v", err)
	}
}

func signatureOf(b *bundle.Bundle, artifact []byte) (signature, message []byte) {
	switch {
	case b.Envelope != nil:
		return b.Envelope.Signatures[0].Sig, bundle.PAE(b.Envelope.PayloadType, b.Envelope.Payload)
	case b.Message.Payload != nil:
		return b.Message.Signature, b.Message.Payload
	}
	return b.Message.Signature, artifact
}

func TestKeysAreReused(t *testing.T) {
	w := New(t)
	key := mint.NewKey(t, algorithm.ECDSAP256SHA256)
	_, _, pub := w.Bundle(t, Spec{Key: key})
	if !pub.(*ecdsa.PublicKey).Equal(key.Public()) {
		t.Error("another key signed")
	}
}
