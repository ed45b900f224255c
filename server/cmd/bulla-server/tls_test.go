package main_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/bulla-sign/bulla/server/internal/testclient"
)

// serverCertificate writes tls.crt and tls.key, self-signed for localhost, the key first: until both are there the server
// keeps the pair that it has.
func (o *operator) serverCertificate(serial int64) *x509.Certificate {
	o.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		o.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		o.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		o.t.Fatal(err)
	}
	for _, f := range []struct {
		name string
		b    *pem.Block
	}{{"tls.key", &pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}}, {"tls.crt", &pem.Block{Type: "CERTIFICATE", Bytes: der}}} {
		if err := os.WriteFile(o.path(f.name), pem.EncodeToMemory(f.b), 0o600); err != nil {
			o.t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		o.t.Fatal(err)
	}
	return cert
}

// trusting is a client over TLS that trusts these certificates and speaks the version of HTTP.
func trusting(version int, certs ...*x509.Certificate) *http.Client {
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	t := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, Protocols: new(http.Protocols)}
	t.Protocols.SetHTTP1(version == 1)
	t.Protocols.SetHTTP2(version == 2)
	return &http.Client{Transport: t, Timeout: 30 * time.Second}
}

// TestTLS: one port has HTTP/1.1, HTTP/2 and gRPC over TLS, a certificate that may be renewed, and nothing in plain HTTP.
func TestTLS(t *testing.T) {
	t.Parallel()
	o := &operator{t, t.TempDir()}
	first := o.serverCertificate(1)
	listen, port := freePort(t)
	address := "https://localhost:" + port
	o.must("init", "--dir", "d", "--url", address, "--listen", listen, "--generate-password", "--development-login",
		"--tls-certificate", "tls.crt", "--tls-key", "tls.key")
	two := trusting(2, first)
	server := o.serveTo(two, "d", address)
	for version, c := range map[int]*http.Client{1: trusting(1, first), 2: two} {
		resp, err := c.Get(address + "/api/v2/trustBundle")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		var bundle struct {
			Chains []struct{ Certificates []string }
		}
		if err != nil || resp.StatusCode != http.StatusOK || resp.ProtoMajor != version || json.Unmarshal(body, &bundle) != nil ||
			len(bundle.Chains) != 1 || len(bundle.Chains[0].Certificates) != 2 {
			t.Errorf("over HTTP/%d: %s, status %d, %s, %v", version, resp.Proto, resp.StatusCode, body, err)
		}
		if version == 2 && resp.TLS.NegotiatedProtocol != "h2" {
			t.Errorf("HTTP/2 was agreed on by %q", resp.TLS.NegotiatedProtocol)
		}
		token := developmentToken(t, c, address)
		cert := certify(t, c, address, token, testclient.Email)
		if len(cert.EmailAddresses) != 1 || cert.EmailAddresses[0] != testclient.Email || issuerOf(t, cert) != address+"/oidc" {
			t.Errorf("over HTTP/%d: a certificate for %v by %s", version, cert.EmailAddresses, issuerOf(t, cert))
		}
	}
	overGRPC(t, "localhost:"+port, first)
	plainHTTP(t, listen)
	o.renewal(address, first)
	server.stop(t)
}

// rawCodec sends and takes messages as bytes.
type rawCodec struct{}

func (rawCodec) Name() string                  { return "proto" }
func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(data)
	return nil
}

// overGRPC calls the certificate authority, with the library that generated clients use.
func overGRPC(t *testing.T, target string, trusted *x509.Certificate) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(trusted)
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(pool, "")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	alive := health.HealthCheckResponse_UNKNOWN
	for range 100 { // not ready as long as the CT log's last checkpoint is on its way to the disk
		answer, err := health.NewHealthClient(conn).Check(ctx, &health.HealthCheckRequest{Service: "dev.sigstore.fulcio.v2.CA"})
		if err != nil {
			t.Fatal(err)
		}
		if alive = answer.GetStatus(); alive == health.HealthCheckResponse_SERVING {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if alive != health.HealthCheckResponse_SERVING {
		t.Errorf("health over gRPC: %v", alive)
	}
	var request, answer []byte
	if err := conn.Invoke(ctx, "/dev.sigstore.fulcio.v2.CA/GetTrustBundle", &request, &answer, grpc.ForceCodec(rawCodec{})); err != nil {
		t.Fatal(err)
	}
	number, typ, n := protowire.ConsumeTag(answer)
	if n < 0 || number != 1 || typ != protowire.BytesType {
		t.Fatalf("the trust bundle over gRPC begins with field %d of type %d", number, typ)
	}
	chain, m := protowire.ConsumeBytes(answer[n:])
	if m < 0 || n+m != len(answer) || bytes.Count(chain, []byte("BEGIN CERTIFICATE")) != 2 {
		t.Errorf("the trust bundle over gRPC is %q", answer)
	}
	err = conn.Invoke(ctx, "/dev.sigstore.fulcio.v2.CA/CreateSigningCertificate", &request, &answer, grpc.ForceCodec(rawCodec{}))
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "no identity token") {
		t.Errorf("a request for nobody: %v", err)
	}
	untrusting, err := grpc.NewClient(target, grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(x509.NewCertPool(), "")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = untrusting.Close() }()
	if err := untrusting.Invoke(ctx, "/dev.sigstore.fulcio.v2.CA/GetTrustBundle", &request, &answer, grpc.ForceCodec(rawCodec{})); status.Code(err) != codes.Unavailable {
		t.Errorf("a client that does not trust the server: %v", err)
	}
}

