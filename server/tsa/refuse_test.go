package tsa_test

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
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/server/tsa"
	"github.com/bulla-sign/bulla/timestamp"
)

// timeStampReq writes a request out of parts that need not make sense.
type timeStampReq struct {
	version int64
	hash    asn1.ObjectIdentifier
	sum     []byte
	rest    []byte // after the imprint
}

func (r timeStampReq) der(t testing.TB) []byte {
	t.Helper()
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(r.version)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(r.hash) })
			b.AddASN1OctetString(r.sum)
		})
		b.AddBytes(r.rest)
	})
	der, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func element(t testing.TB, tag cbasn1.Tag, content []byte) []byte {
	t.Helper()
	var b cryptobyte.Builder
	b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes(content) })
	der, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

var (
	oidSHA1   = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidSHA224 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 4}
	oidSHA256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
)

// hostile are requests in DER that must be refused, by what is wrong with them. Each differs from a good one in that alone.
func hostile(t testing.TB) map[string][]byte {
	sum := sha256.Sum256(message)
	good := timeStampReq{1, oidSHA256, sum[:], nil}
	with := func(edit func(*timeStampReq)) []byte {
		r := good
		edit(&r)
		return r.der(t)
	}
	rest := func(tag cbasn1.Tag, content []byte) []byte {
		return with(func(r *timeStampReq) { r.rest = element(t, tag, content) })
	}
	plain := good.der(t)
	indefinite := append(append([]byte{0x30, 0x80}, plain[2:]...), 0, 0)
	longLength := append([]byte{0x30, 0x81}, plain[1:]...)
	huge := func(n int) []byte { return bytes.Repeat([]byte{0x81}, n) }
	return map[string][]byte{
		"empty":                     {},
		"not DER":                   []byte("hello"),
		"cut":                       plain[:len(plain)-1],
		"trailing":                  append(bytes.Clone(plain), 0),
		"indefinite length":         indefinite,
		"length not minimal":        longLength,
		"length of 4 GiB":           {0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 2, 1, 1},
		"inner length of 4 GiB":     {0x30, 11, 2, 1, 1, 0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x30, 0},
		"version 2":                 with(func(r *timeStampReq) { r.version = 2 }),
		"SHA-1":                     with(func(r *timeStampReq) { r.hash, r.sum = oidSHA1, sum[:20] }),
		"SHA-224":                   with(func(r *timeStampReq) { r.hash, r.sum = oidSHA224, sum[:28] }),
		"digest short":              with(func(r *timeStampReq) { r.sum = sum[:31] }),
		"digest long":               with(func(r *timeStampReq) { r.sum = append(sum[:], 0) }),
		"digest empty":              with(func(r *timeStampReq) { r.sum = nil }),
		"other policy":              rest(cbasn1.OBJECT_IDENTIFIER, []byte{0x2a, 3, 4}),
		"policy of 64 KiB":          rest(cbasn1.OBJECT_IDENTIFIER, append(huge(1<<16), 1)),
		"policy of 3 KiB":           rest(cbasn1.OBJECT_IDENTIFIER, append(bytes.Repeat([]byte{1}, 3000), 1)),
		"arc that never ends":       rest(cbasn1.OBJECT_IDENTIFIER, append([]byte{0x2b}, huge(100)...)),
		"nonce of 64 KiB":           rest(cbasn1.INTEGER, append([]byte{1}, make([]byte, 1<<16)...)),
		"nonce of 66 bytes":         rest(cbasn1.INTEGER, append([]byte{1}, make([]byte, 65)...)),
		"nonce not minimal":         rest(cbasn1.INTEGER, []byte{0, 1}),
		"nonce empty":               rest(cbasn1.INTEGER, nil),
		"certReq of two bytes":      rest(cbasn1.BOOLEAN, []byte{0xff, 0xff}),
		"certReq not DER":           rest(cbasn1.BOOLEAN, []byte{1}),
		"extensions":                rest(cbasn1.Tag(0).ContextSpecific().Constructed(), []byte{0x30, 6, 6, 2, 0x2a, 3, 4, 0}),
		"extensions empty":          rest(cbasn1.Tag(0).ContextSpecific().Constructed(), nil),
		"hash identifier of 3 KiB":  append([]byte{0x30, 0x82, 0x0b, 0xcb, 2, 1, 1, 0x30, 0x82, 0x0b, 0xc4, 0x30, 0x82, 0x0b, 0xc0, 6, 0x82, 0x0b, 0xbc}, make([]byte, 3004)...),
		"nested sequences of 4 KiB": bytes.Repeat([]byte{0x30, 0x80}, 2047),
	}
}

