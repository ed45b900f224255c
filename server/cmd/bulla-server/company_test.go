package main_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/server/internal/state"
)

// company is a root that an organisation had before, and an authority below it that signs what others ask for.
type company struct {
	t           *testing.T
	root, below *x509.Certificate
	key         crypto.Signer // of below
}

func newCompany(t *testing.T, rootKey crypto.Signer) *company {
	t.Helper()
	c := &company{t: t}
	template := func(name string, pathLen int) *x509.Certificate {
		return &x509.Certificate{
			Subject:   pkix.Name{Organization: []string{"Example Inc"}, CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(5, 0, 0), SerialNumber: big.NewInt(int64(pathLen + 1)),
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, IsCA: true, BasicConstraintsValid: true, MaxPathLen: pathLen,
		}
	}
	root := template("Example Root", 2)
	c.root = c.make(root, root, rootKey.Public(), rootKey)
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.key = key
	c.below = c.make(template("Example Issuing Authority", 1), c.root, key.Public(), rootKey)
	return c
}

func (c *company) make(template, parent *x509.Certificate, key crypto.PublicKey, by crypto.Signer) *x509.Certificate {
	c.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, by)
	if err != nil {
		c.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		c.t.Fatal(err)
	}
	return cert
}

// sign does what a company's authority does with a request: it takes over what is asked for. It returns the chain.
func (c *company) sign(request string) string {
	c.t.Helper()
	block, _ := pem.Decode([]byte(request))
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		c.t.Fatalf("no request: %q", request)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := csr.CheckSignature(); err != nil {
		c.t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(csr.PublicKey)
	if err != nil {
		c.t.Fatal(err)
	}
	cert := c.make(&x509.Certificate{
		Subject: csr.Subject, ExtraExtensions: csr.Extensions, SerialNumber: new(big.Int).SetBytes(spki[len(spki)-8:]),
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().AddDate(2, 0, 0), SubjectKeyId: spki[len(spki)-20:],
	}, c.below, csr.PublicKey, c.key)
	var chain bytes.Buffer
	for _, one := range []*x509.Certificate{cert, c.below, c.root} {
		if err := pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: one.Raw}); err != nil {
			c.t.Fatal(err)
		}
	}
	return chain.String()
}

// write makes a file of the operator's.
func (o *operator) write(name, text string) {
	o.t.Helper()
	if err := os.WriteFile(o.path(name), []byte(text), 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// TestCompanyRoot puts both authorities below roots that an organisation had before: from the request to signatures that
// verify, and again when they are rotated.
func TestCompanyRoot(t *testing.T) {
	t.Parallel()
	o := &operator{t, t.TempDir()}
	rootKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ours, older := newCompany(t, rootKey), newCompany(t, old)
	ask := func(kind string) string {
		return o.must("csr", "--dir", "d", "--name", "Example Inc", "--generate-password", kind)
	}
	request := ask("ca")
	chain := ours.sign(request)
	if again := ours.sign(ask("ca")); !sameKey(t, chain, again) {
		t.Error("a second request is for another key")
	}
	o.write("ca.pem", chain)
	o.write("tsa.pem", older.sign(ask("tsa")))
	o.write("reversed.pem", reversed(chain))
	for bad, want := range map[string]string{"ca=reversed.pem": "is not for the key", "tsa=ca.pem": "is not for the key", "ca=none.pem": "none.pem", "log=ca.pem": "is not KIND=FILE"} {
		if code, _, errs := o.run("init", "--dir", "d", "--name", "Example Inc", "--generate-password", "--chain", bad); code == 0 || !strings.Contains(errs, want) {
			t.Errorf("init with %s: exit status %d, %s", bad, code, errs)
		}
	}
	address := o.initialise("d", "--development-login", "--name", "Example Inc", "--chain", "ca=ca.pem", "--chain", "tsa=tsa.pem")
	if keys, err := filepath.Glob(o.path("d/keys/*-root-*")); err != nil || len(keys) != 1 || !strings.Contains(keys[0], "tuf-root") {
		t.Errorf("root keys were made: %v, %v", keys, err)
	}
	config := "--config=d/bulla-server.yaml"
	server := o.serve("d", address)
	first := o.mustSign("d", "first")
	o.verify("d", first)

	// A rotation needs another chain; what is not good is refused before anything is published.
	for _, kind := range []string{"ca", "tsa"} {
		if code, _, errs := o.run("rotate", config, "--now", kind); code == 0 || !strings.Contains(errs, "bulla-server csr "+kind) {
			t.Errorf("rotate %s without a chain: exit status %d, %s", kind, code, errs)
		}
	}
	if code, _, errs := o.run("rotate", config, "--now", "--chain", "ca.pem", "ca"); code == 0 || !strings.Contains(errs, "is not for the key") {
		t.Errorf("rotate with the old chain: exit status %d, %s", code, errs)
	}
	if code, _, errs := o.run("rotate", config, "--chain", "ca.pem", "log"); code != 21 || !strings.Contains(errs, "--chain is for ca and tsa") {
		t.Errorf("rotate log with a chain: exit status %d, %s", code, errs)
	}
	o.write("ca-2.pem", ours.sign(o.must("csr", config, "ca")))
	var asked struct{ Key, Request string }
	if err := json.Unmarshal([]byte(o.must("csr", config, "-o", "json", "tsa")), &asked); err != nil || !strings.HasPrefix(asked.Key, "keys/tsa-") {
		t.Fatalf("%+v, %v", asked, err)
	}
	o.write("tsa-2.pem", older.sign(asked.Request))
	o.must("rotate", config, "--now", "--chain", "ca-2.pem", "ca")
	o.must("rotate", config, "--now", "--key", "tsa="+asked.Key, "--chain", "tsa-2.pem", "tsa")
	second := o.mustSign("d", "second")
	o.verify("d", first, second)
	if got := o.must("status", config); !strings.Contains(got, "ca") {
		t.Error(got)
	}
	server.stop(t)
	o.must("fsck", config)
	o.anchored(ours, older)
}

// anchored looks whether the deployment's trusted root ends in the company's.
func (o *operator) anchored(ours, older *company) {
	o.t.Helper()
	dir, err := state.Open(o.path("d"))
	if err != nil {
		o.t.Fatal(err)
	}
	h, err := dir.Load()
	if err != nil {
		o.t.Fatal(err)
	}
	trusted, err := h.TrustedRoot()
	if err != nil {
		o.t.Fatal(err)
	}
	if len(trusted.CAs) != 2 || len(trusted.TSAs) != 2 {
		o.t.Fatalf("%d CAs, %d TSAs", len(trusted.CAs), len(trusted.TSAs))
	}
	for i := range trusted.CAs {
		if ca, tsa := trusted.CAs[i].Chain, trusted.TSAs[i].Chain; len(ca) != 3 || !ca[2].Equal(ours.root) || len(tsa) != 3 || !tsa[2].Equal(older.root) {
			o.t.Errorf("chains of %d and %d certificates, which do not end in the company's roots", len(ca), len(tsa))
		}
	}
}

func firstKey(t *testing.T, chain string) []byte {
	t.Helper()
	block, _ := pem.Decode([]byte(chain))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert.RawSubjectPublicKeyInfo
}

func sameKey(t *testing.T, a, b string) bool { return bytes.Equal(firstKey(t, a), firstKey(t, b)) }

func reversed(chain string) (out string) {
	for rest := []byte(chain); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return out
		}
		out = string(pem.EncodeToMemory(block)) + out
	}
}
