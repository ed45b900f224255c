package interop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
	"testing"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tuf"
)

// published is the trusted root of an instance, fetched and read by sigstore-go from the first root.json alone.
func (in *instance) published(t *testing.T) *root.TrustedRoot {
	t.Helper()
	first, err := os.ReadFile(in.Root)
	if err != nil {
		t.Fatal(err)
	}
	client, err := tuf.New(tuf.DefaultOptions().WithRepositoryBaseURL(in.Mirror).WithRoot(first).WithCachePath(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := root.GetTrustedRoot(client)
	if err != nil {
		t.Fatal(err)
	}
	return trusted
}

// the returns the only log of its kind.
func the(t *testing.T, logs map[string]*root.TransparencyLog) *root.TransparencyLog {
	t.Helper()
	if len(logs) != 1 {
		t.Fatalf("%d logs, not one", len(logs))
	}
	for _, l := range logs {
		return l
	}
	return nil
}

// word returns a fresh identity token itself.
func (in *instance) word(t *testing.T, who string) string {
	t.Helper()
	token, err := os.ReadFile(in.token(t, who))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(token))
}

// pair is a key that somebody wants a certificate for or signs an entry with.
type pair struct {
	*ecdsa.PrivateKey
	der []byte // of the public half
}

func newPair(t *testing.T) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pair{key, der}
}

// signature is over the SHA-256 digest of what is signed.
func (p pair) signature(t *testing.T, signed string) []byte {
	t.Helper()
	digest := sha256.Sum256([]byte(signed))
	sig, err := p.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// request is a certificate signing request in PEM.
func (p pair) request(t *testing.T) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, p.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func (p pair) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: p.der})
}
