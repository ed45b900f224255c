package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

const predicateType = "https://example.com/predicate/v1"

// flow is one way to sign something and to verify it again, as arguments that both programs understand.
type flow struct {
	name     string
	signer   string // command
	verifier string // command
	image    bool   // the subject is an image in a registry, not a file
	legacy   bool   // one of cosign's formats from before bundles
	sign     func(r *round) []string
	verify   func(r *round) []string
}

// round is one pass through a flow: fresh files, a fresh image.
type round struct {
	alg      algorithm
	key      keyPair
	dir      string
	artifact string // file
	image    string // reference by digest
	other    string // another file, or another image, that nobody signed
}

func (r *round) file(name string) string { return filepath.Join(r.dir, name) }

// Flags of the two worlds of signing: with a bundle and no services, or cosign's older formats without a log.
func bundleFlags(r *round) []string {
	return []string{"--signing-config", theWorld.signingConfig(), "--trusted-root", theWorld.trustedRoot(), "--yes"}
}

func legacyFlags() []string {
	return []string{"--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false", "--yes"}
}

func (r *round) predicate() []string {
	return []string{"--predicate", r.file("predicate.json"), "--type", predicateType}
}

func join(parts ...[]string) []string {
	var all []string
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func flows() []flow {
	return append(blobFlows(), imageFlows()...)
}

func blobFlows() []flow {
	verify := func(command, flag, file string, more ...string) func(r *round) []string {
		return func(r *round) []string {
			return join([]string{command, "--key", r.key.public, flag, r.file(file), "--insecure-ignore-tlog"}, more, []string{r.artifact})
		}
	}
	typed := []string{"--type", predicateType}
	return []flow{
		{
			name: "blob/bundle", signer: "sign-blob", verifier: "verify-blob",
			sign: func(r *round) []string {
				return join([]string{"sign-blob", "--key", r.key.private, "--bundle", r.file("out.json")}, bundleFlags(r), []string{r.artifact})
			},
			verify: verify("verify-blob", "--bundle", "out.json"),
		},
		{
			name: "blob/detached", signer: "sign-blob", verifier: "verify-blob", legacy: true,
			sign: func(r *round) []string {
				return join([]string{"sign-blob", "--key", r.key.private, "--output-signature", r.file("out.sig")}, legacyFlags(), []string{r.artifact})
			},
			verify: verify("verify-blob", "--signature", "out.sig"),
		},
		{
			name: "blob/old-bundle", signer: "sign-blob", verifier: "verify-blob", legacy: true,
			sign: func(r *round) []string {
				return join([]string{"sign-blob", "--key", r.key.private, "--bundle", r.file("old.json")}, legacyFlags(), []string{r.artifact})
			},
			verify: verify("verify-blob", "--bundle", "old.json"),
		},
		{
			name: "attest-blob/bundle", signer: "attest-blob", verifier: "verify-blob-attestation",
			sign: func(r *round) []string {
				return join([]string{"attest-blob", "--key", r.key.private, "--bundle", r.file("out.json")}, r.predicate(), bundleFlags(r), []string{r.artifact})
			},
			verify: verify("verify-blob-attestation", "--bundle", "out.json", typed...),
		},
		{
			name: "attest-blob/detached", signer: "attest-blob", verifier: "verify-blob-attestation", legacy: true,
			sign: func(r *round) []string {
				return join([]string{"attest-blob", "--key", r.key.private, "--output-signature", r.file("out.sig")}, r.predicate(), legacyFlags(), []string{r.artifact})
			},
			verify: verify("verify-blob-attestation", "--signature", "out.sig", typed...),
		},
		{
			name: "attest-blob/old-bundle", signer: "attest-blob", verifier: "verify-blob-attestation", legacy: true,
			sign: func(r *round) []string {
				return join([]string{"attest-blob", "--key", r.key.private, "--bundle", r.file("old.json")}, r.predicate(), legacyFlags(), []string{r.artifact})
			},
			verify: verify("verify-blob-attestation", "--bundle", "old.json", typed...),
		},
	}
}

func imageFlows() []flow {
	verify := func(command string, more ...string) func(r *round) []string {
		return func(r *round) []string {
			return join([]string{command, "--key", r.key.public, "--insecure-ignore-tlog"}, more, []string{r.image})
		}
	}
	sign := func(flags func(r *round) []string) func(r *round) []string {
		return func(r *round) []string {
			return join([]string{"sign", "--key", r.key.private, "-a", "stage=test"}, flags(r), []string{r.image})
		}
	}
	attest := func(flags func(r *round) []string) func(r *round) []string {
		return func(r *round) []string {
			return join([]string{"attest", "--key", r.key.private}, r.predicate(), flags(r), []string{r.image})
		}
	}
	legacy := func(*round) []string { return legacyFlags() }
	return []flow{
		{
			name: "image/bundle", signer: "sign", verifier: "verify", image: true,
			sign: sign(bundleFlags), verify: verify("verify", "-a", "stage=test"),
		},
		{
			name: "image/legacy", signer: "sign", verifier: "verify", image: true, legacy: true,
			sign: sign(legacy), verify: verify("verify", "-a", "stage=test"),
		},
		{
			name: "attest/bundle", signer: "attest", verifier: "verify-attestation", image: true,
			sign: attest(bundleFlags), verify: verify("verify-attestation", "--type", predicateType),
		},
		{
			name: "attest/legacy", signer: "attest", verifier: "verify-attestation", image: true, legacy: true,
			sign: attest(legacy), verify: verify("verify-attestation", "--type", predicateType),
		},
	}
}

// newRound makes the files of one pass, and for an image flow two images in a repository of their own.
func newRound(t *testing.T, f flow, alg algorithm, registry string) *round {
	t.Helper()
	r := &round{alg: alg, dir: t.TempDir()}
	write := func(name, content string) string {
		path := r.file(name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	r.artifact = write("artifact.txt", "what was shipped\n")
	write("predicate.json", `{"big":1234567890123456789,"built":true}`)
	if !f.image {
		r.other = write("other.txt", "what was slipped in\n")
		return r
	}
	repository := fmt.Sprintf("%s/case-%08x/app", registry, random32(t))
	r.image = push(t, repository+":v1")
	r.other = push(t, repository+":v2")
	return r
}

// push stores a small image under a tag and returns its reference by digest.
func push(t *testing.T, tag string) string {
	t.Helper()
	ref, err := name.ParseReference(tag)
	if err != nil {
		t.Fatal(err)
	}
	img, err := random.Image(256, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return ref.Context().Digest(digest.String()).String()
}
