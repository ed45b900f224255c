package ca_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/server/ca"
	"github.com/go-jose/go-jose/v4"
)

// checkIssued verifies a certificate as a client does, with the library that verifiers use.
func (w *world) checkIssued(t testing.TB, chain []*x509.Certificate, pub crypto.PublicKey) *identity.Certificate {
	t.Helper()
	if len(chain) != 3 || !chain[1].Equal(w.chain[0]) || !chain[2].Equal(w.chain[1]) {
		t.Fatalf("the answer has %d certificates, want leaf, intermediate, root", len(chain))
	}
	leaf, err := identity.FromX509(chain[0])
	if err != nil {
		t.Fatal(err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(chain[2])
	between.AddCert(chain[1])
	if _, err := leaf.ForChain().Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}); err != nil {
		t.Fatal(err)
	}
	scts, err := leaf.EmbeddedSCTs()
	if err != nil || len(scts) != 1 {
		t.Fatalf("%d SCTs, %v", len(scts), err)
	}
	if _, err := leaf.VerifyEmbeddedSCT(scts[0], chain[1], w.log.log.Key.Public()); err != nil {
		t.Fatal(err)
	}
	if fingerprint(t, chain[0].PublicKey) != fingerprint(t, pub) {
		t.Fatal("the certificate is for another key")
	}
	if length := chain[0].NotAfter.Sub(chain[0].NotBefore); length != ca.Lifetime || !chain[0].NotBefore.Equal(mint.Epoch) {
		t.Fatalf("valid from %s for %s", chain[0].NotBefore, length)
	}
	return leaf
}

func TestEmail(t *testing.T) {
	w := newWorld(t, nil)
	key := newKey(t, elliptic.P256())
	raw := w.idp.token(t, claims(nil))
	leaf := w.checkIssued(t, chainOf(t, do(t, w, http.MethodPost, v2, body(t, raw, key, email), nil)), key.Public())
	if len(leaf.SANs) != 1 || leaf.SANs[0] != (identity.SAN{Kind: identity.Email, Value: email}) {
		t.Fatalf("names: %v", leaf.SANs)
	}
	want := map[string]string{"oidcIssuer": issuerURL, "oidcIssuerV2": issuerURL, "tokenSubject": "CgVhbGljZRIFbG9jYWw"}
	if !maps.Equal(leaf.Extensions, want) {
		t.Fatalf("extensions: %v", leaf.Extensions)
	}
	// The precertificate went to the log with its issuers up to the root.
	if chain := w.log.chains[0]; len(chain) != 3 || string(chain[2]) != string(w.chain[1].Raw) {
		t.Fatalf("the log got %d certificates", len(chain))
	}
	for _, part := range strings.Split(raw, ".") {
		if strings.Contains(w.out.String(), part) {
			t.Fatal("the log has a part of the token")
		}
	}
	if !strings.Contains(w.out.String(), leaf.X509.SerialNumber.Text(16)) || !strings.Contains(w.out.String(), issuerURL) {
		t.Fatalf("the audit line lacks serial or issuer: %s", w.out)
	}
}

func TestKeys(t *testing.T) {
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, nil)
	raw := w.idp.token(t, claims(nil))
	for name, key := range map[string]crypto.Signer{
		"P-256": newKey(t, elliptic.P256()), "P-384": newKey(t, elliptic.P384()), "P-521": newKey(t, elliptic.P521()),
		"RSA": rsaKey(), "Ed25519": edKey,
	} {
		t.Run(name, func(t *testing.T) {
			w.checkIssued(t, chainOf(t, do(t, w, http.MethodPost, v2, body(t, raw, key, email), nil)), key.Public())
			w.checkIssued(t, chainOf(t, do(t, w, http.MethodPost, v2, csrBody(t, raw, key, false), nil)), key.Public())
		})
	}
}

// csr makes a certificate signing request that asks for more than it gets.
func csr(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "mallory@bulla.test"}, EmailAddresses: []string{"mallory@bulla.test"},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func csrBody(t testing.TB, raw string, key crypto.Signer, der bool) map[string]any {
	request := csr(t, key)
	if !der {
		request = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request})
	}
	return map[string]any{
		"credentials":               map[string]any{"oidcIdentityToken": raw},
		"certificateSigningRequest": request,
	}
}

