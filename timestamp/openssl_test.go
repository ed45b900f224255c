package timestamp_test

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/timestamp"
)

// openssl runs OpenSSL in dir; the test is skipped where it is not installed.
func openssl(t *testing.T, dir string, args ...string) {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl, the independent implementation of RFC 3161, is not installed")
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

const opensslConfig = `
[tsa]
default_tsa = tsa1
[tsa1]
serial = serial
crypto_device = builtin
signer_cert = leaf.pem
certs = root.pem
signer_key = leaf.key
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1, millisecs:500, microsecs:100
ordering = yes
tsa_name = yes
ess_cert_id_chain = no
[leaf]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
[root]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
`

// Tokens of OpenSSL's authority verify here.
func TestOpenSSLReplies(t *testing.T) {
	for name, key := range map[string][]string{
		"rsa":   {"-newkey", "rsa:2048"},
		"ecdsa": {"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "ssl.cnf", []byte(opensslConfig+"[req]\ndistinguished_name = dn\n[dn]\n"))
			write(t, dir, "serial", []byte("01\n"))
			write(t, dir, "message", message)
			req := append([]string{"req", "-config", "ssl.cnf", "-x509", "-nodes", "-days", "30"}, key...)
			openssl(t, dir, append(req, "-subj", "/O=test/CN=root", "-extensions", "root", "-keyout", "root.key", "-out", "root.pem")...)
			openssl(t, dir, append(req, "-subj", "/O=test/CN=leaf", "-extensions", "leaf", "-keyout", "leaf.key", "-out", "leaf.pem",
				"-CA", "root.pem", "-CAkey", "root.key")...)
			root, leaf := readCert(t, dir, "root.pem"), readCert(t, dir, "leaf.pem")
			for _, hash := range []string{"sha256", "sha384", "sha512"} {
				for _, cert := range []bool{true, false} {
					query := []string{"ts", "-query", "-data", "message", "-" + hash, "-out", "query.tsq"}
					if cert {
						query = append(query, "-cert")
					}
					openssl(t, dir, query...)
					checkOpenSSLReply(t, dir, hash, cert, timestamp.Authority{Leaf: leaf, Root: root})
				}
			}
		})
	}
}

func checkOpenSSLReply(t *testing.T, dir, hash string, cert bool, a timestamp.Authority) {
	t.Helper()
	openssl(t, dir, "ts", "-reply", "-config", "ssl.cnf", "-"+hash, "-queryfile", "query.tsq", "-out", "reply.tsr")
	req, err := timestamp.ParseRequest(read(t, dir, "query.tsq"))
	if err != nil {
		t.Fatal(err)
	}
	tok, err := timestamp.Parse(read(t, dir, "reply.tsr"))
	if err != nil {
		t.Fatal(err)
	}
	if err := req.Check(tok); err != nil {
		t.Error(err)
	}
	if want := time.Second + 500*time.Millisecond + 100*time.Microsecond; tok.Accuracy != want || !tok.Ordering {
		t.Errorf("accuracy %v, ordering %v", tok.Accuracy, tok.Ordering)
	}
	res, err := tok.Verify(algorithm.Bytes(message), a)
	if err != nil {
		t.Fatalf("%s, certificates %v: %v", hash, cert, err)
	}
	if d := time.Since(res.Time); d < -time.Minute || d > time.Hour {
		t.Errorf("time %v", res.Time)
	}
	a.Leaf = nil
	if _, err := tok.Verify(algorithm.Bytes(message), a); (err == nil) != cert {
		t.Errorf("%s, certificates %v, leaf from the token: %v", hash, cert, err)
	}
	if _, err := tok.Verify(algorithm.Bytes([]byte("other")), a); err == nil {
		t.Error("another message was accepted")
	}
}

// OpenSSL reads what is written here: requests, and the tokens of the authority that the other tests use.
func TestOpenSSLReads(t *testing.T) {
	dir := t.TempDir()
	a := testenv.NewTSA(t, testenv.TSAOptions{})
	write(t, dir, "message", message)
	write(t, dir, "root.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Root.Raw}))
	write(t, dir, "chain.pem", append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Leaf.Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Intermediate.Raw})...))
	for _, o := range []testenv.TSAToken{{}, {ESSv1: true}, {Embed: [][]byte{a.Leaf.Raw}}} {
		der, err := a.StampWith(message, stamped, o)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, "reply.tsr", der)
		openssl(t, dir, "ts", "-verify", "-data", "message", "-in", "reply.tsr", "-CAfile", "root.pem", "-untrusted", "chain.pem")
	}
	req := timestamp.Request{HashAlgorithm: crypto.SHA256, Imprint: sum256(message), Certificates: true}
	der, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "query.tsq", der)
	openssl(t, dir, "ts", "-query", "-in", "query.tsq", "-text")
}

func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readCert(t *testing.T, dir, name string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(read(t, dir, name))
	if block == nil {
		t.Fatalf("%s: no PEM", name)
	}
	return parseCert(t, block.Bytes)
}
