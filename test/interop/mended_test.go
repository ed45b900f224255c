package interop

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// TestMended shows, for each defect of cosign in docs/compat.md that a command line can show, that cosign still has it (so
// that the page stays true) and that bulla does not. The subtests carry the page's numbers.
func TestMended(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"01 an attestation is no signature of an image": mended01,
		"02 an attestation is no signature of a blob":   mended02,
		"03 a waived log is not claimed":                mended03,
		"05 predicates are signed byte for byte":        mended05,
		"06 spdx tag-value is refused":                  mended06,
		"09 each image is judged by itself":             mended09,
		"14 one output for two files is refused":        mended14,
		"18 unknown fields are named":                   mended18,
		"19 an unanchored match is reported":            mended19,
		"20 a check switched off by a variable is told": mended20,
		"21 tree looks into COSIGN_REPOSITORY":          mended21,
		"24 files are replaced whole, a bad CA told":    mended24,
		"25 nothing is uploaded unasked":                mended25,
		"27 an error is said once":                      mended27,
		"29 every candidate is in the report":           mended29,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			needs(t, theWorld.bulla, "sign", "verify", "attest", "sign-blob", "verify-blob", "attest-blob", "tree", "public-key")
			test(t)
		})
	}
}

// with is the program with more variables in its environment.
func (p *program) with(env ...string) *program {
	return &program{name: p.name, exe: p.exe, world: p.world, env: append(append([]string{}, p.env...), env...)}
}

// signedBy makes a round of the named flow, signed by cosign with the first algorithm's key.
func signedBy(t *testing.T, p *program, name, registry string) (flow, *round) {
	t.Helper()
	for _, f := range flows() {
		if f.name == name {
			r := newRound(t, f, algorithms()[0], registry)
			r.key = theWorld.key(t, p, r.alg, "signer")
			p.run(f.sign(r)...).wantOK(t)
			return f, r
		}
	}
	t.Fatalf("no flow %s", name)
	return flow{}, nil
}

// mentions fails unless the call said all the words, on whichever stream.
func (r result) mentions(t *testing.T, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(r.stdout+r.stderr, w) {
			t.Errorf("%q is not mentioned: %s", w, r)
		}
	}
}

func mended01(t *testing.T) {
	w := theWorld
	for _, registry := range []string{w.fallback, w.referrers} {
		_, r := signedBy(t, w.cosign, "attest/bundle", registry)
		args := []string{"verify", "--key", r.key.public, "--insecure-ignore-tlog", r.image}
		w.cosign.run(args...).wantOK(t)
		w.bulla.run(args...).wantRefused(t).mentions(t, "NOT verified")
		w.asCosign.run(args...).wantRefused(t)
	}
}

func mended02(t *testing.T) {
	w := theWorld
	_, r := signedBy(t, w.cosign, "attest-blob/bundle", "")
	args := []string{"verify-blob", "--key", r.key.public, "--bundle", r.file("out.json"), "--insecure-ignore-tlog", r.artifact}
	w.cosign.run(args...).wantOK(t)
	w.bulla.run(args...).wantRefused(t).mentions(t, predicateType)
	w.asCosign.run(args...).wantRefused(t)
}

func mended03(t *testing.T) {
	w := theWorld
	const claim = "Existence of the claims in the transparency log was verified"
	f, r := signedBy(t, w.cosign, "image/bundle", w.referrers)
	verify(w.cosign, f, r).mentions(t, claim)
	for _, p := range []*program{w.bulla, w.asCosign} {
		got := verify(p, f, r)
		got.wantOK(t)
		if strings.Contains(got.stdout+got.stderr, claim) {
			t.Errorf("claims what was waived: %s", got)
		}
	}
	w.bulla.run(append(f.verify(r), "-o", "text")...).mentions(t, "not logged")
}

