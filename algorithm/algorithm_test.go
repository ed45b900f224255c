package algorithm_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
)

func ecKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func rsaKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// rsaPublic returns a public key of the given size whose modulus nobody knows the factors of: enough for size rules.
func rsaPublic(bits, e int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: e}
}

func edKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestDetailsNamesAndNumbers(t *testing.T) {
	// The enum of protobuf-specs v0.5.2, gen/pb-go/common/v1.
	enum := map[string]int32{
		"PUBLIC_KEY_DETAILS_UNSPECIFIED": 0, "PKCS1_RSA_PKCS1V5": 1, "PKCS1_RSA_PSS": 2, "PKIX_RSA_PKCS1V5": 3,
		"PKIX_RSA_PSS": 4, "PKIX_ECDSA_P256_SHA_256": 5, "PKIX_ECDSA_P256_HMAC_SHA_256": 6, "PKIX_ED25519": 7,
		"PKIX_ED25519_PH": 8, "PKIX_RSA_PKCS1V15_2048_SHA256": 9, "PKIX_RSA_PKCS1V15_3072_SHA256": 10,
		"PKIX_RSA_PKCS1V15_4096_SHA256": 11, "PKIX_ECDSA_P384_SHA_384": 12, "PKIX_ECDSA_P521_SHA_512": 13,
		"LMS_SHA256": 14, "LMOTS_SHA256": 15, "PKIX_RSA_PSS_2048_SHA256": 16, "PKIX_RSA_PSS_3072_SHA256": 17,
		"PKIX_RSA_PSS_4096_SHA256": 18, "PKIX_ECDSA_P384_SHA_256": 19, "PKIX_ECDSA_P521_SHA_256": 20,
		"ML_DSA_65": 21, "ML_DSA_87": 22, "ML_DSA_44": 23,
	}
	for name, number := range enum {
		d, ok := algorithm.ParseDetails(name)
		if !ok || int32(d) != number || d.String() != name {
			t.Errorf("ParseDetails(%q) = %d (%s), %v; want %d", name, d, d, ok, number)
		}
		a, err := algorithm.ForDetails(d)
		unsupported := strings.HasPrefix(name, "ML_DSA") || strings.HasPrefix(name, "LM") || number == 0
		switch {
		case unsupported && err == nil:
			t.Errorf("ForDetails(%s) gave %s, want an error", name, a.Name())
		case unsupported && number != 0 && !strings.Contains(err.Error(), "unsupported algorithm "+name):
			t.Errorf("ForDetails(%s): %v does not name it", name, err)
		case !unsupported && err != nil:
			t.Errorf("ForDetails(%s): %v", name, err)
		case !unsupported && a.Details() != d:
			t.Errorf("ForDetails(%s).Details() = %s", name, a.Details())
		}
	}
	for _, name := range []string{"", "pkix_ed25519", "PKIX_ED25519 ", "23"} {
		if d, ok := algorithm.ParseDetails(name); ok {
			t.Errorf("ParseDetails(%q) = %s, want unknown", name, d)
		}
	}
	for _, d := range []algorithm.Details{-1, 24, 1 << 30} {
		if _, err := algorithm.ForDetails(d); err == nil || !strings.Contains(err.Error(), d.String()) {
			t.Errorf("ForDetails(%d): %v, want an error with the number", d, err)
		}
	}
}

