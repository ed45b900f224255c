package interop

import (
	"crypto"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/services"
	"github.com/bulla-sign/bulla/trust"
)

// TestFormatBoth signs once with --format=both and has bulla and cosign verify each of the two forms: cosign is told which
// one to look for.
func TestFormatBoth(t *testing.T) {
	t.Parallel()
	s := services.New(t)
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	root, token := file("root.json", s.World.RootJSON(t)), file("token.jwt", []byte(s.Token(nil)))
	config := file("signing-config.json", version1(t, s))
	artifact, other := file("artifact.txt", []byte("what was shipped\n")), file("other.txt", []byte("what was slipped in\n"))
	predicate := []string{"--predicate", file("predicate.json", []byte(`{"built":true}`)), "--type", predicateType}
	with := []string{"--yes", "--format=both", "--signing-config", config, "--trusted-root", root, "--identity-token", token}
	who := []string{"--trusted-root", root, "--certificate-identity", s.Email, "--certificate-oidc-issuer", s.Issuer}
	mallory := []string{"--trusted-root", root, "--certificate-identity", "mallory@example.com", "--certificate-oidc-issuer", s.Issuer}
	typed := []string{"--type", predicateType}
	// cosign takes a trusted root for files in bundles only; for the others its parts, from the environment.
	older := theWorld.cosign.with("SIGSTORE_ROOT_FILE="+file("ca.pem", chainPEM(s)),
		"SIGSTORE_REKOR_PUBLIC_KEY="+file("log.pem", keyPEM(t, s.World.V1.Key.Public())),
		"SIGSTORE_CT_LOG_PUBLIC_KEY_FILE="+file("ct.pem", keyPEM(t, s.World.CTLog.Key.Public())))
	forms := map[string]string{"bundle": "--new-bundle-format=true", "legacy": "--new-bundle-format=false"}
	verifiers := []*program{theWorld.bulla, theWorld.cosign}

	t.Run("files", func(t *testing.T) {
		blob, statement := filepath.Join(dir, "blob.sigstore.json"), filepath.Join(dir, "statement.sigstore.json")
		theWorld.bulla.run(join([]string{"sign-blob", "--bundle", blob}, with, []string{artifact})...).wantOK(t)
		theWorld.bulla.run(join([]string{"attest-blob", "--bundle", statement}, predicate, with, []string{artifact})...).wantOK(t)
		written := map[string][2]string{
			"bundle": {blob, statement}, "legacy": {filepath.Join(dir, "blob.bundle"), filepath.Join(dir, "statement.bundle")},
		}
		for form, flag := range forms {
			for _, v := range verifiers {
				who, mallory := who, mallory
				if form == "legacy" && v == theWorld.cosign {
					v, who, mallory = older, who[2:], mallory[2:]
				}
				signature, attestation := []string{"verify-blob", flag, "--bundle", written[form][0]}, join([]string{"verify-blob-attestation", flag, "--bundle", written[form][1]}, typed)
				v.run(join(signature, who, []string{artifact})...).wantOK(t)
				v.run(join(attestation, who, []string{artifact})...).wantOK(t)
				v.run(join(signature, who, []string{other})...).wantRefused(t)
				v.run(join(attestation, who, []string{other})...).wantRefused(t)
				v.run(join(signature, mallory, []string{artifact})...).wantRefused(t)
				v.run(join(attestation, mallory, []string{artifact})...).wantRefused(t)
			}
		}
	})
	for kind, registry := range map[string]string{"fallback-tag": theWorld.fallback, "referrers-api": theWorld.referrers} {
		t.Run("images/"+kind, func(t *testing.T) {
			repository := fmt.Sprintf("%s/both-%08x/app", registry, random32(t))
			image, unsigned := push(t, repository+":v1"), push(t, repository+":v2")
			theWorld.bulla.run(join([]string{"sign"}, with, []string{image})...).wantOK(t)
			theWorld.bulla.run(join([]string{"attest"}, predicate, with, []string{image})...).wantOK(t)
			for _, flag := range forms {
				for _, v := range verifiers {
					v.run(join([]string{"verify", flag}, who, []string{image})...).wantOK(t)
					v.run(join([]string{"verify-attestation", flag}, typed, who, []string{image})...).wantOK(t)
					v.run(join([]string{"verify", flag}, mallory, []string{image})...).wantRefused(t)
					v.run(join([]string{"verify-attestation", flag}, typed, mallory, []string{image})...).wantRefused(t)
					v.run(join([]string{"verify", flag}, who, []string{unsigned})...).wantRefused(t)
				}
			}
		})
	}
}

func keyPEM(t *testing.T, key crypto.PublicKey) []byte {
	t.Helper()
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: mint.SPKI(t, key)})
}

func chainPEM(s *services.Services) []byte {
	return append(mint.PEM(s.World.CA.Intermediate.Raw), mint.PEM(s.World.CA.Root.Raw)...)
}

// version1 is a signing config with a log of version 1, whose entries the older formats have a place for.
func version1(t *testing.T, s *services.Services) []byte {
	t.Helper()
	at := func(url string) []trust.Service {
		return []trust.Service{{URL: url, MajorAPIVersion: 1, Operator: "test", Window: trust.Window{Start: time.Unix(0, 0).UTC()}}}
	}
	any := trust.Selection{Selector: trust.SelectAny}
	config, err := trust.NewSigningConfig(trust.SigningConfig{
		CAs: at(s.URL), OIDC: at(s.Issuer), Logs: at(s.URL), LogConfig: any, TSAs: at(s.TSA), TSAConfig: any,
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := config.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}
