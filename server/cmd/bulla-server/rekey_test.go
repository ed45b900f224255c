package main_test

import (
	"crypto/rand"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/keys"
	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/tuf"
)

// rootVersion is that which a client has that knows nothing but the very first root.
func (o *operator) rootVersion(address string, first []byte) int64 {
	o.t.Helper()
	c, err := tuf.New(tuf.Config{Mirror: address + "/tuf", Root: first, HTTP: http.DefaultClient})
	if err != nil {
		o.t.Fatal(err)
	}
	got, err := c.Refresh(o.t.Context())
	if err != nil {
		o.t.Fatal(err)
	}
	return got.Version("root")
}

// TestRekey: the keys of root and targets are replaced, at hand and offline, and a client with the first root follows.
func TestRekey(t *testing.T) {
	t.Parallel()
	o := &operator{t, t.TempDir()}
	address := o.initialise("d")
	config := "--config=d/bulla-server.yaml"
	first, err := os.ReadFile(o.path("d/public/root.json"))
	if err != nil {
		t.Fatal(err)
	}
	server := o.serve("d", address)
	before := o.mustSign("d", "before")
	want := int64(1)
	follows := func(what string) {
		t.Helper()
		if got := o.rootVersion(address, first); got != want {
			t.Fatalf("%s: a client has root %d, want %d", what, got, want)
		}
	}
	follows("at first")
	for _, role := range []string{"targets", "root", "root"} {
		if said := o.must("tuf", "rekey", config, role); !strings.Contains(said, "in place of keys/tuf-"+role) {
			t.Errorf("rekey says %q", said)
		}
		want++
		follows(role)
	}
	// The keys that were replaced are not needed any more: another service's rotation is published without them.
	for _, old := range []string{"tuf-root-*-1.key", "tuf-root-*-2.key", "tuf-targets-*-1.key"} {
		paths, err := filepath.Glob(o.path("d/keys/" + old))
		if err != nil || len(paths) != 1 {
			t.Fatal(old, paths, err)
		}
		if err := os.Remove(paths[0]); err != nil {
			t.Fatal(err)
		}
	}
	server.stop(t)
	server = o.serve("d", address)
	o.must("rotate", config, "--now", "tsa")
	follows("without the old keys")
	o.verify("d", before, o.mustSign("d", "after"))

	// The root key goes into a safe, and is replaced by one that was made there.
	paths, err := filepath.Glob(o.path("d/keys/tuf-root-*-3.key"))
	if err != nil || len(paths) != 1 {
		t.Fatal(paths, err)
	}
	if err := os.Rename(paths[0], o.path("safe.key")); err != nil {
		t.Fatal(err)
	}
	server.stop(t)
	server = o.serve("d", address)
	o.offlineRekey(config, func() { follows("while it waits") })
	want++
	follows("after the import")
	server.stop(t)
	if said := o.must("fsck", config); !strings.Contains(said, "kept offline") {
		o.t.Errorf("fsck says %s", said)
	}
}

// offlineRekey replaces the root key in safe.key by another one that the server never sees.
func (o *operator) offlineRekey(config string, waiting func()) {
	o.t.Helper()
	password, err := os.ReadFile(o.path("d/password"))
	if err != nil {
		o.t.Fatal(err)
	}
	signer, err := keys.Generate(rand.Reader, "")
	if err != nil {
		o.t.Fatal(err)
	}
	key, err := keys.EncryptPEM(rand.Reader, signer, []byte(strings.TrimSpace(string(password))))
	if err != nil {
		o.t.Fatal(err)
	}
	public, err := state.EncodePublic(signer.Public())
	if err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(o.path("new.key"), key, 0o600); err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(o.path("new.pub"), []byte(public), 0o600); err != nil {
		o.t.Fatal(err)
	}
	if said := o.must("tuf", "rekey", config, "root", "--public", "new.pub"); said == "" {
		o.t.Error("rekey says nothing")
	}
	waiting()
	if code, _, errs := o.run("tuf", "rekey", config, "targets"); code == 0 || !strings.Contains(errs, "waits for signatures") {
		o.t.Errorf("another one while the first waits: exit status %d, %s", code, errs)
	}
	doc := strings.TrimSpace(o.must("tuf", "pending", config))
	for i, key := range []string{"safe.key", "new.key"} {
		if i == 1 { // one of the two does not suffice
			if code, _, errs := o.run("tuf", "import", config, doc); code == 0 {
				o.t.Errorf("a root without the new key's signature is taken: %s", errs)
			}
		}
		cmd := exec.Command(built(o.t), "tuf", "sign", "--key", key, doc)
		cmd.Dir, cmd.Env = o.dir, []string{"BULLA_PASSWORD=" + strings.TrimSpace(string(password))}
		if out, err := cmd.CombinedOutput(); err != nil {
			o.t.Fatalf("%v: %s", err, out)
		}
	}
	o.must("tuf", "import", config, doc)
}

func TestRekeyRefused(t *testing.T) {
	t.Parallel()
	o := &operator{t, t.TempDir()}
	address := o.initialise("d")
	config := "--config=d/bulla-server.yaml"
	if code, _, errs := o.run("tuf", "rekey", config, "root"); code == 0 || !strings.Contains(errs, "no process runs") {
		t.Errorf("without a server: exit status %d, %s", code, errs)
	}
	server := o.serve("d", address)
	defer server.kill()
	keys, err := filepath.Glob(o.path("d/keys/tuf-root-*.key"))
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	if err := os.WriteFile(o.path("bad.pub"), []byte("-----BEGIN NOTHING-----\n-----END NOTHING-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"another role":   {[]string{"snapshot"}, "root or targets"},
		"two keys":       {[]string{"root", "--key", "a", "--public", "b"}, "give one"},
		"the same key":   {[]string{"root", "--key", "keys/" + filepath.Base(keys[0])}, "already"},
		"no key there":   {[]string{"root", "--key", "keys/none.key"}, "none.key"},
		"no public key":  {[]string{"root", "--public", "bad.pub"}, "PUBLIC KEY"},
		"no public file": {[]string{"root", "--public", "none.pub"}, "none.pub"},
	} {
		if code, _, errs := o.run(append([]string{"tuf", "rekey", config}, c.args...)...); code == 0 || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit status %d, %s", name, code, errs)
		}
	}
}
