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
	"os"
	"path/filepath"
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

// key returns the key files of an algorithm as the program itself imports them, made once. The plain key is the same
// for all programs, so that each reads what another wrote: see TestKeyFiles.
func (w *world) key(t *testing.T, p *program, alg algorithm, purpose string) keyPair {
	t.Helper()
	w.keyring.Lock()
	defer w.keyring.Unlock()
	name := p.name + "-" + alg.name + "-" + purpose
	if k, ok := w.keysByName[name]; ok {
		return k
	}
	plain := w.plainKey(t, alg, purpose)
	prefix := filepath.Join(w.dir, name)
	p.run("import-key-pair", "--key", plain, "--output-key-prefix", prefix, "--yes").wantOK(t)
	k := keyPair{private: prefix + ".key", public: prefix + ".pub"}
	w.keysByName[name] = k
	return k
}

// plainKey writes an unencrypted PKCS#8 file once for each algorithm and purpose.
func (w *world) plainKey(t *testing.T, alg algorithm, purpose string) string {
	t.Helper()
	path := filepath.Join(w.dir, "plain-"+alg.name+"-"+purpose+".pem")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	signer, err := alg.generate()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
