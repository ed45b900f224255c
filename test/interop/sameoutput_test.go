package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSameFiles has both programs write the same configuration files: the JSON must say the same.
func TestSameFiles(t *testing.T) {
	w := theWorld
	dir := t.TempDir()
	key := w.key(t, w.cosign, algorithms()[0], "signer").public
	chain, withLeaf := writeChains(t, dir)
	const from = ",start-time=2026-01-02T03:04:05Z"
	for name, args := range map[string][]string{
		"signing-config/empty": {"signing-config", "create"},
		"signing-config/services": {
			"signing-config", "create",
			"--fulcio=url=https://fulcio.example.com,api-version=1,operator=me" + from,
			"--rekor=url=https://rekor.example.com,api-version=2,operator=me" + from + ",end-time=2027-01-02T03:04:05Z", "--rekor-config=EXACT:1",
			"--tsa=url=https://tsa.example.com,api-version=1,operator=me" + from, "--tsa-config=ALL",
			"--oidc-provider=url=https://oidc.example.com,api-version=1,operator=me" + from,
		},
		"trusted-root/empty": {"trusted-root", "create"},
		"trusted-root/services": {
			"trusted-root", "create",
			"--fulcio=url=https://fulcio.example.com,certificate-chain=" + chain,
			"--rekor=url=https://rekor.example.com,public-key=" + key + from,
			"--ctfe=url=https://ctfe.example.com,public-key=" + key + from + ",end-time=2027-01-02T03:04:05Z",
			"--tsa=url=https://tsa.example.com,certificate-chain=" + withLeaf + from,
		},
	} {
		t.Run(name, func(t *testing.T) {
			needs(t, w.bulla, args[0])
			theirs, ours := w.cosign.run(args...), w.bulla.run(args...)
			theirs.wantOK(t)
			ours.wantOK(t)
			sameJSON(t, ours.stdout, theirs.stdout)
		})
	}
}

// TestSameBundle has both programs turn the same older evidence into a bundle.
func TestSameBundle(t *testing.T) {
	t.Parallel()
	w := theWorld
	needs(t, w.bulla, "bundle")
	for _, f := range blobFlows() {
		if f.name != "blob/detached" && f.name != "blob/old-bundle" {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			r := newRound(t, f, algorithms()[0], "")
			r.key = w.key(t, w.cosign, r.alg, "signer")
			w.cosign.run(f.sign(r)...).wantOK(t)
			evidence := []string{"--signature", r.file("out.sig")}
			if f.name == "blob/old-bundle" {
				evidence = []string{"--bundle", r.file("old.json")}
			}
			args := join([]string{"bundle", "create", "--artifact", r.artifact, "--key", r.key.public, "--ignore-tlog"}, evidence)
			theirs, ours := w.cosign.run(args...), w.bulla.run(args...)
			theirs.wantOK(t)
			ours.wantOK(t)
			// Both spellings of v0.3 are right, and the two programs choose differently.
			sameJSON(t, ours.stdout, theirs.stdout, "mediaType")
		})
	}
}

// TestSameWords compares what the two print about one image that carries evidence in both formats; bulla is called by the
// name cosign, where its standard output is cosign's.
func TestSameWords(t *testing.T) {
	w := theWorld
	needs(t, w.asCosign, "triangulate", "generate", "download", "verify", "verify-attestation")
	for registryName, registry := range registriesOf(imageFlows()[0]) {
		for _, legacy := range []bool{false, true} {
			name := strings.TrimPrefix(registryName, "/") + map[bool]string{false: "/bundle", true: "/legacy"}[legacy]
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var r *round
				for _, f := range imageFlows() {
					if f.legacy != legacy {
						continue
					}
					if r == nil {
						r = newRound(t, f, algorithms()[0], registry)
						r.key = w.key(t, w.cosign, r.alg, "signer")
					}
					w.cosign.run(f.sign(r)...).wantOK(t)
				}
				for _, args := range [][]string{
					{"triangulate", r.image},
					{"triangulate", "--type", "attestation", r.image},
					{"triangulate", "--type", "digest", r.image},
					{"generate", r.image},
					{"generate", "-a", "b=1,a=<&>é", "-a", "c=x=y", r.image},
					{"download", "signature", r.image},
					{"download", "attestation", r.image},
					{"verify", "--key", r.key.public, "--insecure-ignore-tlog", "-a", "stage=test", r.image},
					{"verify-attestation", "--key", r.key.public, "--insecure-ignore-tlog", "--type", predicateType, r.image},
				} {
					t.Run(strings.Join(args[:2], " "), func(t *testing.T) {
						theirs, ours := w.cosign.run(args...), w.asCosign.run(args...)
						theirs.wantOK(t)
						ours.wantOK(t)
						sameLines(t, ours.stdout, theirs.stdout)
						if args[0] == "generate" && ours.stdout != theirs.stdout {
							t.Errorf("what is to be signed has other bytes: %q, cosign's %q", ours.stdout, theirs.stdout)
						}
					})
				}
			})
		}
	}
}

// sameLines compares lines in any order; lines that are JSON by what they say.
func sameLines(t *testing.T, got, want string) {
	t.Helper()
	canonical := func(s string) []string {
		var out []string
		for line := range strings.Lines(s) {
			line = strings.TrimSpace(line)
			var v any
			if json.Unmarshal([]byte(line), &v) == nil {
				b, err := json.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				line = string(b)
			}
			if line != "" {
				out = append(out, line)
			}
		}
		slices.Sort(out)
		return out
	}
	if g, w := canonical(got), canonical(want); !slices.Equal(g, w) {
		t.Errorf("bulla says\n%s\ncosign says\n%s", strings.Join(g, "\n"), strings.Join(w, "\n"))
	}
}

// sameJSON compares two objects, but for the members named.
func sameJSON(t *testing.T, got, want string, except ...string) {
	t.Helper()
	var g, w map[string]any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("bulla: %v in %s", err, got)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatalf("cosign: %v in %s", err, want)
	}
	for _, name := range except {
		delete(g, name)
		delete(w, name)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("bulla writes\n%s\ncosign writes\n%s", got, want)
	}
}

// writeChains makes a chain of an intermediate and a root, as a certificate authority hands out, and the same with a leaf
// before it, as a timestamp authority does.
func writeChains(t *testing.T, dir string) (authority, withLeaf string) {
	t.Helper()
	rootKey, root := certificate(t, "root", nil, nil)
	key, intermediate := certificate(t, "intermediate", root, rootKey)
	_, leaf := certificate(t, "leaf", intermediate, key)
	write := func(name string, certs ...*x509.Certificate) string {
		var out bytes.Buffer
		for _, c := range certs {
			if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("chain.pem", intermediate, root), write("with-leaf.pem", leaf, intermediate, root)
}

func certificate(t *testing.T, name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(random32(t))), Subject: pkix.Name{CommonName: name, Organization: []string{"tests"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: name != "leaf", BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if name == "leaf" {
		template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}
