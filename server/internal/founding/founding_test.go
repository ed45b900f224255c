package founding_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/server/internal/founding"
	"github.com/bulla-sign/bulla/server/internal/keyring"
	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/trust"
)

var now = time.Date(2026, 11, 25, 9, 30, 0, 0, time.UTC)

func found(t *testing.T, address string) (*founding.Founder, *state.History) {
	t.Helper()
	f := &founding.Founder{Ring: keyring.Memory(), Now: func() time.Time { return now }}
	h, err := f.Found(context.Background(), "example", address)
	if err != nil {
		t.Fatal(err)
	}
	return f, h
}

// The golden configuration: what every client of Sigstore understands.
func TestTrust(t *testing.T) {
	_, h := found(t, "https://sigstore.example.com")
	root, err := h.TrustedRoot()
	if err != nil {
		t.Fatal(err)
	}
	if len(root.CAs) != 1 || len(root.TSAs) != 1 || len(root.Logs) != 1 || len(root.CTLogs) != 1 {
		t.Fatalf("%d CAs, %d TSAs, %d logs, %d CT logs", len(root.CAs), len(root.TSAs), len(root.Logs), len(root.CTLogs))
	}
	ca, tsa, log, ct := root.CAs[0], root.TSAs[0], root.Logs[0], root.CTLogs[0]
	if len(ca.Chain) != 2 || !isCurve(ca.Chain[0].PublicKey, elliptic.P256()) || !isCurve(ca.Chain[1].PublicKey, elliptic.P384()) {
		t.Errorf("the authority's chain is not a P-256 intermediate and a P-384 root")
	}
	if len(tsa.Chain) != 2 || tsa.Chain[0].IsCA || tsa.URI != "https://sigstore.example.com/api/v1/timestamp" {
		t.Errorf("the timestamp authority's chain of %d at %s is not leaf and root at the full endpoint", len(tsa.Chain), tsa.URI)
	}
	if _, ok := log.Key.(ed25519.PublicKey); !ok || log.Name() != "sigstore.example.com" || string(log.ID) != string(log.CheckpointID) || len(log.ID) != 32 {
		t.Errorf("the log %T %q %x %x has no Ed25519 key, or its two IDs differ", log.Key, log.Name(), log.ID, log.CheckpointID)
	}
	if !isCurve(ct.Key, elliptic.P256()) || ct.BaseURL != "https://sigstore.example.com/ct/2026-1" {
		t.Errorf("the CT log %s has no P-256 key", ct.BaseURL)
	}
	for what, w := range map[string]trust.Window{"ca": ca.Window, "tsa": tsa.Window, "log": log.Window, "ctlog": ct.Window} {
		if now.Sub(w.Start) < time.Minute || !w.End.IsZero() {
			t.Errorf("%s: the window %v does not start a minute ago, or ends", what, w)
		}
	}
	if key, err := h.Active(state.Issuer).PublicKey(); err != nil || key.(*rsa.PublicKey).N.BitLen() != 2048 {
		t.Errorf("the issuer's key is %T: %v", key, err)
	}
	encoded, err := root.Encode()
	if err != nil || strings.Contains(string(encoded), "operator") {
		t.Errorf("the trusted root names an operator: %v\n%s", err, encoded)
	}
}

func isCurve(key any, curve elliptic.Curve) bool {
	k, ok := key.(*ecdsa.PublicKey)
	return ok && k.Curve == curve
}

func TestSigningConfig(t *testing.T) {
	_, h := found(t, "http://localhost:8080")
	c, err := h.SigningConfig()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []struct {
		what    string
		got     []trust.Service
		url     string
		version uint32
	}{
		{"ca", c.CAs, "http://localhost:8080", 1},
		{"issuer", c.OIDC, "http://localhost:8080/oidc", 1},
		{"log", c.Logs, "http://localhost:8080", 2},
		{"tsa", c.TSAs, "http://localhost:8080/api/v1/timestamp", 1},
	} {
		if len(s.got) != 1 || s.got[0].URL != s.url || s.got[0].MajorAPIVersion != s.version || !s.got[0].Window.Start.Before(now) {
			t.Errorf("%s: %+v, want one at %s, version %d", s.what, s.got, s.url, s.version)
		}
	}
	if c.LogConfig.Selector != trust.SelectAny || c.TSAConfig.Selector != trust.SelectAny {
		t.Errorf("selectors %v and %v, want ANY", c.LogConfig.Selector, c.TSAConfig.Selector)
	}
}

// A second instance is under the first one's root, has a key of its own and does not count before it is active.
func TestAnother(t *testing.T) {
	f, h := found(t, "http://localhost:8080")
	for _, kind := range state.Kinds() {
		in, err := f.Instance(context.Background(), h, kind)
		if err != nil {
			t.Fatal(kind, err)
		}
		if in.Name != "2026-2" || in.Public == h.Active(kind).Public {
			t.Errorf("%s: the new instance is %s, or has the old key", kind, in.Name)
		}
		if kind == state.CTLog && in.URL != "http://localhost:8080/ct/2026-2" {
			t.Errorf("the new CT log is at %s", in.URL)
		}
		h.Instances[kind] = append(h.Instances[kind], in)
	}
	root, err := h.TrustedRoot()
	if err != nil {
		t.Fatal(err)
	}
	if len(root.CAs) != 2 || !root.CAs[0].Chain[1].Equal(root.CAs[1].Chain[1]) || root.CAs[0].Chain[0].Equal(root.CAs[1].Chain[0]) {
		t.Error("the second intermediate is not another one under the same root")
	}
	if len(root.Logs) != 2 || string(root.Logs[0].ID) == string(root.Logs[1].ID) {
		t.Error("two shards of the log share an ID")
	}
	c, err := h.SigningConfig()
	if err != nil || len(c.Logs) != 1 {
		t.Errorf("a log that is not active is in the signing config: %v", err)
	}
}

func TestURL(t *testing.T) {
	for _, bad := range []string{"", "sigstore.example.com", "ftp://a", "https://", "https://a/", "https://a/b", "https://a?b", "https://u@a", "https://a#b", ":"} {
		if founding.CheckURL(bad) == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
