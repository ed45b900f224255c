package client_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/client"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/services"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/sign"
)

// logs opens both logs.
func logs(t testing.TB, s *services.Services, o client.Options) map[string]sign.Logger {
	t.Helper()
	v1, err := client.NewLogV1(s.URL, o)
	if err != nil {
		t.Fatal(err)
	}
	v2, err := client.NewLogV2(s.URL+"/", o)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]sign.Logger{"v1": v1, "v2": v2}
}

func TestLogEveryAlgorithm(t *testing.T) {
	s := services.New(t)
	for version, log := range logs(t, s, options(t, s)) {
		for _, details := range []algorithm.Details{
			algorithm.ECDSAP256SHA256, algorithm.ECDSAP384SHA384, algorithm.ECDSAP521SHA512, algorithm.Ed25519ph, algorithm.RSAPKCS1v15x2048SHA256,
		} {
			for _, envelope := range []bool{false, true} {
				for _, certified := range []bool{false, true} {
					key := signer(t, details)
					made := signed(t, key, envelope)
					if certified {
						made.Certificate = s.World.CA.Issue(t, mint.LeafOptions{Public: key.Public()})
					}
					e, err := log.Log(context.Background(), made)
					if err != nil {
						t.Errorf("%s, %s, envelope %v, certificate %v: %v", version, details, envelope, certified, err)
						continue
					}
					want := map[string]string{"v1": "hashedrekord/0.0.1", "v2": "hashedrekord/0.0.2"}[version]
					if envelope && version == "v1" {
						want = "dsse/0.0.1"
					}
					if got := e.Kind + "/" + e.Version; got != want || (version == "v1") != (e.IntegratedTime > 0 && len(e.Promise) > 0) {
						t.Errorf("%s, %s: entry is %s at %d", version, details, got, e.IntegratedTime)
					}
					// The shard's index is not the log's.
					if (version == "v1") == (e.LogIndex == e.Proof.LogIndex) {
						t.Errorf("%s: index %d, in the tree %d", version, e.LogIndex, e.Proof.LogIndex)
					}
				}
			}
		}
		pure := signed(t, signer(t, algorithm.ECDSAP256SHA256), false)
		alg, err := algorithm.ForDetails(algorithm.Ed25519)
		if err != nil {
			t.Fatal(err)
		}
		pure.Algorithm = alg
		if _, err := log.Log(context.Background(), pure); err == nil || !strings.Contains(err.Error(), "ed25519-ph") {
			t.Errorf("%s: pure Ed25519: %v", version, err)
		}
		bad := signed(t, signer(t, algorithm.ECDSAP256SHA256), false)
		bad.Bytes[len(bad.Bytes)-1] ^= 1
		if _, err := log.Log(context.Background(), bad); !errors.Is(err, client.ErrRefused) || !strings.Contains(err.Error(), "invalid signature") {
			t.Errorf("%s: a broken signature: %v", version, err)
		}
	}
	if k, ok := logs(t, s, options(t, s))["v1"].(sign.Timekeeper); !ok || !k.StatesTime() {
		t.Error("v1 states no time")
	}
	if _, ok := logs(t, s, options(t, s))["v2"].(sign.Timekeeper); ok {
		t.Error("v2 states the time")
	}
}

