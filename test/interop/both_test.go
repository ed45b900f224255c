package interop

import (
	"os"
	"path/filepath"
	"testing"
)

// TestBothSignOneImage lets both programs sign and attest the same image, in both orders, and asks each of them for
// each signature: neither may lose or shadow what the other attached, in the fallback tag least of all.
func TestBothSignOneImage(t *testing.T) {
	w := theWorld
	needs(t, w.bulla, "sign", "verify", "attest", "verify-attestation", "import-key-pair")
	alg := algorithms()[0]
	flowsOf := imageFlows()
	for _, order := range [][]*program{{w.cosign, w.bulla}, {w.bulla, w.cosign}} {
		for name, registry := range registriesOf(flowsOf[0]) {
			t.Run(order[0].name+"-first"+name, func(t *testing.T) {
				t.Parallel()
				r := newRound(t, flowsOf[0], alg, registry)
				for i, p := range order {
					for _, f := range flowsOf {
						r.key = w.key(t, p, alg, []string{"signer", "stranger"}[i])
						p.run(f.sign(r)...).wantOK(t)
					}
				}
				for i := range order {
					for _, p := range order {
						for _, f := range flowsOf {
							r.key = w.key(t, p, alg, []string{"signer", "stranger"}[i])
							verify(p, f, r).wantOK(t)
						}
					}
				}
			})
		}
	}
}

// TestKeyFiles reads each program's key files with the other: the encrypted private key, the public key, and the public
// key taken out of the private one must be the same bytes.
func TestKeyFiles(t *testing.T) {
	w := theWorld
	needs(t, w.bulla, "import-key-pair", "public-key", "generate-key-pair")
	for _, alg := range algorithms() {
		t.Run(alg.name, func(t *testing.T) {
			t.Parallel()
			theirs, ours := w.key(t, w.cosign, alg, "signer"), w.key(t, w.bulla, alg, "signer")
			want := readFile(t, theirs.public)
			for _, c := range []struct {
				p *program
				k keyPair
			}{{w.bulla, theirs}, {w.cosign, ours}, {w.bulla, ours}} {
				if got := readFile(t, c.k.public); got != want {
					t.Errorf("public key file:\n%s\nwant\n%s", got, want)
				}
				r := c.p.run("public-key", "--key", c.k.private)
				r.wantOK(t)
				if r.stdout != want {
					t.Errorf("%s reads another key out of %s:\n%s\nwant\n%s", c.p.name, c.k.private, r.stdout, want)
				}
			}
		})
	}
	t.Run("generated", func(t *testing.T) {
		prefix := filepath.Join(t.TempDir(), "made")
		w.bulla.run("generate-key-pair", "--output-key-prefix", prefix).wantOK(t)
		r := w.cosign.run("public-key", "--key", prefix+".key")
		r.wantOK(t)
		if want := readFile(t, prefix+".pub"); r.stdout != want {
			t.Errorf("cosign reads another key:\n%s\nwant\n%s", r.stdout, want)
		}
	})
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
