package keys

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"testing"
)

// saltOf reads the salt and the nonce of an encrypted key.
func saltOf(t *testing.T, data []byte) (salt, nonce string) {
	t.Helper()
	block, _ := pem.Decode(data)
	var file encryptedKey
	if err := json.Unmarshal(block.Bytes, &file); err != nil {
		t.Fatal(err)
	}
	return string(file.KDF.Salt), string(file.Cipher.Nonce)
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := Generate(rand.Reader, "")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// The keys of one Password share a salt, never a nonce; each opens with the password alone, and with no other.
func TestPassword(t *testing.T) {
	p := NewPassword([]byte("correct horse"))
	var files [][]byte
	for range 3 {
		data, err := p.Encrypt(rand.Reader, newKey(t))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, data)
	}
	salt, nonce := saltOf(t, files[0])
	if other, otherNonce := saltOf(t, files[1]); other != salt || otherNonce == nonce {
		t.Errorf("salts %x and %x, nonces %x and %x", salt, other, nonce, otherNonce)
	}
	if n := len(p.derived); n != 1 {
		t.Errorf("%d derivations for three keys", n)
	}
	for _, data := range files {
		if _, err := p.Decrypt(data); err != nil {
			t.Error(err)
		}
	}
	if _, err := DecryptPEM(files[2], []byte("correct horse")); err != nil {
		t.Error(err)
	}
	if _, err := DecryptPEM(files[2], []byte("correct horsf")); !errors.Is(err, ErrWrongPassword) {
		t.Errorf("another password: %v", err)
	}

	// A key from elsewhere has a salt of its own.
	foreign, err := EncryptPEM(rand.Reader, newKey(t), []byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if own, _ := saltOf(t, foreign); own == salt {
		t.Error("two Passwords chose the same salt")
	}
	if _, err := p.Decrypt(foreign); err != nil || len(p.derived) != 2 {
		t.Errorf("%v, %d derivations", err, len(p.derived))
	}
	if !bytes.Equal(p.Bytes(), []byte("correct horse")) {
		t.Error("the password changed")
	}
}
