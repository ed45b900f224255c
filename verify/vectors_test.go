package verify_test

import (
	"crypto"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
)

// vector is one entry of a manifest of the shared vectors.
type vector struct {
	Name   string   `json:"name"`
	Args   []string `json:"args"`
	Digest []string `json:"args_digest"`
	Expect string   `json:"expect"` // pass, fail or disputed
	Inputs string   `json:"inputs"`
}

// TestVectors holds every bundle of the shared vectors against what the manifests expect, by artifact and by digest.
func TestVectors(t *testing.T) {
	for _, set := range []struct {
		manifest string
		atLeast  int // so that a manifest that cannot be read does not pass for an empty one
	}{
		{"conformance-public/manifest.json", 41},
		{"cpython-public/manifest.json", 49},
		{"other-bundles.json", 79},
	} {
		path := testenv.Vectors(t, filepath.FromSlash(set.manifest))
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var vectors []vector
		if err := json.Unmarshal(data, &vectors); err != nil {
			t.Fatal(err)
		}
		counted := 0
		for _, v := range vectors {
			if v.Expect != "disputed" {
				counted++
			}
			t.Run(set.manifest+"/"+v.Name, func(t *testing.T) { v.run(t, filepath.Dir(path)) })
		}
		if counted < set.atLeast {
			t.Errorf("%s: %d vectors, want at least %d", set.manifest, counted, set.atLeast)
		}
	}
}

func (v *vector) run(t *testing.T, dir string) {
	req, artifact := v.request(t, dir)
	inputs := map[string]algorithm.Message{}
	if hexSum, ok := strings.CutPrefix(artifact, "sha256:"); ok {
		sum, err := hex.DecodeString(hexSum)
		if err != nil {
			t.Fatal(err)
		}
		inputs["digest"] = algorithm.Precomputed(crypto.SHA256, sum)
	} else {
		content, err := os.ReadFile(filepath.Join(dir, artifact))
		if err != nil {
			t.Fatal(err)
		}
		inputs["path"] = algorithm.Bytes(content)
		if v.Inputs != "path" {
			sum, _ := algorithm.Bytes(content).Digest(crypto.SHA256, nil)
			inputs["digest"] = algorithm.Precomputed(crypto.SHA256, sum)
		}
	}
	for how, message := range inputs {
		r := *req
		r.Artifact.Message = message
		report := verify.Verify(&r)
		if report.Verified == (report.Reason != "") {
			t.Errorf("%s: verified is %v and the reason is %q", how, report.Verified, report.Reason)
		}
		switch v.Expect {
		case "pass":
			if !report.Verified {
				t.Errorf("%s: refused: %s: %s", how, report.Code, report.Reason)
			}
		case "fail":
			if report.Verified {
				t.Errorf("%s: verified", how)
			}
		default:
			t.Logf("%s: disputed: verified %v %s", how, report.Verified, report.Reason)
		}
	}
}

// request turns the arguments of the suite's verify-bundle into a request and the artifact's name.
func (v *vector) request(t *testing.T, dir string) (*verify.Request, string) {
	t.Helper()
	option := func(name string) string {
		if i := slices.Index(v.Args, name); i >= 0 {
			return v.Args[i+1]
		}
		return ""
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	req := &verify.Request{
		Policy: verify.Policy{Claims: verify.Claims{Message: true, AnyPredicate: true}},
		Now:    time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC),
	}
	b, err := bundle.Decode(read(option("--bundle")))
	req.Candidates = []verify.Candidate{{Name: v.Name, Bundle: b, Err: err}}
	rootFile := option("--trusted-root")
	if rootFile == "" {
		rootFile = "trusted_root_public_good.json"
	}
	if req.Root, err = trust.DecodeRoot(read(rootFile)); err != nil {
		t.Fatal(err)
	}
	if key := option("--key"); key != "" {
		pub, err := algorithm.ParsePublicKeyPEM(read(key))
		if err != nil {
			t.Fatal(err)
		}
		req.Policy.Keys = []trust.Key{{Name: key, Public: pub}}
		return req, v.Args[len(v.Args)-1]
	}
	req.Policy.Identities = []identity.Matcher{exactly(t, option("--certificate-identity"), option("--certificate-oidc-issuer"))}
	return req, v.Args[len(v.Args)-1]
}

func exactly(t testing.TB, name, issuer string) identity.Matcher {
	t.Helper()
	san, err := identity.Exact(name)
	if err != nil {
		t.Fatal(err)
	}
	by, err := identity.Exact(issuer)
	if err != nil {
		t.Fatal(err)
	}
	m, err := identity.NewMatcher(identity.MatcherOptions{SAN: san, Issuer: by})
	if err != nil {
		t.Fatal(err)
	}
	return m
}