// payloadOf decodes the statement that a bundle file carries.
func payloadOf(t *testing.T, file string) string {
	t.Helper()
	var b struct {
		Envelope struct{ Payload string } `json:"dsseEnvelope"`
	}
	if err := json.Unmarshal([]byte(readFile(t, file)), &b); err != nil {
		t.Fatal(err)
	}
	payload, err := base64.StdEncoding.DecodeString(b.Envelope.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return string(payload)
}

func mended05(t *testing.T) {
	w := theWorld
	for _, p := range []*program{w.cosign, w.bulla} {
		_, r := signedBy(t, p, "attest-blob/bundle", "")
		kept := strings.Contains(payloadOf(t, r.file("out.json")), `"predicate":`+readFile(t, r.file("predicate.json")))
		if kept != (p == w.bulla) {
			t.Errorf("%s: the predicate is kept: %t", p.name, kept)
		}
	}
}

func mended06(t *testing.T) {
	w := theWorld
	f := blobFlows()[3]
	r := newRound(t, f, algorithms()[0], "")
	r.key = w.key(t, w.bulla, r.alg, "signer")
	if err := os.WriteFile(r.file("doc.spdx"), []byte("SPDXVersion: SPDX-2.3\nDataLicense: CC0-1.0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := join([]string{
		"attest-blob", "--key", r.key.private, "--bundle", r.file("out.json"),
		"--predicate", r.file("doc.spdx"), "--type", "spdx",
	}, bundleFlags(r), []string{r.artifact})
	w.bulla.run(args...).wantRefused(t).mentions(t, "spdx")
	if _, err := os.Stat(r.file("out.json")); err == nil {
		t.Error("a bundle was left behind")
	}
}

func mended09(t *testing.T) {
	w := theWorld
	newer, a := signedBy(t, w.cosign, "image/bundle", w.fallback)
	_, b := signedBy(t, w.cosign, "image/legacy", w.fallback)
	args := append(newer.verify(a), b.image)
	w.cosign.run(args...).wantRefused(t)
	w.bulla.run(args...).wantOK(t)
	w.asCosign.run(args...).wantOK(t)
}

func mended14(t *testing.T) {
	w := theWorld
	f := blobFlows()[0]
	r := newRound(t, f, algorithms()[0], "")
	r.key = w.key(t, w.cosign, r.alg, "signer")
	args := append(f.sign(r), r.other)
	w.cosign.run(args...).wantOK(t)
	if err := os.Remove(r.file("out.json")); err != nil {
		t.Fatal(err)
	}
	w.bulla.run(args...).wantRefused(t).mentions(t, "--bundle")
	if _, err := os.Stat(r.file("out.json")); err == nil {
		t.Error("a bundle was left behind")
	}
}

func mended18(t *testing.T) {
	w := theWorld
	f, r := signedBy(t, w.cosign, "blob/bundle", "")
	text := readFile(t, r.file("out.json"))
	surprised := strings.Replace(text, "{", `{"surprise":1,`, 1)
	if err := os.WriteFile(r.file("out.json"), []byte(surprised), 0o600); err != nil {
		t.Fatal(err)
	}
	verify(w.cosign, f, r).mentions(t, "Invalid IEEE_P1363 encoded bytes")
	verify(w.bulla, f, r).wantRefused(t).mentions(t, "surprise", "out.json")
}

func mended19(t *testing.T) {
	w := theWorld
	dir := testenv.Vectors(t, "conformance-public")
	vector := filepath.Join(dir, "happy-path-v0.3")
	args := []string{
		"verify-blob", "--bundle", filepath.Join(vector, "bundle.sigstore.json"),
		"--trusted-root", filepath.Join(dir, "trusted_root_public_good.json"),
		"--certificate-identity-regexp", "sigstore-conformance/extremely-dangerous", "--certificate-oidc-issuer-regexp", "githubusercontent",
		filepath.Join(dir, "a.txt"),
	}
	w.cosign.run(args...).wantOK(t)
	got := w.bulla.run(args...)
	got.wantOK(t)
	got.mentions(t, "warning", `matched only the part "sigstore-conformance/extremely-dangerous"`)
}

func mended20(t *testing.T) {
	w := theWorld
	_, r := signedBy(t, w.cosign, "blob/bundle", "")
	args := []string{"verify-blob", "--key", r.key.public, "--bundle", r.file("out.json"), r.artifact}
	got := w.bulla.with("COSIGN_INSECURE_IGNORE_TLOG=true").run(args...)
	got.wantOK(t)
	got.mentions(t, "COSIGN_INSECURE_IGNORE_TLOG")
}

func mended21(t *testing.T) {
	w := theWorld
	f := imageFlows()[0]
	r := newRound(t, f, algorithms()[0], w.referrers)
	r.key = w.key(t, w.bulla, r.alg, "signer")
	elsewhere := "COSIGN_REPOSITORY=" + w.referrers + "/elsewhere/" + filepath.Base(r.dir)
	w.bulla.with(elsewhere).run(f.sign(r)...).wantOK(t)
	w.bulla.with(elsewhere).run(f.verify(r)...).wantOK(t)
	w.bulla.run(f.verify(r)...).wantRefused(t)
	w.bulla.with(elsewhere).run("tree", r.image).mentions(t, "https://sigstore.dev/cosign/sign/v1")
}

func mended24(t *testing.T) {
	w := theWorld
	key := w.key(t, w.bulla, algorithms()[0], "signer")
	out := filepath.Join(t.TempDir(), "out.pub")
	if err := os.WriteFile(out, []byte(strings.Repeat("x", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	w.bulla.run("public-key", "--key", key.private, "--outfile", out).wantOK(t)
	if got, want := readFile(t, out), readFile(t, key.public); got != want {
		t.Errorf("the file holds\n%s\nwant\n%s", got, want)
	}
	f, r := signedBy(t, w.cosign, "image/bundle", w.referrers)
	missing := filepath.Join(t.TempDir(), "ca.pem")
	args := append(f.verify(r), "--registry-cacert", missing)
	w.cosign.run(args...).wantOK(t)
	if got := w.bulla.run(args...); got.code == 0 || !strings.Contains(got.stderr, missing) {
		t.Errorf("a missing CA file must be told: %s", got)
	}
}

func mended25(t *testing.T) {
	w := theWorld
	f := blobFlows()[0]
	r := newRound(t, f, algorithms()[0], "")
	r.key = w.key(t, w.bulla, r.alg, "signer")
	got := w.bulla.run("sign-blob", "--key", r.key.private, "--bundle", r.file("out.json"), "--yes", r.artifact)
	got.wantRefused(t).mentions(t, "signing-config")
}

func mended27(t *testing.T) {
	w := theWorld
	f, r := signedBy(t, w.cosign, "blob/bundle", "")
	r.artifact = r.other
	for p, lines := range map[*program]int{w.bulla: 1, w.asCosign: 2} {
		got := verify(p, f, r)
		got.wantRefused(t)
		if n := strings.Count(strings.ToLower(got.stderr), "error"); n != lines {
			t.Errorf("%d lines of error, want %d: %s", n, lines, got)
		}
	}
}

func mended29(t *testing.T) {
	w := theWorld
	f, r := signedBy(t, w.cosign, "image/bundle", w.fallback)
	signer := r.key
	r.key = w.key(t, w.cosign, r.alg, "stranger")
	w.cosign.run(f.sign(r)...).wantOK(t)
	r.key = signer
	got := w.bulla.run(append(f.verify(r), "-o", "json")...)
	got.wantOK(t)
	var report struct {
		Candidates []struct{ Verified bool }
	}
	if err := json.Unmarshal([]byte(got.stdout), &report); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	good, bad := 0, 0
	for _, c := range report.Candidates {
		if c.Verified {
			good++
		} else {
			bad++
		}
	}
	if good != 1 || bad != 1 {
		t.Errorf("%d verified and %d refused candidates in the report, want one of each: %s", good, bad, got)
	}
}