// TestForms sends one request in every form that clients use.
func TestForms(t *testing.T) {
	w := newWorld(t, nil)
	key := newKey(t, elliptic.P256())
	raw := w.idp.token(t, claims(nil))
	bearer := http.Header{"Authorization": {"Bearer " + raw}}
	whole := body(t, raw, key, email)
	without := map[string]any{"publicKeyRequest": whole["publicKeyRequest"]}
	snake := `{"credentials":{"oidc_identity_token":"` + raw + `"},"public_key_request":{"public_key":{"algorithm":2,"content":` +
		quote(keyPEM(t, key)) + `},"proof_of_possession":` + quote(sign(t, key, email)) + `},"future":{"a":[1]}}`
	der := map[string]any{"publicKeyRequest": map[string]any{
		"publicKey": map[string]any{"content": mint.SPKI(t, key.Public())}, "proofOfPossession": sign(t, key, email),
	}}
	subject := body(t, raw, key, "CgVhbGljZRIFbG9jYWw")
	for name, c := range map[string]struct {
		body   any
		header http.Header
	}{
		"token in the body": {whole, nil}, "token in the header": {without, bearer}, "in both": {whole, bearer},
		"snake case, unknown field, enum by number": {snake, nil}, "DER key": {der, bearer},
		"proof over the subject": {subject, nil}, "DER CSR": {csrBody(t, raw, key, true), nil},
	} {
		t.Run(name, func(t *testing.T) {
			w.checkIssued(t, chainOf(t, do(t, w, http.MethodPost, v2, c.body, c.header)), key.Public())
		})
	}
}

func quote(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(out)
}

func TestLegacy(t *testing.T) {
	w := newWorld(t, nil)
	key := newKey(t, elliptic.P256())
	bearer := http.Header{"Authorization": {"Bearer " + w.idp.token(t, claims(nil))}}
	spki := mint.SPKI(t, key.Public())
	for name, request := range map[string]map[string]any{
		"DER": {"publicKey": map[string]any{"content": spki, "algorithm": "ecdsa"}, "signedEmailAddress": sign(t, key, email)},
		"PEM": {"publicKey": map[string]any{"content": []byte(keyPEM(t, key))}, "signedEmailAddress": sign(t, key, email)},
		"CSR": {"certificateSigningRequest": csrPEM(csr(t, key))},
		// What Fulcio's own client writes.
		"CSR beside nothing": {"publicKey": map[string]any{"content": nil}, "signedEmailAddress": nil, "certificateSigningRequest": csrPEM(csr(t, key))},
		"key beside nothing": {"publicKey": map[string]any{"content": spki}, "signedEmailAddress": sign(t, key, email), "certificateSigningRequest": nil},
	} {
		t.Run(name, func(t *testing.T) {
			rw := do(t, w, http.MethodPost, v1, request, bearer)
			if rw.Code != http.StatusCreated || rw.Header().Get("Content-Type") != "application/pem-certificate-chain" {
				t.Fatalf("%d %s %s", rw.Code, rw.Header(), rw.Body)
			}
			w.checkIssued(t, pemChain(t, rw.Body.Bytes()), key.Public())
		})
	}
	both := map[string]any{"publicKey": map[string]any{"content": spki}, "signedEmailAddress": sign(t, key, email), "certificateSigningRequest": csrPEM(csr(t, key))}
	if rw := do(t, w, http.MethodPost, v1, both, bearer); rw.Code != http.StatusBadRequest || !strings.Contains(rw.Body.String(), "both") {
		t.Errorf("a key and a request: %d %s", rw.Code, rw.Body)
	}
	rw := do(t, w, http.MethodGet, "/api/v1/rootCert", nil, nil)
	if chain := pemChain(t, rw.Body.Bytes()); rw.Code != http.StatusOK || len(chain) != 2 || !chain[1].Equal(w.chain[1]) {
		t.Fatalf("%d, %d certificates", rw.Code, len(chain))
	}
}

func pemChain(t testing.TB, data []byte) []*x509.Certificate {
	t.Helper()
	var out []*x509.Certificate
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return out
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		out, data = append(out, cert), rest
	}
}

