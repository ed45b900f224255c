package log

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/tlog"
)

// vector is what a bundle of the public Rekor v2 has.
type vector struct {
	VerificationMaterial struct {
		Certificate struct{ RawBytes []byte }
		TlogEntries []struct {
			InclusionProof struct {
				LogIndex, TreeSize string
				RootHash           []byte
				Hashes             [][]byte
			}
			KindVersion       struct{ Kind, Version string }
			CanonicalizedBody []byte
		}
	}
	MessageSignature struct {
		MessageDigest struct{ Digest []byte }
		Signature     []byte
	}
	DSSEEnvelope struct {
		Payload     []byte
		PayloadType string
		Signatures  []struct{ Sig []byte }
	}
}

func readVector(t testing.TB, name string) vector {
	t.Helper()
	var v vector
	if err := json.Unmarshal(testenv.ReadVector(t, "conformance-public", name, "bundle.sigstore.json"), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestPublicEntries uploads what others have uploaded to Rekor v2: the body, and so the leaf, must be what Rekor made of it.
func TestPublicEntries(t *testing.T) {
	l, srv := newWorld(t).open(t)
	for _, name := range []string{
		"rekor2-happy-path", "rekor2-checkpoint-cosigned", "rekor2-checkpoint-origin-not-first", "rekor2-checkpoint-two-sigs-from-origin",
		"rekor2-timestamp-with-embedded-cert",
	} {
		t.Run(name, func(t *testing.T) {
			v := readVector(t, name)
			signature := map[string]any{
				"content": v.MessageSignature.Signature,
				"verifier": map[string]any{
					"x509Certificate": map[string]any{"rawBytes": v.VerificationMaterial.Certificate.RawBytes},
					"keyDetails":      "PKIX_ECDSA_P256_SHA_256",
				},
			}
			status, _, answer := post(t, srv, map[string]any{"hashedRekordRequestV002": map[string]any{
				"digest": v.MessageSignature.MessageDigest.Digest, "signature": signature,
			}})
			if status != http.StatusCreated {
				t.Fatalf("%d: %s", status, answer)
			}
			e := entry(t, l, answer)
			theirs := v.VerificationMaterial.TlogEntries[0]
			if !bytes.Equal(e.Body, theirs.CanonicalizedBody) {
				t.Fatalf("the body is\n%s, Rekor made\n%s", e.Body, theirs.CanonicalizedBody)
			}
			proof := theirs.InclusionProof
			root, err := tlog.RootFromInclusion(number(t, proof.LogIndex), number(t, proof.TreeSize), tlog.LeafHash(e.Body), proof.Hashes)
			if err != nil || !bytes.Equal(root[:], proof.RootHash) {
				t.Errorf("the leaf is not the one in Rekor's tree: %v", err)
			}
		})
	}
}

// TestPublicEnvelope uploads an envelope as older clients do. Its entry is the one that current verifiers look for.
func TestPublicEnvelope(t *testing.T) {
	l, srv := newWorld(t).open(t)
	v := readVector(t, "rekor2-dsse-happy-path")
	env := v.DSSEEnvelope
	status, _, answer := post(t, srv, map[string]any{"dsseRequestV002": map[string]any{
		"envelope": map[string]any{
			"payload": env.Payload, "payloadType": env.PayloadType, "signatures": []any{map[string]any{"sig": env.Signatures[0].Sig, "keyid": ""}},
		},
		"verifiers": []any{map[string]any{
			"x509Certificate": map[string]any{"rawBytes": v.VerificationMaterial.Certificate.RawBytes}, "keyDetails": "PKIX_ECDSA_P256_SHA_256",
		}},
	}})
	if status != http.StatusCreated {
		t.Fatalf("%d: %s", status, answer)
	}
	e := entry(t, l, answer)
	if e.Kind != "hashedrekord" || e.Version != "0.0.2" {
		t.Errorf("the entry is a %s %s", e.Kind, e.Version)
	}
	b, err := tlog.ParseBody(e.Body)
	if err != nil {
		t.Fatal(err)
	}
	pae := append([]byte("DSSEv1 "+lengthOf(env.PayloadType)+" "+env.PayloadType+" "+lengthOf(string(env.Payload))+" "), env.Payload...)
	if sum := sha256.Sum256(pae); !bytes.Equal(b.Digests[0].Sum, sum[:]) {
		t.Errorf("the digest is %x, that of the PAE %x", b.Digests[0].Sum, sum)
	}
}
