package main_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// deployment is a process of bulla-server with all services.
type deployment struct {
	URL   string `json:"url"`
	Token string `json:"token"`
	Root  string `json:"trustedRoot"`
	log   *lockedBuffer
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// deploy builds the program and runs all services until the test ends, logging all there is to log.
func deploy(t *testing.T, environment ...string) *deployment {
	t.Helper()
	program := filepath.Join(t.TempDir(), "bulla-server")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(program, "up", "--ephemeral", "--output", "json", "--verbose")
	cmd.Env = append(os.Environ(), environment...)
	d := &deployment{log: new(lockedBuffer)}
	cmd.Stderr = d.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("it did not end well: %v\n%s", err, tail(d.log.String()))
		}
	})
	if err := json.NewDecoder(out).Decode(d); err != nil {
		t.Fatalf("%v: %s", err, tail(d.log.String()))
	}
	return d
}

func tail(s string) string { return s[max(0, len(s)-4000):] }

// answer is a response that was read.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request, again when the answer is that there were too many.
func (d *deployment) ask(t *testing.T, c *http.Client, method, target string, body []byte, edit ...func(*http.Request)) answer {
	t.Helper()
	for range 100 {
		req, err := http.NewRequest(method, d.URL, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		// Opaque: the target goes over the wire as it is, dots and all.
		req.URL.Opaque = target
		for _, e := range edit {
			e(req)
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Errorf("%s %.80q: %v", method, target, err)
			return answer{}
		}
		text, err := io.ReadAll(io.LimitReader(resp.Body, 32<<20))
		_ = resp.Body.Close()
		if err != nil {
			t.Errorf("%s %.80q: %v", method, target, err)
		}
		if resp.StatusCode == http.StatusTooManyRequests {
			if resp.Header.Get("Retry-After") == "" {
				t.Errorf("%s %.80q: 429 without Retry-After", method, target)
			}
			time.Sleep(time.Second)
			continue
		}
		return answer{resp.StatusCode, resp.Header, string(text)}
	}
	t.Errorf("%s %.80q: too many requests for ever", method, target)
	return answer{}
}

// steady is a client that follows nothing and keeps connections.
func steady() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 8},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       60 * time.Second,
	}
}

// manyClients are at different addresses of the loopback network, so that a limit for one of them does not make the test
// slow.
func manyClients() (out []*http.Client) {
	for i := range 32 {
		c := steady()
		from := &net.TCPAddr{IP: net.IPv4(127, 1, 0, byte(i+1))}
		c.Transport.(*http.Transport).DialContext = (&net.Dialer{LocalAddr: from}).DialContext
		out = append(out, c)
	}
	return out
}

// trap counts who connects to it: nobody should.
type trap struct {
	net.Listener
	hits atomic.Int64
}

func newTrap(t *testing.T) *trap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tr := &trap{Listener: l}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			tr.hits.Add(1)
			_ = c.Close()
		}
	}()
	return tr
}

// secret stands in what only a client may know.
const secret = "Sw0rdfish-canary"

func TestHostileClients(t *testing.T) {
	// Where requests go that a URL of a client's led to: one to the loopback address directly, one to anywhere else by the
	// proxy of the environment.
	direct, proxy := newTrap(t), newTrap(t)
	d := deploy(t, "HTTP_PROXY=http://"+proxy.Addr().String(), "HTTPS_PROXY=http://"+proxy.Addr().String(), "NO_PROXY=")
	t.Run("corpus", func(t *testing.T) { corpus(t, d) })
	t.Run("broken HTTP", func(t *testing.T) { brokenHTTP(t, d) })
	t.Run("URLs", func(t *testing.T) {
		for _, tr := range []*trap{direct, proxy} { // they do count
			if c, err := net.Dial("tcp", tr.Addr().String()); err != nil {
				t.Fatal(err)
			} else {
				_, _ = c.Read(make([]byte, 1)) // until it is closed, having been counted
				_ = c.Close()
			}
			if tr.hits.Swap(0) != 1 {
				t.Fatal("the trap does not count")
			}
		}
		for _, u := range []string{"http://" + direct.Addr().String() + "/x", "http://canary.invalid/x", "https://canary.invalid/x"} {
			urls(t, d, u)
		}
		// Whatever would ask later, in the background, has had its time.
		time.Sleep(500 * time.Millisecond)
		if n, m := direct.hits.Load(), proxy.hits.Load(); n+m != 0 {
			t.Errorf("URLs of clients were asked: %d times directly, %d times by proxy", n, m)
		}
	})
	c := steady()
	if a := d.ask(t, c, http.MethodGet, "/readyz", nil); a.status != 200 {
		t.Errorf("not ready afterwards: %d %s", a.status, a.body)
	}
	log := d.log.String()
	for _, bad := range []string{secret, "panicked", "goroutine ", "DATA RACE"} {
		if i := strings.Index(log, bad); i >= 0 {
			t.Errorf("the log has %q: %s", bad, log[max(0, i-500):min(len(log), i+1500)])
		}
	}
	if !strings.Contains(log, "msg=request") {
		t.Error("there is no access log, so the absence of secrets in it says nothing")
	}
}

