package differential

import (
	"bytes"
	"crypto"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
)

// oracle is sigstore-go's verifier with a policy equal to bulla's: one SCT and one log entry; for a certificate one
// verified time from a log or a timestamp authority, for a key none.
type oracle struct {
	roots map[string]*root.TrustedRoot
}

func newOracle() *oracle { return &oracle{roots: map[string]*root.TrustedRoot{}} }

// verdict is what a verifier says of a bundle.
type verdict struct {
	accepted bool
	code     string // bulla's stable code of a refusal
	why      string // the reason of a refusal
}

// load reads the vector's trusted root once, before verdicts are asked for concurrently.
func (o *oracle) load(t testing.TB, v *vector) {
	t.Helper()
	if o.roots[v.root] != nil {
		return
	}
	r, err := root.NewTrustedRootFromPath(v.root)
	if err != nil {
		t.Fatalf("sigstore-go reads %s: %v", v.root, err)
	}
	o.roots[v.root] = r
}

// judge says what sigstore-go makes of a bundle in the place of the vector's own. A panic is a refusal.
func (o *oracle) judge(v *vector, data []byte) (out verdict) {
	defer func() {
		if p := recover(); p != nil {
			out = verdict{why: fmt.Sprintf("panic: %v", p)}
		}
	}()
	if err := o.verify(v, data); err != nil {
		return verdict{why: err.Error()}
	}
	return verdict{accepted: true}
}

func (o *oracle) verify(v *vector, data []byte) error {
	var b bundle.Bundle
	if err := json.Unmarshal(data, &b); err != nil {
		return fmt.Errorf("decoding: %w", err)
	}
	material := root.TrustedMaterialCollection{o.roots[v.root]}
	options := []verify.VerifierOption{verify.WithTransparencyLog(1)}
	var who verify.PolicyOption
	if v.key != nil {
		keys, err := keyMaterial(v.key)
		if err != nil {
			return err
		}
		material = append(material, keys)
		options = append(options, verify.WithNoObserverTimestamps())
		who = verify.WithKey()
	} else {
		id, err := verify.NewShortCertificateIdentity(v.issuer, "", v.identity, "")
		if err != nil {
			return err
		}
		options = append(options, verify.WithObserverTimestamps(1), verify.WithSignedCertificateTimestamps(1))
		who = verify.WithCertificateIdentity(id)
	}
	verifier, err := verify.NewVerifier(material, options...)
	if err != nil {
		return err
	}
	artifact := verify.WithArtifactDigest("sha256", v.digest)
	if v.artifact != nil {
		artifact = verify.WithArtifact(bytes.NewReader(v.artifact))
	}
	_, err = verifier.Verify(&b, verify.NewPolicy(artifact, who))
	return err
}

// keyMaterial trusts one key at all times, whatever hint the bundle gives.
func keyMaterial(pem []byte) (root.TrustedMaterial, error) {
	pub, err := cryptoutils.UnmarshalPEMToPublicKey(pem)
	if err != nil {
		return nil, err
	}
	verifier, err := signature.LoadVerifier(pub, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
		return &timeless{verifier}, nil
	}), nil
}

// timeless is a key without a validity window.
type timeless struct{ signature.Verifier }

// ValidAtTime says yes to every time.
func (*timeless) ValidAtTime(time.Time) bool { return true }
