package tlog

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// TestManySignaturesOfOneKey: without a name every line with the key's ID is tried, and each costs a verification.
func TestManySignaturesOfOneKey(t *testing.T) {
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	id, err := KeyIDv1(pub)
	if err != nil {
		t.Fatal(err)
	}
	text := "log.example - 1\n7\n" + base64.StdEncoding.EncodeToString(make([]byte, HashSize)) + "\n"
	line := func(signature []byte) string {
		raw := append(binary.BigEndian.AppendUint32(nil, binary.BigEndian.Uint32(id)), signature...)
		return noteSignaturePrefix + "log.example " + base64.StdEncoding.EncodeToString(raw) + "\n"
	}
	good, bad := line(ed25519.Sign(key, []byte(text))), line(make([]byte, ed25519.SignatureSize))
	for before, ok := range map[int]bool{0: true, 1: true, maxLogSignatures - 1: true, maxLogSignatures: false, 90: false} {
		c, err := ParseCheckpoint(text + "\n" + strings.Repeat(bad, before) + good)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.VerifySignature("", id, pub); (err == nil) != ok || (err != nil && !errors.Is(err, ErrCheckpointSignature)) {
			t.Errorf("%d wrong ones first: %v", before, err)
		}
	}
}
