package main_test

import (
	"context"
	"crypto/ed25519"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/bulla-sign/bulla/internal/testenv/witness"
	"github.com/bulla-sign/bulla/server/internal/testclient"
	"github.com/bulla-sign/bulla/tlog"
)

// TestWitness: a configured witness cosigns what clients get; without it nothing is promised, and with another history
// than its own the log refuses to write.
func TestWitness(t *testing.T) {
	t.Parallel()
	o := &operator{t, t.TempDir()}
	address := o.initialise("d")
	root, services := testclient.Trusted(t, o.path("d/public/trusted_root.json"), o.path("d/public/signing_config.json"))
	vkey, err := note.NewEd25519VerifierKey("localhost", root.Logs[0].Key.(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	w, err := witness.New(verifier)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w)
	defer server.Close()
	if err := os.WriteFile(o.path("d/witnesses.policy"), w.Policy(server.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	config := o.path("d/bulla-server.yaml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "\nlog:\n", "\nlog:\n  witnesses: "+o.path("d/witnesses.policy")+"\n  checkpoint-interval: 50ms\n", 1)
	if err := os.WriteFile(config, []byte(changed), 0o600); err != nil || changed == string(text) {
		t.Fatal("the configuration has no section log", err)
	}

	p := o.serve("d", address)
	signed := o.mustSign("d", "one")
	o.verify("d", signed)
	cp, err := tlog.ParseCheckpoint(signed.Bundle.Material.Entries[0].Proof.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cp.VerifyCosignature(witness.Name, w.Key()); err != nil {
		t.Errorf("the checkpoint in the bundle: %v", err)
	}
	w.Set(func() { w.Down = true })
	soon, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := testclient.Sign(soon, root, services, "two"); err == nil {
		t.Error("an entry was proven without the witness")
	}
	w.Set(func() { w.Down = false })
	o.verify("d", o.mustSign("d", "three"))
	p.kill()

	// A witness that knows a longer history: this directory is an older copy.
	w.Set(func() { w.Size += 5 })
	p = o.serve("d", address)
	defer p.kill()
	if _, err := o.sign("d", "four"); err == nil {
		t.Error("a log that its witness knows to be older took an entry")
	}
	if text := p.log.String(); !strings.Contains(text, "has cosigned") {
		t.Errorf("the log does not say what the witness knows: %s", text)
	}
}
