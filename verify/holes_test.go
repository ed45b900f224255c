package verify_test

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
	"github.com/bulla-sign/bulla/verify/reason"
)

// TestUnlinkedAuthority trusts a root that was put together by hand, whose intermediate nobody has checked: only what the
// certificate at the top signed counts.
func TestUnlinkedAuthority(t *testing.T) {
	sc := newScene(t)
	p, stranger := newPKI(t, nil), newPKI(t, nil)
	chain := func(from *pki, roles ...string) trust.Authority {
		return trust.Authority{URI: "by hand", Chain: from.authority(t, trust.Window{}, roles...).Chain}
	}
	_, req := p.signed(t, sc, roleIntermediate)
	req.Root.CAs = []trust.Authority{chain(p, roleIntermediate, roleRoot)}
	accepted(t, req)

	_, req = stranger.signed(t, sc, roleIntermediate)
	mixed := chain(stranger, roleIntermediate)
	mixed.Chain = append(mixed.Chain, chain(p, roleRoot).Chain...)
	req.Root.CAs = []trust.Authority{mixed}
	refused(t, req, verify.CheckPath, reason.Certificate)

	_, req = p.signed(t, sc, roleIntermediate)
	req.Root.CAs = []trust.Authority{{URI: "empty"}}
	refused(t, req, verify.CheckPath, reason.NoTrust)
}

// TestOlderFormatsBringIntermediates: the chain annotation of cosign's layers was always used to find the way to a trusted
// root, and like every certificate of the evidence it proves nothing without one.
func TestOlderFormatsBringIntermediates(t *testing.T) {
	sc := newScene(t)
	p, stranger := newPKI(t, nil), newPKI(t, nil)
	e, req := p.signed(t, sc, roleSub, roleSub)
	e.bundle.Version, e.bundle.MediaType = bundle.Cosign, ""
	accepted(t, req)

	foreign, req := stranger.signed(t, sc, roleSub, roleSub, roleIntermediate)
	foreign.bundle.Version, foreign.bundle.MediaType = bundle.Cosign, ""
	req.Root.CAs = []trust.Authority{p.authority(t, trust.Window{}, roleIntermediate, roleRoot)}
	refused(t, req, verify.CheckPath, reason.Certificate)
}

// TestReasonsAreOneLine: what a reason repeats of the evidence cannot start a line or steer a terminal.
func TestReasonsAreOneLine(t *testing.T) {
	sc := newScene(t)
	e := makeEvidence(t, sc.w, world.Spec{Log: world.LogV1})
	e.bundle.Material.Entries[0].Kind = "x\n\x1b[2JVerified\u202e"
	r := refused(t, e.request(t, sc.root), verify.CheckLog, reason.LogEntry)
	if strings.ContainsAny(r.Reason, "\n\x1b\u202e") || !strings.Contains(r.Reason, `x\n\x1b[2JVerified\u202e`) {
		t.Errorf("reason %q", r.Reason)
	}
}

// TestEnvelopeStamped: cosign before 3.1 had attestations stamped as a whole. Of a Sigstore bundle only the signature may
// be, and no envelope may borrow another's timestamp.
func TestEnvelopeStamped(t *testing.T) {
	sc := newScene(t)
	make := func(v bundle.Version) (*evidence, *verify.Request) {
		e := makeEvidence(t, sc.w, world.Spec{Signer: world.Cert, Content: world.Statement, Version: v, Log: world.LogV1})
		if v == bundle.Cosign {
			e.bundle.Envelope.Raw = rawEnvelope(e.bundle.Envelope)
		}
		req := e.request(t, sc.root)
		req.Policy.Timestamps, req.Policy.SignedTimestampsOnly = 1, true
		return e, req
	}
	e, req := make(bundle.Cosign)
	raw := rawEnvelope(e.bundle.Envelope)
	e.bundle.Material.Timestamps = [][]byte{sc.w.Stamp(t, raw, e.spec.Time)}
	accepted(t, req)

	other, req := make(bundle.Cosign)
	other.bundle.Material.Timestamps = e.bundle.Material.Timestamps
	refused(t, req, verify.CheckTimestamp, reason.Timestamp)

	newer, req := make(bundle.V03)
	newer.bundle.Material.Timestamps = [][]byte{sc.w.Stamp(t, rawEnvelope(newer.bundle.Envelope), newer.spec.Time)}
	refused(t, req, verify.CheckTimestamp, reason.Timestamp)
}

// TestLeafUsage: what a signer's certificate says its key is for.
func TestLeafUsage(t *testing.T) {
	sc := newScene(t)
	for name, tt := range map[string]struct {
		edit func(c *x509.Certificate)
		ok   bool
	}{
		"as issued":         {func(*x509.Certificate) {}, true},
		"no usage":          {func(c *x509.Certificate) { c.KeyUsage = 0 }, true},
		"non-repudiation":   {func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageContentCommitment }, true},
		"encryption":        {func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }, false},
		"certificates":      {func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }, false},
		"an authority's":    {func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }, false},
		"another's purpose": {func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, req := newPKI(t, editing(roleLeaf, tt.edit)).signed(t, sc, roleIntermediate)
			if tt.ok {
				accepted(t, req)
			} else {
				refused(t, req, verify.CheckPath, reason.Certificate)
			}
		})
	}
}

// TestLogOfTheFuture: without any time, an entry of a log whose key is not valid yet is of no log.
func TestLogOfTheFuture(t *testing.T) {
	sc := newScene(t)
	e := makeEvidence(t, sc.w, world.Spec{Log: world.LogV2})
	req := e.request(t, sc.root)
	for i := range req.Root.Logs {
		req.Root.Logs[i].Window = trust.Window{Start: req.Now}
	}
	accepted(t, req)
	for i := range req.Root.Logs {
		req.Root.Logs[i].Window.Start = req.Now.Add(time.Second)
	}
	refused(t, req, verify.CheckLog, reason.LogEntry)
}