func TestTrustBundleAndConfiguration(t *testing.T) {
	w := newWorld(t, nil)
	rw := do(t, w, http.MethodGet, "/api/v2/trustBundle", nil, nil)
	var bundle struct {
		Chains []struct{ Certificates []string }
	}
	if err := json.Unmarshal(rw.Body.Bytes(), &bundle); err != nil || len(bundle.Chains) != 1 || len(bundle.Chains[0].Certificates) != 2 {
		t.Fatalf("%v: %s", err, rw.Body)
	}
	rw = do(t, w, http.MethodGet, "/api/v2/configuration", nil, nil)
	want := `{"issuers":[{"issuerUrl":"` + issuerURL + `","audience":"sigstore","challengeClaim":"email","spiffeTrustDomain":"",` +
		`"issuerType":"email","subjectDomain":"","skipEmailVerification":false}]}`
	if got := rw.Body.String(); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

// TestExpiringAuthority: a certificate never outlives the one that signed it, and near the end there is none.
func TestExpiringAuthority(t *testing.T) {
	key := newKey(t, elliptic.P256())
	for _, c := range []struct {
		left time.Duration
		want time.Duration // 0: refused
	}{{5 * time.Minute, 5 * time.Minute}, {30 * time.Second, 0}} {
		w := newWorld(t, func(cfg *ca.Config) {
			a := newAuthority(t, func(between *x509.Certificate) { between.NotAfter = mint.Epoch.Add(c.left) })
			cfg.Chain, cfg.Key = a.chain, a.key
		})
		rw := do(t, w, http.MethodPost, v2, body(t, w.idp.token(t, claims(nil)), key, email), nil)
		if c.want == 0 {
			if code, message := refusal(t, rw); rw.Code != http.StatusServiceUnavailable || code != 14 {
				t.Fatalf("%d %d %s", rw.Code, code, message)
			}
			if w.Ready(t.Context()) == nil {
				t.Fatal("ready with an expired authority")
			}
			continue
		}
		leaf := chainOf(t, rw)[0]
		if got := leaf.NotAfter.Sub(leaf.NotBefore); got != c.want {
			t.Fatalf("valid for %s, want %s", got, c.want)
		}
	}
}

func TestWithoutCT(t *testing.T) {
	w := newWorld(t, func(cfg *ca.Config) { cfg.CT, cfg.CTKey, cfg.WithoutCT = nil, nil, true })
	key := newKey(t, elliptic.P256())
	leaf, err := identity.FromX509(chainOf(t, do(t, w, http.MethodPost, v2, body(t, w.idp.token(t, claims(nil)), key, email), nil))[0])
	if err != nil {
		t.Fatal(err)
	}
	if scts, err := leaf.EmbeddedSCTs(); err != nil || len(scts) != 0 {
		t.Fatal(scts, err)
	}
}

// TestOtherAuthorityKeys issues under the kinds of issuing key that are allowed.
func TestOtherAuthorityKeys(t *testing.T) {
	big, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, issuing := range map[string]crypto.Signer{"P-384": newKey(t, elliptic.P384()), "P-521": newKey(t, elliptic.P521()), "RSA": big} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t, nil)
			between := template("intermediate", 3, 2)
			between.MaxPathLenZero = true
			between.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
			a.chain[0] = certificate(t, between, a.chain[1], issuing.Public(), a.root)
			w := newWorld(t, func(cfg *ca.Config) { cfg.Chain, cfg.Key = a.chain, issuing })
			w.chain = a.chain
			key := newKey(t, elliptic.P256())
			w.checkIssued(t, chainOf(t, do(t, w, http.MethodPost, v2, body(t, w.idp.token(t, claims(nil)), key, email), nil)), key.Public())
		})
	}
}

// TestTokenAlgorithms accepts tokens of every asymmetric kind.
func TestTokenAlgorithms(t *testing.T) {
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for alg, signing := range map[jose.SignatureAlgorithm]crypto.Signer{
		jose.RS256: rsaKey(), jose.RS384: rsaKey(), jose.RS512: rsaKey(), jose.PS256: rsaKey(), jose.PS384: rsaKey(), jose.PS512: rsaKey(),
		jose.ES256: newKey(t, elliptic.P256()), jose.ES384: newKey(t, elliptic.P384()), jose.ES512: newKey(t, elliptic.P521()),
		jose.EdDSA: edKey,
	} {
		t.Run(string(alg), func(t *testing.T) {
			w := newWorld(t, nil)
			w.idp.key, w.idp.alg = signing, alg
			key := newKey(t, elliptic.P256())
			w.checkIssued(t, chainOf(t, do(t, w, http.MethodPost, v2, body(t, w.idp.token(t, claims(nil)), key, email), nil)), key.Public())
		})
	}
}
