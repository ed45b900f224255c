package interop

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestCompanyRoot puts the certificate authority and the timestamp authority below a root that an organisation had before,
// with an authority in between, and has everybody verify what everybody signs; then again below a root with an RSA key.
func TestCompanyRoot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	state := filepath.Join(dir, "up")
	in, err := startInstance(bullaServer(t), "--dir", state, "--port", "0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.stop)
	r := &rotations{instance: in, dir: dir}
	ecdsaKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	content := filepath.Join(dir, "artifact.txt")
	if err := os.WriteFile(content, []byte("what was shipped\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(state, "bulla-server.yaml")
	for _, root := range []struct {
		name string
		key  crypto.Signer
	}{{"ECDSA", ecdsaKey}, {"RSA", rsaKey}} {
		for _, kind := range []string{"ca", "tsa"} {
			var asked struct{ Request string }
			r.server(t, &asked, "csr", "--config", config, kind)
			chain := filepath.Join(dir, kind+root.name+".pem")
			if err := os.WriteFile(chain, vouch(t, root.key, asked.Request), 0o600); err != nil {
				t.Fatal(err)
			}
			var progress struct{ Step string }
			if r.server(t, &progress, "rotate", "--config", config, "--now", "--chain", chain, kind); progress.Step != "done" {
				t.Fatalf("the rotation of %s is at the step %s", kind, progress.Step)
			}
		}
		all := actors(t, in)
		for _, signer := range all {
			out := filepath.Join(dir, signer.name+root.name+".json")
			signer.signBlob(t, content, "", out).wantOK(t)
			for _, v := range all {
				if got := v.verifyBlob(content, out, identity); got.code != 0 || got.err != nil {
					t.Errorf("%s: signed by %s, verified by %s: %s", root.name, signer.name, v.name, got)
				}
			}
		}
	}
}

// vouch does what the authority of an organisation does with a request: it takes over what is asked for. It returns the
// chain: the new certificate, the authority, the root.
func vouch(t *testing.T, rootKey crypto.Signer, request string) []byte {
	t.Helper()
	block, _ := pem.Decode([]byte(request))
	if block == nil {
		t.Fatalf("no request: %q", request)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	middle, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := func(serial int64, subject pkix.Name, pathLen int) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: subject, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(2, 0, 0),
			KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true, MaxPathLen: pathLen,
		}
	}
	certs := []*x509.Certificate{
		{
			SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: csr.Subject, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().AddDate(1, 0, 0),
			ExtraExtensions: csr.Extensions, SubjectKeyId: block.Bytes[len(block.Bytes)-20:],
		},
		template(2, pkix.Name{Organization: []string{"Example Inc"}, CommonName: "Example Issuing Authority"}, 1),
		template(1, pkix.Name{Organization: []string{"Example Inc"}, CommonName: "Example Root"}, 2),
	}
	keys := []crypto.PublicKey{csr.PublicKey, middle.Public(), rootKey.Public()}
	var out bytes.Buffer
	for i, by := range []crypto.Signer{middle, rootKey, rootKey} {
		der, err := x509.CreateCertificate(rand.Reader, certs[i], certs[min(i+1, 2)], keys[i], by)
		if err != nil {
			t.Fatal(err)
		}
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}
