package client_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/client"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/services"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/sign"
)

func TestCertify(t *testing.T) {
	s := services.New(t)
	ca, err := client.NewCA(s.URL, options(t, s))
	if err != nil {
		t.Fatal(err)
	}
	for _, details := range []algorithm.Details{
		algorithm.ECDSAP256SHA256, algorithm.ECDSAP384SHA384, algorithm.ECDSAP521SHA512, algorithm.Ed25519, algorithm.RSAPKCS1v15x2048SHA256,
	} {
		key := signer(t, details)
		chain, err := ca.Certify(context.Background(), sign.Identity{Token: s.Token(nil), Challenge: s.Email}, key)
		if err != nil {
			t.Errorf("%s: %v", details, err)
			continue
		}
		spki, _ := x509.MarshalPKIXPublicKey(key.Public())
		if leaf, err := x509.ParseCertificate(chain[0]); err != nil || !bytes.Equal(leaf.RawSubjectPublicKeyInfo, spki) || len(chain) != 3 {
			t.Errorf("%s: a chain of %d, %v", details, len(chain), err)
		}
	}
	// A token without an e-mail address: the subject is signed.
	token := s.Token(services.Claims{"email": nil, "sub": "https://ci.example/job"})
	if _, err := ca.Certify(context.Background(), sign.Identity{Token: token, Challenge: "https://ci.example/job"}, signer(t, algorithm.ECDSAP256SHA256)); err != nil {
		t.Error(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, mint.NewKey(t, algorithm.ECDSAP256SHA256))
	if err != nil {
		t.Fatal(err)
	}
	id := sign.Identity{Token: s.Token(nil), Challenge: s.Email}
	if _, err := ca.CertifyRequest(context.Background(), id, csr); err != nil {
		t.Error(err)
	}
	csr[len(csr)-1] ^= 1
	if _, err := ca.CertifyRequest(context.Background(), id, csr); err == nil {
		t.Error("a request with a broken signature was sent")
	}
}

func TestCertifyRefused(t *testing.T) {
	s := services.New(t)
	other := services.New(t)
	other.Issuer = s.Issuer
	stranger := world.New(t)
	key := signer(t, algorithm.ECDSAP256SHA256)
	foreign := signer(t, algorithm.ECDSAP256SHA256)
	good := func() sign.Identity { return sign.Identity{Token: s.Token(nil), Challenge: s.Email} }
	pems := func(edit func(list []any) []any) func([]byte) []byte {
		return change(t, func(m map[string]any) {
			chain := m["signedCertificateEmbeddedSct"].(map[string]any)["chain"].(map[string]any)
			chain["certificates"] = edit(chain["certificates"].([]any))
		})
	}
	for _, c := range []struct {
		name string
		id   sign.Identity
		leaf func(*mint.LeafOptions)
		edit func([]byte) []byte
		want string
		kind error
	}{
		{name: "expired token", id: sign.Identity{Token: s.Token(services.Claims{"exp": 1}), Challenge: s.Email}, want: "the token has expired", kind: client.ErrRefused},
		{name: "other audience", id: sign.Identity{Token: s.Token(services.Claims{"aud": "x"}), Challenge: s.Email}, want: "for x", kind: client.ErrRefused},
		{name: "not a token", id: sign.Identity{Token: "x", Challenge: s.Email}, want: "the token has 1 parts", kind: client.ErrRefused},
		{name: "other challenge", id: sign.Identity{Token: s.Token(nil), Challenge: "mallory"}, want: "could not be verified", kind: client.ErrRefused},
		{name: "another's name", id: good(), leaf: func(l *mint.LeafOptions) {
			l.SANs = []identity.SAN{{Kind: identity.Email, Value: "mallory@bulla.test"}}
		}, want: "the certificate is for mallory@bulla.test, and the token for " + s.Email},
		{name: "another key", id: good(), leaf: func(l *mint.LeafOptions) { l.Public = foreign.Public() }, want: "for another key"},
		{name: "expired", id: good(), leaf: func(l *mint.LeafOptions) { l.NotBefore = time.Now().Add(-time.Hour) }, want: "is the clock right?"},
		{name: "not yet", id: good(), leaf: func(l *mint.LeafOptions) { l.NotBefore = time.Now().Add(time.Hour) }, want: "is the clock right?"},
		{name: "no SCT", id: good(), leaf: func(l *mint.LeafOptions) { l.CTLogs = nil }, want: "the certificate has no SCT"},
		{name: "foreign SCT", id: good(), leaf: func(l *mint.LeafOptions) { l.CTLogs = []*mint.CTLog{stranger.CTLog} }, want: "which the trusted root does not know"},
		{name: "broken SCT", id: good(), leaf: func(l *mint.LeafOptions) {
			l.EditSCTs = func(b []byte) []byte { b[len(b)-1] ^= 1; return b }
		}, want: "SCT"},
		{name: "SCT of another time", id: good(), leaf: func(l *mint.LeafOptions) { l.SCTTime = mint.Epoch.AddDate(-5, 0, 0) }, want: "when the key of the CT log"},
		{name: "not for signatures", id: good(), leaf: func(l *mint.LeafOptions) {
			l.Edit = func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }
		}, want: "not one for signatures"},
		{name: "not for code", id: good(), leaf: func(l *mint.LeafOptions) {
			l.Edit = func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
		}, want: "no authority of the trusted root issued"},
		{name: "an empty chain", id: good(), edit: pems(func([]any) []any { return nil }), want: "holds no certificate"},
		{name: "a chain of many", id: good(), edit: pems(func(l []any) []any {
			for range 10 {
				l = append(l, l[2])
			}
			return l
		}), want: "not a certificate"},
		{name: "chain that does not link", id: good(), edit: pems(func(l []any) []any { return []any{l[0], l[2]} }), want: "did not issue the one before it"},
		{name: "two in one", id: good(), edit: pems(func(l []any) []any { return []any{l[0].(string) + l[1].(string)} }), want: "not one PEM block"},
		{name: "no PEM", id: good(), edit: pems(func([]any) []any { return []any{"x"} }), want: "not one PEM block"},
		{name: "no certificate in it", id: good(), edit: pems(func([]any) []any {
			return []any{"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"}
		}), want: "certificate 0 of the answer"},
		{name: "detached SCT", id: good(), edit: change(t, func(m map[string]any) {
			c := m["signedCertificateEmbeddedSct"].(map[string]any)
			c["signedCertificateTimestamp"] = "e30="
			delete(m, "signedCertificateEmbeddedSct")
			m["signedCertificateDetachedSct"] = c
		}), want: "an authority must embed it"},
		{name: "detached, and empty", id: good(), edit: change(t, func(m map[string]any) {
			c := m["signedCertificateEmbeddedSct"].(map[string]any)
			c["signedCertificateTimestamp"] = ""
			delete(m, "signedCertificateEmbeddedSct")
			m["signedCertificateDetachedSct"] = c
		}), leaf: func(l *mint.LeafOptions) { l.CTLogs = nil }, want: "the certificate has no SCT"},
		{name: "both forms", id: good(), edit: change(t, func(m map[string]any) {
			m["signedCertificateDetachedSct"] = m["signedCertificateEmbeddedSct"]
		}), want: "not a certificate"},
	} {
		s.Leaf = c.leaf
		s.Heal()
		if c.edit != nil {
			s.Fail(services.Fault{Path: "/api/v2/signingCert", Edit: c.edit, Times: -1})
		}
		ca, err := client.NewCA(s.URL, options(t, s))
		if err != nil {
			t.Fatal(err)
		}
		if c.kind == nil {
			c.kind = client.ErrAnswer
		}
		if chain, err := ca.Certify(context.Background(), c.id, key); err == nil || chain != nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, c.kind) {
			t.Errorf("%s: got %v, want %q (%v)", c.name, err, c.want, c.kind)
		}
	}
	s.Leaf = nil
	s.Heal()
	// Under another root.
	o := options(t, s)
	o.Root = stranger.Root(t)
	ca, err := client.NewCA(s.URL, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Certify(context.Background(), good(), key); !errors.Is(err, client.ErrAnswer) || !strings.Contains(err.Error(), "no authority of the trusted root") {
		t.Errorf("another root: %v", err)
	}
	o.Root = nil
	if ca, err = client.NewCA(s.URL, o); err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Certify(context.Background(), good(), key); err != nil {
		t.Errorf("no root: %v", err)
	}
	// An authority without CT log, as a private one may be.
	o.Root = s.World.Root(t)
	o.Root.CTLogs = nil
	s.Leaf = func(l *mint.LeafOptions) { l.CTLogs = nil }
	if ca, err = client.NewCA(s.URL, o); err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Certify(context.Background(), good(), key); err != nil {
		t.Errorf("no CT log: %v", err)
	}
	if _, err := ca.Certify(context.Background(), sign.Identity{Token: s.Token(nil)}, key); err == nil || !strings.Contains(err.Error(), "names nobody") {
		t.Errorf("without a name: %v", err)
	}
}
