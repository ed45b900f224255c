package keys

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
)

func TestImport(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, _ := x509.MarshalECPrivateKey(ec)
	pkcs8, _ := x509.MarshalPKCS8PrivateKey(ec)
	params := pemOf("EC PARAMETERS", []byte{6, 5, 43, 129, 4, 0, 34})
	for name, data := range map[string][]byte{
		"SEC 1":                       pemOf("EC PRIVATE KEY", sec1),
		"PKCS#8":                      pemOf("PRIVATE KEY", pkcs8),
		"SEC 1 after EC PARAMETERS":   append(params, pemOf("EC PRIVATE KEY", sec1)...),
		"text before the block":       append([]byte("my key:\n"), pemOf("PRIVATE KEY", pkcs8)...),
		"PKCS#8 with trailing spaces": append(pemOf("PRIVATE KEY", pkcs8), "\n\n  "...),
	} {
		key, err := Import(data, nil)
		if err != nil || !samePublic(key, ec) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestImportRefuses(t *testing.T) {
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p224DER, _ := x509.MarshalPKCS8PrivateKey(p224)
	small, _ := x509.MarshalPKCS8PrivateKey(rsa1024(t))
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "no PEM block"},
		{"text", []byte("hello"), "no PEM block"},
		{"too large", make([]byte, maxKeyBytes+1), "more than 65536 bytes"},
		{"public key", pemOf("PUBLIC KEY", nil), `"PUBLIC KEY" is not a private key`},
		{"encrypted PKCS#8", pemOf("ENCRYPTED PRIVATE KEY", nil), "openssl pkey"},
		{"old OpenSSL encryption", []byte("-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,AA\n\nAAAA\n-----END EC PRIVATE KEY-----\n"), "OpenSSL's old way"},
		{"garbage PKCS#8", pemOf("PRIVATE KEY", []byte{1, 2}), "PKCS#8"},
		{"garbage PKCS#1", pemOf("RSA PRIVATE KEY", []byte{1, 2}), "PKCS#1"},
		{"garbage SEC 1", pemOf("EC PRIVATE KEY", []byte{1, 2}), "SEC 1"},
		{"P-224", pemOf("PRIVATE KEY", p224DER), "unsupported ECDSA curve P-224"},
		{"RSA 1024", pemOf("PRIVATE KEY", small), "1024 bits"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Import(tt.data, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
}

// rsa1024 builds a key of a size that the standard library still parses.
func rsa1024(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	for {
		p, err1 := rand.Prime(rand.Reader, 512)
		q, err2 := rand.Prime(rand.Reader, 512)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		one := big.NewInt(1)
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		d := new(big.Int).ModInverse(big.NewInt(65537), phi)
		n := new(big.Int).Mul(p, q)
		if d == nil || p.Cmp(q) == 0 || n.BitLen() != 1024 {
			continue
		}
		key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: 65537}, D: d, Primes: []*big.Int{p, q}}
		key.Precompute()
		return key
	}
}
