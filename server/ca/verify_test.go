package ca_test

import (
	"crypto/elliptic"
	"net/http"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/server/ca/issuerconfig"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
)

// TestVerify signs with an issued certificate and verifies the bundle, by a trusted root that was made of the chain that
// the service publishes. It does so for a name of each kind.
func TestVerify(t *testing.T) {
	for name, c := range map[string]struct {
		issuer  issuerconfig.Issuer
		subject string
		san     string
	}{
		"email":    {emailIssuer(), "1", email},
		"uri":      {issuerconfig.Issuer{URL: issuerURL, ClientID: "sigstore", Type: issuerconfig.URI, SubjectDomain: "https://users.bulla.test"}, "https://users.bulla.test/7", "https://users.bulla.test/7"},
		"spiffe":   {issuerconfig.Issuer{URL: issuerURL, ClientID: "sigstore", Type: issuerconfig.SPIFFE, TrustDomain: "bulla.test"}, "spiffe://bulla.test/ci", "spiffe://bulla.test/ci"},
		"username": {issuerconfig.Issuer{URL: issuerURL, ClientID: "sigstore", Type: issuerconfig.Username, SubjectDomain: "bulla.test"}, "alice", "alice!bulla.test"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil, c.issuer)
			key := newKey(t, elliptic.P256())
			raw := w.idp.token(t, claims(map[string]any{"sub": c.subject}))
			leaf := chainOf(t, do(t, w, http.MethodPost, v2, body(t, raw, key, c.subject), nil))[0]
			message := []byte("an artifact")
			digest := mint.Sum(5, message) // crypto.SHA256
			b := &bundle.Bundle{
				MediaType: bundle.MediaType, Version: bundle.V03, Material: bundle.Material{Certificates: [][]byte{leaf.Raw}},
				Message: &bundle.MessageSignature{Hash: 5, Digest: digest, Signature: sign(t, key, string(message))},
			}
			for identityWanted, verified := range map[string]bool{c.san: true, "somebody@else.test": false} {
				report := verify.Verify(&verify.Request{
					Candidates: []verify.Candidate{{Name: "bundle", Bundle: b}},
					Artifact:   verify.Artifact{Name: "artifact", Message: algorithm.Bytes(message)},
					Root:       w.trustRoot(t), Now: now.Add(time.Minute),
					Policy: verify.Policy{
						Identities: []identity.Matcher{matcher(t, identityWanted)}, IgnoreLog: true, CurrentTime: true,
						Claims: verify.Claims{Message: true},
					},
				})
				if report.Verified != verified {
					t.Fatalf("for %s: %t, %s %+v", identityWanted, report.Verified, report.Reason, report.Candidates)
				}
			}
		})
	}
}

func matcher(t testing.TB, san string) identity.Matcher {
	t.Helper()
	name, err := identity.Exact(san)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := identity.Exact(issuerURL)
	if err != nil {
		t.Fatal(err)
	}
	m, err := identity.NewMatcher(identity.MatcherOptions{SAN: name, Issuer: issuer})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// trustRoot is what a client trusts, made of what the service answers.
func (w *world) trustRoot(t testing.TB) *trust.Root {
	t.Helper()
	rw := do(t, w, http.MethodGet, "/api/v1/rootCert", nil, nil)
	authority, err := trust.NewCA(trust.AuthoritySpec{URI: "https://ca.bulla.test", ChainPEM: rw.Body.Bytes()})
	if err != nil {
		t.Fatal(err)
	}
	log, err := trust.NewCTLog(trust.LogSpec{
		URL: "https://ct.bulla.test", Key: w.log.log.Key.Public(), Window: trust.Window{Start: mint.Epoch.AddDate(-1, 0, 0)},
	})
	if err != nil {
		t.Fatal(err)
	}
	root, err := trust.NewRoot(trust.Root{CAs: []trust.Authority{authority}, CTLogs: []trust.Log{log}})
	if err != nil {
		t.Fatal(err)
	}
	return root
}
