package httpserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pair makes a self-signed certificate for the loopback address and its key, in PEM.
func pair(t testing.TB, name string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:        true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func put(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// tlsServer is a server with a certificate, whose files are returned.
func tlsServer(t *testing.T, cfg Config, h http.Handler) (s *running, certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	cert, key := pair(t, "first")
	put(t, certFile, cert)
	put(t, keyFile, key)
	cfg.Listeners = []Listener{{Address: "127.0.0.1:0", CertFile: certFile, KeyFile: keyFile}}
	return start(t, cfg, h), certFile, keyFile
}

// served is the common name of the certificate that a new connection is shown.
func served(t *testing.T, s *running) string {
	t.Helper()
	c, err := tls.Dial("tcp", s.addrs[0].String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestTLS(t *testing.T) {
	s, certFile, _ := tlsServer(t, Config{}, mux("GET /hello", hello))
	cert, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	for _, test := range []struct {
		name string
		h2   bool
		want string
	}{{"HTTP/2", true, "hello HTTP/2.0"}, {"HTTP/1.1", false, "hello HTTP/1.1"}} {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: test.h2}
		resp, err := (&http.Client{Transport: tr}).Get(s.url + "/hello")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != test.want {
			t.Errorf("%s: %q, %v", test.name, body, err)
		}
		_ = resp.Body.Close()
		tr.CloseIdleConnections()
	}
	for version, want := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		c, err := tls.Dial("tcp", s.addrs[0].String(), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: version})
		if err == nil {
			_ = c.Close()
		}
		if (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
	// Plain HTTP at a port with TLS gets no answer from a service.
	if resp, err := http.Get("http://" + s.addrs[0].String() + "/hello"); err == nil {
		if resp.StatusCode == http.StatusOK {
			t.Error("plain HTTP was answered")
		}
		_ = resp.Body.Close()
	}
}

// Changed files are taken; half a renewal, or none, leaves what was there.
func TestCertificateChanges(t *testing.T) {
	c := newClock()
	var logged lockedBuffer
	expiry, err := NewExpiry(NewRegistry(), c.now)
	if err != nil {
		t.Fatal(err)
	}
	s, certFile, keyFile := tlsServer(t, Config{Now: c.now, Expiry: expiry, Log: slog.New(slog.NewTextHandler(&logged, nil))}, http.NotFoundHandler())
	if end := expiry.ends["tls 127.0.0.1:0"]; end == nil || time.Until(end()) < 23*time.Hour {
		t.Error("nobody is told when the certificate ends")
	}
	if got := served(t, s); got != "first" {
		t.Fatalf("certificate of %q", got)
	}
	cert, key := pair(t, "second")
	put(t, certFile, cert) // the key is still the old one
	if got := served(t, s); got != "first" {
		t.Errorf("within the interval: certificate of %q", got)
	}
	for range 3 {
		c.move(certificateEvery)
		if got := served(t, s); got != "first" {
			t.Errorf("half a renewal: certificate of %q", got)
		}
	}
	if n := strings.Count(logged.String(), "cannot be read anew"); n != 1 {
		t.Errorf("complained %d times: %s", n, logged.String())
	}
	put(t, keyFile, key)
	c.move(certificateEvery)
	if got := served(t, s); got != "second" {
		t.Errorf("after the renewal: certificate of %q", got)
	}
	for name, spoil := range map[string]func(){
		"removed": func() { _ = os.Remove(certFile) },
		"garbage": func() { put(t, certFile, []byte("-----BEGIN CERTIFICATE-----\n")) },
		"huge":    func() { put(t, certFile, make([]byte, maxCertificateFile+1)) },
	} {
		spoil()
		c.move(certificateEvery)
		if got := served(t, s); got != "second" {
			t.Errorf("%s: certificate of %q", name, got)
		}
	}
	if strings.Contains(logged.String(), "PRIVATE") {
		t.Error("the log holds a key")
	}
}

func TestCertificateMissing(t *testing.T) {
	dir := t.TempDir()
	cert, _ := pair(t, "a")
	_, key := pair(t, "b")
	put(t, filepath.Join(dir, "crt"), cert)
	put(t, filepath.Join(dir, "key"), key)
	for _, l := range []Listener{
		{Address: "127.0.0.1:0", CertFile: filepath.Join(dir, "none"), KeyFile: filepath.Join(dir, "key")},
		{Address: "127.0.0.1:0", CertFile: filepath.Join(dir, "crt"), KeyFile: filepath.Join(dir, "none")},
		{Address: "127.0.0.1:0", CertFile: filepath.Join(dir, "crt"), KeyFile: filepath.Join(dir, "key")}, // of another certificate
	} {
		s, err := New(Config{Listeners: []Listener{l}}, http.NotFoundHandler())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Listen(); err == nil {
			t.Errorf("%+v: listens", l)
		}
	}
}
