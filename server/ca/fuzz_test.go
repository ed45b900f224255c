package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/server/ca/fulciopb"
)

func seedKey(f *testing.F) (spki, csr []byte) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	if spki, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
		f.Fatal(err)
	}
	if csr, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key); err != nil {
		f.Fatal(err)
	}
	return spki, csr
}

// FuzzCSR: whatever is accepted is a good key that the request was signed with.
func FuzzCSR(f *testing.F) {
	spki, csr := seedKey(f)
	f.Add(csr)
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))
	f.Add(spki)
	f.Fuzz(func(t *testing.T, data []byte) {
		der, err := possessed(&fulciopb.SigningRequest{HasCSR: true, CSR: data}, nil)
		if err != nil {
			return
		}
		pub, err := algorithm.ParsePublicKey(der)
		if err != nil || goodKey(pub) != nil {
			t.Fatalf("a key that is not good: %v", err)
		}
	})
}

// FuzzProof: no proof that was not made with the key is accepted.
func FuzzProof(f *testing.F) {
	spki, csr := seedKey(f)
	f.Add(spki, []byte("proof"))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}), []byte{0x30, 6, 2, 1, 1, 2, 1, 1})
	f.Add(csr, []byte{})
	f.Fuzz(func(t *testing.T, key, proof []byte) {
		if _, err := possessed(&fulciopb.SigningRequest{HasKey: true, PublicKey: key, Proof: proof}, []string{"alice@bulla.test"}); err == nil {
			t.Fatalf("forged: %x for %x", proof, key)
		}
	})
}

// FuzzEncodeSCT reads answers of a CT log.
func FuzzEncodeSCT(f *testing.F) {
	f.Add([]byte(`{"sct_version":0,"id":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","timestamp":1,"extensions":"","signature":"BAMAAA=="}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		sct, err := encodeSCT(data)
		if err == nil && len(sct) < 47 {
			t.Fatalf("%d bytes", len(sct))
		}
	})
}
