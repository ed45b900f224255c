package ca_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/server/ca"
	"github.com/bulla-sign/bulla/server/ca/issuerconfig"
	"github.com/go-jose/go-jose/v4"
)

// TestTokenRefused: each check of the token refuses alone, says what was found and what was expected, and never repeats
// the token.
func TestTokenRefused(t *testing.T) {
	w := newWorld(t, nil, emailIssuer(), issuerconfig.Issuer{URL: "https://other.bulla.test", ClientID: "sigstore", Type: issuerconfig.Email})
	key := newKey(t, elliptic.P256())
	stranger := &idp{key: newKey(t, elliptic.P256()), alg: jose.ES256}
	good := w.idp.token(t, claims(nil))
	parts := strings.Split(good, ".")
	for name, c := range map[string]struct {
		token string
		want  []string
	}{
		"no token":              {"", []string{"no identity token"}},
		"not a JWT":             {"bulla", []string{"three parts"}},
		"other audience":        {w.idp.token(t, claims(map[string]any{"aud": "bulla"})), []string{`"bulla"`, `expected is "sigstore"`}},
		"empty audience":        {w.idp.token(t, claims(map[string]any{"aud": ""})), []string{"expected"}},
		"audience in capitals":  {w.idp.token(t, claims(map[string]any{"aud": "Sigstore"})), []string{`expected is "sigstore"`}},
		"audience with a space": {w.idp.token(t, claims(map[string]any{"aud": []string{"sigstore "}})), []string{`expected is "sigstore"`}},
		"other audiences":       {w.idp.token(t, claims(map[string]any{"aud": []string{"a", "b"}})), []string{`"a", "b"`, `expected is "sigstore"`}},
		"no audience":           {w.idp.token(t, claims(map[string]any{"aud": nil})), []string{"no claim aud"}},
		"odd audience":          {w.idp.token(t, claims(map[string]any{"aud": map[string]any{"x": 1}})), []string{"aud"}},
		"expired":               {w.idp.token(t, claims(map[string]any{"exp": now.Add(-5 * time.Minute).Unix()})), []string{"expired at 2026-03-01T11:55:00Z", "5m0s ago"}},
		"no expiry":             {w.idp.token(t, claims(map[string]any{"exp": nil})), []string{"no claim exp"}},
		"odd expiry":            {w.idp.token(t, claims(map[string]any{"exp": "tomorrow"})), []string{"exp is not a number"}},
		"huge expiry":           {w.idp.token(t, claims(map[string]any{"exp": 1e300})), []string{"exp is not a time"}},
		"not yet":               {w.idp.token(t, claims(map[string]any{"nbf": now.Add(time.Hour).Unix()})), []string{"nbf", "check the clocks"}},
		"from the future":       {w.idp.token(t, claims(map[string]any{"iat": now.Add(time.Hour).Unix()})), []string{"iat", "check the clocks"}},
		"unknown issuer": {
			w.idp.token(t, claims(map[string]any{"iss": "https://evil.test"})),
			[]string{`"https://evil.test"`, "not accepted", issuerURL, "https://other.bulla.test"},
		},
		"issuer in capitals":        {w.idp.token(t, claims(map[string]any{"iss": strings.ToUpper(issuerURL)})), []string{"not accepted"}},
		"issuer's host in capitals": {w.idp.token(t, claims(map[string]any{"iss": "https://" + strings.ToUpper(strings.TrimPrefix(issuerURL, "https://"))})), []string{"not accepted"}},
		"issuer with a slash":       {w.idp.token(t, claims(map[string]any{"iss": issuerURL + "/"})), []string{"not accepted"}},
		"no issuer":                 {w.idp.token(t, claims(map[string]any{"iss": nil})), []string{"no claim iss"}},
		"no subject":                {w.idp.token(t, claims(map[string]any{"sub": nil})), []string{"no claim sub"}},
		"subject with newline":      {w.idp.token(t, claims(map[string]any{"sub": "a\nb"})), []string{"control characters"}},
		"no address":                {w.idp.token(t, claims(map[string]any{"email": nil})), []string{"no claim email"}},
		"address not verified":      {w.idp.token(t, claims(map[string]any{"email_verified": false})), []string{"email_verified is not true"}},
		"address not said to be verified": {
			w.idp.token(t, claims(map[string]any{"email_verified": nil})), []string{"no claim email_verified"},
		},
		"address of a number":    {w.idp.token(t, claims(map[string]any{"email": 7})), []string{"no claim email"}},
		"two addresses":          {w.idp.token(t, claims(map[string]any{"email": "a@b.test,c@d.test"})), []string{"not an address"}},
		"address with a NUL":     {w.idp.token(t, claims(map[string]any{"email": "a@b.test\x00.evil"})), []string{"not an address"}},
		"address with umlaut":    {w.idp.token(t, claims(map[string]any{"email": "ä@b.test"})), []string{"certificate can hold"}},
		"other key":              {stranger.token(t, claims(nil)), []string{"no key with id \"1\" for algorithm ES256"}},
		"changed claims":         {parts[0] + "." + b64(`{"iss":"`+issuerURL+`","aud":"sigstore","sub":"x","email":"eve@bulla.test","email_verified":true,"exp":`+exp()+`}`) + "." + parts[2], []string{"signature does not verify"}},
		"changed signature":      {good[:len(good)-8] + "AAAAAAAA", []string{"signature does not verify"}},
		"algorithm none":         {b64(`{"alg":"none"}`) + "." + parts[1] + "." + b64("x"), []string{`algorithm "none"`, "RS256"}},
		"algorithm None":         {b64(`{"alg":"None"}`) + "." + parts[1] + "." + b64("x"), []string{`algorithm "None"`}},
		"shared secret":          {hs256(t, w, parts[1]), []string{`algorithm "HS256"`}},
		"no signature":           {parts[0] + "." + parts[1] + ".", []string{"three parts"}},
		"critical extension":     {b64(`{"alg":"RS256","crit":["b64"],"b64":false}`) + "." + parts[1] + "." + parts[2], []string{"crit"}},
		"claims given twice":     {parts[0] + "." + b64(`{"iss":"`+issuerURL+`","iss":"https://evil.test"}`) + "." + parts[2], []string{`"iss" is given twice`}},
		"encrypted":              {good + ".a.b", []string{"more than three parts"}},
		"white space":            {" " + good, []string{"position 0"}},
		"padded":                 {parts[0] + "=." + parts[1] + "." + parts[2], []string{"base64url"}},
		"key in the header":      {selfSigned(t), []string{"signature does not verify"}},
		"too long":               {good + strings.Repeat("A", 40<<10), []string{"longer than"}},
		"claims that are a list": {parts[0] + "." + b64(`[1]`) + "." + parts[2], []string{"not a JSON object"}},
	} {
		t.Run(name, func(t *testing.T) {
			rw := do(t, w, http.MethodPost, v2, body(t, c.token, key, email), nil)
			code, message := refusal(t, rw)
			if rw.Code != http.StatusBadRequest || code != 3 {
				t.Fatalf("%d %d: %s", rw.Code, code, message)
			}
			for _, want := range c.want {
				if !strings.Contains(message, want) {
					t.Errorf("%q lacks %q", message, want)
				}
			}
			if len(c.token) > 100 && (strings.Contains(message, c.token[len(c.token)-40:]) || strings.Contains(w.out.String(), c.token[len(c.token)-40:])) {
				t.Error("answer or log repeat the token")
			}
		})
	}
	if len(w.log.chains) > 0 {
		t.Fatal("something was logged")
	}
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func exp() string { return quote(now.Add(time.Minute).Unix()) }

// hs256 signs with the issuer's public key as a shared secret, which a careless verifier accepts.
func hs256(t *testing.T, w *world, claims string) string {
	signed := b64(`{"alg":"HS256","kid":"1"}`) + "." + claims
	mac := hmac.New(sha256.New, mint.SPKI(t, w.idp.key.Public()))
	mac.Write([]byte(signed))
	return signed + "." + b64(string(mac.Sum(nil)))
}

// selfSigned makes a token that brings its own key, under the key id of the issuer's.
func selfSigned(t *testing.T) string {
	own := rsaKeyOf(t)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: own, KeyID: "1"}},
		(&jose.SignerOptions{EmbedJWK: true}).WithHeader("kid", "1"))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims(nil))
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

