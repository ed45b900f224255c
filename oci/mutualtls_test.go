package oci

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// mutualTLS is a registry that demands a client certificate, and the files, in PEM, to talk to it.
type mutualTLS struct {
	ca, cert, key []byte
	clients       *x509.CertPool
}

func newMutualTLS(t *testing.T) *mutualTLS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	m := &mutualTLS{clients: x509.NewCertPool()}
	m.clients.AddCert(cert)
	m.cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	m.key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	return m
}

// demand is the configuration of a server that takes nobody without the certificate.
func (m *mutualTLS) demand() *tls.Config {
	return &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: m.clients}
}

// start returns the reference of an image in the registry.
func (m *mutualTLS) start(t *testing.T, lead func(http.ResponseWriter, *http.Request) bool) string {
	t.Helper()
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	ref := reg.PushImage(t, "app:v1")
	x := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !lead(w, r) {
			reg.ServeHTTP(w, r)
		}
	}))
	x.TLS = m.demand()
	x.Config.ErrorLog = reg.Server.Config.ErrorLog
	x.StartTLS()
	t.Cleanup(x.Close)
	m.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: x.Certificate().Raw})
	return strings.Replace(ref, reg.Host, strings.TrimPrefix(x.URL, "https://"), 1)
}
