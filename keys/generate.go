package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
	"io"
	"strings"
)

// DefaultAlgorithm is the name of the algorithm that keys are made for when none is asked for.
const DefaultAlgorithm = "ecdsa-sha2-256-nistp256"

// Algorithms lists the names [Generate] knows, the default first. They are those of Sigstore's algorithm registry.
func Algorithms() []string {
	return []string{
		DefaultAlgorithm, "ecdsa-sha2-384-nistp384", "ecdsa-sha2-512-nistp521",
		"ed25519", "ed25519-ph",
		"rsa-sign-pkcs1-2048-sha256", "rsa-sign-pkcs1-3072-sha256", "rsa-sign-pkcs1-4096-sha256",
	}
}

// Generate makes a private key for the named algorithm; an empty name means [DefaultAlgorithm]. Since Go 1.26 the
// standard library draws ECDSA and RSA keys from its own generator; rand is then used for Ed25519 only.
func Generate(rand io.Reader, alg string) (crypto.Signer, error) {
	switch alg {
	case "", DefaultAlgorithm:
		return ecdsa.GenerateKey(elliptic.P256(), rand)
	case "ecdsa-sha2-384-nistp384":
		return ecdsa.GenerateKey(elliptic.P384(), rand)
	case "ecdsa-sha2-512-nistp521":
		return ecdsa.GenerateKey(elliptic.P521(), rand)
	case "ed25519", "ed25519-ph":
		seed := make([]byte, ed25519.SeedSize)
		if _, err := io.ReadFull(rand, seed); err != nil {
			return nil, fmt.Errorf("reading randomness: %v", err)
		}
		return ed25519.NewKeyFromSeed(seed), nil
	case "rsa-sign-pkcs1-2048-sha256":
		return rsa.GenerateKey(rand, 2048)
	case "rsa-sign-pkcs1-3072-sha256":
		return rsa.GenerateKey(rand, 3072)
	case "rsa-sign-pkcs1-4096-sha256":
		return rsa.GenerateKey(rand, 4096)
	}
	return nil, fmt.Errorf("unknown algorithm %q; known are %s", alg, strings.Join(Algorithms(), ", "))
}
