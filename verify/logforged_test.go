package verify_test

import (
	"crypto"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/tlog"
	"github.com/bulla-sign/bulla/verify"
	"github.com/bulla-sign/bulla/verify/reason"
)

// TestLogSignsNonsense is about entries that a trusted log really signed and that must still be refused: each is wrong in one
// thing that no other check would notice.
func TestLogSignsNonsense(t *testing.T) {
	sc := newScene(t)
	checkpoint := func(log *mint.Log, origin string, size int64, root []byte) string {
		return log.SignCheckpoint(t, fmt.Sprintf("%s\n%d\n%s\n", origin, size, base64.StdEncoding.EncodeToString(root)), world.SigningTime)
	}
	logged := func(e *evidence, log *mint.Log, kind string, s mint.Signed) {
		material(e).Entries = []tlog.Entry{log.Add(t, kind, mint.Body(t, kind, s), e.spec.Time)}
	}
	tests := []struct {
		name   string
		spec   world.Spec
		code   reason.Code
		change func(e *evidence, req *verify.Request)
	}{
		{"checkpoint of another size", keyLoggedV2, reason.LogEntry, func(e *evidence, _ *verify.Request) {
			p := entry(e).Proof
			p.Checkpoint = checkpoint(sc.w.V2, sc.w.V2.Origin(), p.TreeSize+1, p.RootHash)
		}},
		{"checkpoint of another root", keyLoggedV2, reason.LogEntry, func(e *evidence, _ *verify.Request) {
			p := entry(e).Proof
			p.Checkpoint = checkpoint(sc.w.V2, sc.w.V2.Origin(), p.TreeSize, flip(p.RootHash))
		}},
		{"checkpoint of another origin", keyLoggedV2, reason.LogEntry, func(e *evidence, _ *verify.Request) {
			p := entry(e).Proof
			p.Checkpoint = checkpoint(sc.w.V2, "elsewhere.test", p.TreeSize, p.RootHash)
		}},
		{"v1 checkpoint without a tree's number", keyLogged, reason.LogEntry, func(e *evidence, _ *verify.Request) {
			p := entry(e).Proof
			p.Checkpoint = checkpoint(sc.w.V1, sc.w.V1.Host, p.TreeSize, p.RootHash)
		}},
		{"v2 entry with a promise alone", keyImage, reason.LogEntry, func(e *evidence, _ *verify.Request) {
			logged(e, sc.w.V1, mint.HashedRekordV2, e.signed())
			entry(e).Proof = nil
		}},
		{"window of a v2 log", world.Spec{Log: world.LogV2, Timestamp: true}, reason.LogEntry, func(e *evidence, req *verify.Request) {
			root := *sc.w.Root(t)
			root.Logs[1].Window.End = e.spec.Time.Add(-time.Second)
			req.Root = &root
		}},
		{"blob's signature as an attestation's", keyLogged, reason.LogMismatch, func(e *evidence, _ *verify.Request) {
			logged(e, sc.w.V1, mint.DSSEV1, e.signed())
		}},
		{"attestation's signature as one over its payload", world.Spec{Content: world.Statement, Log: world.LogV1}, reason.LogMismatch, func(e *evidence, _ *verify.Request) {
			s := e.signed()
			s.PayloadType = ""
			logged(e, sc.w.V1, mint.HashedRekordV1, s)
		}},
		{"signature with another artifact's digest", keyLogged, reason.LogMismatch, func(e *evidence, _ *verify.Request) {
			s := e.signed()
			s.Message = otherArtifact
			logged(e, sc.w.V1, mint.HashedRekordV1, s)
		}},
		{"v2: signature with another artifact's digest", keyLoggedV2, reason.LogMismatch, func(e *evidence, _ *verify.Request) {
			s := e.signed()
			s.Message = otherArtifact
			logged(e, sc.w.V2, mint.HashedRekordV2, s)
		}},
		{"attestation's signature with another payload's digest", world.Spec{Content: world.Statement, Log: world.LogV1}, reason.LogMismatch, func(e *evidence, _ *verify.Request) {
			s := e.signed()
			s.Message = otherArtifact
			logged(e, sc.w.V1, mint.DSSEV1, s)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := makeEvidence(t, sc.w, tt.spec)
			req := e.request(t, sc.root)
			accepted(t, req)
			req.Policy.IgnoreLog = false
			tt.change(e, req)
			if err := e.bundle.Validate(bundle.ValidateOptions{}); err != nil {
				t.Fatalf("refused for its form: %v", err)
			}
			refused(t, req, verify.CheckLog, tt.code)
		})
	}
}

// TestNeedsOfStatedDigest checks that a digest that only the bundle states can be compared from a stream.
func TestNeedsOfStatedDigest(t *testing.T) {
	sc := newScene(t)
	e := makeEvidence(t, sc.w, keyBlob)
	m := e.bundle.Message
	m.Hash, m.Digest = crypto.SHA3_384, mint.Sum(crypto.SHA3_384, e.artifact)
	req := e.request(t, sc.root)
	s := fromStream(t, req, e.artifact)
	accepted(t, req)
	if len(s.missed) > 0 {
		t.Errorf("asked for %v", s.missed)
	}
	m.Digest = flip(m.Digest)
	refused(t, req, verify.CheckArtifact, reason.Artifact)
}
