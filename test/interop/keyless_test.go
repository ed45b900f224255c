package interop

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// actor is somebody who signs and verifies blobs with an identity: a program, and how its command lines look.
type actor struct {
	name                           string
	signBlob, signStatement        func(t *testing.T, in, statement, out string) result
	verifyBlob, verifyStatement    func(in, bundle, who string) result
	signImage, verifyImage         func(t *testing.T, image, who string) result
	attestImage, verifyAttestation func(t *testing.T, image, predicate, who string) result
}

// actors are bulla, cosign, sigstore-go and sigstore-js, each pointed at the instance by its TUF repository alone.
func actors(t *testing.T, in *instance) []actor {
	t.Helper()
	list := []actor{cosignLike(t, in, theWorld.bulla), cosignLike(t, in, theWorld.cosign)}
	for name, p := range in.peers(t) {
		var script []string
		if name == "sigstore-js" {
			file, err := filepath.Abs("js/peer.js")
			if err != nil {
				t.Fatal(err)
			}
			script = []string{file}
		}
		list = append(list, library(t, in, p, script))
	}
	return list
}

// cosignLike has the command lines that bulla and cosign share.
func cosignLike(t *testing.T, in *instance, program *program) actor {
	p := in.trusting(t, program)
	who := func(id string) []string {
		return []string{"--certificate-identity", id, "--certificate-oidc-issuer", in.Issuer}
	}
	run := func(parts ...[]string) result { return p.run(join(parts...)...) }
	return actor{
		name: program.name,
		signBlob: func(t *testing.T, artifact, _, out string) result {
			return p.run("sign-blob", "--yes", "--identity-token", in.token(t, identity), "--bundle", out, artifact)
		},
		signStatement: func(t *testing.T, _, statement, out string) result {
			return p.run("attest-blob", "--yes", "--identity-token", in.token(t, identity), "--statement", statement, "--bundle", out)
		},
		verifyBlob: func(artifact, bundle, id string) result {
			return run([]string{"verify-blob", "--bundle", bundle}, who(id), []string{artifact})
		},
		verifyStatement: func(artifact, bundle, id string) result {
			return run([]string{"verify-blob-attestation", "--bundle", bundle, "--type", predicateType}, who(id), []string{artifact})
		},
		signImage: func(t *testing.T, image, id string) result {
			return p.run("sign", "--yes", "--identity-token", in.token(t, id), image)
		},
		verifyImage: func(_ *testing.T, image, id string) result {
			return run([]string{"verify"}, who(id), []string{image})
		},
		attestImage: func(t *testing.T, image, predicate, id string) result {
			return p.run("attest", "--yes", "--identity-token", in.token(t, id), "--predicate", predicate, "--type", predicateType, image)
		},
		verifyAttestation: func(_ *testing.T, image, _, id string) result {
			return run([]string{"verify-attestation", "--type", predicateType}, who(id), []string{image})
		},
	}
}

// library is a peer without a registry of its own: it signs files and statements.
func library(t *testing.T, in *instance, p *program, script []string) actor {
	cache := t.TempDir()
	run := func(command string, parts ...string) result {
		return p.run(join(script, []string{command, "--mirror", in.Mirror, "--root", in.Root, "--cache", cache}, parts)...)
	}
	return actor{
		name: p.name,
		signBlob: func(t *testing.T, artifact, _, out string) result {
			return run("sign", "--token", in.token(t, identity), "--in", artifact, "--out", out)
		},
		signStatement: func(t *testing.T, _, statement, out string) result {
			return run("sign", "--token", in.token(t, identity), "--in", statement, "--type", "application/vnd.in-toto+json", "--out", out)
		},
		verifyBlob: func(artifact, bundle, id string) result {
			return run("verify", "--bundle", bundle, "--in", artifact, "--identity", id, "--issuer", in.Issuer)
		},
		verifyStatement: func(artifact, bundle, id string) result {
			args := []string{"--bundle", bundle, "--identity", id, "--issuer", in.Issuer}
			if p.name == "sigstore-go" { // sigstore-js compares no artifact with a statement
				args = append(args, "--in", artifact)
			}
			return run("verify", args...)
		},
	}
}

// TestKeylessFiles has everybody sign a file and a statement with an identity, and everybody verify it: unmodified
// cosign, sigstore-go and sigstore-js against our services and against each other and us.
func TestKeylessFiles(t *testing.T) {
	t.Parallel()
	in := sharedInstance(t)
	all := actors(t, in)
	dir := t.TempDir()
	artifact := filepath.Join(dir, "artifact.txt")
	other := filepath.Join(dir, "other.txt")
	content := []byte("what was shipped\n")
	sum := sha256.Sum256(content)
	statement := filepath.Join(dir, "statement.json")
	for file, text := range map[string]string{
		artifact: string(content), other: "what was slipped in\n",
		statement: fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"artifact.txt","digest":{"sha256":%q}}],"predicateType":%q,"predicate":{"built":true}}`, hex.EncodeToString(sum[:]), predicateType),
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, signer := range all {
		t.Run(signer.name, func(t *testing.T) {
			blob, attestation := filepath.Join(t.TempDir(), "blob.json"), filepath.Join(t.TempDir(), "statement.json")
			signer.signBlob(t, artifact, statement, blob).wantOK(t)
			signer.signStatement(t, artifact, statement, attestation).wantOK(t)
			for _, v := range all {
				t.Run("verified by "+v.name, func(t *testing.T) {
					v.verifyBlob(artifact, blob, identity).wantOK(t)
					v.verifyStatement(artifact, attestation, identity).wantOK(t)
					v.verifyBlob(other, blob, identity).wantRefused(t)
					v.verifyBlob(artifact, blob, "mallory@example.com").wantRefused(t)
					v.verifyStatement(artifact, attestation, "mallory@example.com").wantRefused(t)
				})
			}
		})
	}
}

// TestKeylessImages does the same with images in both kinds of registry, for the programs that know registries.
func TestKeylessImages(t *testing.T) {
	t.Parallel()
	in := sharedInstance(t)
	programs := []actor{cosignLike(t, in, theWorld.bulla), cosignLike(t, in, theWorld.cosign)}
	predicate := filepath.Join(t.TempDir(), "predicate.json")
	if err := os.WriteFile(predicate, []byte(`{"built":true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for kind, registry := range map[string]string{"fallback-tag": theWorld.fallback, "referrers-api": theWorld.referrers} {
		for _, signer := range programs {
			t.Run(kind+"/"+signer.name, func(t *testing.T) {
				repository := fmt.Sprintf("%s/keyless-%08x/app", registry, random32(t))
				image, other := push(t, repository+":v1"), push(t, repository+":v2")
				signer.signImage(t, image, identity).wantOK(t)
				signer.attestImage(t, image, predicate, identity).wantOK(t)
				for _, v := range programs {
					v.verifyImage(t, image, identity).wantOK(t)
					v.verifyAttestation(t, image, predicate, identity).wantOK(t)
					v.verifyImage(t, image, "mallory@example.com").wantRefused(t)
					v.verifyImage(t, other, identity).wantRefused(t)
					v.verifyAttestation(t, other, predicate, identity).wantRefused(t)
				}
			})
		}
	}
}
