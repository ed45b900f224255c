package log

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
)

func lengthOf(s string) string { return strconv.Itoa(len(s)) }

// TestKeys uploads with every algorithm that the log takes, and with those that it must not take.
func TestKeys(t *testing.T) {
	l, srv := newWorld(t).open(t)
	for _, d := range []algorithm.Details{
		algorithm.ECDSAP256SHA256, algorithm.ECDSAP384SHA384, algorithm.ECDSAP521SHA512, algorithm.Ed25519ph,
		algorithm.RSAPKCS1v15x2048SHA256, algorithm.RSAPKCS1v15x3072SHA256, algorithm.RSAPKCS1v15x4096SHA256,
	} {
		s := &signer{key: mint.NewKey(t, d), details: d}
		status, _, answer := post(t, srv, s.upload(t, "message"))
		if status != http.StatusCreated {
			t.Errorf("%s: %d: %s", d, status, answer)
			continue
		}
		entry(t, l, answer)
	}
	for d, want := range map[algorithm.Details]string{
		algorithm.ECDSAP384SHA256: "PKIX_ECDSA_P384_SHA_384", algorithm.ECDSAP521SHA256: "PKIX_ECDSA_P521_SHA_512",
		algorithm.Ed25519: "PKIX_ED25519_PH", algorithm.RSAPSSx2048SHA256: "PKIX_RSA_PKCS1V15_2048_SHA256",
	} {
		key := mint.NewKey(t, d)
		digest := mint.Sum(mint.Hash(d), []byte("message"))
		status, _, answer := post(t, srv, map[string]any{"hashedRekordRequestV002": map[string]any{
			"digest": digest,
			"signature": map[string]any{
				"content":  mint.Sign(t, key, d, []byte("message")),
				"verifier": (&signer{key: key, details: d}).verifier(t),
			},
		}})
		if status != http.StatusBadRequest || !strings.Contains(string(answer), "for this key it must be "+want) {
			t.Errorf("%s: %d: %s", d, status, answer)
		}
	}
}

// edit returns the request's JSON after a change to it.
func edit(t testing.TB, request map[string]any, change func(r map[string]any)) []byte {
	t.Helper()
	data, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	var r map[string]any
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	change(r)
	if data, err = json.Marshal(r); err != nil {
		t.Fatal(err)
	}
	return data
}

func at(r map[string]any, path ...string) map[string]any {
	for _, p := range path {
		r = r[p].(map[string]any)
	}
	return r
}

const hr = "hashedRekordRequestV002"