func TestNames(t *testing.T) {
	// Names of the algorithm registry, as sigstore's command lines spell them.
	names := map[algorithm.Details]string{
		algorithm.ECDSAP256SHA256: "ecdsa-sha2-256-nistp256", algorithm.ECDSAP384SHA384: "ecdsa-sha2-384-nistp384",
		algorithm.ECDSAP521SHA512: "ecdsa-sha2-512-nistp521", algorithm.ECDSAP384SHA256: "ecdsa-sha2-256-nistp384",
		algorithm.ECDSAP521SHA256: "ecdsa-sha2-256-nistp521", algorithm.Ed25519: "ed25519", algorithm.Ed25519ph: "ed25519-ph",
		algorithm.RSAPKCS1v15x2048SHA256: "rsa-sign-pkcs1-2048-sha256", algorithm.RSAPKCS1v15x3072SHA256: "rsa-sign-pkcs1-3072-sha256",
		algorithm.RSAPKCS1v15x4096SHA256: "rsa-sign-pkcs1-4096-sha256", algorithm.RSAPSSx2048SHA256: "rsa-sign-pss-2048-sha256",
		algorithm.RSAPSSx3072SHA256: "rsa-sign-pss-3072-sha256", algorithm.RSAPSSx4096SHA256: "rsa-sign-pss-4096-sha256",
	}
	for d, name := range names {
		a, err := algorithm.ForDetails(d)
		if err != nil || a.Name() != name {
			t.Errorf("ForDetails(%s).Name() = %q, %v; want %q", d, a.Name(), err, name)
		}
		b, err := algorithm.ForName(name)
		if err != nil || b != a {
			t.Errorf("ForName(%q) = %v, %v; want %v", name, b, err, a)
		}
	}
	for _, name := range []string{"", "foo", "ecdsa-sha2-256", "ED25519", "rsa-sign-pkcs1-sha256", "rsa-sign-pkcs1-1024-sha256"} {
		if a, err := algorithm.ForName(name); err == nil {
			t.Errorf("ForName(%q) = %v, want an error", name, a)
		}
	}
	if (algorithm.Algorithm{}).Name() != "" {
		t.Error("the zero algorithm has a name")
	}
}

func TestDefaultAndAlternatives(t *testing.T) {
	ed := edKey(t).Public()
	tests := []struct {
		name string
		pub  crypto.PublicKey
		want []string
	}{
		{"P-256", ecKey(t, elliptic.P256()).Public(), []string{"ecdsa-sha2-256-nistp256"}},
		{"P-384", ecKey(t, elliptic.P384()).Public(), []string{"ecdsa-sha2-384-nistp384", "ecdsa-sha2-256-nistp384"}},
		{"P-521", ecKey(t, elliptic.P521()).Public(), []string{"ecdsa-sha2-512-nistp521", "ecdsa-sha2-256-nistp521"}},
		{"Ed25519", ed, []string{"ed25519-ph", "ed25519"}},
		{"RSA 2048", rsaPublic(2048, 65537), []string{"rsa-sign-pkcs1-2048-sha256", "rsa-sign-pss-2048-sha256"}},
		{"RSA 4096", rsaPublic(4096, 65537), []string{"rsa-sign-pkcs1-4096-sha256", "rsa-sign-pss-4096-sha256"}},
		{"RSA 2560", rsaPublic(2560, 65537), []string{"rsa-sign-pkcs1-2560-sha256", "rsa-sign-pss-2560-sha256"}},
		{"P-224", ecKey(t, elliptic.P224()).Public(), nil},
		{"RSA 1024", rsaPublic(1024, 65537), nil},
		{"RSA 8192", rsaPublic(8192, 65537), nil},
		{"private key", edKey(t), nil},
		{"nil", nil, nil},
		{"nil ECDSA", (*ecdsa.PublicKey)(nil), nil},
		{"nil RSA", (*rsa.PublicKey)(nil), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, a := range algorithm.Alternatives(test.pub) {
				got = append(got, a.Name())
				if err := a.CheckKey(test.pub); err != nil {
					t.Errorf("CheckKey of an alternative: %v", err)
				}
			}
			if strings.Join(got, " ") != strings.Join(test.want, " ") {
				t.Errorf("Alternatives = %v, want %v", got, test.want)
			}
			a, err := algorithm.Default(test.pub)
			if len(test.want) == 0 {
				if err == nil {
					t.Errorf("Default = %v, want an error", a)
				}
				return
			}
			if err != nil || a.Name() != test.want[0] {
				t.Errorf("Default = %v, %v; want %s", a, err, test.want[0])
			}
		})
	}
}

