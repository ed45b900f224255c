package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/bulla-sign/bulla/internal/tools/realregistry"
)

// authority is a certificate authority of our own, and one certificate by it: for a server on loopback, and for a client.
type authority struct {
	ca, cert, key string // PEM files
	pool          *x509.CertPool
	pair          tls.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	now := time.Now()
	template := func(serial int64) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
			Subject: pkix.Name{CommonName: "registry test"},
		}
	}
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	issue := func(child, parent *x509.Certificate, public *ecdsa.PublicKey, by *ecdsa.PrivateKey) []byte {
		der, err := x509.CreateCertificate(rand.Reader, child, parent, public, by)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	dir := t.TempDir()
	write := func(file, kind string, der []byte) string {
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	root, leaf, rootKey, leafKey := template(1), template(2), newKey(), newKey()
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage = true, true, x509.KeyUsageCertSign
	leaf.DNSNames = []string{"localhost"}
	leaf.IPAddresses, leaf.KeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, x509.KeyUsageDigitalSignature
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	rootDER := issue(root, root, &rootKey.PublicKey, rootKey)
	leafDER := issue(leaf, root, &leafKey.PublicKey, rootKey)
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(rootDER)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{
		ca: write("ca.pem", "CERTIFICATE", rootDER), cert: write("cert.pem", "CERTIFICATE", leafDER), key: write("key.pem", "PRIVATE KEY", keyDER),
		pool: x509.NewCertPool(), pair: tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: leafKey},
	}
	a.pool.AddCert(parsed)
	return a
}

// client trusts the authority and shows the certificate to who asks.
func (a *authority) client() *tls.Config {
	return &tls.Config{RootCAs: a.pool, Certificates: []tls.Certificate{a.pair}}
}

// htpasswd is a file with the one user, as Apache writes it.
func htpasswd(t *testing.T) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(registryPassword), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(path, []byte(registryUser+":"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// startTokens starts a server that gives tokens for registries to the one user, as the distribution specification's token
// authentication has it: for what was asked, and for nothing else. A registry with TLS sends nobody to a server without,
// and none of them to an address on a private network, which clients refuse; a name is another matter.
func startTokens(t *testing.T, s *site) *realregistry.Tokens {
	t.Helper()
	a := s.authority
	const service, issuer = "registry.test", "tokens.test"
	address := serve(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != registryUser || password != registryPassword || r.FormValue("service") != service {
			http.Error(w, `{"details":"no token for you"}`, http.StatusUnauthorized)
			return
		}
		now := time.Now()
		access := []map[string]any{}
		for _, scope := range r.Form["scope"] {
			if parts := strings.Split(scope, ":"); len(parts) == 3 {
				access = append(access, map[string]any{"type": parts[0], "name": parts[1], "actions": strings.Split(parts[2], ",")})
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"token": a.token(t, map[string]any{
			"iss": issuer, "sub": user, "aud": service, "jti": "1", "access": access,
			"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Minute).Unix(),
		})})
	}))
	return &realregistry.Tokens{Realm: strings.Replace(address, "127.0.0.1", "localhost", 1) + "/token", Service: service, Issuer: issuer, Roots: a.ca}
}

// token signs claims with the key of the certificate, which goes along (RFC 7515, x5c).
func (a *authority) token(t *testing.T, claims map[string]any) string {
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	head := map[string]any{"typ": "JWT", "alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(a.pair.Certificate[0])}}
	signed := part(head) + "." + part(claims)
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, a.pair.PrivateKey.(*ecdsa.PrivateKey), sum[:])
	if err != nil {
		t.Error(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// serve answers on loopback as the site does: with TLS or without. It returns the URL.
func serve(t *testing.T, s *site, handler http.Handler) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // those who do not trust the certificate
	if s.secure {
		server.TLS = &tls.Config{Certificates: []tls.Certificate{s.pair}}
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server.URL
}
