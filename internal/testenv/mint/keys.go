package mint

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"sync"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
)

// rsaKeys holds one key per size for the whole test process: making a 4096-bit key takes seconds.
var rsaKeys sync.Map

// NewKey makes a key for an algorithm of the registry. RSA keys of one size are the same key within a test process.
func NewKey(t testing.TB, details algorithm.Details) crypto.Signer {
	t.Helper()
	switch details {
	case algorithm.ECDSAP256SHA256:
		return newECDSA(t, elliptic.P256())
	case algorithm.ECDSAP384SHA384, algorithm.ECDSAP384SHA256:
		return newECDSA(t, elliptic.P384())
	case algorithm.ECDSAP521SHA512, algorithm.ECDSAP521SHA256:
		return newECDSA(t, elliptic.P521())
	case algorithm.Ed25519, algorithm.Ed25519ph:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	case algorithm.RSAPKCS1v15x2048SHA256, algorithm.RSAPSSx2048SHA256:
		return rsaKey(t, 2048)
	case algorithm.RSAPKCS1v15x3072SHA256, algorithm.RSAPSSx3072SHA256:
		return rsaKey(t, 3072)
	case algorithm.RSAPKCS1v15x4096SHA256, algorithm.RSAPSSx4096SHA256:
		return rsaKey(t, 4096)
	}
	t.Fatalf("no key for %v", details)
	return nil
}

func rsaKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	generate := sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, bits) })
	once, _ := rsaKeys.LoadOrStore(bits, generate)
	key, err := once.(func() (*rsa.PrivateKey, error))()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Hash returns the hash that an algorithm applies to the message. Pure Ed25519 has none; digests beside such signatures
// are SHA-256.
func Hash(details algorithm.Details) crypto.Hash {
	switch details {
	case algorithm.ECDSAP384SHA384:
		return crypto.SHA384
	case algorithm.ECDSAP521SHA512, algorithm.Ed25519ph:
		return crypto.SHA512
	}
	return crypto.SHA256
}

// Sum returns the hash of the data.
func Sum(h crypto.Hash, data []byte) []byte {
	d := h.New()
	d.Write(data)
	return d.Sum(nil)
}

// Sign signs a message with the standard library.
func Sign(t testing.TB, key crypto.Signer, details algorithm.Details, message []byte) []byte {
	t.Helper()
	hash := Hash(details)
	input := Sum(hash, message)
	var opts crypto.SignerOpts = hash
	switch details {
	case algorithm.Ed25519:
		input, opts = message, crypto.Hash(0)
	case algorithm.RSAPSSx2048SHA256, algorithm.RSAPSSx3072SHA256, algorithm.RSAPSSx4096SHA256:
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	}
	signature, err := key.Sign(rand.Reader, input, opts)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// KeyDetails returns the name in Sigstore's registry for the key of a log.
func KeyDetails(t testing.TB, pub crypto.PublicKey) string {
	t.Helper()
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return "PKIX_ECDSA_P256_SHA_256"
		case elliptic.P384():
			return "PKIX_ECDSA_P384_SHA_384"
		}
	case ed25519.PublicKey:
		return "PKIX_ED25519"
	case *rsa.PublicKey:
		if key.N.BitLen() == 2048 {
			return "PKIX_RSA_PKCS1V15_2048_SHA256"
		}
	}
	t.Fatalf("no name for a key of type %T", pub)
	return ""
}
