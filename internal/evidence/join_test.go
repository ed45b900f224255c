package evidence

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/world"
)

// TestJoinCertificateWithChain gives an older signature a certificate file in which the chain follows.
func TestJoinCertificateWithChain(t *testing.T) {
	w := world.New(t)
	b, _, _ := w.Bundle(t, world.Spec{Signer: world.Cert, Content: world.SimpleSigning})
	name := filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(name, mint.PEM(b.Material.Certificates[0], w.CA.Intermediate.Raw), 0o600); err != nil {
		t.Fatal(err)
	}
	beside, err := Files{Certificate: name}.Beside(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.Material.Certificates, b.Material.NoKey = nil, true
	joined, err := beside.Join(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := joined.Validate(bundle.ValidateOptions{}); err != nil || len(joined.Material.Certificates) != 2 {
		t.Errorf("%d certificates, %v", len(joined.Material.Certificates), err)
	}
}