// paths are what is mounted, and what only looks like it.
func paths(d *deployment) []string {
	out := []string{
		"/", "/healthz", "/readyz", "/metrics", "/debug/pprof/", "/monitor", "/ui/log", "/ui/log/0", "/ui/log/99999999999999999999",
		"/api/v2/signingCert", "/api/v2/trustBundle", "/api/v2/configuration", "/api/v1/signingCert", "/api/v1/rootCert",
		"/dev.sigstore.fulcio.v2.CA/CreateSigningCertificate", "/dev.sigstore.fulcio.v2.CA/GetTrustBundle", "/dev.sigstore.fulcio.v2.CA/None",
		"/api/v2/log/entries", "/api/v2/log/entries/0", "/api/v2/log/entries/-1", "/api/v2/log/entries/18446744073709551616", "/api/v2/search",
		"/api/v2/search?email=" + secret, "/api/v2/search?digest=sha256:00&limit=-1", "/api/v2/search?publicKey=%00",
		"/checkpoint", "/api/v2/checkpoint", "/tile/0/000", "/tile/0/x999/x999/x999/x999/x999/x999/x999/000", "/tile/63/000", "/tile/64/000",
		"/tile/-1/000", "/tile/0/000.p/0", "/tile/0/000.p/257", "/tile/0/000.p/01", "/tile/entries/000", "/tile/entries/000.p/1",
		"/api/v1/timestamp", "/api/v1/timestamp/certchain", "/ping",
		"/tuf/root.json", "/tuf/1.root.json", "/tuf/99999999999999999999.root.json", "/tuf/timestamp.json", "/tuf/targets/x", "/tuf/",
		"/oidc/.well-known/openid-configuration", "/oidc/keys", "/oidc/auth", "/oidc/token", "/oidc/device/code", "/oidc/device", "/oidc/dev/token",
		"/ct/x/ct/v1/add-chain", "/none", "*",
	}
	for _, escape := range []string{
		"/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd", "/%00", "/%ff%fe", "//etc/passwd", "/.", "/..;/",
		"/" + strings.Repeat("a/", 2000), "/<script>alert(1)</script>", "/%3Cscript%3Ealert(1)%3C/script%3E", "/\\..\\..\\", "/%0d%0aSet-Cookie:x=1",
	} {
		for _, below := range []string{"", "/tile", "/tuf", "/tuf/targets", "/api/v2/tile", "/oidc", "/ui/log", "/api/v2/log/entries"} {
			out = append(out, below+escape)
		}
	}
	return out
}

// bodies are documents that are none of what any service takes.
func bodies() map[string][]byte {
	deep := strings.Repeat(`{"a":[`, 5000) + strings.Repeat("]}", 5000)
	return map[string][]byte{
		"nothing":        nil,
		"zero":           {0},
		"invalid UTF-8":  {0xff, 0xfe, '{', '}'},
		"null":           []byte("null"),
		"array":          []byte("[]"),
		"object":         []byte("{}"),
		"deep":           []byte(deep),
		"large number":   []byte(`{"logIndex":1e999999999}`),
		"twice":          []byte(`{"hashedRekordRequestV002":{},"hashedRekordRequestV002":null}`),
		"unknown":        []byte(`{"` + secret + `":"` + secret + `"}`),
		"entry":          []byte(`{"hashedRekordRequestV002":{"digest":"AAAA","signature":{"content":"AAAA","verifier":{"publicKey":{"rawBytes":"AAAA"},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}}}}`),
		"certificate":    []byte(`{"credentials":{"oidcIdentityToken":"` + secret + `"},"publicKeyRequest":{"publicKey":{"algorithm":"ECDSA","content":"x"},"proofOfPossession":"AAAA"}}`),
		"chain":          []byte(`{"chain":["AAAA",""]}`),
		"long form":      []byte("grant_type=authorization_code&code=" + strings.Repeat(secret, 4000)),
		"DER":            {0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 2, 1, 1},
		"nested DER":     bytes.Repeat([]byte{0x30, 0x80}, 20000),
		"gRPC, too long": {0, 0xff, 0xff, 0xff, 0xff, 1},
	}
}

