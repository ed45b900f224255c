package ca

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"io"
	"math/big"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/identity"
)

func bigSerial() *big.Int { return new(big.Int).Lsh(big.NewInt(3), 140) }

func p256SPKI(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return spki
}

// TestSmallOrder shows what the refused Ed25519 keys are good for: under the point of order one, the signature R = B·S of
// anybody verifies every message.
func TestSmallOrder(t *testing.T) {
	for _, text := range smallOrder {
		for _, sign := range []byte{0, 0x80} {
			key, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			key[31] |= sign
			if goodKey(ed25519.PublicKey(key)) == nil {
				t.Errorf("%x is accepted", key)
			}
		}
	}
	one := make([]byte, 32)
	one[0] = 1
	forged := make([]byte, 64)
	forged[0] = 1 // R is the same point, S is 0
	alg, err := algorithm.ForDetails(algorithm.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	if alg.Verify(ed25519.PublicKey(one), algorithm.Bytes([]byte("alice@bulla.test")), forged) != nil {
		t.Skip("the library refuses the key by itself")
	}
}

func TestWeakRSA(t *testing.T) {
	good, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if err := goodKey(good.Public()); err != nil {
		t.Fatal(err)
	}
	p, err := rand.Prime(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	next := new(big.Int).Add(p, big.NewInt(2))
	for !next.ProbablyPrime(20) {
		next.Add(next, big.NewInt(2))
	}
	near := new(big.Int).Mul(p, next)
	small := new(big.Int).Mul(big.NewInt(751), new(big.Int).Rsh(good.N, 10))
	for small.BitLen() < 2048 {
		small.Mul(small, big.NewInt(3))
	}
	small.SetBit(small, 0, 1)
	small.Mul(small, big.NewInt(1))
	for name, c := range map[string]struct {
		key  *rsa.PublicKey
		want string
	}{
		"1024 bits":     {&rsa.PublicKey{N: new(big.Int).Rsh(good.N, 1024), E: 65537}, "1024"},
		"2047 bits":     {&rsa.PublicKey{N: new(big.Int).Rsh(good.N, 1), E: 65537}, "2047"},
		"8192 bits":     {&rsa.PublicKey{N: new(big.Int).Lsh(good.N, 6144), E: 65537}, "8192"},
		"exponent 3":    {&rsa.PublicKey{N: good.N, E: 3}, "exponent 3"},
		"exponent even": {&rsa.PublicKey{N: good.N, E: 65538}, "exponent 65538"},
		"even modulus":  {&rsa.PublicKey{N: new(big.Int).Sub(good.N, big.NewInt(1)), E: 65537}, "small factor"},
		"close primes":  {&rsa.PublicKey{N: near, E: 65537}, "close"},
		"square":        {&rsa.PublicKey{N: new(big.Int).Mul(p, p), E: 65537}, ""},
		"faulty chip":   {&rsa.PublicKey{N: rocaModulus(), E: 65537}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if err := goodRSA(c.key); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
	if roca(good.N) || !roca(rocaModulus()) {
		t.Fatal("the fingerprint of CVE-2017-15361 is not told apart")
	}
}

// rocaModulus is a number of 2048 bits that is 65537 to some power modulo all primes of the test at once: such a number is
// 65537^k itself, reduced modulo their product and lifted.
func rocaModulus() *big.Int {
	product := big.NewInt(1)
	for _, p := range []int64{11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157} {
		product.Mul(product, big.NewInt(p))
	}
	n := new(big.Int).Exp(big.NewInt(65537), big.NewInt(12345), product)
	lift := new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), 2047), product)
	n.Add(n, lift.Add(lift, big.NewInt(1)).Mul(lift, product))
	for n.Bit(0) == 0 {
		n.Add(n, product)
	}
	return n
}

func TestSerial(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		n, err := newSerial(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if n.Sign() <= 0 || n.BitLen() > 159 || seen[n.String()] {
			t.Fatalf("serial number %x", n)
		}
		seen[n.String()] = true
	}
	if _, err := newSerial(zeros{}); err == nil {
		t.Fatal("a source of zeros is accepted")
	}
	if _, err := newSerial(strings.NewReader("")); err == nil {
		t.Fatal("an exhausted source is accepted")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

var _ io.Reader = zeros{}

// TestGrantOnce: a grant is good for one certificate.
func TestGrantOnce(t *testing.T) {
	g := &grant{}
	g.spent.Store(true)
	if _, _, err := (&Server{}).issue(t.Context(), g); err == nil || !strings.Contains(err.Error(), "used before") {
		t.Fatal(err)
	}
}

func TestEncodeSAN(t *testing.T) {
	for _, san := range []identity.SAN{
		{Kind: identity.DNS, Value: "b.test"}, {Kind: identity.URI, Value: "https://b.test/ä"}, {},
	} {
		if _, err := encodeSAN(san); err == nil {
			t.Errorf("%v is written", san)
		}
	}
}

func BenchmarkGoodRSA4096(b *testing.B) {
	key, err := rsa.GenerateKey(rand.Reader, 4096)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := goodKey(key.Public()); err != nil {
			b.Fatal(err)
		}
	}
}
