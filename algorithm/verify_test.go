package algorithm_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"

	"filippo.io/edwards25519"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv"
)

func find(t testing.TB, name string) algorithm.Algorithm {
	t.Helper()
	a, err := algorithm.ForName(name)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func sign(t testing.TB, key crypto.Signer, digest []byte, opts crypto.SignerOpts) []byte {
	t.Helper()
	sig, err := key.Sign(rand.Reader, digest, opts)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func hashed(h crypto.Hash, data []byte) []byte {
	w := h.New()
	w.Write(data)
	return w.Sum(nil)
}

func TestVerify(t *testing.T) {
	msg := []byte("what the seal says")
	p256, p384, p521 := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384()), ecKey(t, elliptic.P521())
	ed, rs := edKey(t), rsaKey(t, 2048)
	pss := func(salt int) crypto.SignerOpts { return &rsa.PSSOptions{SaltLength: salt, Hash: crypto.SHA256} }
	sha256, sha384, sha512 := hashed(crypto.SHA256, msg), hashed(crypto.SHA384, msg), hashed(crypto.SHA512, msg)
	tests := []struct {
		name string
		key  crypto.Signer
		alg  string
		sig  []byte
	}{
		{"P-256", p256, "ecdsa-sha2-256-nistp256", sign(t, p256, sha256, crypto.SHA256)},
		{"P-384", p384, "ecdsa-sha2-384-nistp384", sign(t, p384, sha384, crypto.SHA384)},
		{"P-384 with SHA-256", p384, "ecdsa-sha2-256-nistp384", sign(t, p384, sha256, crypto.SHA256)},
		{"P-521", p521, "ecdsa-sha2-512-nistp521", sign(t, p521, sha512, crypto.SHA512)},
		{"P-521 with SHA-256", p521, "ecdsa-sha2-256-nistp521", sign(t, p521, sha256, crypto.SHA256)},
		{"RSA v1.5", rs, "rsa-sign-pkcs1-2048-sha256", sign(t, rs, sha256, crypto.SHA256)},
		{"RSA PSS, salt as long as the hash", rs, "rsa-sign-pss-2048-sha256", sign(t, rs, sha256, pss(rsa.PSSSaltLengthEqualsHash))},
		{"RSA PSS, longest salt", rs, "rsa-sign-pss-2048-sha256", sign(t, rs, sha256, pss(rsa.PSSSaltLengthAuto))},
		{"Ed25519", ed, "ed25519", sign(t, ed, msg, crypto.Hash(0))},
		{"Ed25519ph", ed, "ed25519-ph", sign(t, ed, sha512, crypto.SHA512)},
	}
	keys := []crypto.Signer{p256, p384, p521, rs, ed}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			alg, pub := find(t, test.alg), test.key.Public()
			if err := alg.Verify(pub, algorithm.Bytes(msg), test.sig); err != nil {
				t.Fatalf("genuine signature: %v", err)
			}
			refused := func(what string, pub crypto.PublicKey, m algorithm.Message, sig []byte) {
				t.Helper()
				if err := alg.Verify(pub, m, sig); !errors.Is(err, algorithm.ErrSignature) {
					t.Errorf("%s: %v, want ErrSignature", what, err)
				}
			}
			refused("other message", pub, algorithm.Bytes(append(msg[:len(msg):len(msg)], '.')), test.sig)
			refused("empty signature", pub, algorithm.Bytes(msg), nil)
			refused("trailing byte", pub, algorithm.Bytes(msg), append(bytes.Clone(test.sig), 0))
			refused("truncated", pub, algorithm.Bytes(msg), test.sig[:len(test.sig)-1])
			refused("huge", pub, algorithm.Bytes(msg), make([]byte, 1<<16))
			for i := range test.sig {
				bad := bytes.Clone(test.sig)
				bad[i] ^= 1
				refused("flipped bit", pub, algorithm.Bytes(msg), bad)
			}
			accepted := 0
			for _, a := range algorithm.Alternatives(pub) {
				if a.Verify(pub, algorithm.Bytes(msg), test.sig) == nil {
					accepted++
				}
			}
			if accepted != 1 {
				t.Errorf("%d alternatives accept the signature, want one", accepted)
			}
			for _, other := range keys {
				if other.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(pub) {
					continue
				}
				if err := alg.Verify(other.Public(), algorithm.Bytes(msg), test.sig); err == nil || errors.Is(err, algorithm.ErrSignature) {
					t.Errorf("key of another type: %v, want an error about the key", err)
				}
			}
			if err := alg.Verify(pub, nil, test.sig); err == nil || errors.Is(err, algorithm.ErrSignature) {
				t.Errorf("no message: %v", err)
			}
		})
	}
	if err := (algorithm.Algorithm{}).Verify(ed.Public(), algorithm.Bytes(msg), make([]byte, 64)); err == nil {
		t.Error("the zero algorithm verified")
	}
}