// corpus sends every body to every path with every method. Nothing is answered with a failure of the server's own, and
// nothing is told of its inside.
func corpus(t *testing.T, d *deployment) {
	types := []string{"application/json", "application/timestamp-query", "application/x-www-form-urlencoded", "application/grpc", "", "text/html;" + secret}
	type job struct {
		method, path, name string
		body               []byte
	}
	jobs := make(chan job)
	var wg sync.WaitGroup
	clients := manyClients()
	for worker := range 4 {
		wg.Go(func() {
			n := worker * 1000
			for j := range jobs {
				n++
				a := d.ask(t, clients[n%len(clients)], j.method, j.path, j.body, func(r *http.Request) {
					r.Header.Set("Content-Type", types[n%len(types)])
					r.Header.Set("Authorization", "Bearer "+secret)
					r.Header.Set("Cookie", "session="+secret)
					if n%7 == 0 {
						r.Header.Set("Content-Encoding", "gzip")
					}
				})
				judge(t, fmt.Sprintf("%s %.60q with %s", j.method, j.path, j.name), j.path, a)
			}
		})
	}
	all := bodies()
	for _, p := range paths(d) {
		jobs <- job{http.MethodGet, p, "nothing", nil}
		jobs <- job{"MADE-UP", p, "nothing", nil}
		if strings.Contains(p, "etc") || strings.HasPrefix(p, "/tile") {
			continue // nobody reads a body there
		}
		jobs <- job{http.MethodHead, p, "nothing", nil}
		jobs <- job{http.MethodOptions, p, "nothing", nil}
		jobs <- job{http.MethodDelete, p, "an object", all["object"]}
		for name, body := range all {
			jobs <- job{http.MethodPost, p, name, body}
		}
	}
	close(jobs)
	wg.Wait()
	for _, c := range clients {
		c.CloseIdleConnections()
	}
}

func judge(t *testing.T, what, path string, a answer) {
	t.Helper()
	switch {
	case a.status >= 500 && a.status != http.StatusNotImplemented:
		t.Errorf("%s: %d %.300s", what, a.status, a.body)
	case a.status != 0 && a.status != 400 && a.header.Get("X-Content-Type-Options") != "nosniff":
		t.Errorf("%s: %d without nosniff", what, a.status) // 400 may come from net/http itself
	case a.header.Get("Set-Cookie") == "x=1":
		t.Errorf("%s: a header of the client's making", what)
	}
	for _, inside := range []string{"goroutine ", ".go:", "/tmp/", "root:x:0", "runtime error"} {
		if strings.Contains(a.body, inside) && !strings.Contains(path, inside) {
			t.Errorf("%s: the answer has %q: %.300s", what, inside, a.body)
		}
	}
	if html := a.header.Get("Content-Type"); strings.Contains(a.body, "<script>alert") && (html == "" || strings.HasPrefix(html, "text/html")) {
		t.Errorf("%s: a script of the client's making", what)
	}
}

// brokenHTTP sends what is no proper HTTP/1.1, or tries to be two requests at once.
func brokenHTTP(t *testing.T, d *deployment) {
	u, err := url.Parse(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:" + u.Port()
	for _, raw := range []string{
		"\r\n\r\n\r\n",
		"GET\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n", // no Host
		"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"GET / HTTP/3.7\r\nHost: localhost\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: localhost\r\nA\x00B: c\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n",
		"POST /api/v2/log/entries HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /oidc/keys HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST /api/v2/log/entries HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\n{}",
		"POST /api/v2/log/entries HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"POST /api/v2/log/entries HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
		"POST /api/v2/log/entries HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"POST /api/v2/log/entries HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
		"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x01\x01\x05\x00\x00\x00\x01\xff",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x00\x00\x00\x00\x00\x01",
		strings.Repeat("A", 1<<20),
	} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		_, _ = io.WriteString(c, raw) // refused in the middle, perhaps
		_ = c.(*net.TCPConn).CloseWrite()
		text, _ := io.ReadAll(bufio.NewReader(c)) // what came before a reset
		_ = c.Close()
		if strings.Contains(string(text), "HTTP/1.1 2") || strings.Contains(string(text), "HTTP/1.1 500") {
			t.Errorf("%.80q was answered: %.2000q", raw, text)
		}
	}
}

