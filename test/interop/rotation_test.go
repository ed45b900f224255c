package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rotations is an instance whose keys are replaced one after the other, seen by those who use it.
type rotations struct {
	*instance
	dir     string
	old     []actor // their folders know the instance since before the first rotation
	signers []actor // of old, those that sign after each rotation
	files   []string
	image   map[string]string // by who signed it
	content string
}

// TestRotations replaces the keys of all services, one after the other, without waiting for anybody. After each, what was
// signed before still verifies, with cosign, sigstore-go and bulla, and they sign on: all that they know from outside is
// the first root.json.
func TestRotations(t *testing.T) {
	t.Parallel()
	r := &rotations{dir: t.TempDir(), image: map[string]string{}}
	state := filepath.Join(r.dir, "up")
	var err error
	if r.instance, err = startInstance(bullaServer(t), "--dir", state, "--port", "0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.instance.stop)
	first, err := os.ReadFile(r.Root)
	if err != nil {
		t.Fatal(err)
	}
	r.Root = filepath.Join(r.dir, "root.json") // the instance's own copy may change
	if err := os.WriteFile(r.Root, first, 0o600); err != nil {
		t.Fatal(err)
	}
	r.old = r.everybody(t)
	r.signers = r.old[:2] // bulla and cosign
	r.content = filepath.Join(r.dir, "artifact.txt")
	if err := os.WriteFile(r.content, []byte("what was shipped\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	early := r.token(t, identity)
	shard := rekorClients(t, r.instance) // knows the key of the log as it is now
	config := filepath.Join(state, "bulla-server.yaml")
	r.sign(t, "before", r.old)
	for _, s := range r.signers {
		r.image[s.name] = push(t, fmt.Sprintf("%s/rotated-%08x/app:v1", theWorld.fallback, random32(t)))
		s.signImage(t, r.image[s.name], identity).wantOK(t)
	}
	for _, kind := range []string{"ca", "ctlog", "log", "tsa", "tuf", "issuer"} {
		if !t.Run(kind, func(t *testing.T) { r.rotate(t, config, kind) }) {
			return
		}
	}
	t.Run("in the end", func(t *testing.T) { r.end(t) })
	t.Run("the old shard", func(t *testing.T) { shard.fsck(t, r.URL+"/log/"+r.frozen(t, config)) })
	// Whoever replaces the issuer's key in a hurry does not trust the old one any more.
	got := r.trusting(t, theWorld.bulla).run("sign-blob", "--yes", "--identity-token", early, "--bundle", filepath.Join(r.dir, "early.json"), r.content)
	if !strings.Contains(got.wantRefused(t).stderr, "has no key") {
		t.Errorf("a token of the issuer's old key: %s", got)
	}
}

// server calls the program of the services.
func (r *rotations) server(t *testing.T, into any, args ...string) {
	t.Helper()
	p := &program{name: "bulla-server", exe: bullaServer(t), world: theWorld}
	got := p.run(append(args, "--output", "json")...)
	got.wantOK(t)
	if err := json.Unmarshal([]byte(got.stdout), into); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
}

// frozen is the name of the log's only closed shard.
func (r *rotations) frozen(t *testing.T, config string) (name string) {
	t.Helper()
	var status struct {
		Keys []struct{ Kind, Name, Phase string }
	}
	r.server(t, &status, "status", "--config", config)
	for _, key := range status.Keys {
		if key.Kind == "log" && key.Phase == "closed" {
			return key.Name
		}
	}
	t.Fatalf("no shard of the log is closed: %v", status.Keys)
	return ""
}

// everybody is bulla, cosign and sigstore-go, each with a folder of its own.
func (r *rotations) everybody(t *testing.T) []actor {
	t.Helper()
	return []actor{
		cosignLike(t, r.instance, theWorld.bulla), cosignLike(t, r.instance, theWorld.cosign),
		library(t, r.instance, r.peers(t)["sigstore-go"], nil),
	}
}

// sign has each of the signers sign the artifact.
func (r *rotations) sign(t *testing.T, when string, signers []actor) {
	t.Helper()
	for _, s := range signers {
		out := filepath.Join(r.dir, fmt.Sprintf("%s-%s.json", s.name, when))
		s.signBlob(t, r.content, "", out).wantOK(t)
		r.files = append(r.files, out)
	}
}

// verify has each of the verifiers verify all that was signed.
func (r *rotations) verify(t *testing.T, verifiers []actor) {
	t.Helper()
	for _, v := range verifiers {
		for _, file := range r.files {
			if got := v.verifyBlob(r.content, file, identity); got.code != 0 || got.err != nil {
				t.Errorf("%s does not verify %s: %s", v.name, filepath.Base(file), got)
			}
		}
	}
}

func (r *rotations) rotate(t *testing.T, config, kind string) {
	var progress struct{ Step string }
	if r.server(t, &progress, "rotate", kind, "--now", "--config", config); progress.Step != "done" {
		t.Fatalf("the rotation is at the step %s", progress.Step)
	}
	// What is signed now is signed with the new key by those who have not looked since: they look now.
	r.sign(t, "after-"+kind, r.signers)
	all := r.files
	r.files = append(all[:len(r.old):len(r.old)], all[len(all)-len(r.signers):]...) // the oldest and the newest
	r.verify(t, r.old)
	r.files = all
}

// end: everything verifies for those who come now, with the first root, and the images for those who have been there all
// the time.
func (r *rotations) end(t *testing.T) {
	root := r.published(t)
	if cas, logs, cts, tsas := len(root.FulcioCertificateAuthorities()), len(root.RekorLogs()), len(root.CTLogs()), len(root.TimestampingAuthorities()); cas != 2 || logs != 2 || cts != 2 || tsas != 2 {
		t.Errorf("the trusted root has %d authorities, %d logs, %d CT logs and %d timestamp authorities, not two of each", cas, logs, cts, tsas)
	}
	fresh := r.everybody(t)
	r.verify(t, fresh)
	for _, v := range r.signers {
		for signer, image := range r.image {
			if got := v.verifyImage(t, image, identity); got.code != 0 || got.err != nil {
				t.Errorf("%s does not verify the image that %s signed: %s", v.name, signer, got)
			}
		}
	}
	for _, v := range fresh {
		v.verifyBlob(r.content, r.files[0], "mallory@example.com").wantRefused(t)
		v.verifyBlob(r.Root, r.files[0], identity).wantRefused(t) // another file
	}
}
