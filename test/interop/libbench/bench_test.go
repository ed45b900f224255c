package libbench

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"testing"
	"time"

	sgbundle "github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	sgverify "github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
)

// The bundle: keyless, Rekor v2, one timestamp, one SCT, a message signature.
const (
	vector     = "rekor2-happy-path"
	identityOf = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
	issuerOf   = "https://token.actions.githubusercontent.com"
)

type files struct{ bundle, root, artifact []byte }

func load(b *testing.B) files {
	b.Helper()
	return files{
		bundle:   testenv.ReadVector(b, "conformance-public", vector, "bundle.sigstore.json"),
		root:     testenv.ReadVector(b, "conformance-public", vector, "trusted_root.json"),
		artifact: testenv.ReadVector(b, "conformance-public", "a.txt"),
	}
}

func must[T any](b *testing.B) func(v T, err error) T {
	return func(v T, err error) T {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
		return v
	}
}

func BenchmarkVerify(b *testing.B) {
	f := load(b)
	b.Run("sigstore-go", func(b *testing.B) {
		trusted := must[*root.TrustedRoot](b)(root.NewTrustedRootFromJSON(f.root))
		for b.Loop() {
			theirs(b, f, trusted)
		}
	})
	b.Run("sigstore-go-fresh-root", func(b *testing.B) {
		for b.Loop() {
			theirs(b, f, must[*root.TrustedRoot](b)(root.NewTrustedRootFromJSON(f.root)))
		}
	})
	policy := demand(b)
	b.Run("bulla", func(b *testing.B) {
		trusted := must[*trust.Root](b)(trust.DecodeRoot(f.root))
		for b.Loop() {
			ours(b, f, trusted, policy)
		}
	})
	b.Run("bulla-fresh-root", func(b *testing.B) {
		for b.Loop() {
			ours(b, f, must[*trust.Root](b)(trust.DecodeRoot(f.root)), policy)
		}
	})
	b.Run("raw-checks", func(b *testing.B) { rawChecks(b, f) })
}

func theirs(b *testing.B, f files, trusted *root.TrustedRoot) {
	var entity sgbundle.Bundle
	if err := json.Unmarshal(f.bundle, &entity); err != nil {
		b.Fatal(err)
	}
	verifier := must[*sgverify.Verifier](b)(sgverify.NewVerifier(trusted,
		sgverify.WithTransparencyLog(1), sgverify.WithObserverTimestamps(1), sgverify.WithSignedCertificateTimestamps(1)))
	id := must[sgverify.CertificateIdentity](b)(sgverify.NewShortCertificateIdentity(issuerOf, "", identityOf, ""))
	must[*sgverify.VerificationResult](b)(verifier.Verify(&entity,
		sgverify.NewPolicy(sgverify.WithArtifact(bytes.NewReader(f.artifact)), sgverify.WithCertificateIdentity(id))))
}

func demand(b *testing.B) verify.Policy {
	m := must[identity.Matcher](b)(identity.NewMatcher(identity.MatcherOptions{
		SAN: must[identity.Pattern](b)(identity.Exact(identityOf)), Issuer: must[identity.Pattern](b)(identity.Exact(issuerOf)),
	}))
	return verify.Policy{Identities: []identity.Matcher{m}, Claims: verify.Claims{Message: true}}
}

func ours(b *testing.B, f files, trusted *trust.Root, policy verify.Policy) {
	entity := must[*bundle.Bundle](b)(bundle.Decode(f.bundle))
	r := verify.Verify(&verify.Request{
		Candidates: []verify.Candidate{{Name: vector, Bundle: entity}},
		Artifact:   verify.Artifact{Name: "a.txt", Message: algorithm.Bytes(f.artifact)},
		Root:       trusted, Policy: policy, Now: time.Now(),
	})
	if !r.Verified {
		b.Fatalf("%s: %s", r.Code, r.Reason)
	}
}

// rawChecks is the floor: the five signature checks that depend on the bundle (artifact, leaf certificate, SCT,
// checkpoint, timestamp token), with keys of the same kinds and nothing around them.
func rawChecks(b *testing.B, f files) {
	trusted := must[*trust.Root](b)(trust.DecodeRoot(f.root))
	entity := must[*bundle.Bundle](b)(bundle.Decode(f.bundle))
	leaf := must[*identity.Certificate](b)(identity.ParseCertificate(entity.Material.Certificates[0]))
	keys := []crypto.PublicKey{leaf.X509.PublicKey}
	for _, ca := range trusted.CAs {
		if bytes.Equal(ca.Chain[0].RawSubject, leaf.X509.RawIssuer) {
			keys = append(keys, ca.Chain[0].PublicKey)
			break
		}
	}
	for _, sct := range must[[]identity.SCT](b)(leaf.EmbeddedSCTs()) {
		for _, log := range trusted.CTLogs {
			if bytes.Equal(log.ID, sct.LogID[:]) {
				keys = append(keys, log.Key)
			}
		}
	}
	for _, log := range trusted.Logs {
		if bytes.Equal(log.ID, entity.Material.Entries[0].LogID) {
			keys = append(keys, log.Key)
		}
	}
	keys = append(keys, trusted.TSAs[0].Chain[0].PublicKey)
	if len(keys) != 5 {
		b.Fatalf("%d keys take part, not 5", len(keys))
	}
	var checks []func() bool
	for _, key := range keys {
		checks = append(checks, checkLike(b, key))
	}
	for b.Loop() {
		for _, check := range checks {
			if !check() {
				b.Fatal("a signature does not verify")
			}
		}
	}
}

// checkLike returns one check of a signature made by a fresh key of the same kind.
func checkLike(b *testing.B, like crypto.PublicKey) func() bool {
	digest := sha256.Sum256([]byte(vector))
	switch like := like.(type) {
	case *ecdsa.PublicKey:
		key := must[*ecdsa.PrivateKey](b)(ecdsa.GenerateKey(like.Curve, rand.Reader))
		sig := must[[]byte](b)(ecdsa.SignASN1(rand.Reader, key, digest[:]))
		return func() bool { return ecdsa.VerifyASN1(&key.PublicKey, digest[:], sig) }
	case ed25519.PublicKey:
		pub, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		sig := ed25519.Sign(key, digest[:])
		return func() bool { return ed25519.Verify(pub, digest[:], sig) }
	case *rsa.PublicKey:
		key := must[*rsa.PrivateKey](b)(rsa.GenerateKey(rand.Reader, like.N.BitLen()))
		sig := must[[]byte](b)(rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:]))
		return func() bool { return rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], sig) == nil }
	}
	b.Fatalf("no check for a %T", like)
	return nil
}
