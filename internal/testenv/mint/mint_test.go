package mint

import (
	"bytes"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/tlog"
)

var signingTime = Epoch.Add(time.Minute)

// TestIssue reads certificates of all shapes back and verifies chain and SCTs with the code that users get.
func TestIssue(t *testing.T) {
	rsaLog := NewCTLog(t, NewKey(t, algorithm.RSAPKCS1v15x2048SHA256))
	sans := []identity.SAN{
		{Kind: identity.Email, Value: "a@b"},
		{Kind: identity.URI, Value: "https://github.com/a/b"},
		{Kind: identity.DNS, Value: "b.test"},
		{Kind: identity.IP, Value: "192.0.2.7"},
		{Kind: identity.OtherName, Value: "a!b.test"},
	}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
		ca := NewCA(t, CAOptions{Curve: curve})
		logs := []*CTLog{NewCTLog(t, nil), rsaLog}
		for name, opts := range map[string]LeafOptions{
			"usual":       {CTLogs: logs[:1]},
			"two logs":    {CTLogs: logs, SCTTime: Epoch.Add(time.Second)},
			"otherName":   {CTLogs: logs[:1], SANs: sans[4:]},
			"all names":   {CTLogs: logs[1:], SANs: sans},
			"no names":    {CTLogs: logs[:1], SANs: []identity.SAN{}},
			"no SCT":      {},
			"claims":      {CTLogs: logs[:1], Extensions: map[string]string{"buildTrigger": "push", "githubWorkflowRef": "refs/heads/main"}},
			"no issuer":   {Issuer: "-"},
			"more":        {CTLogs: logs[:1], Extra: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}}},
			"another key": {CTLogs: logs[:1], Public: NewKey(t, algorithm.Ed25519).Public()},
		} {
			if opts.Public == nil {
				opts.Public = newECDSA(t, elliptic.P256()).Public()
			}
			t.Run(name, func(t *testing.T) { checkLeaf(t, ca, opts) })
		}
	}
}

func checkLeaf(t *testing.T, ca *CA, opts LeafOptions) {
	c, err := identity.ParseCertificate(ca.Issue(t, opts))
	if err != nil {
		t.Fatal(err)
	}
	roots, middle := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(ca.Root)
	middle.AddCert(ca.Intermediate)
	if _, err := c.ForChain().Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: middle, CurrentTime: signingTime, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}); err != nil {
		t.Error(err)
	}
	scts, err := c.EmbeddedSCTs()
	if err != nil || len(scts) != len(opts.CTLogs) {
		t.Fatalf("%d SCTs, %v", len(scts), err)
	}
	for i, sct := range scts {
		when, err := c.VerifyEmbeddedSCT(sct, ca.Intermediate, opts.CTLogs[i].Key.Public())
		if err != nil {
			t.Error(err)
		}
		if want := opts.SCTTime; !want.IsZero() && !when.Equal(want) {
			t.Errorf("SCT of %v, want %v", when, want)
		}
		if _, err := c.VerifyEmbeddedSCT(sct, ca.Root, opts.CTLogs[i].Key.Public()); err == nil {
			t.Error("an SCT verified with another issuer")
		}
		if len(sct.Extensions) != 8 {
			t.Errorf("SCT extensions %x", sct.Extensions)
		}
	}
	if opts.SANs != nil && !slices.Equal(c.SANs, opts.SANs) {
		t.Errorf("names %v, want %v", c.SANs, opts.SANs)
	}
	for name, value := range opts.Extensions {
		if c.Extensions[name] != value {
			t.Errorf("%s = %q, want %q", name, c.Extensions[name], value)
		}
	}
	if want := map[string]string{"": Issuer, "-": ""}[opts.Issuer]; c.Issuer != want {
		t.Errorf("issuer %q, want %q", c.Issuer, want)
	}
}

func TestEditSCTs(t *testing.T) {
	ca, log := NewCA(t, CAOptions{}), NewCTLog(t, nil)
	der := ca.Issue(t, LeafOptions{
		Public: newECDSA(t, elliptic.P256()).Public(), CTLogs: []*CTLog{log},
		EditSCTs: func(list []byte) []byte { list[len(list)-1] ^= 1; return list },
	})
	c, err := identity.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	scts, err := c.EmbeddedSCTs()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.VerifyEmbeddedSCT(scts[0], ca.Intermediate, log.Key.Public()); err == nil {
		t.Error("a changed SCT verified")
	}
}