// TestVerifyECDSAStrict holds signatures with the right numbers in an encoding that is not DER.
func TestVerifyECDSAStrict(t *testing.T) {
	key, msg := ecKey(t, elliptic.P256()), []byte("m")
	alg := find(t, "ecdsa-sha2-256-nistp256")
	var sig []byte
	var rs struct{ R, S *big.Int }
	for { // a signature whose R and S have 32 bytes without sign byte keeps the encodings below simple
		sig = sign(t, key, hashed(crypto.SHA256, msg), crypto.SHA256)
		if _, err := asn1.Unmarshal(sig, &rs); err != nil {
			t.Fatal(err)
		}
		if len(sig) == 70 && rs.R.BitLen() > 247 && rs.S.BitLen() > 247 {
			break
		}
	}
	if err := alg.Verify(key.Public(), algorithm.Bytes(msg), sig); err != nil {
		t.Fatal(err)
	}
	raw := append(rs.R.FillBytes(make([]byte, 32)), rs.S.FillBytes(make([]byte, 32))...)
	longLength := append([]byte{0x30, 0x81, sig[1]}, sig[2:]...)
	padded := append([]byte{0x30, sig[1] + 1, 0x02, 0x21, 0x00}, sig[4:]...)
	inner := append(append([]byte{0x30, sig[1] + 2}, sig[2:]...), 0x05, 0x00)
	negative := new(big.Int).Sub(rs.R, key.Params().N)
	neg, err := asn1.Marshal(struct{ R, S *big.Int }{negative, rs.S})
	if err != nil {
		t.Fatal(err)
	}
	over, err := asn1.Marshal(struct{ R, S *big.Int }{rs.R, new(big.Int).Add(rs.S, key.Params().N)})
	if err != nil {
		t.Fatal(err)
	}
	zero := []byte{0x30, 6, 2, 1, 0, 2, 1, 0}
	for name, bad := range map[string][]byte{
		"r||s": raw, "long form length": longLength, "padded integer": padded, "third element": inner,
		"negative r": neg, "s beyond the order": over, "zero r and s": zero,
	} {
		if err := alg.Verify(key.Public(), algorithm.Bytes(msg), bad); !errors.Is(err, algorithm.ErrSignature) {
			t.Errorf("%s: %v, want ErrSignature", name, err)
		}
	}
}

func TestPrecomputed(t *testing.T) {
	msg := []byte("streamed elsewhere")
	key, ed := ecKey(t, elliptic.P256()), edKey(t)
	alg, sum := find(t, "ecdsa-sha2-256-nistp256"), hashed(crypto.SHA256, msg)
	sig := sign(t, key, sum, crypto.SHA256)
	if err := alg.Verify(key.Public(), algorithm.Precomputed(crypto.SHA256, sum), sig); err != nil {
		t.Errorf("genuine digest: %v", err)
	}
	sum512 := hashed(crypto.SHA512, msg)
	if err := alg.Verify(key.Public(), algorithm.Precomputed(crypto.SHA512, sum512), sig); !errors.Is(err, algorithm.ErrDigestUnavailable) {
		t.Errorf("digest by another hash: %v", err)
	}
	if err := alg.Verify(key.Public(), algorithm.Precomputed(crypto.SHA256, sum[:31]), sig); err == nil || errors.Is(err, algorithm.ErrSignature) {
		t.Errorf("short digest: %v", err)
	}
	phSig, pureSig := sign(t, ed, sum512, crypto.SHA512), sign(t, ed, msg, crypto.Hash(0))
	m := algorithm.Precomputed(crypto.SHA512, sum512)
	if err := find(t, "ed25519-ph").Verify(ed.Public(), m, phSig); err != nil {
		t.Errorf("Ed25519ph from its digest: %v", err)
	}
	if err := find(t, "ed25519").Verify(ed.Public(), m, pureSig); !errors.Is(err, algorithm.ErrDigestUnavailable) {
		t.Errorf("pure Ed25519 from a plain digest: %v", err)
	}
	// What DigestNeeded asks for is what Verify takes.
	h, prefix := find(t, "ed25519").DigestNeeded(ed.Public(), pureSig)
	stream := digestOf{h, prefix, hashed(h, append(bytes.Clone(prefix), msg...))}
	if err := find(t, "ed25519").Verify(ed.Public(), stream, pureSig); err != nil {
		t.Errorf("pure Ed25519 from a prefixed digest: %v", err)
	}
	if _, err := algorithm.Bytes(msg).Digest(crypto.MD4, nil); !errors.Is(err, algorithm.ErrDigestUnavailable) {
		t.Errorf("unavailable hash: %v", err)
	}
	short := digestOf{crypto.SHA256, nil, sum[:20]}
	if err := alg.Verify(key.Public(), short, sig); err == nil || errors.Is(err, algorithm.ErrSignature) {
		t.Errorf("message that lies about its digest: %v", err)
	}
}

