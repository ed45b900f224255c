package tsa_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/server/tsa"
)

// openssl runs OpenSSL in dir and returns what it says; the test is skipped where it is not installed.
func openssl(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl, the independent implementation of RFC 3161, is not installed")
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// OpenSSL's queries are answered, and OpenSSL accepts the answers: for the query, and for the data.
func TestOpenSSL(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for name, key := range map[string]crypto.Signer{
		"P-256": testenv.ECDSAKey(t, elliptic.P256()),
		"P-384": testenv.ECDSAKey(t, elliptic.P384()),
		"RSA":   rsaKey,
	} {
		t.Run(name, func(t *testing.T) {
			c := chain(t, func(s *tsa.ChainSpec) { s.Now, s.Leaf = now, key })
			s, _ := service(t, func(cfg *tsa.Config) { cfg.Chain, cfg.Key, cfg.Now = c.Certificates, c.Leaf, time.Now })
			dir := t.TempDir()
			write(t, dir, "message", message)
			write(t, dir, "other", []byte("something else"))
			write(t, dir, "leaf.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificates[0].Raw}))
			write(t, dir, "root.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificates[1].Raw}))
			askOpenSSL(t, s, dir, []string{"-sha256"})
			askOpenSSL(t, s, dir, []string{"-sha384", "-cert"})
			askOpenSSL(t, s, dir, []string{"-sha512", "-cert", "-no_nonce"})
		})
	}
}

func askOpenSSL(t *testing.T, s *tsa.Server, dir string, flags []string) {
	t.Helper()
	args := append([]string{"ts", "-query", "-data", "message", "-out", "query.tsq"}, flags...)
	if out, err := openssl(t, dir, args...); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	der, err := os.ReadFile(filepath.Join(dir, "query.tsq"))
	if err != nil {
		t.Fatal(err)
	}
	rw := post(s, derType, der)
	if rw.Code != 200 {
		t.Fatalf("%v: %s", flags, rw.Body)
	}
	write(t, dir, "reply.tsr", rw.Body.Bytes())
	trust := []string{"-in", "reply.tsr", "-CAfile", "root.pem"}
	if !strings.Contains(strings.Join(flags, " "), "-cert") {
		trust = append(trust, "-untrusted", "leaf.pem")
	}
	for _, what := range [][]string{{"-data", "message"}, {"-queryfile", "query.tsq"}} {
		args := append(append([]string{"ts", "-verify"}, what...), trust...)
		if out, err := openssl(t, dir, args...); err != nil || !strings.Contains(out, "Verification: OK") {
			t.Errorf("%v, %v: %v\n%s", flags, args, err, out)
		}
	}
	args = append([]string{"ts", "-verify", "-data", "other"}, trust...)
	if out, err := openssl(t, dir, args...); err == nil {
		t.Errorf("%v: accepted for other data\n%s", flags, out)
	}
}
