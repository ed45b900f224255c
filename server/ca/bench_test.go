package ca_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/bulla-sign/bulla/server/ca"
)

// BenchmarkIssue is a whole request without the network, the CT log's signature included: token of RS256, proof by a P-256
// key, two signatures of a P-256 authority, all checks of the result.
func BenchmarkIssue(b *testing.B) {
	w := newWorld(b, func(cfg *ca.Config) { cfg.Log = slog.New(slog.DiscardHandler) })
	key := newKey(b, elliptic.P256())
	payload, err := json.Marshal(body(b, w.idp.token(b, claims(nil)), key, email))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, v2, bytes.NewReader(payload))
		rw := httptest.NewRecorder()
		w.ServeHTTP(rw, r)
		if rw.Code != http.StatusOK {
			b.Fatal(rw.Body)
		}
	}
}

// BenchmarkSignatureFloor is the least that a certificate costs: the signatures that have to be made and checked. The
// target for BenchmarkIssue is three times this.
func BenchmarkSignatureFloor(b *testing.B) {
	issuing, key, idp := newKey(b, elliptic.P256()), newKey(b, elliptic.P256()), rsaKey()
	digest := sha256.Sum256([]byte("bulla"))
	token, err := idp.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		b.Fatal(err)
	}
	proof := sign(b, key, "bulla")
	for b.Loop() {
		if rsa.VerifyPKCS1v15(&idp.PublicKey, crypto.SHA256, digest[:], token) != nil || !ecdsa.VerifyASN1(&key.PublicKey, digest[:], proof) {
			b.Fatal("signature")
		}
		for range 3 { // precertificate, certificate, timestamp
			if _, err := issuing.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
				b.Fatal(err)
			}
		}
	}
}