func TestRefusedHashedRekords(t *testing.T) {
	l, srv := newWorld(t).open(t)
	s := ecdsaSigner(t)
	good := s.upload(t, "message")
	other := ecdsaSigner(t).upload(t, "message")
	p384 := &signer{key: mint.NewKey(t, algorithm.ECDSAP384SHA384), details: algorithm.ECDSAP384SHA384}
	small, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text := string(edit(t, good, func(map[string]any) {}))
	for name, c := range map[string]struct {
		body []byte
		want string
	}{
		"nothing":             {[]byte(``), ""},
		"null":                {[]byte(`null`), ""},
		"an empty object":     {[]byte(`{}`), "neither hashedRekordRequestV002 nor dsseRequestV002"},
		"a list":              {[]byte(`[]`), ""},
		"two documents":       {[]byte(text + text), ""},
		"an unknown field":    {edit(t, good, func(r map[string]any) { at(r, hr)["extra"] = 1 }), "extra"},
		"an unknown request":  {[]byte(`{"intotoRequestV002":{}}`), "intotoRequestV002"},
		"a field given twice": {[]byte(strings.Replace(text, `"digest":`, `"digest":"AA==","digest":`, 1)), "digest"},
		"a field in both spellings": {
			[]byte(strings.Replace(text, `"keyDetails":`, `"key_details":"PKIX_ECDSA_P256_SHA_256","keyDetails":`, 1)), "keyDetails",
		},
		"both requests": {edit(t, good, func(r map[string]any) { r["dsseRequestV002"] = map[string]any{} }), "excludes another field"},
		"no digest":     {edit(t, good, func(r map[string]any) { delete(at(r, hr), "digest") }), "digest is missing"},
		"a short digest": {
			edit(t, good, func(r map[string]any) { at(r, hr)["digest"] = []byte("short") }), "digest has 5 bytes",
		},
		"another digest": {
			edit(t, good, func(r map[string]any) { at(r, hr)["digest"] = bytes.Repeat([]byte{1}, 32) }), "does not verify",
		},
		"no signature": {edit(t, good, func(r map[string]any) { delete(at(r, hr), "signature") }), "signature.content is missing"},
		"an empty signature": {
			edit(t, good, func(r map[string]any) { at(r, hr, "signature")["content"] = "" }), "signature.content is missing",
		},
		"no verifier": {edit(t, good, func(r map[string]any) { delete(at(r, hr, "signature"), "verifier") }), "verifier is missing"},
		"an empty verifier": {
			edit(t, good, func(r map[string]any) { at(r, hr, "signature")["verifier"] = map[string]any{} }), "neither x509Certificate nor publicKey",
		},
		"no key details": {
			edit(t, good, func(r map[string]any) { delete(at(r, hr, "signature", "verifier"), "keyDetails") }), "keyDetails is missing",
		},
		"unknown key details": {
			edit(t, good, func(r map[string]any) { at(r, hr, "signature", "verifier")["keyDetails"] = "PKIX_NEW" }), "PKIX_NEW",
		},
		"key details of another key": {
			edit(t, good, func(r map[string]any) { at(r, hr, "signature", "verifier")["keyDetails"] = "PKIX_ECDSA_P384_SHA_384" }),
			"keyDetails is PKIX_ECDSA_P384_SHA_384; for this key it must be PKIX_ECDSA_P256_SHA_256",
		},
		"the key of somebody else": {
			edit(t, good, func(r map[string]any) {
				at(r, hr, "signature")["verifier"] = at(other, hr, "signature")["verifier"]
			}), "does not verify",
		},
		"a key that is none": {
			edit(t, good, func(r map[string]any) { at(r, hr, "signature", "verifier", "publicKey")["rawBytes"] = []byte("key") }), "publicKey",
		},
		"a certificate that is none": {
			edit(t, good, func(r map[string]any) {
				v := at(r, hr, "signature", "verifier")
				delete(v, "publicKey")
				v["x509Certificate"] = map[string]any{"rawBytes": []byte("certificate")}
			}), "x509Certificate",
		},
		"key and certificate": {
			edit(t, good, func(r map[string]any) {
				at(r, hr, "signature", "verifier")["x509Certificate"] = map[string]any{"rawBytes": []byte("c")}
			}), "x509Certificate",
		},
		"a digest of the wrong hash": {
			edit(t, p384.upload(t, "message"), func(r map[string]any) { at(r, hr)["digest"] = bytes.Repeat([]byte{1}, 32) }),
			"digest has 32 bytes, but PKIX_ECDSA_P384_SHA_384 goes with SHA-384, which has 48",
		},
		"a curve that nobody signs with": {
			edit(t, good, func(r map[string]any) {
				at(r, hr, "signature", "verifier", "publicKey")["rawBytes"] = mint.SPKI(t, &small.PublicKey)
			}),
			"P-224",
		},
		"deep nesting": {[]byte(strings.Repeat(`{"hashedRekordRequestV002":`, 100)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			status, header, answer := post(t, srv, c.body)
			checkStatus(t, answer, 3)
			if status != http.StatusBadRequest || !strings.Contains(string(answer), c.want) || header.Get("Content-Type") != "application/json" {
				t.Errorf("%d: %s, want something about %q", status, answer, c.want)
			}
		})
	}
	if size, _, _ := l.Head(); size != 0 {
		t.Errorf("%d refused uploads were logged", size)
	}
}

