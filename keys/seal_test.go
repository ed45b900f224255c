package keys

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"testing"

	"golang.org/x/crypto/nacl/secretbox"
)

// sealWithN encrypts key under the password "pw" with a given scrypt N.
func sealWithN(t *testing.T, key crypto.Signer, n int) []byte {
	t.Helper()
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var file encryptedKey
	file.KDF.Name, file.Cipher.Name = "scrypt", "nacl/secretbox"
	file.KDF.Params.N, file.KDF.Params.R, file.KDF.Params.P = n, 8, 1
	file.KDF.Salt, file.Cipher.Nonce = make([]byte, saltSize), make([]byte, boxNonce)
	box, nonce, err := NewPassword([]byte("pw")).box(&file)
	if err != nil {
		t.Fatal(err)
	}
	file.Ciphertext = secretbox.Seal(nil, plain, nonce, box)
	body, err := json.Marshal(&file)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemCosign, Bytes: body})
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
