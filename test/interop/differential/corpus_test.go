package differential

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// vector is one bundle with everything that is needed to judge it.
type vector struct {
	name             string
	bundle           []byte
	identity, issuer string
	key              []byte // PEM; nil for an identity
	root             string // path of the trusted root
	artifact         []byte // nil when only the digest is known
	digest           []byte // sha256
}

// corpus reads every call of the three sets with a manifest. All roots are named by path, so that each is read once.
func corpus(t testing.TB) []vector {
	t.Helper()
	var all []vector
	for _, set := range []string{"conformance-public/manifest.json", "cpython-public/manifest.json", "other-bundles.json"} {
		path := testenv.Vectors(t, filepath.FromSlash(set))
		var entries []struct {
			Name string   `json:"name"`
			Args []string `json:"args"`
		}
		if err := json.Unmarshal(read(t, path), &entries); err != nil {
			t.Fatalf("%s: %v", set, err)
		}
		for _, e := range entries {
			if v, ok := parseCall(t, filepath.Dir(path), e.Args); ok {
				v.name = e.Name
				all = append(all, v)
			}
		}
	}
	if len(all) < 170 { // 41 + 49 + 86 of which a few are not calls of verify-bundle
		t.Fatalf("only %d vectors were read", len(all))
	}
	return all
}

// parseCall turns the arguments of a conformance call into a vector.
func parseCall(t testing.TB, dir string, args []string) (vector, bool) {
	t.Helper()
	var v vector
	if len(args) == 0 || args[0] != "verify-bundle" {
		return v, false
	}
	v.root = testenv.Vectors(t, "trust", "public-good", "trusted_root.json")
	for args = args[1:]; len(args) > 0; {
		flag, rest := args[0], args[1:]
		if !strings.HasPrefix(flag, "--") {
			if hexDigest, ok := strings.CutPrefix(flag, "sha256:"); ok {
				sum, err := hex.DecodeString(hexDigest)
				if err != nil {
					t.Fatal(err)
				}
				v.digest = sum
			} else {
				v.artifact = read(t, filepath.Join(dir, flag))
			}
			args = rest
			continue
		}
		value := rest[0]
		switch flag {
		case "--bundle":
			v.bundle = read(t, filepath.Join(dir, value))
		case "--key":
			v.key = read(t, filepath.Join(dir, value))
		case "--trusted-root":
			v.root = filepath.Join(dir, value)
		case "--certificate-identity":
			v.identity = value
		case "--certificate-oidc-issuer":
			v.issuer = value
		default:
			t.Fatalf("unknown flag %s", flag)
		}
		args = rest[1:]
	}
	return v, true
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