// plainHTTP: who speaks in the clear, HTTP/1.1 or HTTP/2, is told or cut off, and served nothing.
func plainHTTP(t *testing.T, listen string) {
	t.Helper()
	for _, raw := range []string{
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
	} {
		c, err := net.Dial("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		_, _ = io.WriteString(c, raw) // refused in the middle, perhaps
		answer, err := io.ReadAll(c)  // to the end, which the server makes
		_ = c.Close()
		if err != nil && os.IsTimeout(err) {
			t.Errorf("%.20q in the clear is not refused", raw)
		}
		if strings.HasPrefix(raw, "GET") && !bytes.HasPrefix(answer, []byte("HTTP/1.0 400 ")) || bytes.Contains(answer, []byte(" 200 ")) {
			t.Errorf("%.20q in the clear is answered %q", raw, answer)
		}
	}
}

// renewal: connections that are made after the files were replaced see the new certificate, without a signal.
func (o *operator) renewal(address string, first *x509.Certificate) {
	o.t.Helper()
	second := o.serverCertificate(2)
	for range 300 { // the files are looked at every ten seconds
		c := trusting(2, first, second)
		resp, err := c.Get(address + "/healthz")
		if err != nil {
			o.t.Fatal(err)
		}
		_ = resp.Body.Close()
		c.CloseIdleConnections()
		if resp.TLS.PeerCertificates[0].Equal(second) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	o.t.Error("the server keeps a certificate that was replaced")
}

// developmentToken is a token from the development login.
func developmentToken(t testing.TB, c *http.Client, address string) string {
	t.Helper()
	resp, err := c.Post(address+"/oidc/dev/token", "application/x-www-form-urlencoded", strings.NewReader("email="+testclient.Email))
	if err != nil {
		t.Fatal(err)
	}
	return idToken(t, resp)
}

// idToken reads the answer of a token endpoint.
func idToken(t testing.TB, resp *http.Response) string {
	t.Helper()
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Token string `json:"id_token"`
	}
	body, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil || answer.Token == "" {
		t.Fatalf("no token: status %d, %s, %v", resp.StatusCode, body, err)
	}
	return answer.Token
}

// certify gets a certificate for the holder of a token, who is known by the challenge.
func certify(t testing.TB, c *http.Client, address, token, challenge string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(challenge))
	proof, err := key.Sign(rand.Reader, digest[:], nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	request, err := json.Marshal(map[string]any{
		"credentials": map[string]any{"oidcIdentityToken": token},
		"publicKeyRequest": map[string]any{
			"publicKey":         map[string]any{"algorithm": "ECDSA", "content": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))},
			"proofOfPossession": proof,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Post(address+"/api/v2/signingCert", "application/json", bytes.NewReader(request))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	var answer struct {
		Embedded struct {
			Chain struct{ Certificates []string }
		} `json:"signedCertificateEmbeddedSct"`
	}
	if err != nil || json.Unmarshal(body, &answer) != nil || len(answer.Embedded.Chain.Certificates) == 0 {
		t.Fatalf("no certificate: status %d, %s, %v", resp.StatusCode, body, err)
	}
	block, _ := pem.Decode([]byte(answer.Embedded.Chain.Certificates[0]))
	if block == nil {
		t.Fatalf("no PEM: %s", body)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		t.Fatal("the certificate is for another key")
	}
	return cert
}

// issuerOf is the issuer of the identity in a certificate, in the extension 1.3.6.1.4.1.57264.1.1.
func issuerOf(t testing.TB, cert *x509.Certificate) string {
	t.Helper()
	for _, e := range cert.Extensions {
		if fmt.Sprint(e.Id) == "1.3.6.1.4.1.57264.1.1" {
			return string(e.Value)
		}
	}
	t.Fatal("the certificate names no issuer")
	return ""
}
