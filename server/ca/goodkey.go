package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"

	"github.com/bulla-sign/bulla/algorithm"
)

// goodKey refuses keys that somebody else may hold, too, or can compute: a certificate would vouch for whoever does.
// What is accepted is what Fulcio accepts: ECDSA on P-256, P-384 and P-521, RSA of 2048, 3072 and 4096 bits, Ed25519.
func goodKey(pub crypto.PublicKey) error {
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() && key.Curve != elliptic.P521() {
			return errors.New("its curve is not P-256, P-384 or P-521")
		}
	case *rsa.PublicKey:
		if err := goodRSA(key); err != nil {
			return err
		}
	case ed25519.PublicKey:
		return goodEd25519(key)
	default:
		return fmt.Errorf("it is of type %T, not ECDSA, RSA or Ed25519", pub)
	}
	// The rest of the key's form: the point is on the curve, the exponent is in range.
	_, err := algorithm.Default(pub)
	return err
}

func goodRSA(key *rsa.PublicKey) error {
	if bits := key.N.BitLen(); bits != 2048 && bits != 3072 && bits != 4096 {
		return fmt.Errorf("RSA keys have 2048, 3072 or 4096 bits, it has %d", bits)
	}
	if key.E < 65537 || key.E&1 == 0 {
		return fmt.Errorf("its RSA exponent %d is even or below 65537", key.E)
	}
	if new(big.Int).GCD(nil, nil, key.N, smallPrimes()).Cmp(big.NewInt(1)) != 0 {
		return errors.New("its RSA modulus has a small factor")
	}
	if roca(key.N) {
		return errors.New("its RSA modulus is of the kind that a faulty chip made (CVE-2017-15361)")
	}
	if fermat(key.N) {
		return errors.New("its RSA modulus is the product of two primes that are too close to each other")
	}
	return nil
}

// smallPrimes is the product of the primes below 752.
var smallPrimes = sync.OnceValue(func() *big.Int {
	product := big.NewInt(1)
	for n := int64(2); n < 752; n++ {
		if prime(n) {
			product.Mul(product, big.NewInt(n))
		}
	}
	return product
})

func prime(n int64) bool {
	for d := int64(2); d*d <= n; d++ {
		if n%d == 0 {
			return false
		}
	}
	return true
}

// roca says whether a modulus has the fingerprint of CVE-2017-15361: both primes, and so the modulus, are powers of 65537
// modulo each of many small primes (Nemec et al., "The Return of Coppersmith's Attack", 2017). A good key passes for such
// a one with a probability below 2^-27.
func roca(n *big.Int) bool {
	for _, p := range []int64{
		11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157,
	} {
		residue := new(big.Int).Mod(n, big.NewInt(p)).Int64()
		if !powerOf65537(residue, p) {
			return false
		}
	}
	return true
}

func powerOf65537(residue, p int64) bool {
	generator, power := int64(65537)%p, int64(1)
	for range p {
		if power == residue {
			return true
		}
		power = power * generator % p
	}
	return false
}

// fermatRounds is how far from the root of the modulus factors are looked for; a library of 2022 chose them so close that
// the first round found them (CVE-2022-26320).
const fermatRounds = 100

func fermat(n *big.Int) bool {
	a := new(big.Int).Sqrt(n)
	if new(big.Int).Mul(a, a).Cmp(n) == 0 {
		return true
	}
	for range fermatRounds {
		a.Add(a, big.NewInt(1))
		rest := new(big.Int).Mul(a, a)
		rest.Sub(rest, n)
		if root := new(big.Int).Sqrt(rest); root.Mul(root, root).Cmp(rest) == 0 {
			return true
		}
	}
	return false
}

// smallOrder are the encodings, without sign, of the points of Ed25519 whose order divides eight, canonical or not. Under
// such a key signatures can be made by everybody.
var smallOrder = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

func goodEd25519(key ed25519.PublicKey) error {
	if len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("an Ed25519 key has %d bytes, not %d", ed25519.PublicKeySize, len(key))
	}
	unsigned := slices.Clone(key)
	unsigned[31] &= 0x7f
	if slices.Contains(smallOrder, hex.EncodeToString(unsigned)) {
		return errors.New("it is an Ed25519 point of small order, under which everybody can sign")
	}
	return nil
}
