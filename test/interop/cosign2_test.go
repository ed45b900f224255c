package interop

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bulla-sign/bulla/internal/tools/toolcache"
)

// TestCosign2: the cosign before the present one is pointed at an instance by its TUF repository, as everybody is. It signs by
// the signing config, into a log of version 2, and in the older form without a log; each of it verifies with itself and with
// bulla, and what bulla signs verifies with it.
func TestCosign2(t *testing.T) {
	t.Parallel()
	exe, err := toolcache.Path("cosign2", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	in := sharedInstance(t)
	ours := in.trusting(t, theWorld.bulla)
	theirs := &program{name: "cosign2", exe: exe, world: theWorld, env: []string{"TUF_ROOT=" + filepath.Join(t.TempDir(), "tuf")}}
	theirs.run("initialize", "--mirror", in.Mirror, "--root", in.Root).wantOK(t)
	artifact, bundle := toSign(t)
	other, _ := toSign(t)
	if err := os.WriteFile(other, []byte("something else\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	who := []string{"--certificate-identity", identity, "--certificate-oidc-issuer", in.Issuer}
	nobody := []string{"--certificate-identity", "nobody@example.com", "--certificate-oidc-issuer", in.Issuer}
	// It asks for the time in the log, which a log of version 2 does not state, unless told of timestamps.
	look := func(p *program, bundle string, who []string, artifact string) result {
		args := []string{"verify-blob", "--bundle", bundle}
		if p == theirs {
			args = append(args, "--new-bundle-format", "--use-signed-timestamps")
		}
		return p.run(join(args, who, []string{artifact})...)
	}
	byUs := bundle + ".ours"
	theirs.run("sign-blob", "--yes", "--use-signing-config", "--new-bundle-format", "--identity-token", in.token(t, identity), "--bundle", bundle, artifact).wantOK(t)
	ours.run("sign-blob", "--yes", "--identity-token", in.token(t, identity), "--bundle", byUs, artifact).wantOK(t)
	for _, b := range []string{bundle, byUs} {
		for _, p := range []*program{theirs, ours} {
			look(p, b, who, artifact).wantOK(t)
			look(p, b, who, other).wantRefused(t)
			look(p, b, nobody, artifact).wantRefused(t)
		}
	}

	dir := t.TempDir()
	signature, certificate, timestamp := filepath.Join(dir, "s"), filepath.Join(dir, "c"), filepath.Join(dir, "t")
	theirs.run("sign-blob", "--yes", "--tlog-upload=false", "--fulcio-url", in.URL, "--timestamp-server-url", in.URL+"/api/v1/timestamp", "--rfc3161-timestamp", timestamp,
		"--output-signature", signature, "--output-certificate", certificate, "--bundle", filepath.Join(dir, "b"), "--identity-token", in.token(t, identity), artifact).wantOK(t)
	older := func(p *program, who []string, artifact string) result {
		args := []string{"verify-blob", "--signature", signature, "--certificate", certificate, "--rfc3161-timestamp", timestamp, "--insecure-ignore-tlog"}
		if p == theirs {
			args = append(args, "--use-signed-timestamps")
		}
		return p.run(join(args, who, []string{artifact})...)
	}
	for _, p := range []*program{theirs, ours} {
		older(p, who, artifact).wantOK(t)
		older(p, who, other).wantRefused(t)
		older(p, nobody, artifact).wantRefused(t)
	}
}