// checkStatus checks that an answer is a google.rpc.Status.
func checkStatus(t testing.TB, answer []byte, code int) {
	t.Helper()
	var s struct {
		Code    int
		Message string
		Details []any
	}
	if err := json.Unmarshal(answer, &s); err != nil || s.Code != code || s.Message == "" || s.Details == nil {
		t.Errorf("the answer is no status with code %d: %s", code, answer)
	}
}

// envelopeUpload is a signed envelope as older clients send it.
func envelopeUpload(t testing.TB, d algorithm.Details) map[string]any {
	t.Helper()
	key := mint.NewKey(t, d)
	payload := []byte(`{"_type":"https://in-toto.io/Statement/v1"}`)
	sig := mint.Sign(t, key, d, bundle.PAE("application/vnd.in-toto+json", payload))
	return map[string]any{"dsseRequestV002": map[string]any{
		"envelope": map[string]any{
			"payload": payload, "payloadType": "application/vnd.in-toto+json", "signatures": []any{map[string]any{"sig": sig, "keyid": "x"}},
		},
		"verifiers": []any{(&signer{key: key, details: d}).verifier(t)},
	}}
}

func TestEnvelopes(t *testing.T) {
	l, srv := newWorld(t).open(t)
	for _, d := range []algorithm.Details{algorithm.ECDSAP256SHA256, algorithm.ECDSAP384SHA384, algorithm.Ed25519ph} {
		status, _, answer := post(t, srv, envelopeUpload(t, d))
		if status != http.StatusCreated {
			t.Errorf("%s: %d: %s", d, status, answer)
			continue
		}
		entry(t, l, answer)
	}
	before, _, _ := l.Head()
	good := envelopeUpload(t, algorithm.ECDSAP256SHA256)
	env := func(r map[string]any) map[string]any { return at(r, "dsseRequestV002", "envelope") }
	for name, c := range map[string]struct {
		change func(r map[string]any)
		want   string
	}{
		"no envelope":      {func(r map[string]any) { delete(at(r, "dsseRequestV002"), "envelope") }, "envelope is missing"},
		"no payload":       {func(r map[string]any) { env(r)["payload"] = "" }, "payload is missing"},
		"no payload type":  {func(r map[string]any) { env(r)["payloadType"] = "" }, "payloadType is missing"},
		"no signature":     {func(r map[string]any) { env(r)["signatures"] = []any{} }, "0 signatures and 1 verifiers"},
		"empty signature":  {func(r map[string]any) { env(r)["signatures"] = []any{map[string]any{}} }, "sig is missing"},
		"two signatures":   {func(r map[string]any) { s := env(r)["signatures"].([]any); env(r)["signatures"] = append(s, s[0]) }, "2 signatures"},
		"no verifier":      {func(r map[string]any) { delete(at(r, "dsseRequestV002"), "verifiers") }, "0 verifiers"},
		"another payload":  {func(r map[string]any) { env(r)["payload"] = []byte("other") }, "does not verify"},
		"another type":     {func(r map[string]any) { env(r)["payloadType"] = "text/plain" }, "does not verify"},
		"an unknown field": {func(r map[string]any) { env(r)["extra"] = 1 }, "extra"},
		"two verifiers": {func(r map[string]any) {
			d := at(r, "dsseRequestV002")
			v := d["verifiers"].([]any)
			d["verifiers"] = append(v, v[0])
		}, "2 verifiers"},
		"a flood of signatures": {func(r map[string]any) {
			env(r)["signatures"] = make([]map[string]any, maxSignatures+1)
		}, "signatures"},
	} {
		t.Run(name, func(t *testing.T) {
			status, _, answer := post(t, srv, edit(t, good, c.change))
			if status != http.StatusBadRequest || !strings.Contains(string(answer), c.want) {
				t.Errorf("%d: %s, want something about %q", status, answer, c.want)
			}
		})
	}
	if after, _, _ := l.Head(); after != before {
		t.Errorf("%d refused uploads were logged", after-before)
	}
}

