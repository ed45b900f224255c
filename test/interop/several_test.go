package interop

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/sigstore/sigstore-go/pkg/tuf"
)

// TestSeveralInstances signs at the logs and timestamp authorities of two instances at once, in files and images, and has
// bulla demand both, and cosign and sigstore-go's rules take the result.
func TestSeveralInstances(t *testing.T) {
	t.Parallel()
	first, err := startInstance(bullaServer(t), "--ephemeral")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(first.stop)
	second, err := startInstance(bullaServer(t), "--ephemeral")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(second.stop)
	dir := t.TempDir()
	merged := func(target string, lists ...string) map[string]any {
		a, b := first.target(t, target), second.target(t, target)
		for _, list := range lists {
			a[list] = append(a[list].([]any), b[list].([]any)...)
		}
		return a
	}
	write := func(name string, content map[string]any) string {
		data, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	root := write("root.json", merged("trusted_root.json", "tlogs", "timestampAuthorities"))
	alone := write("first.json", first.target(t, "trusted_root.json"))
	config := merged("signing_config.v0.2.json", "rekorTlogUrls", "tsaUrls")
	for _, list := range []string{"rekorTlogUrls", "tsaUrls"} {
		for i, service := range config[list].([]any) {
			service.(map[string]any)["operator"] = []string{"first", "second"}[i]
		}
	}
	config["rekorTlogConfig"], config["tsaConfig"] = map[string]any{"selector": "ALL"}, map[string]any{"selector": "EXACT", "count": 2}
	with := []string{"--yes", "--signing-config", write("signing-config.json", config), "--trusted-root", root, "--identity-token", first.token(t, identity)}
	who := []string{"--certificate-identity", identity, "--certificate-oidc-issuer", first.Issuer}
	both := []string{"--min-logs", "2", "--min-timestamps", "2"}

	artifact, bundle := toSign(t)
	image := push(t, theWorld.referrers+"/several/app:v1")
	theWorld.bulla.run(join([]string{"sign-blob", "--bundle", bundle}, with, []string{artifact})...).wantOK(t)
	theWorld.bulla.run(join([]string{"sign"}, with, []string{image})...).wantOK(t)
	for _, of := range [][]string{{"verify-blob", "--bundle", bundle, artifact}, {"verify", image}} {
		theWorld.bulla.run(join(of, who, both, []string{"--trusted-root", root})...).wantOK(t)
		theWorld.bulla.run(join(of, who, both, []string{"--trusted-root", alone})...).wantRefused(t)
		theWorld.bulla.run(join(of, who, []string{"--trusted-root", alone})...).wantOK(t)
		theWorld.cosign.run(join(of, who, []string{"--trusted-root", root})...).wantOK(t)
		theWorld.cosign.run(join(of, []string{"--certificate-identity", "mallory@example.com", "--certificate-oidc-issuer", first.Issuer, "--trusted-root", root})...).wantRefused(t)
	}
}

// target is a file of the instance's TUF repository.
func (in *instance) target(t *testing.T, name string) map[string]any {
	t.Helper()
	first, err := os.ReadFile(in.Root)
	if err != nil {
		t.Fatal(err)
	}
	client, err := tuf.New(tuf.DefaultOptions().WithRepositoryBaseURL(in.Mirror).WithRoot(first).WithCachePath(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	data, err := client.GetTarget(name)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestFlushInstance logs what was deferred under the trust of a named instance, and under no other.
func TestFlushInstance(t *testing.T) {
	t.Parallel()
	in := sharedInstance(t)
	p := theWorld.bulla.with("TUF_ROOT=" + filepath.Join(t.TempDir(), "tuf"))
	p.run("trust", "add", "ours", "--mirror", in.Mirror, "--root", in.Root).wantOK(t)
	artifact, bundle := toSign(t)
	spool, named := filepath.Join(t.TempDir(), "spool"), []string{"--instance", "ours"}
	deferred := p.run(join([]string{"sign-blob", "--yes", "--log=defer", "--spool", spool, "--identity-token", in.token(t, identity), "--bundle", bundle}, named, []string{artifact})...)
	if deferred.code != 24 {
		t.Fatal(deferred)
	}
	who := []string{"--certificate-identity", identity, "--certificate-oidc-issuer", in.Issuer, "--bundle", bundle}
	p.run("flush", "--spool", spool, "--instance", "built-in").wantRefused(t)
	p.run(join([]string{"verify-blob"}, named, who, []string{artifact})...).wantRefused(t)
	p.run(join([]string{"flush", "--spool", spool}, named)...).wantOK(t)
	p.run(join([]string{"verify-blob"}, named, who, []string{artifact})...).wantOK(t)
}
