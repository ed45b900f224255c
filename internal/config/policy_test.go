package config_test

import (
	"crypto"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/config"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
)

func certificate(t *testing.T) *identity.Certificate {
	t.Helper()
	ca := mint.NewCA(t, mint.CAOptions{})
	der := ca.Issue(t, mint.LeafOptions{
		Public: mint.NewKey(t, algorithm.ECDSAP256SHA256).Public(), Issuer: "https://issuer.test",
		SANs:       []identity.SAN{{Kind: identity.Email, Value: "alice@bulla.test"}},
		Extensions: map[string]string{"githubWorkflowRef": "refs/heads/main"},
	})
	c, err := identity.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestIdentity(t *testing.T) {
	c := certificate(t)
	const alice, issuer = "alice@bulla.test", "https://issuer.test"
	for _, tt := range []struct {
		name  string
		who   config.Identity
		match bool
		note  bool
		err   string
	}{
		{name: "exact", who: config.Identity{Subject: alice, Issuer: issuer}, match: true},
		{name: "other name", who: config.Identity{Subject: "bob@bulla.test", Issuer: issuer}},
		{name: "part of a name", who: config.Identity{Subject: "alice", Issuer: issuer}},
		{name: "other issuer", who: config.Identity{Subject: alice, Issuer: "https://other.test"}},
		{name: "whole pattern", who: config.Identity{SubjectRegexp: `^alice@.*\.test$`, Issuer: issuer}, match: true},
		{name: "partial pattern", who: config.Identity{SubjectRegexp: "lice", Issuer: issuer}, match: true, note: true},
		{name: "pattern of another", who: config.Identity{SubjectRegexp: "^lice", Issuer: issuer}},
		{name: "issuer pattern", who: config.Identity{Subject: alice, IssuerRegexp: `^https://issuer\.test$`}, match: true},
		{name: "partial issuer pattern", who: config.Identity{Subject: alice, IssuerRegexp: `issuer`}, match: true, note: true},
		{name: "claim", who: config.Identity{Subject: alice, Issuer: issuer, Extensions: map[string]string{"githubWorkflowRef": "refs/heads/main", "githubWorkflowSha": ""}}, match: true},
		{name: "other claim", who: config.Identity{Subject: alice, Issuer: issuer, Extensions: map[string]string{"githubWorkflowRef": "refs/heads/x"}}},
		{name: "absent claim", who: config.Identity{Subject: alice, Issuer: issuer, Extensions: map[string]string{"githubWorkflowSha": "abc"}}},

		{name: "nothing", err: "--certificate-identity or --certificate-identity-regexp is required"},
		{name: "no name", who: config.Identity{Issuer: issuer}, err: "--certificate-identity or "},
		{name: "no issuer", who: config.Identity{Subject: alice}, err: "--certificate-oidc-issuer or "},
		{name: "two names", who: config.Identity{Subject: alice, SubjectRegexp: "a", Issuer: issuer}, err: "--certificate-identity and --certificate-identity-regexp exclude"},
		{name: "two issuers", who: config.Identity{Subject: alice, Issuer: issuer, IssuerRegexp: "a"}, err: "--certificate-oidc-issuer and --certificate-oidc-issuer-regexp exclude"},
		{name: "bad pattern", who: config.Identity{SubjectRegexp: "(", Issuer: issuer}, err: "--certificate-identity-regexp: "},
		{name: "bad issuer pattern", who: config.Identity{Subject: alice, IssuerRegexp: "("}, err: "--certificate-oidc-issuer-regexp: "},
		{name: "unknown claim", who: config.Identity{Subject: alice, Issuer: issuer, Extensions: map[string]string{"nosuch": "x"}}, err: "nosuch"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := tt.who.Matcher()
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := m.Match(c)
			if got.OK != tt.match || (len(got.Notes) > 0) != tt.note {
				t.Errorf("match %v with notes %q", got.OK, got.Notes)
			}
		})
	}
}

func TestIdentityGiven(t *testing.T) {
	for _, who := range []config.Identity{
		{Subject: "x"}, {SubjectRegexp: "x"}, {Issuer: "x"}, {IssuerRegexp: "x"}, {Extensions: map[string]string{"a": "", "b": "x"}},
	} {
		if !who.Given() {
			t.Errorf("%+v counts as not given", who)
		}
	}
	if (config.Identity{Extensions: map[string]string{"a": ""}}).Given() {
		t.Error("nothing counts as given")
	}
}

func TestHash(t *testing.T) {
	for name, want := range map[string]crypto.Hash{
		"sha224": crypto.SHA224, "sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512,
		"": 0, "sha1": 0, "md5": 0, "SHA256": 0, "sha3-256": 0,
	} {
		got, err := config.Hash(name)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
}
