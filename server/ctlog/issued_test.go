package ctlog

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestIssued: of what an authority in this process submits the leaf's signature alone is not verified. Everything else is
// refused as it is for everybody, and where names are constrained nothing is left out.
func TestIssued(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	below := func(ca *authority, edit func(*x509.Certificate)) [][]byte {
		return ca.chain(ca.leaf(t, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{poison}
			if edit != nil {
				edit(c)
			}
		}))
	}
	forged := func(chain [][]byte) [][]byte { chain[0] = flip(chain[0], len(chain[0])-1); return chain }
	sub := func(edit func(*x509.Certificate)) *authority { return w.root.authority(t, "edited", edit) }
	permitted := w.root.authority(t, "permitted", func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedEmailAddresses = true, []string{"example.com"}
	}).authority(t, "below", nil)
	stranger := newRoot(t, "root").authority(t, "intermediate", nil)
	for name, tc := range map[string]struct {
		chain  [][]byte
		reason string
	}{
		"a certificate":         {w.ca.chain(w.ca.leaf(t, nil)), "no precertificate"},
		"unknown root":          {below(stranger, nil), "no accepted root"},
		"another's chain":       {append([][]byte{below(sub(nil), nil)[0]}, w.ca.chain(w.ca.cert)[1:]...), "another issuer"},
		"not for code signing":  {below(w.ca, func(c *x509.Certificate) { c.ExtKeyUsage = nil }), "code signing"},
		"an authority":          {below(w.ca, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), "authority's"},
		"expired":               {below(w.ca, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = present.Add(-time.Hour), present }), "expired"},
		"begins too late":       {below(w.ca, func(c *x509.Certificate) { c.NotBefore = present.Add(6 * time.Minute) }), "begins only"},
		"older than its issuer": {below(w.ca, func(c *x509.Certificate) { c.NotBefore = present.AddDate(-2, 0, 0) }), "not valid when"},
		"unknown critical": {below(w.ca, func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
		}), "critical extension 1.2.3"},
		"issuer may not issue":      {below(sub(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }), nil), "not for signing certificates"},
		"issuer for servers":        {below(sub(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), nil), "usage"},
		"issuer expired":            {below(sub(func(c *x509.Certificate) { c.NotAfter = present.Add(-time.Second) }), nil), "not valid when"},
		"names not permitted":       {below(sub(onlyOtherMail), nil), "not permitted"},
		"names not permitted above": {below(w.root.authority(t, "constrained", onlyOtherMail).authority(t, "below", nil), nil), "not permitted"},
		"forged, names constrained": {forged(below(permitted, nil)), "certificate 0"},
	} {
		var bad *refusal
		if _, _, err := s.AddIssued(t.Context(), tc.chain); !errors.As(err, &bad) || !strings.Contains(err.Error(), tc.reason) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, chain := range map[string][][]byte{"issued": below(w.ca, nil), "names permitted": below(permitted, nil)} {
		if sct, signed, err := s.AddIssued(t.Context(), chain); err != nil || len(sct) == 0 || len(signed) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := s.AddPreChain(t.Context(), forged(below(w.ca, nil))); err == nil {
		t.Error("a forged precertificate was taken from somebody")
	}
}
