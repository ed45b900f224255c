package client_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/client"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/services"
)

// recheckpointed returns the checkpoint's text changed, and signed again by the log.
func recheckpointed(t *testing.T, log *mint.Log, s *services.Services, checkpoint string, edit func(string) string) string {
	t.Helper()
	text, _, _ := strings.Cut(checkpoint, "\n\n")
	return log.SignCheckpoint(t, edit(text+"\n"), s.Now())
}

// otherwise is a checkpoint whose log's signature is broken.
func otherwise(checkpoint string) string {
	i := strings.LastIndex(strings.TrimRight(checkpoint, "\n"), " ") + 20 // behind the key's hint
	c := byte('A')
	if checkpoint[i] == c {
		c = 'B'
	}
	return checkpoint[:i] + string(c) + checkpoint[i+1:]
}

// elsewhere is another name at the beginning of a checkpoint's text.
func elsewhere(text string) string {
	_, rest, _ := strings.Cut(text, "\n")
	return "elsewhere.example\n" + rest
}

// TestWordOfLogV1: each thing that a log of version 1 signs is needed, with a trusted root or without.
func TestWordOfLogV1(t *testing.T) {
	s := services.New(t)
	type object = map[string]any
	proof := func(v object) object { return v["inclusionProof"].(object) }
	for _, c := range []struct {
		name     string
		edit     func(e, v object)
		rootless bool
		want     string
	}{
		{"no timestamp, and nobody trusted", func(_, v object) { delete(v, "signedEntryTimestamp") }, true, "no signed entry timestamp"},
		{"no time, and nobody trusted", func(e, _ object) { e["integratedTime"] = 0 }, true, "no signed entry timestamp"},
		{"checkpoint unsigned", func(_, v object) { proof(v)["checkpoint"] = otherwise(proof(v)["checkpoint"].(string)) }, false, "checkpoint"},
		{"a checkpoint as of version 2", func(_, v object) {
			proof(v)["checkpoint"] = recheckpointed(t, s.World.V1, s, proof(v)["checkpoint"].(string), elsewhere)
		}, true, "which is no log of this version"},
	} {
		s.Heal()
		s.Fail(services.Fault{Path: "/api/v1/log/entries", Times: -1, Edit: change(t, func(m object) {
			for _, e := range m {
				c.edit(e.(object), e.(object)["verification"].(object))
			}
		})})
		o := options(t, s)
		if c.rootless {
			o.Root = nil
		}
		if _, err := logs(t, s, o)["v1"].Log(t.Context(), signed(t, signer(t, algorithm.ECDSAP256SHA256), false)); !errors.Is(err, client.ErrAnswer) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// TestWordOfLogV2: what a log of version 2 says of an entry beside its body.
func TestWordOfLogV2(t *testing.T) {
	s := services.New(t)
	type object = map[string]any
	checkpoint := func(e object) object { return e["inclusionProof"].(object)["checkpoint"].(object) }
	for _, c := range []struct {
		name string
		edit func(e object)
		want string
	}{
		{"another kind", func(e object) { e["kindVersion"].(object)["kind"] = "dsse" }, "is stated to be dsse"},
		{"another version", func(e object) { e["kindVersion"].(object)["version"] = "0.0.1" }, "is stated to be hashedrekord 0.0.1"},
		{"a time", func(e object) { e["integratedTime"] = "1700000000" }, "states no time"},
		{"a promise", func(e object) { e["inclusionPromise"] = object{"signedEntryTimestamp": "e30="} }, "states no time"},
		{"another origin", func(e object) {
			checkpoint(e)["envelope"] = recheckpointed(t, s.World.V2, s, checkpoint(e)["envelope"].(string), elsewhere)
		}, `is of the log "elsewhere.example"`},
	} {
		s.Heal()
		s.Fail(services.Fault{Path: "/api/v2/log/entries", Times: -1, Edit: change(t, c.edit)})
		if _, err := logs(t, s, options(t, s))["v2"].Log(t.Context(), signed(t, signer(t, algorithm.ECDSAP256SHA256), false)); !errors.Is(err, client.ErrAnswer) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// TestEntryOfAnotherSigner: one key may have two certificates, with two names. An entry that has the other is not the one
// that was asked for.
func TestEntryOfAnotherSigner(t *testing.T) {
	for version, path := range map[string]string{"v1": "/api/v1/log/entries", "v2": "/api/v2/log/entries"} {
		for _, envelope := range []bool{false, true} {
			s := services.New(t)
			log := logs(t, s, options(t, s))[version]
			key := signer(t, algorithm.ECDSAP256SHA256)
			made := signed(t, key, envelope)
			made.Certificate = s.World.CA.Issue(t, mint.LeafOptions{Public: key.Public()})
			var kept json.RawMessage
			s.Fail(services.Fault{Path: path, Edit: func(b []byte) []byte { kept = append(kept, b...); return b }})
			if _, err := log.Log(t.Context(), made); err != nil {
				t.Fatal(err)
			}
			for name, certificate := range map[string][]byte{
				"another certificate": s.World.CA.Issue(t, mint.LeafOptions{Public: key.Public(), NotBefore: mint.Epoch.AddDate(0, 0, 1)}), "none": nil,
			} {
				made.Certificate = certificate
				s.Heal()
				s.Fail(services.Fault{Method: http.MethodPost, Path: path, Edit: func([]byte) []byte { return kept }, Times: -1})
				if _, err := log.Log(t.Context(), made); !errors.Is(err, client.ErrAnswer) {
					t.Errorf("%s, envelope %v, %s: %v", version, envelope, name, err)
				}
			}
		}
	}
}
