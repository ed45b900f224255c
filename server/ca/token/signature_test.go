package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// signers have a key for each family of algorithms, on each curve.
func signers(t testing.TB) map[string]crypto.Signer {
	t.Helper()
	out := map[string]crypto.Signer{}
	own, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"} {
		out[alg] = own
	}
	for alg, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()} {
		if out[alg], err = ecdsa.GenerateKey(curve, rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	if _, out["EdDSA"], err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	return out
}

// signed is a token of another implementation.
func signed(t testing.TB, alg string, key crypto.Signer) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign([]byte(`{"iss":"https://a.example","sub":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func peeked(t testing.TB, raw string) *unverified {
	t.Helper()
	seen, err := peek(raw)
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// TestSignedBy: of each algorithm a signature of go-jose's is one, and nothing near it is.
func TestSignedBy(t *testing.T) {
	all := signers(t)
	if len(all) != len(Algorithms) {
		t.Fatalf("%d algorithms, %d are tried", len(Algorithms), len(all))
	}
	for alg, key := range all {
		raw := signed(t, alg, key)
		if !peeked(t, raw).signedBy(key.Public()) {
			t.Errorf("%s: not verified", alg)
		}
		n := len(peeked(t, raw).signature)
		for i := range n {
			seen := peeked(t, raw)
			if seen.signature[i] ^= 1; seen.signedBy(key.Public()) {
				t.Errorf("%s: verified with byte %d of the signature changed", alg, i)
			}
		}
		for name, change := range map[string]func(*unverified){
			"other input":   func(u *unverified) { u.input += "A" },
			"no signature":  func(u *unverified) { u.signature = nil },
			"zeros":         func(u *unverified) { u.signature = make([]byte, n) },
			"one byte more": func(u *unverified) { u.signature = append([]byte{0}, u.signature...) },
			"one byte after": func(u *unverified) {
				u.signature = append(u.signature, 0)
			},
			"zeros between": func(u *unverified) { // the same two numbers, in more octets
				half := n / 2
				u.signature = append(append(append([]byte{0}, u.signature[:half]...), 0), u.signature[half:]...)
			},
		} {
			seen := peeked(t, raw)
			if change(seen); seen.signedBy(key.Public()) {
				t.Errorf("%s: verified with %s", alg, name)
			}
		}
		for other := range all { // also RS256 for PS256, and another hash, with the same key
			seen := peeked(t, raw)
			seen.Algorithm = other
			if other != alg && fits(jose.JSONWebKey{Key: key.Public()}, other) && seen.signedBy(key.Public()) {
				t.Errorf("%s: verified as %s", alg, other)
			}
		}
	}
}

// TestSignedByOthers: what is no public key verifies nothing, and ASN.1 is not how a token carries an ECDSA signature.
func TestSignedByOthers(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	seen := peeked(t, signed(t, "ES256", key))
	for _, k := range []crypto.PublicKey{nil, []byte("secret"), key, "key", key.PublicKey} {
		if seen.signedBy(k) {
			t.Errorf("verified by a %T", k)
		}
	}
	h := crypto.SHA256.New()
	h.Write([]byte(seen.input))
	if seen.signature, err = ecdsa.SignASN1(rand.Reader, key, h.Sum(nil)); err != nil {
		t.Fatal(err)
	}
	if seen.signedBy(key.Public()) {
		t.Error("an ASN.1 signature verifies")
	}
}

// FuzzSignedBy: what verifies here does so with another implementation.
func FuzzSignedBy(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	good := signed(f, "ES256", key)
	f.Add(good)
	f.Add(good[:strings.LastIndexByte(good, '.')+1] + base64.RawURLEncoding.EncodeToString(make([]byte, 64)))
	f.Fuzz(func(t *testing.T, raw string) {
		// Nobody guesses a signature: the input's is put in the place of the good token's, and its header before that's.
		for _, candidate := range []string{raw, raw + good[strings.IndexByte(good, '.'):], good[:strings.LastIndexByte(good, '.')+1] + raw} {
			seen, err := peek(candidate)
			if err != nil || seen.Algorithm != "ES256" || !seen.signedBy(key.Public()) {
				continue
			}
			parsed, err := jose.ParseSignedCompact(candidate, []jose.SignatureAlgorithm{jose.ES256})
			if err == nil {
				_, err = parsed.Verify(key.Public())
			}
			if err != nil {
				t.Fatalf("%q: %v", candidate, err)
			}
		}
	})
}