// urls puts a URL wherever a client can: into headers, tokens, certificates and parameters. GHSA-4c4x-jm2x-pf9j,
// GHSA-59jp-pj84-45mr, GHSA-f5mr-q85p-6hh6: none of them is ever asked.
func urls(t *testing.T, d *deployment, target string) {
	c := steady()
	defer c.CloseIdleConnections()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	post := func(path, kind string, body []byte, edit ...func(*http.Request)) answer {
		a := d.ask(t, c, http.MethodPost, path, body, append(edit, func(r *http.Request) { r.Header.Set("Content-Type", kind) })...)
		judge(t, path+" with "+target, target, a)
		return a
	}
	doc := func(v any) []byte {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}

	// Tokens whose issuer and keys lie there, and a request to go with them.
	uri, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: target}, URIs: []*url.URL{uri}, DNSNames: []string{"canary.invalid"},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	csrPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})
	for _, issuer := range []string{
		target, target + "#" + d.URL + "/oidc", strings.Replace(target, "://", "://localhost@", 1), d.URL + "/oidc@" + uri.Host, d.URL + "/oidc/../" + target,
	} {
		token := forged(map[string]any{"alg": "RS256", "kid": "x", "jku": target, "x5u": target, "jwk": map[string]string{"kty": "RSA", "n": "AQAB", "e": "AQAB"}},
			map[string]any{"iss": issuer, "aud": "sigstore", "sub": "a", "email": "a@canary.invalid", "email_verified": true, "exp": time.Now().Add(time.Hour).Unix()})
		for _, path := range []string{"/api/v2/signingCert", "/api/v1/signingCert"} {
			a := post(path, "application/json", doc(map[string]any{
				"credentials": map[string]string{"oidcIdentityToken": token}, "certificateSigningRequest": csrPEM,
			}), func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) })
			if a.status < 400 {
				t.Errorf("a forged token was taken: %d", a.status)
			}
		}
	}
	// A genuine token with the same request reaches the depths of the CA.
	genuine := d.token(t, c)
	if a := post("/api/v2/signingCert", "application/json", doc(map[string]any{
		"credentials": map[string]string{"oidcIdentityToken": genuine}, "certificateSigningRequest": csrPEM,
	})); a.status != 200 {
		t.Errorf("a genuine token: %d %s", a.status, a.body)
	}

	// A certificate that names places for its issuer, its status and its revocation, in every log.
	der := certificate(t, key, target)
	digest := sha256.Sum256([]byte(target))
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	if a := post("/api/v2/log/entries", "application/json", doc(map[string]any{"hashedRekordRequestV002": map[string]any{
		"digest": digest[:], "signature": map[string]any{"content": sig, "verifier": map[string]any{
			"x509Certificate": map[string]any{"rawBytes": der}, "keyDetails": "PKIX_ECDSA_P256_SHA_256",
		}},
	}})); a.status != 201 {
		t.Errorf("an entry with URLs in its certificate: %d %s", a.status, a.body)
	}
	post("/api/v2/log/entries", "application/json", doc(map[string]any{"hashedRekordRequestV002": map[string]any{
		"digest": digest[:], "signature": map[string]any{"content": sig, "verifier": map[string]any{
			"publicKey": map[string]any{"url": target}, "keyDetails": "PKIX_ECDSA_P256_SHA_256",
		}},
	}}))
	post("/api/v2/log/entries", "application/json", doc(map[string]any{"apiVersion": "0.0.1", "kind": "rekord", "spec": map[string]any{
		"data": map[string]any{"url": target}, "signature": map[string]any{"format": "x509", "url": target, "publicKey": map[string]any{"url": target}},
	}}))
	for _, path := range []string{"/ct/v1/add-chain", "/ct/v1/add-pre-chain"} {
		if a := post(d.ctlog(t)+path, "application/json", doc(map[string]any{"chain": [][]byte{der, der}})); a.status != 400 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	post("/api/v1/timestamp", "application/json", doc(map[string]any{"artifactHash": digest[:], "hashAlgorithm": "sha256", "url": target, "tsaPolicyOID": target}))

	// OpenID Connect: addresses to be sent to, and request objects to be fetched.
	q := url.Values{
		"client_id": {"sigstore"}, "redirect_uri": {target}, "request_uri": {target}, "response_type": {"code"}, "scope": {"openid email"},
		"code_challenge": {strings.Repeat("a", 43)}, "code_challenge_method": {"S256"}, "state": {"x"}, "claims_locales": {target}, "registration": {target},
	}
	var provider struct {
		Auth   string `json:"authorization_endpoint"`
		Token  string `json:"token_endpoint"`
		Device string `json:"device_authorization_endpoint"`
	}
	if a := d.ask(t, c, http.MethodGet, "/oidc/.well-known/openid-configuration", nil); json.Unmarshal([]byte(a.body), &provider) != nil || provider.Device == "" {
		t.Fatalf("discovery: %d %s", a.status, a.body)
	}
	path := func(endpoint string) string { return strings.TrimPrefix(endpoint, d.URL) }
	a := d.ask(t, c, http.MethodGet, path(provider.Auth)+"?"+q.Encode(), nil)
	judge(t, "authorization", target, a)
	if a.status == 404 || strings.HasPrefix(a.header.Get("Location"), target) {
		t.Errorf("authorization: %d, redirects to %q", a.status, a.header.Get("Location"))
	}
	q.Set("grant_type", "authorization_code")
	q.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	q.Set("client_assertion", forged(map[string]any{"alg": "RS256", "jku": target, "x5u": target}, map[string]any{"iss": target, "sub": "sigstore"}))
	for _, endpoint := range []string{provider.Token, provider.Device, d.Token} {
		if a := post(path(endpoint), "application/x-www-form-urlencoded", []byte(q.Encode())); a.status == 404 {
			t.Errorf("%s is not there", endpoint)
		}
	}

	// Headers and targets that ask a server to be a proxy.
	for _, path := range []string{"/", "/oidc/.well-known/openid-configuration", "/tuf/timestamp.json"} {
		a := d.ask(t, c, http.MethodGet, path, nil, func(r *http.Request) {
			for _, h := range []string{"X-Forwarded-Host", "X-Forwarded-Proto", "X-Original-URL", "X-Rewrite-URL", "Forwarded", "Referer", "Origin", "X-Forwarded-For"} {
				r.Header.Set(h, target)
			}
		})
		judge(t, path, target, a)
		if strings.Contains(a.body, uri.Host) {
			t.Errorf("%s: the answer names a host from a header: %.300s", path, a.body)
		}
	}
	if a := d.ask(t, c, http.MethodGet, target, nil, func(r *http.Request) { r.Host = uri.Host }); a.status == 200 {
		t.Errorf("it is a proxy to %s", target)
	}
}