func TestDetachedSCT(t *testing.T) {
	ca, log := NewCA(t, CAOptions{}), NewCTLog(t, nil)
	der := ca.Issue(t, LeafOptions{Public: newECDSA(t, elliptic.P256()).Public()})
	c, err := identity.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range [][]byte{log.Detached(t, der, signingTime), log.SignCertificate(t, der, signingTime)} {
		sct, err := identity.ParseSCT(raw)
		if err != nil {
			t.Fatal(err)
		}
		when, err := c.VerifyDetachedSCT(sct, log.Key.Public())
		if err != nil || !when.Equal(signingTime) {
			t.Errorf("%v, %v", when, err)
		}
		if _, err := c.VerifyEmbeddedSCT(sct, ca.Intermediate, log.Key.Public()); err == nil {
			t.Error("a detached SCT verified as an embedded one")
		}
	}
}

// TestLogs adds entries of every kind to both logs and verifies what comes back.
func TestLogs(t *testing.T) {
	key := newECDSA(t, elliptic.P256())
	signed := Signed{
		Message: []byte("payload"), PayloadType: "application/vnd.in-toto+json", Public: key.Public(), Details: algorithm.ECDSAP256SHA256,
	}
	signed.Signature = Sign(t, key, signed.Details, signed.Bytes())
	v1 := NewLogV1(t, LogOptions{})
	v2 := NewLogV2(t, LogOptions{Witnesses: 2})
	ecdsaV2 := NewLogV2(t, LogOptions{Key: newECDSA(t, elliptic.P256())})
	for _, tt := range []struct {
		log  *Log
		kind string
	}{
		{v1, HashedRekordV1},
		{v1, RekordV1},
		{v1, DSSEV1},
		{v1, IntotoV1},
		{v1, IntotoV2},
		{v2, HashedRekordV2},
		{v2, DSSEV2},
		{ecdsaV2, HashedRekordV2},
	} {
		e := tt.log.Add(t, tt.kind, Body(t, tt.kind, signed), signingTime)
		checkEntry(t, tt.log, &e)
		body, err := tlog.ParseBody(e.Body)
		if err != nil {
			t.Errorf("%s: %v\n%s", tt.kind, err, e.Body)
			continue
		}
		if body.Kind+"/"+body.Version != tt.kind || len(body.Signatures) != 1 {
			t.Errorf("%s: %+v", tt.kind, body)
		}
		if sig := body.Signatures[0]; tt.kind != IntotoV1 && !bytes.Equal(sig.Signature, signed.Signature) ||
			!bytes.Equal(sig.PublicKey, SPKI(t, key.Public())) {
			t.Errorf("%s: signature %+v", tt.kind, sig)
		}
	}
	c, err := tlog.ParseCheckpoint(v2.Checkpoint(t, signingTime))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range v2.Witnesses {
		if when, err := c.VerifyCosignature(w.Name, w.Key.Public().(ed25519.PublicKey)); err != nil || when != signingTime.Unix() {
			t.Errorf("witness %s: %d, %v", w.Name, when, err)
		}
	}
}

func checkEntry(t *testing.T, log *Log, e *tlog.Entry) {
	t.Helper()
	pub := log.Key.Public()
	c, err := tlog.ParseCheckpoint(e.Proof.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.VerifySignature(log.Host, e.LogID, pub); err != nil {
		t.Errorf("%s: checkpoint: %v", e.Kind, err)
	}
	if tlog.IsV1Origin(c.Origin) == log.v2 || c.Origin != log.Origin() {
		t.Errorf("origin %q", c.Origin)
	}
	if err := c.VerifyHead(e.Proof.TreeSize, e.Proof.RootHash); err != nil {
		t.Errorf("%s: %v", e.Kind, err)
	}
	if err := tlog.VerifyInclusion(e.Proof.LogIndex, e.Proof.TreeSize, tlog.LeafHash(e.Body), [32]byte(e.Proof.RootHash), e.Proof.Hashes); err != nil {
		t.Errorf("%s: %v", e.Kind, err)
	}
	want, err := tlog.KeyIDv2(log.Host, pub)
	if err != nil || !bytes.Equal(want, e.LogID) {
		t.Errorf("log ID %x, want %x, %v", e.LogID, want, err)
	}
	if log.v2 {
		if e.Promise != nil || e.IntegratedTime != 0 {
			t.Error("Rekor v2 states no time")
		}
		return
	}
	if err := tlog.VerifySET(e, pub); err != nil {
		t.Errorf("%s: %v", e.Kind, err)
	}
}
