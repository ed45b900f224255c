package verify_test

import (
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
)

const (
	beacon       = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
	githubIssuer = "https://token.actions.githubusercontent.com"
)

// beaconPolicy demands the identity that signed most of the conformance suite's vectors.
func beaconPolicy(t testing.TB) verify.Policy {
	t.Helper()
	return verify.Policy{Identities: []identity.Matcher{exactly(t, beacon, githubIssuer)}, Claims: verify.Claims{Message: true, AnyPredicate: true}}
}

// BenchmarkVerify verifies a keyless Rekor v2 bundle: decoding included, the trusted root built before.
func BenchmarkVerify(b *testing.B) {
	data, rootData, artifact := benchInput(b)
	root, err := trust.DecodeRoot(rootData)
	if err != nil {
		b.Fatal(err)
	}
	benchmarkVerify(b, data, artifact, func() *trust.Root { return root })
}

// BenchmarkVerifyFreshRoot decodes the trusted root every time too.
func BenchmarkVerifyFreshRoot(b *testing.B) {
	data, rootData, artifact := benchInput(b)
	benchmarkVerify(b, data, artifact, func() *trust.Root {
		root, err := trust.DecodeRoot(rootData)
		if err != nil {
			b.Fatal(err)
		}
		return root
	})
}

func benchInput(b *testing.B) (data, root, artifact []byte) {
	return testenv.ReadVector(b, "conformance-public", "rekor2-happy-path", "bundle.sigstore.json"),
		testenv.ReadVector(b, "conformance-public", "rekor2-happy-path", "trusted_root.json"),
		testenv.ReadVector(b, "conformance-public", "a.txt")
}

func benchmarkVerify(b *testing.B, data, artifact []byte, root func() *trust.Root) {
	policy := beaconPolicy(b)
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	b.ReportAllocs()
	for b.Loop() {
		evidence, err := bundle.Decode(data)
		if err != nil {
			b.Fatal(err)
		}
		report := verify.Verify(&verify.Request{
			Candidates: []verify.Candidate{{Name: "bundle", Bundle: evidence}},
			Artifact:   verify.Artifact{Message: algorithm.Bytes(artifact)},
			Root:       root(), Policy: policy, Now: now,
		})
		if !report.Verified {
			b.Fatal(report.Reason)
		}
	}
}
