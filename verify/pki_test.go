package verify_test

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
)

// The certificates of a pki. The root and the intermediate are trusted; sub comes with the bundle where it is used.
const (
	roleRoot         = "root"
	roleIntermediate = "intermediate"
	roleSub          = "sub"
	roleLeaf         = "leaf"
)

// pki is a certificate authority whose every certificate can be edited.
type pki struct {
	certs map[string]*x509.Certificate
	keys  map[string]crypto.Signer
	edit  func(role string, c *x509.Certificate)
}

func newPKI(t testing.TB, edit func(role string, c *x509.Certificate)) *pki {
	t.Helper()
	p := &pki{certs: map[string]*x509.Certificate{}, keys: map[string]crypto.Signer{}, edit: edit}
	p.issue(t, roleRoot, roleRoot)
	p.issue(t, roleIntermediate, roleRoot)
	p.issue(t, roleSub, roleIntermediate)
	return p
}

// issue makes the certificate of a role with a new key.
func (p *pki) issue(t testing.TB, role, issuer string) *x509.Certificate {
	t.Helper()
	p.keys[role] = mint.NewKey(t, algorithm.ECDSAP256SHA256)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: role},
		NotBefore: mint.Epoch.AddDate(-1, 0, 0), NotAfter: mint.Epoch.AddDate(1, 0, 0),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if role == roleLeaf {
		c.Subject, c.IsCA, c.KeyUsage = pkix.Name{}, false, x509.KeyUsageDigitalSignature
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
		c.EmailAddresses = []string{mint.Email}
	}
	if p.edit != nil {
		p.edit(role, c)
	}
	parent := p.certs[issuer]
	if role == roleRoot {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, p.keys[role].Public(), p.keys[issuer])
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	p.certs[role] = cert
	return cert
}

// authority is the pki as a trusted root names it.
func (p *pki) authority(t testing.TB, window trust.Window, roles ...string) trust.Authority {
	t.Helper()
	var pem []byte
	for _, role := range roles {
		pem = append(pem, mint.PEM(p.certs[role].Raw)...)
	}
	a, err := trust.NewCA(trust.AuthoritySpec{URI: "https://ca.test", ChainPEM: pem, Window: window})
	if err != nil {
		t.Fatal(err)
	}
	a.Window = window
	return a
}

// signed makes a blob signature by a leaf of the pki, without log and timestamp, and a request that demands neither. The
// certificates of the roles go with it.
func (p *pki) signed(t testing.TB, sc *scene, issuer string, with ...string) (*evidence, *verify.Request) {
	t.Helper()
	leaf := p.issue(t, roleLeaf, issuer)
	e := makeEvidence(t, sc.w, world.Spec{Key: p.keys[roleLeaf]})
	e.spec.Signer = world.Cert
	m := &e.bundle.Material
	m.KeyHint, m.Certificates = nil, [][]byte{leaf.Raw}
	for _, role := range with {
		m.Certificates, m.Chain = append(m.Certificates, p.certs[role].Raw), true
	}
	req := e.request(t, &trust.Root{Logs: sc.root.Logs, TSAs: sc.root.TSAs})
	req.Now = world.SigningTime
	req.Root.CAs = []trust.Authority{p.authority(t, trust.Window{}, roleIntermediate, roleRoot)}
	req.Policy.Identities, req.Policy.AnyIdentityUnsafe = nil, true
	req.Policy.IgnoreSCT, req.Policy.CurrentTime = true, true
	return e, req
}

// editing returns an edit for one role.
func editing(role string, f func(*x509.Certificate)) func(string, *x509.Certificate) {
	return func(r string, c *x509.Certificate) {
		if r == role {
			f(c)
		}
	}
}

func validity(from, to time.Time) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to }
}
