package tsa_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/server/tsa"
	"github.com/bulla-sign/bulla/timestamp"
)

const (
	derType  = "application/timestamp-query"
	jsonType = "application/json"
	endpoint = "/api/v1/timestamp"
)

var (
	message = []byte("a signature")
	present = time.Date(2026, 11, 25, 7, 30, 15, 999_999_999, time.UTC)
)

func chain(t testing.TB, edit func(*tsa.ChainSpec)) *tsa.Chain {
	t.Helper()
	spec := tsa.ChainSpec{Organization: "bulla test", Now: present}
	if edit != nil {
		edit(&spec)
	}
	c, err := tsa.NewChain(spec)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func at(when time.Time) func() time.Time { return func() time.Time { return when } }

// service is an authority with a fresh chain whose clock stands at present.
func service(t testing.TB, edit func(*tsa.Config)) (*tsa.Server, *tsa.Chain) {
	t.Helper()
	c := chain(t, nil)
	cfg := tsa.Config{Chain: c.Certificates, Key: c.Leaf, Now: at(present)}
	if edit != nil {
		edit(&cfg)
	}
	s, err := tsa.New(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

func post(s http.Handler, contentType string, body []byte) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodPost, endpoint, bytes.NewReader(body))
	req.Header.Set("Content-Type", contentType)
	rw := httptest.NewRecorder()
	s.ServeHTTP(rw, req)
	return rw
}

func query(t testing.TB, edit func(*timestamp.Request)) (*timestamp.Request, []byte) {
	t.Helper()
	sum := sha256.Sum256(message)
	r := &timestamp.Request{HashAlgorithm: crypto.SHA256, Imprint: sum[:]}
	if edit != nil {
		edit(r)
	}
	der, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return r, der
}

// granted reads a reply and verifies its token as a client does.
func granted(t testing.TB, rw *httptest.ResponseRecorder, c *tsa.Chain) *timestamp.Token {
	t.Helper()
	if rw.Code != http.StatusOK || rw.Header().Get("Content-Type") != "application/timestamp-reply" {
		t.Fatalf("status %d, %s: %s", rw.Code, rw.Header().Get("Content-Type"), rw.Body)
	}
	tok, err := timestamp.Parse(rw.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	a, err := timestamp.NewAuthority(c.Certificates)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tok.Verify(algorithm.Bytes(message), a); err != nil {
		t.Fatal(err)
	}
	if _, err := tok.Verify(algorithm.Bytes([]byte("another signature")), a); err == nil {
		t.Fatal("the token verifies for another message")
	}
	return tok
}

func TestGranted(t *testing.T) {
	keys := map[string]crypto.Signer{}
	for name, curve := range map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = key
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys["RSA"] = key
	sum384, sum512 := sha512.Sum384(message), sha512.Sum512(message)
	long := new(big.Int).Lsh(big.NewInt(1), 8*63)
	requests := map[string]func(*timestamp.Request){
		"plain":          nil,
		"certReq":        func(r *timestamp.Request) { r.Certificates = true },
		"nonce":          func(r *timestamp.Request) { r.Nonce = big.NewInt(1 << 62) },
		"long nonce":     func(r *timestamp.Request) { r.Nonce = long },
		"zero nonce":     func(r *timestamp.Request) { r.Nonce = new(big.Int) },
		"negative nonce": func(r *timestamp.Request) { r.Nonce = big.NewInt(-129) },
		"policy":         func(r *timestamp.Request) { r.Policy = []int{1, 3, 6, 1, 4, 1, 57264, 2} },
		"SHA-384":        func(r *timestamp.Request) { r.HashAlgorithm, r.Imprint = crypto.SHA384, sum384[:] },
		"SHA-512":        func(r *timestamp.Request) { r.HashAlgorithm, r.Imprint = crypto.SHA512, sum512[:] },
	}
	for keyName, key := range keys {
		c := chain(t, func(s *tsa.ChainSpec) { s.Leaf = key })
		s, _ := service(t, func(cfg *tsa.Config) { cfg.Chain, cfg.Key = c.Certificates, c.Leaf })
		for name, edit := range requests {
			t.Run(keyName+"/"+name, func(t *testing.T) {
				req, der := query(t, edit)
				tok := granted(t, post(s, derType, der), c)
				if err := req.Check(tok); err != nil {
					t.Error(err)
				}
				checkToken(t, tok, req)
			})
		}
	}
}

// checkToken checks what a verifier has no opinion on.
func checkToken(t *testing.T, tok *timestamp.Token, req *timestamp.Request) {
	t.Helper()
	if want := present.Truncate(time.Second); !tok.ClaimedTime.Equal(want) {
		t.Errorf("genTime %v, want %v: whole seconds, rounded down", tok.ClaimedTime, want)
	}
	if tok.Accuracy != time.Second || tok.Ordering {
		t.Errorf("accuracy %v, ordering %v", tok.Accuracy, tok.Ordering)
	}
	if (len(tok.Certificates) == 1) != req.Certificates || len(tok.Certificates) > 1 {
		t.Errorf("%d certificates, asked for: %v", len(tok.Certificates), req.Certificates)
	}
	if (tok.Nonce == nil) != (req.Nonce == nil) {
		t.Errorf("nonce %v, asked for %v", tok.Nonce, req.Nonce)
	}
	if n := len(tok.SerialNumber.Bytes()); tok.SerialNumber.Sign() <= 0 || n != 20 {
		t.Errorf("serial number of %d bytes: %v", n, tok.SerialNumber)
	}
	if got := tok.Policy.String(); got != tsa.DefaultPolicy {
		t.Errorf("policy %s", got)
	}
}

// The imprint of the token is, byte by byte, that of the request: with NULL parameters and without.
func TestImprintIsEchoed(t *testing.T) {
	s, c := service(t, nil)
	_, der := query(t, nil)
	null := bytes.Index(der, []byte{5, 0})
	without := bytes.Clone(der)
	without = append(without[:null], without[null+2:]...)
	for _, at := range []int{1, 6, 8} { // the lengths of the request, of the imprint and of the algorithm
		without[at] -= 2
	}
	for _, der := range [][]byte{der, without} {
		rw := post(s, derType, der)
		granted(t, rw, c)
		if imprint := der[5:]; !bytes.Contains(rw.Body.Bytes(), imprint) {
			t.Errorf("the reply does not contain %x", imprint)
		}
	}
}

func TestSerialNumbersDiffer(t *testing.T) {
	s, c := service(t, nil)
	_, der := query(t, nil)
	seen := map[string]bool{}
	for range 50 {
		seen[granted(t, post(s, derType, der), c).SerialNumber.String()] = true
	}
	if len(seen) != 50 {
		t.Errorf("%d different serial numbers of 50", len(seen))
	}
}

func jsonBody(sum []byte, rest string) []byte {
	return fmt.Appendf(nil, `{"artifactHash":%q,"hashAlgorithm":"sha256"%s}`, base64.StdEncoding.EncodeToString(sum), rest)
}

func TestJSON(t *testing.T) {
	s, c := service(t, nil)
	sum := sha256.Sum256(message)
	for name, tc := range map[string]struct {
		rest  string
		nonce string
		certs bool
	}{
		"as sigstore-js sends it": {"", "", false},
		"all":                     {`,"nonce":123,"certificates":true,"tsaPolicyOID":"` + tsa.DefaultPolicy + `"`, "123", true},
		"long nonce":              {`,"nonce":` + strings.Repeat("9", 150), strings.Repeat("9", 150), false},
		"negative nonce":          {`,"nonce":-1`, "-1", false},
		"null nonce":              {`,"nonce":null,"tsaPolicyOID":""`, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			tok := granted(t, post(s, jsonType+"; charset=utf-8", jsonBody(sum[:], tc.rest)), c)
			got := ""
			if tok.Nonce != nil {
				got = tok.Nonce.String()
			}
			if got != tc.nonce || (len(tok.Certificates) == 1) != tc.certs {
				t.Errorf("nonce %s, %d certificates", got, len(tok.Certificates))
			}
		})
	}
	upper := bytes.Replace(jsonBody(sum[:], ""), []byte(`"sha256"`), []byte(`"SHA256"`), 1)
	granted(t, post(s, jsonType, upper), c)
}

func TestReads(t *testing.T) {
	s, c := service(t, nil)
	mux := http.NewServeMux()
	for _, p := range s.Patterns() {
		mux.Handle(p, s)
	}
	srv := httptest.NewServer(mux)
	defer srv.Close()
	resp, err := http.Get(srv.URL + endpoint + "/certchain")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.Header.Get("Content-Type") != "application/pem-certificate-chain" {
		t.Fatalf("%s, %v", resp.Header.Get("Content-Type"), err)
	}
	for i, want := range c.Certificates {
		block, rest := pem.Decode(body)
		if block == nil || !bytes.Equal(block.Bytes, want.Raw) {
			t.Fatalf("certificate %d of the chain differs", i)
		}
		body = rest
	}
	if len(body) > 0 {
		t.Errorf("after the chain: %q", body)
	}
	resp, err = http.Get(srv.URL + "/ping")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("ping: %v %v", resp, err)
	}
	resp.Body.Close()
	_, der := query(t, nil)
	resp, err = http.Post(srv.URL+endpoint, derType, bytes.NewReader(der))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("timestamp: %v %v", resp, err)
	}
	resp.Body.Close()
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// errorOf reads the error object of a refusal.
func errorOf(t testing.TB, rw *httptest.ResponseRecorder) string {
	t.Helper()
	var e struct {
		Code    int
		Message string
	}
	if err := json.Unmarshal(rw.Body.Bytes(), &e); err != nil || e.Code != rw.Code || e.Message == "" {
		t.Errorf("status %d: %q is no error object: %v", rw.Code, rw.Body, err)
	}
	return e.Message
}

func TestNewChain(t *testing.T) {
	c := chain(t, nil)
	leaf, root := c.Certificates[0], c.Certificates[1]
	if !leaf.NotBefore.Before(present.Add(-time.Minute)) || !leaf.NotAfter.Before(root.NotAfter) {
		t.Errorf("leaf from %v to %v, root to %v", leaf.NotBefore, leaf.NotAfter, root.NotAfter)
	}
	if leaf.PublicKey.(*ecdsa.PublicKey).Curve != elliptic.P256() || root.PublicKey.(*ecdsa.PublicKey).Curve != elliptic.P384() {
		t.Error("not the promised curves")
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: present, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}}); err != nil {
		t.Error(err)
	}
	for _, spec := range []tsa.ChainSpec{{}, {Organization: "o"}, {Now: present}} {
		if _, err := tsa.NewChain(spec); err == nil {
			t.Errorf("%+v was accepted", spec)
		}
	}
}
