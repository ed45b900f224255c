package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestPlugin runs every flow with a key that lies behind a plug-in of the sigstore-kms protocol: the same plug-in
// program under cosign and under bulla, and what one signs through it the other verifies through it.
func TestPlugin(t *testing.T) {
	w := theWorld
	cosign, bulla := w.withPlugin(t, w.cosign), w.withPlugin(t, w.bulla)
	key, stranger := "testkms://alice", "testkms://mallory"
	for _, name := range []string{key, stranger} {
		r := cosign.run("generate-key-pair", "--kms", name, "--output-key-prefix", filepath.Join(t.TempDir(), "made"))
		r.wantOK(t)
	}
	for _, d := range []direction{
		{"cosign-to-cosign", cosign, cosign}, {"bulla-to-cosign", bulla, cosign}, {"cosign-to-bulla", cosign, bulla},
	} {
		t.Run(d.name, func(t *testing.T) {
			for _, f := range flows() {
				t.Run(f.name, func(t *testing.T) {
					t.Parallel()
					needs(t, d.signer, f.signer)
					needs(t, d.verifier, f.verifier)
					r := newRound(t, f, algorithms()[0], w.fallback)
					r.key = keyPair{private: key, public: key}
					d.signer.run(f.sign(r)...).wantOK(t)
					d.verifier.run(f.verify(r)...).wantOK(t)
					r.key.public = stranger
					d.verifier.run(f.verify(r)...).wantRefused(t)
				})
			}
		})
	}
}

// withPlugin returns the program with the test plug-in on its PATH, and the plug-in's keys in a folder that all share.
func (w *world) withPlugin(t *testing.T, p *program) *program {
	t.Helper()
	if p == nil {
		return nil
	}
	dir := filepath.Join(w.dir, "plugin")
	exe := filepath.Join(dir, "sigstore-kms-testkms")
	if _, err := os.Stat(exe); err != nil {
		cmd := exec.Command("go", "build", "-o", exe, "./internal/testenv/kmsplugin")
		cmd.Dir = "../.."
		cmd.Env = append(os.Environ(), "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building the plug-in: %v\n%s", err, out)
		}
	}
	return &program{name: p.name, exe: p.exe, world: w, env: []string{
		"PATH=" + dir + string(os.PathListSeparator) + os.Getenv("PATH"), "BULLA_TESTKMS_DIR=" + dir,
	}}
}
