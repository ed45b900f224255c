package tlog

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSETPayload(t *testing.T) {
	e := &Entry{LogIndex: 7, IntegratedTime: 1660000000, LogID: bytes.Repeat([]byte{0xab}, 32), Body: []byte("body?>")}
	got, err := SETPayload(e)
	want := `{"body":"Ym9keT8+","integratedTime":1660000000,"logID":"` + strings.Repeat("ab", 32) + `","logIndex":7}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}

// responseEntries are answers of a Rekor v1 log.
func responseEntries(t testing.TB) map[string]*Entry {
	t.Helper()
	entries := map[string]*Entry{}
	for _, name := range []string{"entry.json", "entry-no-inclusion-proof.json"} {
		var response map[string]struct {
			Body           []byte `json:"body"`
			IntegratedTime int64  `json:"integratedTime"`
			LogIndex       int64  `json:"logIndex"`
			LogID          string `json:"logID"`
			Verification   struct {
				SignedEntryTimestamp []byte `json:"signedEntryTimestamp"`
			} `json:"verification"`
		}
		if err := json.Unmarshal(testenv.ReadVector(t, "sigstore-java", "samples", "rekor-response", "valid", name), &response); err != nil {
			t.Fatal(err)
		}
		for _, r := range response {
			entries[name] = &Entry{
				LogIndex: r.LogIndex, IntegratedTime: r.IntegratedTime, LogID: unhex(t, r.LogID),
				Body: r.Body, Promise: r.Verification.SignedEntryTimestamp,
			}
		}
	}
	return entries
}

func TestVerifySET(t *testing.T) {
	public, err := algorithm.ParsePublicKeyPEM(testenv.ReadVector(t, "sigstore-java", "samples", "rekor-response", "valid", "rekor.pub"))
	if err != nil {
		t.Fatal(err)
	}
	testSETs(t, legacyEntries(t), rekorKey(t), 3)
	testSETs(t, responseEntries(t), public, 2)
}

func testSETs(t *testing.T, entries map[string]*Entry, pub crypto.PublicKey, want int) {
	if len(entries) != want {
		t.Errorf("%d entries, want %d", len(entries), want)
	}
	for name, e := range entries {
		if err := VerifySET(e, pub); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for what, change := range map[string]func(*Entry){
			"log index":       func(e *Entry) { e.LogIndex++ },
			"time":            func(e *Entry) { e.IntegratedTime++ },
			"log ID":          func(e *Entry) { e.LogID = bytes.Repeat([]byte{1}, 32) },
			"body":            func(e *Entry) { e.Body = append(bytes.Clone(e.Body), ' ') },
			"promise":         func(e *Entry) { e.Promise = bytes.Clone(e.Promise); e.Promise[len(e.Promise)-1] ^= 1 },
			"no promise":      func(e *Entry) { e.Promise = nil },
			"no body":         func(e *Entry) { e.Body = nil },
			"short log ID":    func(e *Entry) { e.LogID = e.LogID[:31] },
			"no time":         func(e *Entry) { e.IntegratedTime = 0 },
			"negative time":   func(e *Entry) { e.IntegratedTime = -1 },
			"huge index":      func(e *Entry) { e.LogIndex = 1<<53 + 1 },
			"negative index":  func(e *Entry) { e.LogIndex = -1 },
			"enormous body":   func(e *Entry) { e.Body = make([]byte, MaxBodySize+1) },
			"time beyond all": func(e *Entry) { e.IntegratedTime = 1<<53 + 1 },
		} {
			other := *e
			change(&other)
			if VerifySET(&other, pub) == nil {
				t.Errorf("%s with another %s: accepted", name, what)
			}
		}
	}
}

// Every entry of the public log in the vectors, outside of the files that are broken on purpose, verifies: its signed entry
// timestamp, its inclusion proof, its checkpoint.
func TestRealEntries(t *testing.T) {
	logs := append(trustedLogs(t, "trust", "public-good", "trusted_root.json"), trustedLogs(t, "trust", "staging", "trusted_root.json")...)
	sets, proofs := 0, 0
	for _, e := range realEntries(t) {
		broken, verified := brokenEntry(e.path), true
		for _, log := range logs {
			if !bytes.Equal(log.LogID.KeyID, e.LogID) {
				continue
			}
			if e.Promise != nil {
				sets++
				if err := VerifySET(e.Entry, log.key(t)); err != nil {
					verified = false
					if !broken {
						t.Errorf("%s: %v", e.path, err)
					}
				}
			}
			if e.Proof != nil {
				proofs++
				if err := verifyVectorProof(t, e.Entry, logs); err != nil {
					verified = false
					if !broken {
						t.Errorf("%s: %v", e.path, err)
					}
				}
			}
		}
		if broken && verified {
			t.Errorf("%s: verifies, should not", e.path)
		}
	}
	if sets < 140 || proofs < 130 {
		t.Errorf("%d signed entry timestamps and %d proofs, want at least 140 and 130", sets, proofs)
	}
}

// brokenEntry names the vectors whose log entry does not verify, as their names say.
func brokenEntry(path string) bool {
	for _, part := range []string{
		"rekor2-checkpoint-missing", "rekor2-checkpoint-no-matching",
		"checkpoint-wrong-roothash_fail", "invalid-checkpoint-signature_fail", "invalid-inclusion-proof_fail",
		"bundle-empty-certificate-chain_fail", "bundle-unknown-version_fail", // have placeholders for entries
		"bundle-with-bad-checkpoint-signature", "bundle-with-mismatched-set", "jar-entry-v2.json",
		"invalid-dsse-sig.intoto", "invalid-set.intoto",
	} {
		if strings.Contains(path, part) {
			return true
		}
	}
	return false
}