// digestOf is a message that was hashed in advance as DigestNeeded said.
type digestOf struct {
	hash   crypto.Hash
	prefix []byte
	digest []byte
}

func (d digestOf) Digest(h crypto.Hash, prefix []byte) ([]byte, error) {
	if h != d.hash || !bytes.Equal(prefix, d.prefix) {
		return nil, algorithm.ErrDigestUnavailable
	}
	return d.digest, nil
}

func TestRekorVectors(t *testing.T) {
	read := func(name string) []byte {
		return testenv.ReadVector(t, "rekor", "tests", "client-algos-testdata", name)
	}
	tests := []struct{ key, file, sig, alg string }{
		{"rsa_public.pem", "file1", "file1.rsa.sig", "rsa-sign-pkcs1-2048-sha256"},
		{"rsa_public.pem", "file2", "file2.rsa.sig", "rsa-sign-pkcs1-2048-sha256"},
		{"rsa_public.pem", "file2", "file2.rsa512.sig", "rsa-sign-pkcs1-2048-sha512"},
		{"ec_public.pem", "file1", "file1.ec.sig", "ecdsa-sha2-256-nistp256"},
		{"ec_public.pem", "file2", "file2.ec.sig", "ecdsa-sha2-256-nistp256"},
		{"ed25519_public.pem", "file1", "file1.ed25519.sig", "ed25519"},
		{"ed25519_public.pem", "file1", "file1.ed25519ph.sig", "ed25519-ph"},
	}
	for _, test := range tests {
		t.Run(test.sig, func(t *testing.T) {
			pub, err := algorithm.ParsePublicKeyPEM(read(test.key))
			if err != nil {
				t.Fatal(err)
			}
			algs := algorithm.Alternatives(pub)
			if a, err := algorithm.WithHash(pub, crypto.SHA512); err == nil {
				algs = append(algs, a)
			}
			var got []string
			for _, a := range algs {
				if a.Verify(pub, algorithm.Bytes(read(test.file)), read(test.sig)) == nil {
					got = append(got, a.Name())
				}
			}
			if len(got) == 0 || got[0] != test.alg {
				t.Errorf("verifies as %v, want %s", got, test.alg)
			}
		})
	}
}

// smallOrder are the encodings of points of small order, canonical and not (RFC 8032, 5.1.3; "Taming the many EdDSAs").
func smallOrder(t testing.TB) [][]byte {
	t.Helper()
	var all [][]byte
	add := func(first byte, middle byte, last byte) {
		p := bytes.Repeat([]byte{middle}, 32)
		p[0], p[31] = first, last
		all = append(all, p)
	}
	add(1, 0, 0)          // the neutral element
	add(1, 0, 0x80)       // the same with the sign of x set
	add(0xec, 0xff, 0x7f) // order 2: y = -1
	add(0xec, 0xff, 0xff)
	add(0, 0, 0) // order 4: y = 0
	add(0, 0, 0x80)
	add(0xed, 0xff, 0x7f) // y = p, not reduced
	add(0xed, 0xff, 0xff)
	add(0xee, 0xff, 0x7f) // y = p + 1, not reduced
	add(0xee, 0xff, 0xff)
	order8 := []byte{
		0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
	}
	if p, err := new(edwards25519.Point).SetBytes(order8); err != nil || new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) != 1 {
		t.Fatalf("the point of order 8 in this test is wrong: %v", err)
	}
	return append(all, order8)
}

// groupOrder is the order of the Ed25519 base point, little-endian.
func groupOrder() []byte {
	l, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	return reverse(l.FillBytes(make([]byte, 32)))
}

func reverse(b []byte) []byte {
	r := bytes.Clone(b)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return r
}

