package identity

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// pemCert returns the first certificate of a PEM vector.
func pemCert(t testing.TB, elem ...string) []byte {
	t.Helper()
	block, _ := pem.Decode(testenv.ReadVector(t, elem...))
	if block == nil || block.Type != "CERTIFICATE" {
		t.Fatalf("%v: no PEM certificate", elem)
	}
	return block.Bytes
}

func pemKey(t testing.TB, elem ...string) crypto.PublicKey {
	t.Helper()
	block, _ := pem.Decode(testenv.ReadVector(t, elem...))
	if block == nil {
		t.Fatalf("%v: no PEM", elem)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func mustParse(t testing.TB, der []byte) *Certificate {
	t.Helper()
	c, err := ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// trustedRoot is what these tests need of a trusted root: the CT logs' keys and the authorities' certificates.
type trustedRoot struct {
	logs map[[32]byte]ctLog
	cas  []*x509.Certificate
}

type ctLog struct {
	key        crypto.PublicKey
	start, end time.Time
}

type rawBytes struct {
	RawBytes []byte
}

func readRoot(t testing.TB, elem ...string) trustedRoot {
	t.Helper()
	var file struct {
		CTLogs []struct {
			PublicKey struct {
				rawBytes
				ValidFor struct{ Start, End time.Time }
			}
		}
		CertificateAuthorities []struct {
			CertChain struct{ Certificates []rawBytes }
		}
	}
	if err := json.Unmarshal(testenv.ReadVector(t, elem...), &file); err != nil {
		t.Fatal(err)
	}
	root := trustedRoot{logs: map[[32]byte]ctLog{}}
	for _, log := range file.CTLogs {
		key, err := x509.ParsePKIXPublicKey(log.PublicKey.RawBytes)
		if err != nil {
			// One staging log's RSA key is written as PKCS #1.
			if key, err = x509.ParsePKCS1PublicKey(log.PublicKey.RawBytes); err != nil {
				t.Fatal(err)
			}
		}
		spki, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		id := sha256.Sum256(spki)
		root.logs[id] = ctLog{key, log.PublicKey.ValidFor.Start, log.PublicKey.ValidFor.End}
	}
	for _, ca := range file.CertificateAuthorities {
		for _, raw := range ca.CertChain.Certificates {
			cert, err := x509.ParseCertificate(raw.RawBytes)
			if err != nil {
				t.Fatal(err)
			}
			root.cas = append(root.cas, cert)
		}
	}
	return root
}

// issuer returns the authority that signed the certificate, or nil.
func (r trustedRoot) issuer(c *x509.Certificate) *x509.Certificate {
	for _, ca := range r.cas {
		if bytes.Equal(ca.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(ca) == nil {
			return ca
		}
	}
	return nil
}

// bundleLeaves returns the leaf certificates of every bundle below the vectors, by file.
func bundleLeaves(t testing.TB) map[string][]byte {
	t.Helper()
	leaves := map[string][]byte{}
	top := testenv.Vectors(t)
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.Contains(path, "sigstore") && !strings.Contains(path, "bundle") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var file struct {
			VerificationMaterial struct {
				Certificate          rawBytes
				X509CertificateChain struct{ Certificates []rawBytes }
			}
		}
		if json.Unmarshal(data, &file) != nil {
			return nil
		}
		name, _ := filepath.Rel(top, path)
		if chain := file.VerificationMaterial.X509CertificateChain.Certificates; len(chain) > 0 {
			leaves[name] = chain[0].RawBytes
		} else if raw := file.VerificationMaterial.Certificate.RawBytes; len(raw) > 0 {
			leaves[name] = raw
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return leaves
}
