package algorithm_test

import (
	"bytes"
	"crypto"
	"crypto/dsa" //lint:ignore SA1019 a DSA key is what must be refused
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv"
)

func TestCheckKey(t *testing.T) {
	p256, p384 := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384())
	ed := edKey(t).Public().(ed25519.PublicKey)
	//lint:ignore SA1019 the supported constructors refuse to make such a key
	offCurve := &ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)}
	offEd := ed25519.PublicKey(append([]byte{2}, make([]byte, 31)...)) // y = 2 has no x on the curve
	even := rsaPublic(2048, 65537)
	even.N = new(big.Int).Lsh(big.NewInt(1), 2047)
	tests := []struct {
		name    string
		details algorithm.Details
		pub     crypto.PublicKey
		want    string // part of the error; "" for none
	}{
		{"P-256", algorithm.ECDSAP256SHA256, p256.Public(), ""},
		{"P-384", algorithm.ECDSAP384SHA384, p384.Public(), ""},
		{"RFC 6979 P-256", 6, p256.Public(), ""},
		{"P-384 with SHA-256", algorithm.ECDSAP384SHA256, p384.Public(), ""},
		{"wrong curve", algorithm.ECDSAP384SHA384, p256.Public(), "needs curve P-384, the key is on P-256"},
		{"not on the curve", algorithm.ECDSAP256SHA256, offCurve, "not a point"},
		{"no coordinates", algorithm.ECDSAP256SHA256, &ecdsa.PublicKey{Curve: elliptic.P256()}, "no coordinates"},
		{"no curve", algorithm.ECDSAP256SHA256, &ecdsa.PublicKey{}, "needs an ECDSA key"},
		{"ECDSA as RSA", algorithm.RSAPKCS1v15x2048SHA256, p256.Public(), "needs an RSA key, not an ECDSA key"},
		{"RSA as ECDSA", algorithm.ECDSAP256SHA256, rsaPublic(2048, 65537), "needs an ECDSA key, not an RSA key"},
		{"private key", algorithm.ECDSAP256SHA256, p256, "not *ecdsa.PrivateKey"},
		{"no key", algorithm.Ed25519, nil, "not no key"},
		{"Ed25519", algorithm.Ed25519, ed, ""},
		{"Ed25519ph", algorithm.Ed25519ph, ed, ""},
		{"short Ed25519", algorithm.Ed25519, ed[:31], "31 bytes"},
		{"Ed25519 not on the curve", algorithm.Ed25519, offEd, "not a point"},
		{"RSA 2048", algorithm.RSAPKCS1v15x2048SHA256, rsaPublic(2048, 65537), ""},
		{"RSA 3072 PSS", algorithm.RSAPSSx3072SHA256, rsaPublic(3072, 65537), ""},
		{"RSA stated as larger", algorithm.RSAPKCS1v15x4096SHA256, rsaPublic(2048, 65537), "of 4096 bits, the key has 2048"},
		{"RSA any size", 3, rsaPublic(2500, 65537), ""},
		{"RSA too small", 3, rsaPublic(2047, 65537), "fewer than 2048"},
		{"RSA largest", 3, rsaPublic(4096, 65537), ""},
		{"RSA too large", 3, rsaPublic(4097, 65537), "more than 4096"},
		{"exponent 3", 3, rsaPublic(2048, 3), "exponent 3"},
		{"exponent even", 3, rsaPublic(2048, 65538), "exponent 65538"},
		{"exponent huge", 3, rsaPublic(2048, 1<<31+1), "exponent"},
		{"exponent largest", 3, rsaPublic(2048, 1<<31-1), ""},
		{"modulus even", 3, even, "odd"},
		{"no modulus", 3, &rsa.PublicKey{E: 65537}, "needs an RSA key"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, err := algorithm.ForDetails(test.details)
			if err != nil {
				t.Fatal(err)
			}
			err = a.CheckKey(test.pub)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("CheckKey: %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("CheckKey: %v, want an error with %q", err, test.want)
			}
		})
	}
	if err := (algorithm.Algorithm{}).CheckKey(ed); err == nil {
		t.Error("the zero algorithm takes a key")
	}
}

func TestParsePublicKey(t *testing.T) {
	for _, pub := range []crypto.PublicKey{ecKey(t, elliptic.P521()).Public(), edKey(t).Public(), rsaPublic(2048, 65537)} {
		der, err := algorithm.MarshalPublicKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		back, err := algorithm.ParsePublicKey(der)
		if err != nil || !pub.(interface{ Equal(crypto.PublicKey) bool }).Equal(back) {
			t.Errorf("%T does not survive encoding: %v", pub, err)
		}
		if _, err := algorithm.ParsePublicKey(append(der, 0)); err == nil {
			t.Errorf("%T with a trailing byte was read", pub)
		}
		if _, err := algorithm.ParsePublicKey(der[:len(der)-1]); err == nil {
			t.Errorf("truncated %T was read", pub)
		}
	}
	x, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(x.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := algorithm.ParsePublicKey(der); err == nil || !strings.Contains(err.Error(), "unsupported") {
		t.Errorf("X25519 key: %v, want unsupported", err)
	}
	if _, err := algorithm.ParsePublicKey(make([]byte, 8<<10+1)); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("oversized key: %v", err)
	}
	for _, pub := range []crypto.PublicKey{nil, &dsa.PublicKey{}, ed25519.PublicKey{1}, (*rsa.PublicKey)(nil), (*ecdsa.PublicKey)(nil), &rsa.PublicKey{}} {
		if _, err := algorithm.MarshalPublicKey(pub); err == nil {
			t.Errorf("MarshalPublicKey(%T) gave no error", pub)
		}
	}
}