// agree compares the streaming check with crypto/ed25519.
func agree(t testing.TB, pub, msg, sig []byte) bool {
	t.Helper()
	want := len(pub) == ed25519.PublicKeySize && ed25519.Verify(pub, msg, sig)
	a, err := algorithm.ForDetails(algorithm.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	err = a.Verify(ed25519.PublicKey(pub), algorithm.Bytes(msg), sig)
	if (err == nil) != want {
		t.Fatalf("key %x message %x signature %x: %v, crypto/ed25519 says %v", pub, msg, sig, err, want)
	}
	return want
}

func TestEd25519AgreesWithStandardLibrary(t *testing.T) {
	testenv.Unwatched(t)
	accepted, refused := 0, 0
	check := func(pub, msg, sig []byte) {
		t.Helper()
		if agree(t, pub, msg, sig) {
			accepted++
		} else {
			refused++
		}
	}
	small := smallOrder(t)
	for i := range 64 {
		key := edKey(t)
		pub, msg := key.Public().(ed25519.PublicKey), bytes.Repeat([]byte{byte(i)}, i)
		sig := ed25519.Sign(key, msg)
		check(pub, msg, sig)
		s := new(big.Int).SetBytes(reverse(sig[32:]))
		order := new(big.Int).SetBytes(reverse(groupOrder()))
		for range 3 { // S + L, S + 2L, S + 3L: the same signature to a check that forgets to look
			if s.Add(s, order).BitLen() <= 256 {
				malleable := append(bytes.Clone(sig[:32]), reverse(s.FillBytes(make([]byte, 32)))...)
				if ed25519.Verify(pub, msg, malleable) {
					t.Fatal("malleable signature accepted")
				}
				check(pub, msg, malleable)
			}
		}
		check(pub, msg, append(bytes.Clone(sig[:32]), groupOrder()...))
		for bit := 0; bit < 512; bit += 7 {
			bad := bytes.Clone(sig)
			bad[bit/8] ^= 1 << (bit % 8)
			check(pub, msg, bad)
		}
		for _, p := range small {
			check(p, msg, sig)
			check(pub, msg, append(bytes.Clone(p), sig[32:]...))
			for _, r := range small { // with S = 0 the equation is R = -[k]A: true for some messages and keys of small order
				check(p, msg, append(bytes.Clone(r), make([]byte, 32)...))
			}
		}
		// A key with a part of order 8 added: the equation without cofactor refuses what one with cofactor accepts.
		torsion, _ := new(edwards25519.Point).SetBytes(small[len(small)-1])
		p, err := new(edwards25519.Point).SetBytes(pub)
		if err != nil {
			t.Fatal(err)
		}
		check(p.Add(p, torsion).Bytes(), msg, sig)
	}
	if accepted < 64*2 || refused < 64 {
		t.Errorf("%d accepted, %d refused: the cases do not reach both sides", accepted, refused)
	}
}

func FuzzEd25519(f *testing.F) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	msg := []byte("seed")
	f.Add([]byte(key.Public().(ed25519.PublicKey)), msg, ed25519.Sign(key, msg), false)
	for _, p := range smallOrder(f) {
		f.Add(p, msg, append(bytes.Clone(p), make([]byte, 32)...), true)
	}
	f.Fuzz(func(t *testing.T, pub, msg, sig []byte, derive bool) {
		agree(t, pub, msg, sig)
		if derive { // a genuine key and signature, altered by what the fuzzer gives
			seed := sha256.Sum256(pub)
			key := ed25519.NewKeyFromSeed(seed[:])
			good := ed25519.Sign(key, msg)
			for i := range min(len(sig), len(good)) {
				good[i] ^= sig[i]
			}
			agree(t, key.Public().(ed25519.PublicKey), msg, good)
		}
	})
}

func TestDigestNeeded(t *testing.T) {
	ed, ec := edKey(t).Public().(ed25519.PublicKey), ecKey(t, elliptic.P256()).Public().(*ecdsa.PublicKey)
	sig := bytes.Repeat([]byte{9}, 64)
	tests := []struct {
		alg    string
		pub    crypto.PublicKey
		sig    []byte
		hash   crypto.Hash
		prefix []byte
	}{
		{"ed25519", ed, sig, crypto.SHA512, append(bytes.Clone(sig[:32]), ed...)},
		{"ed25519-ph", ed, sig, crypto.SHA512, nil},
		{"ed25519", ed, sig[:63], 0, nil},
		{"ed25519", ec, sig, 0, nil},
		{"ecdsa-sha2-256-nistp256", ec, sig, crypto.SHA256, nil},
		{"ecdsa-sha2-256-nistp256", ec, nil, 0, nil},
		{"ecdsa-sha2-256-nistp256", ec, make([]byte, 513), 0, nil},
	}
	for _, test := range tests {
		h, prefix := find(t, test.alg).DigestNeeded(test.pub, test.sig)
		if h != test.hash || !bytes.Equal(prefix, test.prefix) {
			t.Errorf("%s with %d bytes: %v, %x; want %v, %x", test.alg, len(test.sig), h, prefix, test.hash, test.prefix)
		}
	}
}