// TestUploadThatLanded: the answer is lost after the log has taken the entry. The retry finds it, and there is one entry.
func TestUploadThatLanded(t *testing.T) {
	for _, c := range []struct {
		name, version, path string
		prepare             func(*services.Services)
	}{
		{"v1", "v1", "/api/v1/log/entries", nil},
		{"v1 by content", "v1", "/api/v1/log/entries", func(s *services.Services) {
			// The log says 409 without saying where.
			s.Fail(services.Fault{Method: "POST", Path: "/api/v1/log/entries", Drop: true},
				services.Fault{Method: "POST", Path: "/api/v1/log/entries", Status: 409, Body: `{"code":409,"message":"an equivalent entry already exists"}`})
		}},
		{"v1 without proof", "v1", "/api/v1/log/entries", func(s *services.Services) { s.NoProof = true }},
		{"v2", "v2", "/api/v2/log/entries", nil},
		{"v2 conflict", "v2", "/api/v2/log/entries", func(s *services.Services) { s.Conflict = true }},
		{"v2 conflict, files at the root", "v2", "/api/v2/log/entries", func(s *services.Services) {
			s.Conflict = true
			s.Fail(services.Fault{Path: "/api/v2/checkpoint", Status: 501, Times: -1}, services.Fault{Path: "/api/v2/tile", Status: 501, Times: -1})
		}},
	} {
		for _, envelope := range []bool{false, true} {
			s := services.New(t)
			before := len(s.World.V1.Leaves()) + len(s.World.V2.Leaves())
			if c.prepare != nil {
				c.prepare(s)
			}
			s.Fail(services.Fault{Method: "POST", Path: c.path, Drop: true})
			e, err := logs(t, s, options(t, s))[c.version].Log(context.Background(), signed(t, signer(t, algorithm.ECDSAP384SHA384), envelope))
			if err != nil || e.Proof == nil {
				t.Errorf("%s: %v", c.name, err)
			}
			if n := len(s.World.V1.Leaves()) + len(s.World.V2.Leaves()) - before; n != 1 {
				t.Errorf("%s: %d entries", c.name, n)
			}
		}
	}
}