func TestSnakeCase(t *testing.T) {
	l, srv := newWorld(t).open(t)
	s := ecdsaSigner(t)
	text := string(edit(t, s.upload(t, "message"), func(map[string]any) {}))
	for camel, snake := range map[string]string{
		"hashedRekordRequestV002": "hashed_rekord_request_v002", "publicKey": "public_key", "rawBytes": "raw_bytes", "keyDetails": "key_details",
	} {
		text = strings.ReplaceAll(text, camel, snake)
	}
	status, _, answer := post(t, srv, []byte(text))
	if status != http.StatusCreated {
		t.Fatalf("%d: %s", status, answer)
	}
	entry(t, l, answer)
}

// TestCertificates: the log takes any certificate whose key has signed, expired or not, as long as its entry fits.
func TestCertificates(t *testing.T) {
	l, srv := newWorld(t).open(t)
	s := ecdsaSigner(t)
	s.cert = mint.NewCA(t, mint.CAOptions{}).Issue(t, mint.LeafOptions{Public: s.key.Public()})
	status, _, answer := post(t, srv, s.upload(t, "message"))
	if status != http.StatusCreated {
		t.Fatalf("%d: %s", status, answer)
	}
	entry(t, l, answer)
	trailing := *s
	trailing.cert = append(bytes.Clone(s.cert), 0)
	if status, _, answer := post(t, srv, trailing.upload(t, "message")); status != http.StatusBadRequest {
		t.Errorf("a certificate with trailing data: %d: %s", status, answer)
	}
	huge := *s
	huge.cert = mint.NewCA(t, mint.CAOptions{}).Issue(t, mint.LeafOptions{
		Public: s.key.Public(), Extensions: map[string]string{"sourceRepositoryURI": strings.Repeat("x", 60<<10)},
	})
	if status, _, answer := post(t, srv, huge.upload(t, "message")); status != http.StatusBadRequest ||
		!strings.Contains(string(answer), "fit into a tile") {
		t.Errorf("a huge certificate: %d: %s", status, answer)
	}
}

func TestRefusedRequests(t *testing.T) {
	_, srv := newWorld(t).open(t)
	do := func(method, path, contentType string, body []byte) (int, http.Header, []byte) {
		req, err := http.NewRequest(method, srv.URL+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", contentType)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var answer bytes.Buffer
		_, _ = answer.ReadFrom(resp.Body)
		return resp.StatusCode, resp.Header, answer.Bytes()
	}
	good := edit(t, ecdsaSigner(t).upload(t, "m"), func(map[string]any) {})
	for name, c := range map[string]struct {
		method, path, kind string
		body               []byte
		status, code       int
	}{
		"a form":        {"POST", pathEntries, "application/x-www-form-urlencoded", good, 415, 3},
		"a large body":  {"POST", pathEntries, "application/json", make([]byte, MaxRequest+1), 413, 8},
		"GET":           {"GET", pathEntries, "application/json", nil, 405, 12},
		"PUT an entry":  {"PUT", pathEntries + "/0", "application/json", nil, 405, 12},
		"POST a search": {"POST", pathSearch + "?email=a", "application/json", nil, 405, 12},
		"no entry":      {"GET", pathEntries + "/0", "application/json", nil, 404, 5},
		"no number":     {"GET", pathEntries + "/x", "application/json", nil, 400, 3},
		"odd number":    {"GET", pathEntries + "/00", "application/json", nil, 400, 3},
	} {
		status, _, answer := do(c.method, c.path, c.kind, c.body)
		checkStatus(t, answer, c.code)
		if status != c.status {
			t.Errorf("%s: %d: %s", name, status, answer)
		}
	}
	if status, _, answer := do("POST", pathEntries, "application/json; charset=utf-8", good); status != 201 {
		t.Errorf("with a charset: %d: %s", status, answer)
	}
}

func TestTooManyInFlight(t *testing.T) {
	l, srv := newWorld(t).open(t, func(c *Config) { c.MaxInFlight = 1 })
	l.flights <- struct{}{}
	status, header, answer := post(t, srv, ecdsaSigner(t).upload(t, "m"))
	checkStatus(t, answer, 14)
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("%d, Retry-After %q: %s", status, header.Get("Retry-After"), answer)
	}
	<-l.flights
	if status, _, answer := post(t, srv, ecdsaSigner(t).upload(t, "m")); status != http.StatusCreated {
		t.Errorf("%d: %s", status, answer)
	}
}

