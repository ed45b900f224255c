package ca_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/server/ca"
	"github.com/bulla-sign/bulla/server/ca/issuerconfig"
	"github.com/bulla-sign/bulla/server/ca/token"
	"github.com/go-jose/go-jose/v4"
)

// now is the time of the tests.
var now = mint.Epoch.Add(300 * time.Millisecond)

const (
	issuerURL = "https://issuer.bulla.test/oidc"
	email     = "alice@bulla.test"
)

// authority is a chain with its issuing key.
type authority struct {
	chain []*x509.Certificate
	key   *ecdsa.PrivateKey
	root  *ecdsa.PrivateKey
}

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func template(name string, serial int64, years int) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{Organization: []string{"bulla test"}, CommonName: name},
		NotBefore: mint.Epoch.AddDate(-1, 0, 0), NotAfter: mint.Epoch.AddDate(years, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func certificate(t testing.TB, template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// newAuthority makes a P-384 root and a P-256 intermediate; edit has the last word on the latter.
func newAuthority(t testing.TB, edit func(*x509.Certificate)) authority {
	t.Helper()
	a := authority{key: newKey(t, elliptic.P256()), root: newKey(t, elliptic.P384())}
	rootTemplate := template("root", 1, 9)
	rootTemplate.MaxPathLen = 1
	root := certificate(t, rootTemplate, rootTemplate, a.root.Public(), a.root)
	between := template("intermediate", 2, 2)
	between.MaxPathLenZero = true
	between.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	if edit != nil {
		edit(between)
	}
	a.chain = []*x509.Certificate{certificate(t, between, root, a.key.Public(), a.root), root}
	return a
}

// ctLog is a CT log in the process: real timestamps, no tree.
type ctLog struct {
	t      testing.TB
	log    *mint.CTLog
	at     func() time.Time
	mu     sync.Mutex
	chains [][][]byte
	issuer *x509.Certificate
	answer func(sct []byte) ([]byte, error) // has the last word, if set
	signed func() []byte                    // what the log says that it signed, if set
}

func (l *ctLog) AddPreChain(_ context.Context, chain [][]byte) (timestamp, signed []byte, err error) {
	timestamp, err = l.add(chain)
	if l.signed != nil {
		signed = l.signed()
	}
	return timestamp, signed, err
}

func (l *ctLog) add(chain [][]byte) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.chains = append(l.chains, chain)
	if l.issuer == nil || !bytes.Equal(l.issuer.Raw, chain[1]) {
		var err error
		if l.issuer, err = x509.ParseCertificate(chain[1]); err != nil {
			return nil, err
		}
	}
	sct := l.log.SignPrecert(l.t, chain[0], l.issuer, l.at())
	if l.answer != nil {
		return l.answer(sct)
	}
	return sct, nil
}

// idp is an issuer in the process.
type idp struct {
	key crypto.Signer
	alg jose.SignatureAlgorithm
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func (p *idp) Keys(context.Context) (jose.JSONWebKeySet, error) {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: "1", Use: "sig", Algorithm: string(p.alg)}}}, nil
}