// TestLeeway: clocks may differ by a little.
func TestLeeway(t *testing.T) {
	w := newWorld(t, nil)
	key := newKey(t, elliptic.P256())
	for _, more := range []map[string]any{
		{"exp": now.Add(-20 * time.Second).Unix()},
		{"nbf": now.Add(20 * time.Second).Unix()},
		{"iat": float64(now.Unix()) + 20.5},
		{"aud": []string{"x", "sigstore"}},
		{"email_verified": "true"},
	} {
		w.checkIssued(t, chainOf(t, do(t, w, http.MethodPost, v2, body(t, w.idp.token(t, claims(more)), key, email), nil)), key.Public())
	}
}

// TestSplice: parts of two honest requests do not make a third.
func TestSplice(t *testing.T) {
	w := newWorld(t, nil)
	alice, bob := w.idp.token(t, claims(nil)), w.idp.token(t, claims(map[string]any{"email": "bob@bulla.test", "sub": "bob"}))
	key, other := newKey(t, elliptic.P256()), newKey(t, elliptic.P256())
	spliced := func(raw, pem string, proof []byte) map[string]any {
		return map[string]any{
			"credentials":      map[string]any{"oidcIdentityToken": raw},
			"publicKeyRequest": map[string]any{"publicKey": map[string]any{"content": pem}, "proofOfPossession": proof},
		}
	}
	request := csr(t, key)
	broken := append([]byte{}, request...)
	broken[len(broken)-1] ^= 1
	// The subject's address is not the token's any more once it is not verified.
	unverified := newWorld(t, nil, issuerconfig.Issuer{URL: issuerURL, ClientID: "sigstore", Type: issuerconfig.Chainguard})
	for name, c := range map[string]struct {
		w    *world
		body any
		want string
	}{
		"token of another":        {w, spliced(bob, keyPEM(t, key), sign(t, key, email)), `over "bob@bulla.test" or "bob"`},
		"proof of another's key":  {w, spliced(alice, keyPEM(t, key), sign(t, other, email)), "does not verify"},
		"key of another":          {w, spliced(alice, keyPEM(t, other), sign(t, key, email)), "does not verify"},
		"proof over nothing":      {w, spliced(alice, keyPEM(t, key), sign(t, key, "")), "does not verify"},
		"proof over the token":    {w, spliced(alice, keyPEM(t, key), sign(t, key, alice)), "does not verify"},
		"no proof":                {w, spliced(alice, keyPEM(t, key), nil), "proof of possession is missing"},
		"long proof":              {w, spliced(alice, keyPEM(t, key), make([]byte, 2000)), "longer than"},
		"CSR with bad signature":  {w, map[string]any{"credentials": map[string]any{"oidcIdentityToken": alice}, "certificateSigningRequest": broken}, "own signature does not verify"},
		"unverified address":      {unverified, body(t, unverified.idp.token(t, claims(map[string]any{"email_verified": false})), key, email), `over "CgVhbGljZRIFbG9jYWw", a claim`},
		"key and CSR":             {w, map[string]any{"credentials": map[string]any{"oidcIdentityToken": alice}, "certificateSigningRequest": request, "publicKeyRequest": map[string]any{}}, "cannot be parsed"},
		"neither key nor CSR":     {w, map[string]any{"credentials": map[string]any{"oidcIdentityToken": alice}}, "neither a public key"},
		"empty CSR":               {w, map[string]any{"credentials": map[string]any{"oidcIdentityToken": alice}, "certificateSigningRequest": ""}, "neither a public key"},
		"certificate for a CSR":   {w, map[string]any{"credentials": map[string]any{"oidcIdentityToken": alice}, "certificateSigningRequest": mint.PEM(w.chain[0].Raw)}, `is a "CERTIFICATE"`},
		"two CSRs":                {w, map[string]any{"credentials": map[string]any{"oidcIdentityToken": alice}, "certificateSigningRequest": append(csrPEM(request), csrPEM(request)...)}, "not one PEM block"},
		"a certificate for a key": {w, spliced(alice, string(mint.PEM(w.chain[0].Raw)), sign(t, key, email)), "cannot be parsed"},
		"no key":                  {w, spliced(alice, "", sign(t, key, email)), "public key is missing"},
		"garbage for a key":       {w, spliced(alice, "bulla", sign(t, key, email)), "neither PEM nor DER"},
		"weak curve":              {w, spliced(alice, keyPEM(t, newKey(t, elliptic.P224())), sign(t, key, email)), "not P-256, P-384 or P-521"},
	} {
		t.Run(name, func(t *testing.T) {
			code, message := refusal(t, do(t, c.w, http.MethodPost, v2, c.body, nil))
			if code != 3 || !strings.Contains(message, c.want) {
				t.Fatalf("%d %q lacks %q", code, message, c.want)
			}
		})
	}
	if len(w.log.chains)+len(unverified.log.chains) > 0 {
		t.Fatal("something was logged")
	}
}

func csrPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// TestRequestRefused is about the request itself.
func TestRequestRefused(t *testing.T) {
	w := newWorld(t, nil)
	key := newKey(t, elliptic.P256())
	raw := w.idp.token(t, claims(nil))
	whole := body(t, raw, key, email)
	bob := w.idp.token(t, claims(map[string]any{"email": "bob@bulla.test"}))
	for name, c := range map[string]struct {
		method, path string
		body         any
		header       http.Header
		status       int
		want         string
	}{
		"not JSON":               {http.MethodPost, v2, "bulla", nil, 400, "cannot be parsed"},
		"nothing":                {http.MethodPost, v2, "", nil, 400, "cannot be parsed"},
		"trailing":               {http.MethodPost, v2, `{}{}`, nil, 400, "cannot be parsed"},
		"field twice":            {http.MethodPost, v2, `{"credentials":{},"credentials":{}}`, nil, 400, "credentials"},
		"deep":                   {http.MethodPost, v2, `{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, nil, 400, "cannot be parsed"},
		"too long":               {http.MethodPost, v2, `{"x":"` + strings.Repeat("a", ca.MaxBody) + `"}`, nil, 400, "longer than"},
		"empty":                  {http.MethodPost, v2, `{}`, nil, 400, "no identity token"},
		"two tokens":             {http.MethodPost, v2, whole, http.Header{"Authorization": {"Bearer " + bob}}, 400, "two different tokens"},
		"two headers":            {http.MethodPost, v2, whole, http.Header{"Authorization": {"Bearer " + raw, "Bearer " + raw}}, 400, "more than one"},
		"basic":                  {http.MethodPost, v2, whole, http.Header{"Authorization": {"Basic YTpi"}}, 400, "Bearer TOKEN"},
		"empty bearer":           {http.MethodPost, v2, whole, http.Header{"Authorization": {"Bearer "}}, 400, "Bearer TOKEN"},
		"legacy without a token": {http.MethodPost, v1, `{}`, nil, 400, "no identity token"},
		"legacy key and CSR":     {http.MethodPost, v1, `{"publicKey":{"content":"AAAA"},"certificateSigningRequest":"AAAA"}`, nil, 400, "both"},
		"GET":                    {http.MethodGet, v2, nil, nil, 405, "takes POST"},
		"POST":                   {http.MethodPost, "/api/v2/trustBundle", "{}", nil, 405, "takes GET"},
		"elsewhere":              {http.MethodGet, "/api/v2/other", nil, nil, 404, "nothing here"},
		"gRPC on HTTP/1":         {http.MethodPost, "/dev.sigstore.fulcio.v2.CA/GetTrustBundle", nil, http.Header{"Content-Type": {"application/grpc"}}, 404, "HTTP/2"},
	} {
		t.Run(name, func(t *testing.T) {
			rw := do(t, w, c.method, c.path, c.body, c.header)
			if _, message := refusal(t, rw); rw.Code != c.status || !strings.Contains(message, c.want) {
				t.Fatalf("%d %q, want %d %q", rw.Code, message, c.status, c.want)
			}
		})
	}
}

func TestCORS(t *testing.T) {
	w := newWorld(t, nil)
	rw := do(t, w, http.MethodOptions, v2, nil, http.Header{"Origin": {"https://web.test"}, "Access-Control-Request-Method": {"POST"}})
	if rw.Code != http.StatusNoContent || rw.Header().Get("Access-Control-Allow-Origin") != "*" || rw.Header().Get("Access-Control-Allow-Methods") != "POST" {
		t.Fatal(rw.Code, rw.Header())
	}
	rw = do(t, w, http.MethodGet, "/api/v2/trustBundle", nil, http.Header{"Origin": {"https://web.test"}})
	if rw.Code != http.StatusOK || rw.Header().Get("Access-Control-Allow-Origin") != "*" || rw.Header().Get("Access-Control-Allow-Credentials") != "" {
		t.Fatal(rw.Code, rw.Header())
	}
}

// TestLimit: who comes too often is told when to come again, and nothing is signed.
func TestLimit(t *testing.T) {
	var asked []string
	w := newWorld(t, func(cfg *ca.Config) {
		cfg.Limit = func(identity string) (bool, time.Duration) {
			asked = append(asked, identity)
			return false, 1500 * time.Millisecond
		}
	})
	key := newKey(t, elliptic.P256())
	rw := do(t, w, http.MethodPost, v2, body(t, w.idp.token(t, claims(nil)), key, email), nil)
	if code, message := refusal(t, rw); rw.Code != http.StatusTooManyRequests || code != 8 || rw.Header().Get("Retry-After") != "2" {
		t.Fatal(rw.Code, code, message, rw.Header())
	}
	if len(asked) != 1 || asked[0] != issuerURL+" "+email {
		t.Fatal(asked)
	}
	// A token that is not good is not counted for whom it names.
	stranger := &idp{key: rsaKeyOf(t), alg: jose.RS256}
	do(t, w, http.MethodPost, v2, body(t, stranger.token(t, claims(nil)), key, email), nil)
	if len(asked) != 1 || len(w.log.chains) > 0 {
		t.Fatal(asked)
	}
}

// TestLogFaults: a certificate is issued with a good timestamp or not at all.
func TestLogFaults(t *testing.T) {
	key := newKey(t, elliptic.P256())
	another := mint.NewCTLog(t, nil)
	for name, c := range map[string]struct {
		edit   func(w *world)
		status int
		cause  string
	}{
		"unreachable": {func(w *world) {
			w.log.answer = func([]byte) ([]byte, error) { return nil, errors.New("10.0.0.7: connection refused") }
		}, 503, "10.0.0.7"},
		"nothing":  {func(w *world) { w.log.answer = func([]byte) ([]byte, error) { return nil, nil } }, 500, "SCT"},
		"garbage":  {func(w *world) { w.log.answer = func([]byte) ([]byte, error) { return []byte("bulla"), nil } }, 500, "SCT"},
		"trailing": {func(w *world) { w.log.answer = func(sct []byte) ([]byte, error) { return append(sct, 0), nil } }, 500, "SCT"},
		"changed":  {func(w *world) { w.log.answer = func(sct []byte) ([]byte, error) { sct[40] ^= 1; return sct, nil } }, 500, "SCT"},
		"of another log": {func(w *world) {
			w.log.answer = func([]byte) ([]byte, error) {
				return another.SignPrecert(t, w.log.chains[0][0], w.chain[0], now), nil
			}
		}, 500, "log"},
		"for another certificate": {func(w *world) {
			first := true
			var old []byte
			w.log.answer = func(sct []byte) ([]byte, error) {
				if first {
					first, old = false, sct
				}
				return old, nil
			}
			rw := do(t, w, http.MethodPost, v2, body(t, w.idp.token(t, claims(nil)), key, email), nil)
			if rw.Code != 200 {
				t.Fatal(rw.Code)
			}
		}, 500, "SCT"},
		"clock ahead": {func(w *world) { w.log.at = func() time.Time { return now.Add(time.Hour) } }, 500, "1h0m0s apart"},
		"huge":        {func(w *world) { w.log.answer = func([]byte) ([]byte, error) { return make([]byte, 70000), nil } }, 500, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			c.edit(w)
			rw := do(t, w, http.MethodPost, v2, body(t, w.idp.token(t, claims(nil)), key, email), nil)
			_, message := refusal(t, rw)
			if rw.Code != c.status || strings.Contains(message, "10.0.0.7") {
				t.Fatalf("%d %q", rw.Code, message)
			}
			if !strings.Contains(w.out.String(), c.cause) {
				t.Fatalf("the log lacks %q: %s", c.cause, w.out)
			}
		})
	}
}

// steady is a source of randomness with which two certificates for the same request are the same.
type steady struct{}

func (steady) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 0x5a
	}
	return len(p), nil
}

// TestNeighbour: a log in the same process says what it has signed, which must be this certificate, by this log.
func TestNeighbour(t *testing.T) {
	key := newKey(t, elliptic.P256())
	w := newWorld(t, func(cfg *ca.Config) { cfg.Rand = steady{} })
	request := body(t, w.idp.token(t, claims(nil)), key, email)
	cert, err := identity.FromX509(chainOf(t, do(t, w, http.MethodPost, v2, request, nil))[0])
	if err != nil {
		t.Fatal(err)
	}
	scts, err := cert.EmbeddedSCTs()
	if err != nil || len(scts) != 1 {
		t.Fatalf("%d timestamps, %v", len(scts), err)
	}
	demanded, err := cert.EmbeddedSCTInput(scts[0], w.chain[0])
	if err != nil {
		t.Fatal(err)
	}
	this := func() []byte {
		demanded[len(demanded)-1]++ // the index of the entry, with which the extensions end
		return demanded
	}
	for name, c := range map[string]struct {
		signed func() []byte
		edit   func(sct []byte)
		status int
	}{
		"this one":                  {this, func([]byte) {}, 200},
		"this one, and more":        {func() []byte { return append(bytes.Clone(this()), 0) }, func([]byte) {}, 500},
		"the entry before":          {func() []byte { before := bytes.Clone(demanded); this(); return before }, func([]byte) {}, 500},
		"nothing":                   {func() []byte { this(); return []byte{} }, func([]byte) {}, 500},
		"this one, by another log":  {this, func(sct []byte) { sct[1] ^= 1 }, 500},
		"this one, at another time": {this, func(sct []byte) { sct[40] ^= 1 }, 500},
	} {
		w.log.signed = c.signed
		w.log.answer = func(sct []byte) ([]byte, error) {
			c.edit(sct)
			return sct, nil
		}
		if rw := do(t, w, http.MethodPost, v2, request, nil); rw.Code != c.status {
			t.Errorf("%s: %d %s\n%s", name, rw.Code, rw.Body, w.out)
		}
	}
}
