package verify_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
	"github.com/bulla-sign/bulla/verify/reason"
)

// TestChainConstraints edits one certificate of a path at a time (RFC 5280 4.2.1 and 6.1). sub says that the leaf is issued
// by an intermediate that comes with the bundle.
func TestChainConstraints(t *testing.T) {
	sc := newScene(t)
	unknown := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}
	usage := func(u ...x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtKeyUsage = u }
	}
	depth := func(n int) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = n, n == 0 }
	}
	critical := func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, unknown) }
	emails := func(permitted, excluded []string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.PermittedDNSDomainsCritical, c.PermittedEmailAddresses, c.ExcludedEmailAddresses = true, permitted, excluded
		}
	}
	here, elsewhere := []string{"bulla.test"}, []string{"example.org"}
	tests := []struct {
		name, role string
		edit       func(*x509.Certificate)
		sub, ok    bool
	}{
		{"as it is", "", nil, false, true},
		{"as it is, with sub", "", nil, true, true},
		{"leaf for servers", roleLeaf, usage(x509.ExtKeyUsageServerAuth), false, false},
		{"leaf for timestamps", roleLeaf, usage(x509.ExtKeyUsageTimeStamping), false, false},
		{"leaf for servers and code", roleLeaf, usage(x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageCodeSigning), false, true},
		{"leaf for anything, by silence (4.2.1.12)", roleLeaf, usage(), false, true},
		{"sub for servers", roleSub, usage(x509.ExtKeyUsageServerAuth), true, false},
		{"intermediate for servers", roleIntermediate, usage(x509.ExtKeyUsageServerAuth), false, false},
		{"intermediate for code", roleIntermediate, usage(x509.ExtKeyUsageCodeSigning), false, true},
		{"intermediate for anything", roleIntermediate, usage(x509.ExtKeyUsageAny), false, true},
		{"root for servers", roleRoot, usage(x509.ExtKeyUsageServerAuth), false, false},
		{"root for servers, with sub", roleRoot, usage(x509.ExtKeyUsageServerAuth), true, false},
		{"root for code", roleRoot, usage(x509.ExtKeyUsageCodeSigning), false, true},
		{"intermediate may issue leaves", roleIntermediate, depth(0), false, true},
		{"intermediate may issue leaves only", roleIntermediate, depth(0), true, false},
		{"intermediate may have one below", roleIntermediate, depth(1), true, true},
		{"root may issue leaves only", roleRoot, depth(0), false, false},
		{"root may have one below", roleRoot, depth(1), false, true},
		{"root may have one below, has two", roleRoot, depth(1), true, false},
		{"root may have two below", roleRoot, depth(2), true, true},
		{"sub is no authority", roleSub, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, 0 }, true, false},
		{"sub may not sign certificates", roleSub, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }, true, false},
		{"leaf's unknown critical extension", roleLeaf, critical, false, false},
		{"sub's unknown critical extension", roleSub, critical, true, false},
		{"intermediate's unknown critical extension", roleIntermediate, critical, false, false},
		{"root's unknown critical extension", roleRoot, critical, false, false},
		{"intermediate permits the name", roleIntermediate, emails(here, nil), false, true},
		{"intermediate permits others", roleIntermediate, emails(elsewhere, nil), false, false},
		{"intermediate excludes the name", roleIntermediate, emails(nil, here), false, false},
		{"intermediate excludes others", roleIntermediate, emails(nil, elsewhere), false, true},
		{"root permits the name", roleRoot, emails(here, nil), false, true},
		{"root permits others", roleRoot, emails(elsewhere, nil), false, false},
		{"root excludes the name", roleRoot, emails(nil, here), false, false},
		{"root permits others, with sub", roleRoot, emails(elsewhere, nil), true, false},
		{"sub permits the name", roleSub, emails(here, nil), true, true},
		{"sub permits others", roleSub, emails(elsewhere, nil), true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPKI(t, editing(tt.role, tt.edit))
			issuer, with := roleIntermediate, []string(nil)
			if tt.sub {
				issuer, with = roleSub, []string{roleSub}
			}
			_, req := p.signed(t, sc, issuer, with...)
			req.Policy.AllowCertificateChain = tt.sub
			if tt.ok {
				accepted(t, req)
			} else {
				refused(t, req, verify.CheckPath, reason.Certificate)
			}
		})
	}
}

