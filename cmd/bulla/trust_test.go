package main

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/trust/keyset"
)

// verifyAlice is the command that verifies what writeEvidence wrote.
func verifyAlice(artifact, bundle string, more ...string) []string {
	return append([]string{
		"bulla", "verify-blob", "--certificate-identity", "alice@bulla.test", "--certificate-oidc-issuer", "https://issuer.bulla.test", "--bundle", bundle, artifact,
	}, more...)
}

func TestInstances(t *testing.T) {
	w, other := world.New(t), world.New(t)
	x := newTerminal(t)
	config := testenv.ReadVector(t, "tuf", "root-signing", "targets", "signing_config.v0.2.json")
	site := newTUFSite(t, w.RootJSON(t), config, x.now)
	second := newTUFSite(t, other.RootJSON(t), nil, x.now)
	artifact, bundle := writeEvidence(t, w)
	add := func(name string, s *tufSite, more ...string) []string {
		return append([]string{"bulla", "trust", "add", name, "--mirror", s.mirror(), "--root", s.mirror() + "/root.json"}, more...)
	}
	x.want(0, "built-in", "bulla", "trust", "list")
	x.want(0, "--instance ours trusts from now on: "+site.mirror(), add("ours", site)...)
	x.want(0, second.mirror(), add("theirs", second)...)
	x.want(0, "TUF, "+site.mirror(), verifyAlice(artifact, bundle, "--instance", "ours")...)
	x.want(1, "TUF, "+second.mirror(), verifyAlice(artifact, bundle, "--instance", "theirs")...)
	x.want(1, "public-good, embedded", verifyAlice(artifact, bundle)...)
	x.want(22, `there is no instance "nosuch"`, verifyAlice(artifact, bundle, "--instance", "nosuch")...)
	x.want(1, "public-good, embedded", verifyAlice(artifact, bundle, "--instance", "default")...)
	x.want(21, "trusted-root", verifyAlice(artifact, bundle, "--instance", "ours", "--trusted-root", "x")...)
	x.want(21, "--instance was given an empty value", verifyAlice(artifact, bundle, "--instance", "")...)

	// Nothing that goes wrong changes anything.
	before := filesBelow(t, x.home)
	second.setDown(true)
	x.want(22, "there is an instance", add("ours", site)...)
	x.want(20, "the mirror did not deliver it", add("ours", second, "--replace")...)
	second.setDown(false)
	x.want(22, "nothing was changed", "bulla", "trust", "add", "ours", "--replace", "--mirror", second.mirror(), "--root", site.mirror()+"/root.json")
	for _, name := range []string{"default", "built-in", "../x", "A", ".x", "a/b", ""} {
		x.want(21, "", "bulla", "trust", "add", name, "--staging")
	}
	x.want(22, "there is no instance", "bulla", "trust", "remove", "nosuch")
	x.want(22, "without being added", "bulla", "trust", "remove", "default")
	if after := filesBelow(t, x.home); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}

	out := x.want(0, "timestamp version 1, expires", "bulla", "trust", "show", "ours")
	if !strings.Contains(out, "transparency log") || !strings.Contains(out, "from ") || !strings.Contains(out, "signs with") {
		t.Errorf("show says\n%s", out)
	}
	x.want(0, `"version": 1`, "bulla", "trust", "show", "ours", "--output", "json")
	x.want(0, "ours and ours trust the same", "bulla", "trust", "diff", "ours", "ours")
	x.want(0, "- certificate authority", "bulla", "trust", "diff", "ours", "theirs")
	x.want(0, `"same": false`, "bulla", "trust", "diff", "ours", "built-in", "--output", "json")
	x.want(23, "neither an instance nor a file", "bulla", "trust", "show", "nosuch")
	// Added once more under its name, it is another.
	x.want(0, second.mirror(), add("ours", second, "--replace")...)
	x.want(0, "ours and theirs trust the same", "bulla", "trust", "diff", "ours", "theirs")
	x.want(0, "removed ours, theirs", "bulla", "trust", "remove", "ours", "theirs")
	if out := x.want(0, "built-in", "bulla", "trust", "list", "--output", "json"); strings.Contains(out, "ours") {
		t.Errorf("still there:\n%s", out)
	}

	// What is broken is listed with what is wrong, and can be removed.
	x.want(0, "public-good instance, since nothing was initialized", "bulla", "trust", "list")
	x.want(0, site.mirror(), add("ours", site)...)
	for _, name := range []string{"remote.json", "instances/ours/remote.json"} {
		if err := os.WriteFile(filepath.Join(x.home, ".sigstore", "root", filepath.FromSlash(name)), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out := x.want(0, "built-in", "bulla", "trust", "list"); strings.Count(out, "(broken: ") != 2 {
		t.Errorf("lists\n%s", out)
	}
	x.want(22, "remote.json", verifyAlice(artifact, bundle, "--instance", "ours")...)
	x.want(0, "removed ours", "bulla", "trust", "remove", "ours")
	x.env["TUF_MIRROR"] = site.mirror()
	x.want(0, "from TUF_MIRROR", "bulla", "trust", "list")
}

// Where nobody has set anything up the public-good instance is asked, except offline or if what is built in is named; the
// report and a warning say that what is built in stands in for it. Signing with a key asks nobody before it is clear that
// something is to be logged.
func TestPublicGoodIsAsked(t *testing.T) {
	w := world.New(t)
	x := newTerminal(t)
	c := new(canary)
	x.dial = c.dial
	artifact, bundle := writeEvidence(t, w)
	const warning, at = "the keys of the public-good instance could not be fetched, and are those of ", "tuf-repo-cdn.sigstore.dev:443"
	asked := func(want bool) {
		t.Helper()
		if seen := c.take(); (len(seen) == 1 && seen[0] == at) != want || !want && len(seen) != 0 {
			t.Errorf("asked %q", seen)
		}
	}
	out := x.want(1, warning, verifyAlice(artifact, bundle)...)
	if !strings.Contains(out, "trusted root: public-good, embedded of") || strings.Count(out, warning) != 1 {
		t.Errorf("says\n%s", out)
	}
	asked(true)
	x.want(0, "is asked again", "bulla", "trust", "show")
	asked(false)
	x.now = x.now.Add(10 * time.Minute)
	x.want(0, "public-good, embedded", "bulla", "trust", "show")
	asked(true)
	x.now = x.now.Add(10 * time.Minute)
	for _, more := range [][]string{{"--offline"}, {"--instance", "built-in"}} {
		if out := x.want(1, "public-good, embedded", verifyAlice(artifact, bundle, more...)...); strings.Contains(out, warning) {
			t.Errorf("%v: says\n%s", more, out)
		}
	}
	x.want(0, "built-in: public-good, embedded", "bulla", "trust", "show", "built-in")
	x.env["COSIGN_PASSWORD"] = ""
	key, _, _ := writeKey(t, t.TempDir(), "k")
	x.want(0, "", "bulla", "import-key-pair", "--key", key, "--output-key-prefix", key)
	x.want(21, "nothing says which transparency log", "bulla", "sign-blob", "--key", key+".key", "--bundle", artifact+".new", artifact)
	x.env["BULLA_INSTANCE"] = "built-in"
	x.want(1, "public-good, embedded", verifyAlice(artifact, bundle)...)
	asked(false)
}

func TestExportedTrust(t *testing.T) {
	w := world.New(t)
	x := newTerminal(t)
	site := newTUFSite(t, w.RootJSON(t), testenv.ReadVector(t, "tuf", "root-signing", "targets", "signing_config.v0.2.json"), x.now)
	artifact, bundle := writeEvidence(t, w)
	file := filepath.Join(t.TempDir(), "trust.json")
	x.want(0, site.mirror(), "bulla", "trust", "add", "ours", "--mirror", site.mirror(), "--root", site.mirror()+"/root.json")
	x.want(0, "", "bulla", "trust", "export", "ours", "--out", file)
	site.setDown(true)
	x.want(0, "ours and "+file+" trust the same", "bulla", "trust", "diff", "ours", file, "--offline")
	verify := verifyAlice(artifact, bundle, "--offline", "--trust", file)
	if out := x.want(0, "TUF, "+site.mirror(), verify...); strings.Contains(out, "warning: the trust of") {
		t.Errorf("new trust is warned of:\n%s", out)
	}
	x.want(0, "", append(verify, "--trust-max-age", "1h")...)
	// No variable reaches into what a flag names.
	x.env["SIGSTORE_REKOR_PUBLIC_KEY"] = "nosuch"
	x.want(0, "trusted root: "+file+" (TUF, "+site.mirror()+") of", verify...)
	x.want(0, "TUF", verifyAlice(artifact, bundle, "--offline", "--instance", "ours")...)
	x.want(23, "nosuch", verifyAlice(artifact, bundle, "--offline")...)
	delete(x.env, "SIGSTORE_REKOR_PUBLIC_KEY")
	// It ages: a warning, or a refusal, as it is set.
	x.now = x.now.AddDate(0, 0, 31)
	x.want(0, "was confirmed 31 days ago", verify...)
	x.want(22, "--trust-max-age is 720h0m0s", append(verify, "--trust-max-age", "720h")...)
	x.want(0, "", append(verify, "--trust-max-age", "800h")...)
	x.want(21, "negative", append(verify, "--trust-max-age", "-1h")...)
	x.now = x.now.AddDate(1, 0, 0)
	x.want(22, "public-good, embedded was confirmed", append(verifyAlice(artifact, bundle), "--trust-max-age", "1h")...)
	x.now = x.now.AddDate(-1, 0, -40)
	x.want(22, "in the future", verify...)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(data), `"from"`, `"x":1,"from"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	x.want(22, "trust file", verify...)
	x.want(23, "no such file", verifyAlice(artifact, bundle, "--trust", "nosuch")...)
}

// writeKey writes a private key without a password, and its public half beside it.
func writeKey(t *testing.T, dir, name string) (private, public string, key trust.Key) {
	t.Helper()
	k := mint.NewKey(t, algorithm.ECDSAP256SHA256)
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	private, public = filepath.Join(dir, name+".key"), filepath.Join(dir, name+".pub")
	for file, block := range map[string]*pem.Block{private: {Type: "PRIVATE KEY", Bytes: der}, public: {Type: "PUBLIC KEY", Bytes: mint.SPKI(t, k.Public())}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if key, err = trust.NewKey(name, k.Public(), algorithm.Unspecified, trust.Window{}); err != nil {
		t.Fatal(err)
	}
	return private, public, key
}

func TestRevoke(t *testing.T) {
	w := world.New(t)
	x := newTerminal(t)
	x.env["COSIGN_PASSWORD"] = ""
	site := newTUFSite(t, w.RootJSON(t), nil, x.now)
	artifact, bundle := writeEvidence(t, w)
	dir := t.TempDir()
	security, _, _ := writeKey(t, dir, "security")
	stranger, public, _ := writeKey(t, dir, "stranger")
	for _, key := range []*string{&security, &stranger} {
		prefix := strings.TrimSuffix(*key, ".key") + "-sealed"
		x.want(0, "", "bulla", "import-key-pair", "--key", *key, "--output-key-prefix", prefix)
		*key = prefix + ".key"
	}
	x.want(0, site.mirror(), "bulla", "trust", "add", "ours", "--mirror", site.mirror(), "--root", site.mirror()+"/root.json")
	revoke := func(list, key string, more ...string) []string {
		return append([]string{"bulla", "trust", "revoke", "--list", filepath.Join(dir, list), "--key", key, "--reason", "left the company"}, more...)
	}
	who := []string{"--identity", "alice@bulla.test", "--issuer", "https://issuer.bulla.test", "--from"}
	at := func(d time.Duration) string { return world.SigningTime.Add(d).UTC().Format(time.RFC3339) }
	check := func(list string, status int, words string) {
		t.Helper()
		file := filepath.Join(dir, list+".trust")
		x.want(0, "", "bulla", "trust", "export", "ours", "--revocations", filepath.Join(dir, list), "--out", file)
		x.want(status, words, verifyAlice(artifact, bundle, "--trust", file)...)
	}
	x.want(0, "1 revocations", revoke("later", security, append(who, at(24*time.Hour))...)...)
	check("later", 0, "after this signature was made: left the company")
	x.want(0, "1 revocations", revoke("before", security, append(who, at(-24*time.Hour))...)...)
	check("before", 1, "the identity alice@bulla.test, certified by https://issuer.bulla.test, is revoked")
	x.want(0, "2 revocations", revoke("later", security, "--public-key", public)...)
	check("later", 0, "after this signature was made")
	x.want(0, "revoked identity", "bulla", "trust", "show", filepath.Join(dir, "later.trust"))

	before := filesBelow(t, dir)
	x.want(22, "not signed by a key that may revoke", revoke("later", stranger, "--public-key", public)...)
	for _, args := range [][]string{
		revoke("later", security), revoke("later", security, "--artifact", "sha256:00"), revoke("later", security, "--identity", "a"),
		revoke("later", security, "--artifact", "sha256:"+strings.Repeat("0", 64), "--public-key", public),
		revoke("later", security, append(who, "yesterday")...), revoke("later", "", "--public-key", public),
	} {
		x.want(21, "", args...)
	}
	if after := filesBelow(t, dir); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// A key alone needs nothing of the instance, but whether it was revoked.
func TestRevokedKeyAlone(t *testing.T) {
	x := newTerminal(t)
	x.env["COSIGN_PASSWORD"] = ""
	root := testenv.ReadVector(t, "tuf", "root-signing", "targets", "trusted_root.json")
	site := newTUFSite(t, root, nil, x.now)
	dir := t.TempDir()
	artifact := filepath.Join(dir, "a")
	if err := os.WriteFile(artifact, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	key, public, _ := writeKey(t, dir, "k")
	x.want(0, "", "bulla", "import-key-pair", "--key", key, "--output-key-prefix", filepath.Join(dir, "sealed"))
	x.want(0, "", "bulla", "sign-blob", "--key", filepath.Join(dir, "sealed.key"), "--log=none", "--bundle", artifact+".json", artifact)
	verify := []string{"bulla", "verify-blob", "--key", public, "--log=none", "--bundle", artifact + ".json", artifact}
	c := new(canary)
	x.dial = c.dial
	x.want(0, "Verified", verify...)
	if seen := c.take(); len(seen) != 0 {
		t.Errorf("where nothing is set up %q was asked", seen)
	}
	x.dial = withinThisMachine
	x.want(0, site.mirror(), "bulla", "initialize", "--mirror", site.mirror(), "--root", site.mirror()+"/root.json")
	if out := x.want(0, "Verified", verify...); strings.Contains(out, "trusted root") {
		t.Errorf("nothing of the trusted root was needed:\n%s", out)
	}
	site.setDown(true)
	x.want(0, "could not be refreshed", verify...)
	x.now = x.now.AddDate(0, 0, 8)
	x.want(0, "whether the key or the artifact was revoked is not known", verify...)
	x.want(20, "expired", append(verify, "--trust-max-age", "720h")...)

	list := filepath.Join(dir, "list")
	x.want(0, "", "bulla", "trust", "revoke", "--list", list, "--key", filepath.Join(dir, "sealed.key"), "--public-key", public, "--reason", "stolen")
	var err error
	if site.revoked, err = os.ReadFile(list); err != nil {
		t.Fatal(err)
	}
	site.publish(root, nil, x.now)
	site.setDown(false)
	out := x.want(1, "is revoked for all time", verify...)
	if !strings.Contains(out, "trusted root: TUF, "+site.mirror()) {
		t.Errorf("does not say who revokes:\n%s", out)
	}
	x.want(1, "stolen", append(verify, "--offline")...)
	x.want(1, "stolen", "bulla", "sign-blob", "--key", filepath.Join(dir, "sealed.key"), "--log=none", "--bundle", artifact+".new", artifact)
	x.want(0, "Verified", append(verify, "--instance", "built-in")...)
	// One that has revoked is not done without.
	site.setDown(true)
	x.now = x.now.AddDate(0, 0, 8)
	x.want(20, "expired", verify...)
}

// After a key was replaced, a set of keys with windows verifies what the old one signed in its time, and nothing later.
func TestKeySetRotation(t *testing.T) {
	w := world.New(t)
	x := newTerminal(t)
	dir := t.TempDir()
	artifact, root := filepath.Join(dir, "a"), filepath.Join(dir, "root.json")
	signer := mint.NewKey(t, algorithm.ECDSAP256SHA256)
	b, content, pub := w.Bundle(t, world.Spec{Key: signer, Log: world.LogV1, Time: world.SigningTime})
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	_, _, fresh := writeKey(t, dir, "new")
	set := func(end time.Time) string {
		old, err := trust.NewKey("old", pub, algorithm.Unspecified, trust.Window{End: end})
		if err != nil {
			t.Fatal(err)
		}
		fresh.Window.Start = end
		data, err := keyset.Encode([]trust.Key{fresh, old})
		name := filepath.Join(dir, "keys.json")
		if err == nil {
			err = os.WriteFile(name, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	for name, data := range map[string][]byte{artifact: content, root: w.RootJSON(t), artifact + ".json": data} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verify := []string{"bulla", "verify-blob", "--trusted-root", root, "--bundle", artifact + ".json", artifact, "--key"}
	x.want(0, "old", append(verify, set(world.SigningTime.Add(time.Hour)))...)
	x.want(0, "old", append(verify, set(world.SigningTime))...)
	x.want(1, "not valid at", append(verify, set(world.SigningTime.Add(-time.Second)))...)
	bad := filepath.Join(dir, "bad.json")
	if err := os.WriteFile(bad, []byte(`{"keys":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	x.want(22, "key set", append(verify, bad)...)
}
