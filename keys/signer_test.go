package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
)

func TestSignEveryAlgorithm(t *testing.T) {
	message := []byte("clay")
	for _, name := range []string{"", "ecdsa-sha2-384-nistp384", "ecdsa-sha2-512-nistp521", "ed25519", "rsa-sign-pkcs1-2048-sha256"} {
		key, err := Generate(rand.Reader, name)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := FromSigner(key)
		if err != nil {
			t.Fatal(err)
		}
		for _, alg := range algorithm.Alternatives(signer.Public()) {
			sig, err := signer.Sign(t.Context(), alg, algorithm.Bytes(message))
			if err != nil {
				t.Errorf("%s: %v", alg.Name(), err)
				continue
			}
			if err := alg.Verify(signer.Public(), algorithm.Bytes(message), sig); err != nil {
				t.Errorf("%s: %v", alg.Name(), err)
			}
			if err := alg.Verify(signer.Public(), algorithm.Bytes([]byte("other")), sig); err == nil {
				t.Errorf("%s: verifies another message", alg.Name())
			}
		}
	}
}

func TestPureEd25519IsTheStandardScheme(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 200 {
		message := bytes.Repeat([]byte{byte(n)}, n)
		sig, err := signEd25519(rand.Reader, key, algorithm.Bytes(message))
		if err != nil {
			t.Fatal(err)
		}
		if !ed25519.Verify(key.Public().(ed25519.PublicKey), message, sig) {
			t.Fatalf("%d bytes: the standard library refuses the signature", n)
		}
	}
}

// shifting is a file that somebody writes to while it is being read: every read sees other bytes.
type shifting struct{ reads int }

func (s *shifting) Digest(h crypto.Hash, prefix []byte) ([]byte, error) {
	s.reads++
	return algorithm.Bytes([]byte{byte(s.reads)}).Digest(h, prefix)
}

// Two signatures with one R over different messages give the private key away, so R must differ every time even if the
// message is the same, or changes between the two reads.
func TestPureEd25519NeverRepeatsR(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	seen := map[string]bool{}
	for range 20 {
		for _, m := range []algorithm.Message{algorithm.Bytes(nil), &shifting{}} {
			sig, err := signEd25519(rand.Reader, key, m)
			if err != nil {
				t.Fatal(err)
			}
			if r := string(sig[:32]); seen[r] {
				t.Fatal("R came twice")
			} else {
				seen[r] = true
			}
		}
	}
	if _, err := signEd25519(bytes.NewReader(nil), key, algorithm.Bytes(nil)); err == nil {
		t.Error("signed without randomness")
	}
}

type liar struct {
	crypto.Signer
	public crypto.PublicKey
}

func (l liar) Public() crypto.PublicKey { return l.public }

type broken struct{ crypto.Signer }

func (broken) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("out of clay")
}

func TestSignRefuses(t *testing.T) {
	ec, _ := Generate(rand.Reader, "")
	other, _ := Generate(rand.Reader, "")
	ed, _ := Generate(rand.Reader, "ed25519")
	p256, err := algorithm.ForName(DefaultAlgorithm)
	if err != nil {
		t.Fatal(err)
	}
	pure, err := algorithm.ForName("ed25519")
	if err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name    string
		ctx     context.Context
		key     crypto.Signer
		alg     algorithm.Algorithm
		message algorithm.Message
		want    string
	}{
		{"wrong key type", t.Context(), ed, p256, algorithm.Bytes(nil), "needs an ECDSA key"},
		{"no algorithm", t.Context(), ec, algorithm.Algorithm{}, algorithm.Bytes(nil), "no algorithm"},
		{"no message", t.Context(), ec, p256, nil, "no message"},
		{"digest of another hash", t.Context(), ec, p256, algorithm.Precomputed(crypto.SHA512, make([]byte, 64)), "not available"},
		{"pure Ed25519 of a digest", t.Context(), ed, pure, algorithm.Precomputed(crypto.SHA512, make([]byte, 64)), "not available"},
		{"pure Ed25519 by a handle", t.Context(), broken{ed}, pure, algorithm.Bytes(nil), "use Ed25519ph"},
		{"signature by another key", t.Context(), liar{ec, other.Public()}, p256, algorithm.Bytes(nil), "does not verify with its own public key"},
		{"store fails", t.Context(), broken{ec}, p256, algorithm.Bytes(nil), "out of clay"},
		{"cancelled", cancelled, ec, p256, algorithm.Bytes(nil), "canceled"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			signer, err := FromSigner(tt.key)
			if err != nil {
				t.Fatal(err)
			}
			sig, err := signer.Sign(tt.ctx, tt.alg, tt.message)
			if err == nil || !strings.Contains(err.Error(), tt.want) || sig != nil {
				t.Errorf("got %x, %v; want %q", sig, err, tt.want)
			}
		})
	}
	if _, err := FromSigner(nil); err == nil {
		t.Error("a signer without a key")
	}
	if _, err := FromSigner(rsa1024(t)); err == nil {
		t.Error("a signer with RSA 1024")
	}
}

// The signature is checked without reading the message again.
func TestSignReadsOnce(t *testing.T) {
	key, _ := Generate(rand.Reader, "")
	signer, _ := FromSigner(key)
	alg, _ := algorithm.Default(signer.Public())
	m := &shifting{}
	if _, err := signer.Sign(t.Context(), alg, m); err != nil || m.reads != 1 {
		t.Errorf("%d reads, %v", m.reads, err)
	}
}

func TestHintOfNothing(t *testing.T) {
	if got := Hint(nil); got != "" {
		t.Errorf("got %q", got)
	}
}