// TestTimeout: no checkpoint comes in time; the same upload later gets the proof of the same entry.
func TestTimeout(t *testing.T) {
	w := newWorld(t)
	l, srv := w.open(t, func(c *Config) { c.Timeout, c.CheckpointInterval = 50*time.Millisecond, 400*time.Millisecond })
	request := ecdsaSigner(t).upload(t, "m")
	status, header, answer := post(t, srv, request)
	checkStatus(t, answer, 4)
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("%d: %s", status, answer)
	}
	l.cfg.Timeout = time.Minute
	if status, _, answer = post(t, srv, request); status != http.StatusCreated {
		t.Fatalf("%d: %s", status, answer)
	}
	if e := entry(t, l, answer); e.LogIndex != 0 || e.Proof.TreeSize != 1 {
		t.Errorf("the entry is %d of %d", e.LogIndex, e.Proof.TreeSize)
	}
}

func TestClientThatLeaves(t *testing.T) {
	l, srv := newWorld(t).open(t, func(c *Config) { c.CheckpointInterval = 300 * time.Millisecond })
	body := edit(t, ecdsaSigner(t).upload(t, "m"), func(map[string]any) {})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", srv.URL+pathEntries, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := http.DefaultClient.Do(req); err == nil {
		t.Fatal("the proof came before the client left")
	}
	status, _, answer := post(t, srv, body)
	if status != http.StatusCreated {
		t.Fatalf("%d: %s", status, answer)
	}
	if e := entry(t, l, answer); e.LogIndex != 0 {
		t.Errorf("the entry is %d", e.LogIndex)
	}
}

func TestConfigIsChecked(t *testing.T) {
	w := newWorld(t)
	p384 := mint.NewKey(t, algorithm.ECDSAP384SHA384)
	_, stranger, _ := ed25519.GenerateKey(rand.Reader)
	for name, change := range map[string]func(*Config){
		"no URL":        func(c *Config) { c.BaseURL = "" },
		"a path":        func(c *Config) { c.BaseURL = "/log" },
		"another URL":   func(c *Config) { c.BaseURL = "ftp://log.example.com" },
		"a query":       func(c *Config) { c.BaseURL += "?x" },
		"no key":        func(c *Config) { c.Key = nil },
		"P-384":         func(c *Config) { c.Key = p384 },
		"RSA":           func(c *Config) { c.Key = mint.NewKey(t, algorithm.RSAPKCS1v15x2048SHA256) },
		"two keys":      func(c *Config) { c.PublicKey = stranger.Public() },
		"no directory":  func(c *Config) { c.Dir = "" },
		"no index":      func(c *Config) { c.IndexFile = "" },
		"no lock":       func(c *Config) { c.Lock = nil },
		"an odd prefix": func(c *Config) { c.Prefix = "/log/../x" },
	} {
		cfg := w.config(t)
		change(&cfg)
		if l, err := New(t.Context(), cfg); err == nil {
			_ = l.Close(t.Context())
			t.Errorf("%s: the log was opened", name)
		}
	}
}

func TestECDSALogKey(t *testing.T) {
	w := newWorld(t)
	w.key = mint.NewKey(t, algorithm.ECDSAP256SHA256)
	l, srv := w.open(t)
	status, _, answer := post(t, srv, ecdsaSigner(t).upload(t, "m"))
	if status != http.StatusCreated {
		t.Fatalf("%d: %s", status, answer)
	}
	entry(t, l, answer)
}
