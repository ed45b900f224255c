package tlog

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
)

func TestCosignatures(t *testing.T) {
	for _, w := range []struct{ conf, note string }{
		{"witness/witness.v0.json", "witness/000de184301123b9278c086a7d9f68c9577e83872224c197058fd90784ea9706/checkpoint"},
		{"witness2/witness.v0.json", "witness2/88ad7a28caeb0b2aa890fdf0304c2fcaf59fca2ee140134ff8c1300bac493482/checkpoint"},
		{"witness/mirror/mirror.v0.json", "witness/mirror/000de184301123b9278c086a7d9f68c9577e83872224c197058fd90784ea9706/checkpoint"},
	} {
		var conf struct {
			VerifierKeys []string `json:"verifier_keys"`
		}
		if err := json.Unmarshal(testenv.ReadVector(t, "tlog", "sunlight-skylight", w.conf), &conf); err != nil {
			t.Fatal(err)
		}
		key, err := ParseVerifierKey(conf.VerifierKeys[0])
		if err != nil {
			t.Fatal(err)
		}
		c, err := ParseCheckpoint(string(testenv.ReadVector(t, "tlog", "sunlight-skylight", w.note)))
		if err != nil {
			t.Fatal(err)
		}
		at, err := c.VerifyCosignature(key.Name, ed25519.PublicKey(key.Key))
		if err != nil || at != 1767139200 {
			t.Errorf("%s: %d, %v", key.Name, at, err)
		}
		// The time is signed, and so is every line of the note.
		last := &c.Signatures[len(c.Signatures)-1]
		binary.BigEndian.PutUint64(last.Signature, 1767139201)
		if _, err := c.VerifyCosignature(key.Name, ed25519.PublicKey(key.Key)); !errors.Is(err, ErrCheckpointSignature) {
			t.Errorf("%s: another time: %v", key.Name, err)
		}
		last.Signature[0] = 0x80
		if _, err := c.VerifyCosignature(key.Name, ed25519.PublicKey(key.Key)); err == nil || !strings.Contains(err.Error(), "2^63-1") {
			t.Errorf("%s: time beyond: %v", key.Name, err)
		}
		last.Signature = last.Signature[:70]
		if _, err := c.VerifyCosignature(key.Name, ed25519.PublicKey(key.Key)); err == nil || !strings.Contains(err.Error(), "70 bytes") {
			t.Errorf("%s: cut: %v", key.Name, err)
		}
		c.Signatures = append(c.Signatures, *last)
		if _, err := c.VerifyCosignature(key.Name, ed25519.PublicKey(key.Key)); err == nil || !strings.Contains(err.Error(), "two signatures") {
			t.Errorf("%s: twice: %v", key.Name, err)
		}
		if _, err := c.VerifyCosignature("w.example", ed25519.PublicKey(key.Key)); err == nil || !strings.Contains(err.Error(), "no signature") {
			t.Errorf("%s: another name: %v", key.Name, err)
		}
	}
}

func TestParseVerifierKey(t *testing.T) {
	const vkey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
	key, err := ParseVerifierKey(vkey)
	if err != nil || key.Name != "example.com/foo" || key.KeyHint != 0x530d903a || key.Type != NoteEd25519 || len(key.Key) != 32 {
		t.Fatalf("%+v, %v", key, err)
	}
	// The note in C2SP's text is no checkpoint, but signed like one.
	text, sigs, err := splitNote("This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n")
	if err != nil || sigs[0].KeyHint != key.KeyHint || sigs[0].Name != key.Name {
		t.Fatalf("%v, %v", sigs, err)
	}
	if err := verifyLogSignature(ed25519.PublicKey(key.Key), []byte(text), sigs[0].Signature); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct{ in, want string }{
		"empty":         {"", "name+id+key"},
		"no key":        {"a+530d903a", "name+id+key"},
		"no name":       {"+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "name+id+key"},
		"another name":  {strings.Replace(vkey, "foo", "bar", 1), "key ID is 530d903a"},
		"another ID":    {strings.Replace(vkey, "530d903a", "530d903b", 1), "key ID is 530d903b"},
		"short ID":      {strings.Replace(vkey, "530d903a", "530d", 1), "eight hexadecimal"},
		"short key":     {"a+530d903a+AQAA", "has 2 bytes"},
		"type only":     {"a+530d903a+AQ==", "type and a key"},
		"not base64":    {"a+530d903a+A*AA", "standard base64"},
		"one more part": {vkey + "+x", "standard base64"},
		"too large":     {strings.Repeat("a", 5000) + vkey, "5069 bytes"},
	} {
		if _, err := ParseVerifierKey(c.in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}