// ctlog is the path of the CT log, as the trusted root has it.
func (d *deployment) ctlog(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(d.Root)
	if err != nil {
		t.Fatal(err)
	}
	var root struct {
		CTLogs []struct {
			BaseURL string `json:"baseUrl"`
		} `json:"ctlogs"`
	}
	if err := json.Unmarshal(data, &root); err != nil || len(root.CTLogs) == 0 {
		t.Fatalf("trusted root: %v: %s", err, data)
	}
	return strings.TrimPrefix(strings.TrimRight(root.CTLogs[0].BaseURL, "/"), d.URL)
}

// token is a genuine one, of the development login.
func (d *deployment) token(t *testing.T, c *http.Client) string {
	t.Helper()
	u, err := url.Parse(d.Token)
	if err != nil {
		t.Fatal(err)
	}
	a := d.ask(t, c, http.MethodPost, u.Path, []byte("email=alice@example.com"), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	})
	var got struct {
		IDToken string `json:"id_token"`
	}
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || got.IDToken == "" {
		t.Fatalf("no token: %d %s", a.status, a.body)
	}
	return got.IDToken
}

// forged is a token with a signature of zeros.
func forged(header, claims map[string]any) string {
	part := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	return part(header) + "." + part(claims) + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 256))
}

func certificate(t *testing.T, key *ecdsa.PrivateKey, target string) []byte {
	t.Helper()
	uri, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: target}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, KeyUsage: x509.KeyUsageDigitalSignature, URIs: []*url.URL{uri},
		OCSPServer: []string{target}, IssuingCertificateURL: []string{target}, CRLDistributionPoints: []string{target},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