func TestWithHash(t *testing.T) {
	p256, ed := ecKey(t, elliptic.P256()).Public(), edKey(t).Public()
	tests := []struct {
		pub  crypto.PublicKey
		hash crypto.Hash
		want string // "" for an error
	}{
		{p256, crypto.SHA224, "ecdsa-sha2-224-nistp256"},
		{p256, crypto.SHA256, "ecdsa-sha2-256-nistp256"},
		{p256, crypto.SHA512, "ecdsa-sha2-512-nistp256"},
		{rsaPublic(3072, 65537), crypto.SHA384, "rsa-sign-pkcs1-3072-sha384"},
		{ed, crypto.SHA512, "ed25519-ph"},
		{ed, crypto.SHA256, ""},
		{p256, crypto.SHA1, ""},
		{p256, crypto.MD5, ""},
		{p256, crypto.SHA3_256, ""},
		{p256, 0, ""},
	}
	for _, test := range tests {
		a, err := algorithm.WithHash(test.pub, test.hash)
		if a.Name() != test.want || (err == nil) != (test.want != "") {
			t.Errorf("WithHash(%T, %v) = %q, %v; want %q", test.pub, test.hash, a.Name(), err, test.want)
		}
		if err == nil && a.Hash() != test.hash {
			t.Errorf("WithHash(%T, %v).Hash() = %v", test.pub, test.hash, a.Hash())
		}
	}
	a, err := algorithm.WithHash(p256, crypto.SHA256)
	if err != nil || a.Details() != algorithm.ECDSAP256SHA256 {
		t.Errorf("details of the default combination = %v, %v", a.Details(), err)
	}
	if a, err = algorithm.WithHash(p256, crypto.SHA512); err != nil || a.Details() != algorithm.Unspecified {
		t.Errorf("details of a combination outside the registry = %v, %v", a.Details(), err)
	}
}

func TestHashNames(t *testing.T) {
	tests := []struct {
		number         int32
		bundle, digest string
		hash           crypto.Hash
	}{
		{1, "SHA2_256", "sha256", crypto.SHA256},
		{2, "SHA2_384", "sha384", crypto.SHA384},
		{3, "SHA2_512", "sha512", crypto.SHA512},
		{4, "SHA3_256", "sha3_256", crypto.SHA3_256},
		{5, "SHA3_384", "sha3_384", crypto.SHA3_384},
	}
	for _, test := range tests {
		if h, ok := algorithm.BundleHash(test.bundle); !ok || h != test.hash || !h.Available() {
			t.Errorf("BundleHash(%q) = %v, %v", test.bundle, h, ok)
		}
		if h, ok := algorithm.BundleHashNumber(test.number); !ok || h != test.hash {
			t.Errorf("BundleHashNumber(%d) = %v, %v", test.number, h, ok)
		}
		if h, ok := algorithm.Hash(test.digest); !ok || h != test.hash {
			t.Errorf("Hash(%q) = %v, %v", test.digest, h, ok)
		}
		if name, ok := algorithm.BundleHashName(test.hash); !ok || name != test.bundle {
			t.Errorf("BundleHashName(%v) = %q, %v", test.hash, name, ok)
		}
		if name := algorithm.HashName(test.hash); name != test.digest {
			t.Errorf("HashName(%v) = %q", test.hash, name)
		}
	}
	for _, name := range []string{"", "HASH_ALGORITHM_UNSPECIFIED", "SHA256", "sha2_256"} {
		if h, ok := algorithm.BundleHash(name); ok {
			t.Errorf("BundleHash(%q) = %v, want unknown", name, h)
		}
	}
	for _, n := range []int32{-1, 0, 6} {
		if h, ok := algorithm.BundleHashNumber(n); ok {
			t.Errorf("BundleHashNumber(%d) = %v, want unknown", n, h)
		}
	}
	for _, name := range []string{"", "sha1", "md5", "SHA256", "SHA2_256"} {
		if h, ok := algorithm.Hash(name); ok {
			t.Errorf("Hash(%q) = %v, want unknown", name, h)
		}
	}
	if name, ok := algorithm.BundleHashName(crypto.SHA224); ok {
		t.Errorf("BundleHashName(SHA-224) = %q, want unknown", name)
	}
	if name := algorithm.HashName(crypto.SHA1); name != "" {
		t.Errorf("HashName(SHA-1) = %q, want none", name)
	}
}
