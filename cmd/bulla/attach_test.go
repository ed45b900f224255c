package main

import (
	"testing"

	"github.com/bulla-sign/bulla/bundle"
)

func TestRekorBundle(t *testing.T) {
	const entry = `{"SignedEntryTimestamp":"AA==","Payload":{}}`
	for _, good := range []string{entry, `{"base64Signature":"x","rekorBundle":` + entry + `}`} {
		if got, err := rekorBundle([]byte(good)); err != nil || string(got) != entry {
			t.Errorf("%s: %s, %v", good, got, err)
		}
	}
	for _, bad := range []string{``, `[]`, `{}`, `{"rekorBundle":1,"SignedEntryTimestamp":2}`, `{"rekorBundle":1,"rekorBundle":2}`, entry + "x"} {
		if got, err := rekorBundle([]byte(bad)); err == nil {
			t.Errorf("%s: %s", bad, got)
		}
	}
}

// Whatever lies in a file, what is taken for an attestation can be written again as one.
func FuzzAttestations(f *testing.F) {
	envelope := `{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"sig":"AAAA"}]}`
	f.Add([]byte(envelope))
	f.Add([]byte(envelope + "\n" + envelope + " "))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":` + envelope + `,"verificationMaterial":{"publicKey":{"hint":"x"}}}`))
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := attestations(data)
		if err != nil {
			return
		}
		if len(all) == 0 || len(all) > maxAttestations {
			t.Fatalf("%d attestations", len(all))
		}
		for _, b := range all {
			if b.Envelope == nil {
				t.Fatal("what has no envelope is an attestation")
			}
			if b.Version == bundle.Cosign {
				continue
			}
			if _, err := b.Encode(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzRekorBundle(f *testing.F) {
	f.Add([]byte(`{"SignedEntryTimestamp":"AA==","Payload":{}}`))
	f.Add([]byte(`{"rekorBundle":{"SignedEntryTimestamp":"AA==","Payload":{}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := rekorBundle(data); err == nil && len(got) == 0 {
			t.Fatal("an empty log entry")
		}
	})
}