// Conflicts that lead nowhere are errors that say so.
func TestConflicts(t *testing.T) {
	s := services.New(t)
	for _, c := range []struct {
		name, version string
		header        map[string]string
		fault         *services.Fault
		want          string
	}{
		{"v1, nowhere", "v1", nil, nil, "holds 0 log entries"},
		{"v1, no name", "v1", map[string]string{"Location": "/api/v1/log/entries/../../secret"}, nil, "does not name an entry"},
		{"v1, not there", "v1", map[string]string{"Location": "/api/v1/log/entries/" + strings.Repeat("0a", 40)}, nil, "entry not found"},
		{"v2, nowhere", "v2", nil, nil, "does not say where"},
		{"v2, no index", "v2", map[string]string{"X-Log-Index": "-1"}, nil, "does not say where"},
		{"v2, another entry", "v2", map[string]string{"X-Log-Index": "3"}, nil, "at index 3"},
		{"v2, broken tile", "v2", map[string]string{"X-Log-Index": "3"}, &services.Fault{Path: "/api/v2/tile", Cut: 3, Times: -1}, "asked for its tile/0/000.p/11"},
		{"v2, no checkpoint", "v2", map[string]string{"X-Log-Index": "3"}, &services.Fault{Path: "/api/v2/checkpoint", Status: 200, Body: "x", Times: -1}, "asked for its checkpoint: the checkpoint"},
	} {
		s.Heal()
		s.Fail(services.Fault{Method: "POST", Path: "/api/" + c.version + "/log/entries", Status: 409, Header: c.header, Body: `{"message":"there already"}`})
		if c.fault != nil {
			s.Fail(*c.fault)
		}
		o := options(t, s)
		o.Patience = 100 * time.Millisecond
		_, err := logs(t, s, o)[c.version].Log(context.Background(), signed(t, signer(t, algorithm.ECDSAP256SHA256), false))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// TestLogAnswers: what a log answers is held against what was sent and what the log signed.
func TestLogAnswers(t *testing.T) {
	s := services.New(t)
	stranger := services.New(t)
	for version, log := range logs(t, s, options(t, s)) {
		path := "/api/" + version + "/log/entries"
		foreign, err := logs(t, stranger, options(t, stranger))[version].Log(context.Background(), signed(t, signer(t, algorithm.ECDSAP256SHA256), false))
		if err != nil {
			t.Fatal(err)
		}
		// entry finds the part of the answer that both versions have: names differ.
		entry := func(edit func(e, proof map[string]any)) func([]byte) []byte {
			return change(t, func(m map[string]any) {
				if version == "v1" {
					for _, v := range m {
						m = v.(map[string]any)
					}
					edit(m, m["verification"].(map[string]any)["inclusionProof"].(map[string]any))
					return
				}
				edit(m, m["inclusionProof"].(map[string]any))
			})
		}
		body := map[string]string{"v1": "body", "v2": "canonicalizedBody"}[version]
		index := func(n string) any {
			if version == "v1" {
				return float64(99)
			}
			return n
		}
		hash := map[string]string{"v1": strings.Repeat("00", 32), "v2": base64.StdEncoding.EncodeToString(make([]byte, 32))}[version]
		for _, c := range []struct {
			name string
			edit func([]byte) []byte
			want string
		}{
			{"index changed", entry(func(e, _ map[string]any) { e["logIndex"] = index("99") }), ""},
			{"index negative", entry(func(e, _ map[string]any) { e["logIndex"] = -1 }), "lacks the entry's index"},
			{"proof index changed", entry(func(e, p map[string]any) { e["logIndex"], p["logIndex"] = index("2"), index("2") }), ""},
			{"no proof", entry(func(_, p map[string]any) { clear(p) }), "proof"},
			{"no checkpoint", entry(func(_, p map[string]any) { delete(p, "checkpoint") }), "no inclusion proof with a checkpoint"},
			{"other hash", entry(func(_, p map[string]any) { p["hashes"].([]any)[0] = hash }), "inclusion proof"},
			{"other root", entry(func(_, p map[string]any) { p["rootHash"] = hash }), "inclusion proof"},
			{"too many hashes", entry(func(_, p map[string]any) {
				for range 64 {
					p["hashes"] = append(p["hashes"].([]any), hash)
				}
			}), "not a log entry"},
			{"another body", entry(func(e, _ map[string]any) { e[body] = base64.StdEncoding.EncodeToString(foreign.Body) }), ""},
			{"no body", entry(func(e, _ map[string]any) { e[body] = "" }), ""},
			{"another checkpoint", entry(func(_, p map[string]any) {
				p["checkpoint"] = any(foreign.Proof.Checkpoint)
				if version == "v2" {
					p["checkpoint"] = map[string]any{"envelope": foreign.Proof.Checkpoint}
				}
			}), "the checkpoint is of another tree"},
			{"no checkpoint at all", entry(func(_, p map[string]any) {
				p["checkpoint"] = any("x")
				if version == "v2" {
					p["checkpoint"] = map[string]any{"envelope": "x"}
				}
			}), "the entry's checkpoint"},
			{"wrong types", entry(func(e, _ map[string]any) { e["logIndex"] = []any{} }), "not a log entry"},
			{"nothing", change(t, func(m map[string]any) { clear(m) }), ""},
		} {
			s.Heal()
			s.Fail(services.Fault{Path: path, Edit: c.edit, Times: -1})
			e, err := log.Log(context.Background(), signed(t, signer(t, algorithm.ECDSAP256SHA256), false))
			if e != nil || !errors.Is(err, client.ErrAnswer) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, %s: got %v, want %q", version, c.name, err, c.want)
			}
		}
		s.Heal()
		// What is not known is ignored.
		s.Fail(services.Fault{Path: path, Edit: entry(func(e, p map[string]any) { e["news"], p["news"] = true, "x" })})
		if _, err := log.Log(context.Background(), signed(t, signer(t, algorithm.ECDSAP256SHA256), false)); err != nil {
			t.Errorf("%s, a new field: %v", version, err)
		}
		// A log with another key, or one that is not valid any more.
		o := options(t, s)
		o.Root = stranger.World.Root(t)
		if _, err := logs(t, s, o)[version].Log(context.Background(), signed(t, signer(t, algorithm.ECDSAP256SHA256), false)); !errors.Is(err, client.ErrAnswer) || !strings.Contains(err.Error(), "which the trusted root does not know") {
			t.Errorf("%s, foreign log: %v", version, err)
		}
		o.Root = s.World.Root(t)
		for i := range o.Root.Logs {
			o.Root.Logs[i].Window.End = mint.Epoch
		}
		if _, err := logs(t, s, o)[version].Log(context.Background(), signed(t, signer(t, algorithm.ECDSAP256SHA256), false)); !errors.Is(err, client.ErrAnswer) || !strings.Contains(err.Error(), "is not valid at") {
			t.Errorf("%s, retired log: %v", version, err)
		}
		o.Root = s.World.Root(t)
		for i := range o.Root.Logs {
			o.Root.Logs[i].Key = stranger.World.Root(t).Logs[i].Key
		}
		if _, err := logs(t, s, o)[version].Log(context.Background(), signed(t, signer(t, algorithm.ECDSAP256SHA256), false)); !errors.Is(err, client.ErrAnswer) {
			t.Errorf("%s, another key under the log's ID: %v", version, err)
		}
		o.Root = nil
		if _, err := logs(t, s, o)[version].Log(context.Background(), signed(t, signer(t, algorithm.ECDSAP256SHA256), false)); err != nil {
			t.Errorf("%s, no root: %v", version, err)
		}
	}
}

// A v1 log's signed entry timestamp alone can be wrong: the checkpoint does not speak of the time.
func TestEntryTimestamp(t *testing.T) {
	s := services.New(t)
	log := logs(t, s, options(t, s))["v1"]
	for name, edit := range map[string]func(e, v map[string]any){
		"other time":   func(e, _ map[string]any) { e["integratedTime"] = 1700000000 },
		"other index":  func(e, _ map[string]any) { e["logIndex"] = 7 },
		"no timestamp": func(_, v map[string]any) { delete(v, "signedEntryTimestamp") },
	} {
		s.Heal()
		s.Fail(services.Fault{Path: "/api/v1/log/entries", Times: -1, Edit: change(t, func(m map[string]any) {
			for _, e := range m {
				edit(e.(map[string]any), e.(map[string]any)["verification"].(map[string]any))
			}
		})})
		if _, err := log.Log(context.Background(), signed(t, signer(t, algorithm.ECDSAP256SHA256), false)); !errors.Is(err, client.ErrAnswer) || !strings.Contains(err.Error(), "signed entry timestamp") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the logs took makes a bundle that verifies.
func TestSignWithServices(t *testing.T) {
	s := services.New(t)
	root := s.World.Root(t)
	tsa, err := client.NewTSA(s.TSA, options(t, s))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := client.NewCA(s.URL, options(t, s))
	if err != nil {
		t.Fatal(err)
	}
	session := &sign.Session{Authority: ca, Identity: func(context.Context) (sign.Identity, error) {
		return sign.Identity{Token: s.Token(nil), Challenge: s.Email}, nil
	}}
	for version, log := range logs(t, s, options(t, s)) {
		for _, keyless := range []bool{true, false} {
			o := sign.Options{Root: root, Loggers: []sign.Logger{log}, Timestampers: []sign.Timestamper{tsa}}
			if keyless {
				err = session.Use(context.Background(), &o)
			} else {
				o.Signer = signer(t, algorithm.Ed25519)
			}
			if err != nil {
				t.Fatal(err)
			}
			if b, err := sign.Blob(context.Background(), algorithm.Bytes(artifact), o); err != nil || len(b.Material.Entries) != 1 || len(b.Material.Timestamps) != 1 || b.Material.Chain {
				t.Errorf("%s, keyless %v: blob: %v", version, keyless, err)
			}
			if _, err := sign.Statement(context.Background(), world.StatementFor(artifact, world.PredicateType, "{}"), algorithm.Bytes(artifact), o); err != nil {
				t.Errorf("%s, keyless %v: statement: %v", version, keyless, err)
			}
			b, err := sign.SimpleSigning(context.Background(), simpleSigning(artifact), algorithm.Bytes(artifact), o)
			if err != nil {
				t.Errorf("%s, keyless %v: simple signing: %v", version, keyless, err)
				continue
			}
			if _, _, _, err := b.Layer(); (err == nil) != (version == "v1") {
				t.Errorf("%s, keyless %v: the older format: %v", version, keyless, err)
			}
		}
	}
	if n := s.Count("POST", "/api/v2/signingCert"); n != 1 {
		t.Errorf("%d certificates for one session", n)
	}
}