// No request makes the service allocate out of proportion, whatever lengths it states (GHSA-4qg8-fj49-pxjh).
func TestHostileDER(t *testing.T) {
	const ceiling = 256 << 10 // bytes for one request with its recorder; a granted one needs some 20 KiB
	s, _ := service(t, nil)
	for name, der := range hostile(t) {
		want := http.StatusBadRequest
		if len(der) > 4<<10 {
			want = http.StatusRequestEntityTooLarge
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		rw := post(s, derType, der)
		runtime.ReadMemStats(&after)
		if rw.Code != want {
			t.Errorf("%s: status %d, want %d: %s", name, rw.Code, want, rw.Body)
			continue
		}
		if msg := errorOf(t, rw); len(msg) > 4<<10 {
			t.Errorf("%s: a message of %d bytes", name, len(msg))
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > ceiling {
			t.Errorf("%s: allocated %d bytes", name, grown)
		}
	}
	_, der := query(t, nil)
	if rw := post(s, derType, der); rw.Code != http.StatusOK {
		t.Errorf("a good request afterwards: %d", rw.Code)
	}
}

func TestHostileJSON(t *testing.T) {
	s, _ := service(t, nil)
	sum := sha256.Sum256(message)
	good := string(jsonBody(sum[:], ""))
	for name, body := range map[string]string{
		"empty":               "",
		"not JSON":            "hello",
		"null":                "null",
		"list":                "[]",
		"cut":                 good[:len(good)-1],
		"trailing":            good + "{}",
		"unknown member":      string(jsonBody(sum[:], `,"extensions":[]`)),
		"member twice":        string(jsonBody(sum[:], `,"nonce":1,"nonce":2`)),
		"no hash":             `{"hashAlgorithm":"sha256"}`,
		"no algorithm":        strings.Replace(good, `"hashAlgorithm":"sha256"`, `"nonce":1`, 1),
		"sha1":                strings.Replace(good, `sha256`, `sha1`, 1),
		"sha224":              strings.Replace(good, `sha256`, `sha224`, 1),
		"sha3_256":            strings.Replace(good, `sha256`, `sha3_256`, 1),
		"sha512 of 32 bytes":  strings.Replace(good, `sha256`, `sha512`, 1),
		"digest short":        string(jsonBody(sum[:31], "")),
		"digest not base64":   strings.Replace(good, `"artifactHash":"`, `"artifactHash":"?`, 1),
		"nonce string":        string(jsonBody(sum[:], `,"nonce":"1"`)),
		"nonce fraction":      string(jsonBody(sum[:], `,"nonce":1.5`)),
		"nonce exponent":      string(jsonBody(sum[:], `,"nonce":1e99`)),
		"nonce object":        string(jsonBody(sum[:], `,"nonce":{}`)),
		"nonce of 156 digits": string(jsonBody(sum[:], `,"nonce":1`+strings.Repeat("0", 155))),
		"nonce of 65 bytes":   string(jsonBody(sum[:], `,"nonce":9`+strings.Repeat("9", 154))),
		"certificates string": string(jsonBody(sum[:], `,"certificates":"true"`)),
		"other policy":        string(jsonBody(sum[:], `,"tsaPolicyOID":"1.2.3"`)),
		"policy not an OID":   string(jsonBody(sum[:], `,"tsaPolicyOID":"x"`)),
		"policy of 800 arcs":  string(jsonBody(sum[:], `,"tsaPolicyOID":"1`+strings.Repeat(".1", 400)+`"`)),
		"nested":              string(jsonBody(sum[:], `,"certificates":`+strings.Repeat("[", 500))),
	} {
		rw := post(s, jsonType, []byte(body))
		if rw.Code != http.StatusBadRequest {
			t.Errorf("%s: status %d: %s", name, rw.Code, rw.Body)
			continue
		}
		errorOf(t, rw)
	}
	if rw := post(s, jsonType, jsonBody(sum[:], `,"nonce":`+strings.Repeat("9", 2000))); rw.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("2 KiB: status %d", rw.Code)
	}
}

func TestHTTP(t *testing.T) {
	s, _ := service(t, nil)
	_, der := query(t, nil)
	for contentType, want := range map[string]int{
		derType:                            http.StatusOK,
		derType + "; x=y":                  http.StatusOK,
		"Application/Timestamp-Query":      http.StatusOK,
		"":                                 http.StatusUnsupportedMediaType,
		"text/plain":                       http.StatusUnsupportedMediaType,
		"application/octet-stream":         http.StatusUnsupportedMediaType,
		"application/timestamp-reply":      http.StatusUnsupportedMediaType,
		derType + ", application/json":     http.StatusUnsupportedMediaType,
		derType + ";":                      http.StatusOK,
		"application/json application/x":   http.StatusUnsupportedMediaType,
		"x/" + strings.Repeat("y", 10<<10): http.StatusUnsupportedMediaType,
	} {
		if rw := post(s, contentType, der); rw.Code != want {
			t.Errorf("%.40s: status %d, want %d: %.200s", contentType, rw.Code, want, rw.Body)
		}
	}
	for _, tc := range []struct {
		method, path string
		want         int
	}{
		{"GET", endpoint, http.StatusMethodNotAllowed},
		{"PUT", endpoint, http.StatusMethodNotAllowed},
		{"POST", endpoint + "/certchain", http.StatusMethodNotAllowed},
		{"DELETE", "/ping", http.StatusMethodNotAllowed},
		{"HEAD", endpoint + "/certchain", http.StatusOK},
		{"GET", endpoint + "/", http.StatusNotFound},
		{"GET", "/", http.StatusNotFound},
	} {
		rw := httptest.NewRecorder()
		s.ServeHTTP(rw, httptest.NewRequest(tc.method, tc.path, nil))
		if rw.Code != tc.want || (rw.Code == http.StatusMethodNotAllowed) != (rw.Header().Get("Allow") != "") {
			t.Errorf("%s %s: status %d, Allow %q", tc.method, tc.path, rw.Code, rw.Header().Get("Allow"))
		}
	}
	broken := httptest.NewRequest("POST", endpoint, io.MultiReader(bytes.NewReader(der), errorReader{}))
	broken.Header.Set("Content-Type", derType)
	rw := httptest.NewRecorder()
	s.ServeHTTP(rw, broken)
	if rw.Code != http.StatusBadRequest {
		t.Errorf("a body that breaks off: status %d", rw.Code)
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// The number of series does not depend on what is sent (GHSA-9c54-x2g4-v92j).
func TestMetricsAreBounded(t *testing.T) {
	reg := prometheus.NewRegistry()
	s, _ := service(t, func(cfg *tsa.Config) { cfg.Metrics = reg })
	count := func() (series int, requests float64) {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			series += len(f.GetMetric())
			for _, m := range f.GetMetric() {
				requests += m.GetCounter().GetValue()
			}
		}
		return series, requests
	}
	before, _ := count()
	for i := range 2000 {
		rw := httptest.NewRecorder()
		req := httptest.NewRequest(fmt.Sprintf("M%d", i), fmt.Sprintf("/%d%s", i, endpoint), nil)
		req.Header.Set("Content-Type", fmt.Sprintf("application/x%d", i))
		s.ServeHTTP(rw, req)
		post(s, fmt.Sprintf("application/x%d", i), nil)
	}
	_, der := query(t, nil)
	post(s, derType, der)
	after, requests := count()
	if before == 0 || after != before {
		t.Errorf("%d series before, %d after", before, after)
	}
	if requests != 2001 {
		t.Errorf("%v requests counted", requests)
	}
	if _, err := tsa.New(context.Background(), configOf(chain(t, nil), reg)); err == nil {
		t.Error("a second service registered the same metrics")
	}
}

func configOf(c *tsa.Chain, reg prometheus.Registerer) tsa.Config {
	return tsa.Config{Chain: c.Certificates, Key: c.Leaf, Now: at(present), Metrics: reg}
}

// An authority whose tokens no client would accept does not start.
func TestNewRefuses(t *testing.T) {
	c := chain(t, nil)
	leaf, root := c.Certificates[0], c.Certificates[1]
	other := chain(t, nil)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edited := func(role string, edit func(*x509.Certificate)) ([]*x509.Certificate, crypto.Signer) {
		key := testenv.ECDSAKey(t, elliptic.P256())
		a := testenv.NewTSA(t, testenv.TSAOptions{Key: key, Edit: func(r string, tmpl *x509.Certificate) {
			if r == role {
				edit(tmpl)
			}
		}})
		return a.Chain(), key
	}
	type config struct {
		chain []*x509.Certificate
		key   crypto.Signer
	}
	threeKey := testenv.ECDSAKey(t, elliptic.P256())
	three := testenv.NewTSA(t, testenv.TSAOptions{Key: threeKey})
	cases := map[string]config{
		"nothing":         {},
		"no key":          {chain: c.Certificates},
		"leaf alone":      {c.Certificates[:1], c.Leaf},
		"root first":      {[]*x509.Certificate{root, leaf}, c.Leaf},
		"another's key":   {c.Certificates, other.Leaf},
		"another's root":  {[]*x509.Certificate{leaf, other.Certificates[1]}, c.Leaf},
		"no root":         {three.Chain()[:2], threeKey},
		"nil certificate": {[]*x509.Certificate{leaf, nil}, c.Leaf},
		"too long":        {append(append([]*x509.Certificate{leaf}, repeat(root, 8)...), root), c.Leaf},
		"Ed25519":         {c.Certificates, ed},
		"RSA of 1024":     {c.Certificates, small},
		"P-224":           {c.Certificates, p224},
	}
	for name, edit := range map[string]func(*x509.Certificate){
		"no usage":     func(t *x509.Certificate) { t.ExtraExtensions = nil },
		"second usage": func(t *x509.Certificate) { t.ExtraExtensions[0] = usages(true, 8, 3) },
		"other usage":  func(t *x509.Certificate) { t.ExtraExtensions[0] = usages(true, 3) },
		"not critical": func(t *x509.Certificate) { t.ExtraExtensions[0] = usages(false, 8) },
		"an authority": func(t *x509.Certificate) { t.IsCA = true },
		"no signing":   func(t *x509.Certificate) { t.KeyUsage = x509.KeyUsageKeyEncipherment },
		"never valid": func(t *x509.Certificate) {
			t.NotBefore = t.NotAfter.Add(time.Hour)
			t.NotAfter = t.NotBefore.Add(time.Hour)
		},
	} {
		chain, key := edited("leaf", edit)
		cases[name] = config{chain, key}
	}
	chain, key := edited("intermediate", func(t *x509.Certificate) { t.IsCA, t.MaxPathLenZero, t.KeyUsage = false, false, 0 })
	cases["intermediate no CA"] = config{chain, key}
	chain, key = edited("intermediate", func(t *x509.Certificate) { t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} })
	cases["intermediate for code"] = config{chain, key}
	for name, tc := range cases {
		if _, err := tsa.New(context.Background(), tsa.Config{Chain: tc.chain, Key: tc.key, Now: at(present)}); err == nil {
			t.Errorf("%s: accepted", name)
		} else if !strings.HasPrefix(err.Error(), "time-stamp authority: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The unedited chain of three, for the table to mean anything.
	chain, key = edited("none", nil)
	if _, err := tsa.New(context.Background(), tsa.Config{Chain: chain, Key: key, Now: at(present)}); err != nil {
		t.Error(err)
	}
}

func repeat(c *x509.Certificate, n int) (out []*x509.Certificate) {
	for range n {
		out = append(out, c)
	}
	return out
}

func usages(critical bool, numbers ...int) pkix.Extension {
	var oids []asn1.ObjectIdentifier
	for _, n := range numbers {
		oids = append(oids, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, n})
	}
	return testenv.TSAExtKeyUsage(critical, oids...)
}

// failingKey signs once, for New.
type failingKey struct {
	crypto.Signer
	calls int
}

func (k *failingKey) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if k.calls++; k.calls > 1 {
		return nil, errors.New("pkcs11 slot 7 with pin 1234 is gone")
	}
	return k.Signer.Sign(random, digest, opts)
}

// A key that fails costs the request, and its words stay inside.
func TestKeyFails(t *testing.T) {
	c := chain(t, nil)
	s, _ := service(t, func(cfg *tsa.Config) { cfg.Chain, cfg.Key = c.Certificates, &failingKey{Signer: c.Leaf} })
	_, der := query(t, func(r *timestamp.Request) { r.Nonce = big.NewInt(1) })
	rw := post(s, derType, der)
	if rw.Code != http.StatusInternalServerError || strings.Contains(rw.Body.String(), "pin") {
		t.Errorf("status %d: %s", rw.Code, rw.Body)
	}
}

// Without randomness there is no serial number, and no token.
func TestRandomnessFails(t *testing.T) {
	c := chain(t, nil)
	cfg := tsa.Config{Chain: c.Certificates, Key: c.Leaf, Now: at(present), Rand: errorReader{}}
	if _, err := tsa.New(context.Background(), cfg); err == nil {
		t.Error("no error")
	}
}