// TestBundleChain is about the certificates that come with a bundle beside the leaf.
func TestBundleChain(t *testing.T) {
	sc := newScene(t)
	p, stranger := newPKI(t, nil), newPKI(t, nil)
	chain := func(certs ...*x509.Certificate) (raw [][]byte) {
		for _, c := range certs {
			raw = append(raw, c.Raw)
		}
		return raw
	}
	trusted, sub := p.certs[roleIntermediate], p.certs[roleSub]
	tests := []struct {
		name   string
		issuer string
		with   [][]byte
		allow  bool
		v      bundle.Version
		check  verify.CheckName // empty: accepted
		code   reason.Code
	}{
		{"sub allowed", roleSub, chain(sub), true, bundle.V03, "", ""},
		{"sub not allowed", roleSub, chain(sub), false, bundle.V03, verify.CheckStructure, reason.Malformed},
		{"sub missing", roleSub, nil, true, bundle.V03, verify.CheckPath, reason.Certificate},
		{"sub ignored in v0.2", roleSub, chain(sub), false, bundle.V02, verify.CheckPath, reason.Certificate},
		{"sub and trusted intermediate", roleSub, chain(sub, trusted), true, bundle.V03, "", ""},
		{"sub behind another", roleSub, chain(stranger.certs[roleSub], sub), true, bundle.V03, "", ""},
		{"another's sub of the same name", roleSub, chain(stranger.certs[roleSub]), true, bundle.V03, verify.CheckPath, reason.Certificate},
		{"another's needless sub", roleIntermediate, chain(stranger.certs[roleSub]), true, bundle.V03, "", ""},
		{"trusted root", roleIntermediate, chain(trusted, p.certs[roleRoot]), true, bundle.V03, verify.CheckStructure, reason.Malformed},
		{"own root", roleIntermediate, chain(stranger.certs[roleRoot]), true, bundle.V03, verify.CheckStructure, reason.Malformed},
		{"root last in v0.2", roleIntermediate, chain(trusted, p.certs[roleRoot]), false, bundle.V02, "", ""},
		{"not a certificate", roleIntermediate, [][]byte{{0x30, 0}}, true, bundle.V03, verify.CheckStructure, reason.Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, req := p.signed(t, sc, tt.issuer)
			e.bundle.Version = tt.v
			e.bundle.Material.Certificates = append(e.bundle.Material.Certificates, tt.with...)
			e.bundle.Material.Chain = len(tt.with) > 0
			req.Policy.AllowCertificateChain = tt.allow
			if tt.check == "" {
				accepted(t, req)
			} else {
				refused(t, req, tt.check, tt.code)
			}
		})
	}
	t.Run("a stranger's whole chain", func(t *testing.T) {
		_, req := p.signed(t, sc, roleIntermediate)
		_, foreign := stranger.signed(t, sc, roleSub, roleSub)
		foreign.Root, foreign.Policy.AllowCertificateChain = req.Root, true
		refused(t, foreign, verify.CheckPath, reason.Certificate)
		foreign.Candidates[0].Bundle.Material.Certificates = append(foreign.Candidates[0].Bundle.Material.Certificates, stranger.certs[roleIntermediate].Raw)
		refused(t, foreign, verify.CheckPath, reason.Certificate)
	})
}

// TestAuthoritySigns presents an authority's own certificate as the signer's: a path of one certificate.
func TestAuthoritySigns(t *testing.T) {
	sc := newScene(t)
	p := newPKI(t, nil)
	for _, tt := range []struct {
		role  string
		chain []string // trusted
		with  []string // in the bundle
	}{
		{roleRoot, []string{roleRoot}, nil},
		{roleIntermediate, []string{roleIntermediate, roleRoot}, []string{roleSub}},
		{roleIntermediate, []string{roleIntermediate}, []string{roleSub}},
	} {
		_, req := p.signed(t, sc, roleIntermediate)
		e := makeEvidence(t, sc.w, world.Spec{Key: p.keys[tt.role]})
		m := &e.bundle.Material
		m.KeyHint, m.Certificates = nil, [][]byte{p.certs[tt.role].Raw}
		for _, role := range tt.with {
			m.Certificates, m.Chain = append(m.Certificates, p.certs[role].Raw), true
		}
		req.Candidates[0].Bundle, req.Policy.AllowCertificateChain = e.bundle, true
		req.Root.CAs = []trust.Authority{p.authority(t, trust.Window{}, tt.chain...)}
		refused(t, req, verify.CheckPath, reason.Certificate)
	}
}
