package interop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// algorithm is one kind of key. digest is what cosign must be told to verify with it (cosign's defect 7: it hashes
// with SHA-256 whatever the curve); empty where its default fits.
type algorithm struct {
	name     string
	digest   string
	generate func() (crypto.Signer, error)
	// variant marks a size of a kind that another row stands for: it is tried with blobs only.
	variant bool
}

func algorithms() []algorithm {
	curve := func(c elliptic.Curve) func() (crypto.Signer, error) {
		return func() (crypto.Signer, error) { return ecdsa.GenerateKey(c, rand.Reader) }
	}
	rsaBits := func(bits int) func() (crypto.Signer, error) {
		return func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, bits) }
	}
	return []algorithm{
		{name: "p256", generate: curve(elliptic.P256())},
		{name: "p384", generate: curve(elliptic.P384()), digest: "sha384"},
		{name: "p521", generate: curve(elliptic.P521()), digest: "sha512"},
		{name: "rsa2048", generate: rsaBits(2048)},
		{name: "rsa3072", generate: rsaBits(3072), variant: true},
		{name: "rsa4096", generate: rsaBits(4096), variant: true},
		{name: "ed25519", generate: func() (crypto.Signer, error) {
			_, key, err := ed25519.GenerateKey(rand.Reader)
			return key, err
		}},
	}
}

// keyPair is the files of one key.
type keyPair struct{ private, public string }

// keyring has what was made, by name. Whoever wants a key waits for it alone: deriving what encrypts its file takes half a
// second.
type keyring struct {
	mu   sync.Mutex
	made map[string]func() (keyPair, error)
}

// once returns what make makes, the first time that the name is asked for, and the same ever after.
func (k *keyring) once(t *testing.T, name string, make func() (keyPair, error)) keyPair {
	t.Helper()
	k.mu.Lock()
	if k.made[name] == nil {
		k.made[name] = sync.OnceValues(make)
	}
	get := k.made[name]
	k.mu.Unlock()
	pair, err := get()
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// key returns the key files of an algorithm as the program itself imports them, made once. The plain key is the same
// for all programs, so that each reads what another wrote: see TestKeyFiles.
func (w *world) key(t *testing.T, p *program, alg algorithm, purpose string) keyPair {
	t.Helper()
	plain := w.plainKey(t, alg, purpose)
	name := p.name + "-" + alg.name + "-" + purpose
	return w.keys.once(t, name, func() (keyPair, error) {
		prefix := filepath.Join(w.dir, name)
		if r := p.run("import-key-pair", "--key", plain, "--output-key-prefix", prefix, "--yes"); r.code != 0 || r.err != nil {
			return keyPair{}, fmt.Errorf("should succeed: %s", r)
		}
		return keyPair{private: prefix + ".key", public: prefix + ".pub"}, nil
	})
}

// plainKey writes an unencrypted PKCS#8 file once for each algorithm and purpose.
func (w *world) plainKey(t *testing.T, alg algorithm, purpose string) string {
	t.Helper()
	name := "plain-" + alg.name + "-" + purpose
	return w.keys.once(t, name, func() (keyPair, error) {
		signer, err := alg.generate()
		if err != nil {
			return keyPair{}, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(signer)
		if err != nil {
			return keyPair{}, err
		}
		path := filepath.Join(w.dir, name+".pem")
		return keyPair{private: path}, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	}).private
}
