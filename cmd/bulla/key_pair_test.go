package main

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/nacl/secretbox"
	"golang.org/x/crypto/scrypt"

	"github.com/bulla-sign/bulla/keys"
)

// keyPair is made once: deriving a key from a password is slow on purpose, and the scripts that begin with one are about
// what is signed. generate-key-pair has scripts of its own. Its N is the smallest that key files may have, half of what
// the program writes, because every signature pays it again.
var keyPair = sync.OnceValues(func() (private, public []byte) {
	key, err := keys.Generate(rand.Reader, "")
	if err != nil {
		panic(err)
	}
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	const n, r, p = 1 << 15, 8, 1
	var salt, sealer [32]byte
	var nonce [24]byte
	rand.Read(salt[:])
	rand.Read(nonce[:])
	derived, err := scrypt.Key([]byte("pw"), salt[:], n, r, p, len(sealer))
	if err != nil {
		panic(err)
	}
	copy(sealer[:], derived)
	body, err := json.Marshal(map[string]any{
		"kdf":        map[string]any{"name": "scrypt", "params": map[string]int{"N": n, "r": r, "p": p}, "salt": salt[:]},
		"cipher":     map[string]any{"name": "nacl/secretbox", "nonce": nonce[:]},
		"ciphertext": secretbox.Seal(nil, plain, &nonce, &sealer),
	})
	if err != nil {
		panic(err)
	}
	if public, err = publicPEM(key.Public()); err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY", Bytes: body}), public
})

// keyPairFiles writes cosign.key, whose password is "pw", and cosign.pub.
func keyPairFiles(ts *testscript.TestScript, _ bool, _ []string) {
	private, public := keyPair()
	ts.Check(os.WriteFile(ts.MkAbs("cosign.key"), private, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("cosign.pub"), public, 0o644))
}