// token signs claims.
func (p *idp) token(t testing.TB, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: p.alg, Key: jose.JSONWebKey{Key: p.key, KeyID: "1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// claims are those of a usual token; more replaces and adds, nil removes.
func claims(more map[string]any) map[string]any {
	out := map[string]any{
		"iss": issuerURL, "aud": "sigstore", "sub": "CgVhbGljZRIFbG9jYWw", "email": email, "email_verified": true,
		"iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(),
	}
	for name, value := range more {
		if out[name] = value; value == nil {
			delete(out, name)
		}
	}
	return out
}

// world is a service with all that surrounds it.
type world struct {
	authority
	*ca.Server
	idp *idp
	log *ctLog
	out *bytes.Buffer // what the service logs
}

// emailIssuer is the issuer of usual tokens.
func emailIssuer() issuerconfig.Issuer {
	return issuerconfig.Issuer{URL: issuerURL, ClientID: "sigstore", Type: issuerconfig.Email}
}

// newWorld makes a service; edit has the last word on its configuration.
func newWorld(t testing.TB, edit func(*ca.Config), issuers ...issuerconfig.Issuer) *world {
	t.Helper()
	if len(issuers) == 0 {
		issuers = []issuerconfig.Issuer{emailIssuer()}
	}
	cfg, err := issuerconfig.New(issuers...)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{authority: newAuthority(t, nil), idp: &idp{key: rsaKey(), alg: jose.RS256}, out: &bytes.Buffer{}}
	w.log = &ctLog{t: t, log: mint.NewCTLog(t, nil), at: func() time.Time { return now }}
	config := ca.Config{
		Chain: w.chain, Key: w.key, CT: w.log, CTKey: w.log.log.Key.Public(), Issuers: cfg, Keys: map[string]token.KeySet{},
		Now: func() time.Time { return now }, Log: slog.New(slog.NewJSONHandler(w.out, nil)),
	}
	for _, issuer := range issuers {
		if issuer.Pattern == "" {
			config.Keys[issuer.URL] = w.idp
		}
	}
	if edit != nil {
		edit(&config)
	}
	if w.Server, err = ca.New(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close(context.Background()) })
	return w
}

// sign makes a proof of possession.
func sign(t testing.TB, key crypto.Signer, text string) []byte {
	t.Helper()
	message, hash := []byte(text), crypto.Hash(0)
	switch pub := key.Public().(type) {
	case *ecdsa.PublicKey:
		hash = map[int]crypto.Hash{256: crypto.SHA256, 384: crypto.SHA384, 521: crypto.SHA512}[pub.Params().BitSize]
	case *rsa.PublicKey:
		hash = crypto.SHA256
	case ed25519.PublicKey:
	}
	if hash != 0 {
		h := hash.New()
		h.Write(message)
		message = h.Sum(nil)
	}
	sig, err := key.Sign(rand.Reader, message, hash)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func keyPEM(t testing.TB, key crypto.Signer) string {
	t.Helper()
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: mint.SPKI(t, key.Public())}))
}

// body is a request of REST version 2 with a public key.
func body(t testing.TB, raw string, key crypto.Signer, challenge string) map[string]any {
	t.Helper()
	return map[string]any{
		"credentials": map[string]any{"oidcIdentityToken": raw},
		"publicKeyRequest": map[string]any{
			"publicKey":         map[string]any{"algorithm": "ECDSA", "content": keyPEM(t, key)},
			"proofOfPossession": sign(t, key, challenge),
		},
	}
}

// do sends a request and returns the answer.
func do(t testing.TB, h http.Handler, method, path string, body any, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	var payload []byte
	switch b := body.(type) {
	case nil:
	case []byte:
		payload = b
	case string:
		payload = []byte(b)
	default:
		var err error
		if payload, err = json.Marshal(b); err != nil {
			t.Fatal(err)
		}
	}
	r := httptest.NewRequest(method, path, bytes.NewReader(payload))
	for name, values := range header {
		r.Header[name] = values
	}
	rw := httptest.NewRecorder()
	h.ServeHTTP(rw, r)
	return rw
}

const (
	v2 = "/api/v2/signingCert"
	v1 = "/api/v1/signingCert"
)

// chainOf reads the certificates of an answer of version 2.
func chainOf(t testing.TB, rw *httptest.ResponseRecorder) []*x509.Certificate {
	t.Helper()
	if rw.Code != http.StatusOK {
		t.Fatalf("status %d: %s", rw.Code, rw.Body)
	}
	var answer struct {
		Embedded struct {
			Chain struct{ Certificates []string }
		} `json:"signedCertificateEmbeddedSct"`
	}
	d := json.NewDecoder(rw.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&answer); err != nil {
		t.Fatal(err)
	}
	var out []*x509.Certificate
	for _, text := range answer.Embedded.Chain.Certificates {
		block, rest := pem.Decode([]byte(text))
		if block == nil || len(rest) > 0 {
			t.Fatalf("not one PEM block: %q", text)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, cert)
	}
	return out
}

// refusal reads the answer to a request that was not granted.
func refusal(t testing.TB, rw *httptest.ResponseRecorder) (code int, message string) {
	t.Helper()
	var answer struct {
		Code    int
		Message string
		Details []any
	}
	d := json.NewDecoder(rw.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&answer); err != nil || answer.Details == nil {
		t.Fatalf("not a google.rpc.Status: %v", err)
	}
	return answer.Code, answer.Message
}

// fingerprint tells keys apart.
func fingerprint(t testing.TB, pub crypto.PublicKey) [32]byte {
	return sha256.Sum256(mint.SPKI(t, pub))
}

// rsaKeyOf makes an RSA key that is nobody's.
var strangerKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func rsaKeyOf(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := strangerKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}
