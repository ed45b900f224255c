package interop

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// TestAttach signs with cosign, takes the signature into files and attaches them elsewhere with each program. Both verify
// what each has attached.
func TestAttach(t *testing.T) {
	w := theWorld
	needs(t, w.bulla, "attach", "verify", "verify-attestation")
	alg := algorithms()[0]
	for _, f := range imageFlows() {
		for where, registry := range registriesOf(f) {
			t.Run(f.name+where, func(t *testing.T) {
				t.Parallel()
				r := newRound(t, f, alg, registry)
				r.key = w.key(t, w.cosign, alg, "signer")
				args := takenOut(t, f, r)
				for _, p := range []*program{w.cosign, w.bulla, w.asCosign} {
					there := at(r, bare(t, r.image, elsewhere(t, registry)))
					p.run(join([]string{"attach"}, args, []string{there.image})...).wantOK(t)
					verify(w.cosign, f, there).wantOK(t)
					verify(w.bulla, f, there).wantOK(t)
				}
			})
		}
	}
}

// takenOut signs and returns the arguments that attach the signature again.
func takenOut(t *testing.T, f flow, r *round) []string {
	t.Helper()
	if f.name == "image/legacy" {
		args := f.sign(r)
		w := join(args[:len(args)-1], []string{"--upload=false", "--output-signature", r.file("sig"), "--output-payload", r.file("payload"), r.image})
		theWorld.cosign.run(w...).wantOK(t)
		return []string{"signature", "--signature", r.file("sig"), "--payload", r.file("payload")}
	}
	theWorld.cosign.run(f.sign(r)...).wantOK(t)
	kind := map[string]string{"sign": "signature", "attest": "attestation"}[f.signer]
	got := theWorld.cosign.run("download", kind, r.image)
	got.wantOK(t)
	if err := os.WriteFile(r.file("evidence.json"), []byte(got.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	flag := map[string]string{"sign": "--payload", "attest": "--attestation"}[f.signer]
	return []string{kind, flag, r.file("evidence.json")}
}

// bare copies an image without its evidence.
func bare(t *testing.T, from, to string) string {
	t.Helper()
	source, err := name.ParseReference(from)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(source)
	if err != nil {
		t.Fatal(err)
	}
	target, err := name.ParseReference(to)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(target, img); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestMade uploads the same files with both programs, which must make the same images of them.
func TestMade(t *testing.T) {
	w := theWorld
	needs(t, w.bulla, "attach", "upload", "download")
	f := imageFlows()[0]
	for where, registry := range registriesOf(f) {
		t.Run(where[1:], func(t *testing.T) {
			t.Parallel()
			r := newRound(t, f, algorithms()[0], registry)
			same := func(what string, digest func(p *program) string) {
				t.Helper()
				if theirs, ours := digest(w.cosign), digest(w.bulla); theirs != ours || !strings.HasPrefix(ours, "sha256:") {
					t.Errorf("%s: cosign makes %s, bulla %s", what, theirs, ours)
				}
			}
			uploaded := func(args ...string) func(p *program) string {
				return func(p *program) string {
					ref := elsewhere(t, registry)
					p.run(append(append([]string{"upload"}, args...), ref)...).wantOK(t)
					return headDigest(t, ref)
				}
			}
			file, other := r.artifact, r.file("predicate.json")
			same("upload blob", uploaded("blob", "-f", file))
			same("upload blob, annotated", uploaded("blob", "-f", file, "-a", "b=2", "-a", "a=<1>", "--ct", "application/x-mine"))
			same("upload blob, index", uploaded("blob", "-f", file+":linux/amd64", "-f", other+":darwin", "-a", "a=1"))
			same("upload wasm", uploaded("wasm", "-f", file))
			for _, kind := range [][]string{nil, {"--type", "cyclonedx"}, {"--type", "syft", "--input-format", "json"}, {"--type", "spdx", "--input-format", "json"}} {
				same("attach sbom "+strings.Join(kind, " "), func(p *program) string {
					image := push(t, elsewhere(t, registry))
					p.run(join([]string{"attach", "sbom", "--sbom", file, image}, kind)...).wantOK(t)
					for _, reader := range []*program{w.cosign, w.bulla} {
						if got := reader.run("download", "sbom", image); got.code != 0 || got.stdout != readFile(t, file) {
							t.Errorf("%s attached, %s", p.name, got)
						}
					}
					tag := w.cosign.run("triangulate", "--type", "sbom", image)
					tag.wantOK(t)
					return headDigest(t, strings.TrimSpace(tag.stdout))
				})
			}
		})
	}
}

func headDigest(t *testing.T, reference string) string {
	t.Helper()
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	d, err := remote.Get(ref)
	if err != nil {
		t.Fatal(err)
	}
	return d.Digest.String()
}