// TestMarshalECDSA: keys are encoded as the standard library does it, and one that is not on its curve is not.
func TestMarshalECDSA(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P224(), elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		pub := ecKey(t, curve).Public().(*ecdsa.PublicKey)
		der, err := algorithm.MarshalPublicKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		want, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil || !bytes.Equal(der, want) {
			t.Errorf("%s: %x, want %x (%v)", curve.Params().Name, der, want, err)
		}
		//lint:ignore SA1019 the supported constructors refuse to make such a key
		off := &ecdsa.PublicKey{Curve: curve, X: big.NewInt(1), Y: big.NewInt(1)}
		if der, err := algorithm.MarshalPublicKey(off); err == nil {
			t.Errorf("%s: a key that is not on the curve is encoded: %x", curve.Params().Name, der)
		}
	}
}

func TestParsePublicKeyPEM(t *testing.T) {
	der, err := algorithm.MarshalPublicKey(ecKey(t, elliptic.P256()).Public())
	if err != nil {
		t.Fatal(err)
	}
	block := func(label string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})
	}
	good := block("PUBLIC KEY", der)
	pkcs1 := block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(rsaPublic(2048, 65537)))
	tests := []struct {
		name string
		pem  []byte
		want string
	}{
		{"PKIX", good, ""},
		{"PKCS #1", pkcs1, ""},
		{"carriage returns", bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")), ""},
		{"text before", append([]byte("Public-Key: (256 bit)\n"), good...), ""},
		{"empty", nil, "not in PEM"},
		{"DER", der, "not in PEM"},
		{"two blocks", append(bytes.Clone(good), good...), "more than one"},
		{"truncated second block", append(bytes.Clone(good), "-----BEGIN PUBLIC KEY-----\n"...), "more than one"},
		{"private key", block("ENCRYPTED SIGSTORE PRIVATE KEY", der), "is a private key"},
		{"certificate", block("CERTIFICATE", der), "is a certificate"},
		{"other", block("PGP PUBLIC KEY BLOCK", der), "not a public key"},
		{"PKIX labelled PKCS #1", block("RSA PUBLIC KEY", der), "PKCS #1"},
		{"damaged", block("PUBLIC KEY", der[1:]), "SubjectPublicKeyInfo"},
		{"oversized", append(make([]byte, 32<<10), good...), "more than"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			pub, err := algorithm.ParsePublicKeyPEM(test.pem)
			switch {
			case test.want == "" && (err != nil || pub == nil):
				t.Errorf("got %T, %v", pub, err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestParseKey(t *testing.T) {
	pub := rsaPublic(2048, 65537)
	pkcs1 := x509.MarshalPKCS1PublicKey(pub)
	pkix, err := algorithm.MarshalPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		details algorithm.Details
		raw     []byte
		ok      bool
	}{
		{1, pkcs1, true},
		{2, pkcs1, true},
		{1, pkix, false},
		{2, append(bytes.Clone(pkcs1), 0), false},
		{3, pkix, true},
		{4, pkix, true},
		{3, pkcs1, false},
		{algorithm.RSAPKCS1v15x2048SHA256, pkix, true},
		{algorithm.RSAPKCS1v15x3072SHA256, pkix, false},
		{algorithm.ECDSAP256SHA256, pkix, false},
		{algorithm.Unspecified, pkix, false},
		{21, pkix, false},
		{99, pkix, false},
		{1, make([]byte, 8<<10+1), false},
	}
	for _, test := range tests {
		got, a, err := algorithm.ParseKey(test.details, test.raw)
		if (err == nil) != test.ok {
			t.Errorf("ParseKey(%s): %v, want ok %v", test.details, err, test.ok)
		}
		if err == nil && (!pub.Equal(got) || a.Details() != test.details) {
			t.Errorf("ParseKey(%s) = %v with %v", test.details, got, a)
		}
	}
}

func FuzzParsePublicKeyPEM(f *testing.F) {
	for _, name := range []string{"ec_public.pem", "rsa_public.pem", "ed25519_public.pem"} {
		f.Add(testenv.ReadVector(f, "rekor", "tests", "client-algos-testdata", name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		pub, err := algorithm.ParsePublicKeyPEM(data)
		if err != nil {
			return
		}
		der, err := algorithm.MarshalPublicKey(pub)
		if err != nil {
			t.Fatalf("a key was read that cannot be written: %v", err)
		}
		if back, err := algorithm.ParsePublicKey(der); err != nil || !pub.(interface{ Equal(crypto.PublicKey) bool }).Equal(back) {
			t.Fatalf("key changed by encoding: %v", err)
		}
		for _, a := range algorithm.Alternatives(pub) {
			if err := a.CheckKey(pub); err != nil {
				t.Fatalf("alternative %v refuses the key: %v", a, err)
			}
		}
	})
}
