package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/trust/revocation"
)

// together runs commands at once and returns what became of each.
func together(x *terminal, all [][]string) (statuses []int, said []string) {
	statuses, said = make([]int, len(all)), make([]string, len(all))
	var wg sync.WaitGroup
	for i, args := range all {
		wg.Go(func() {
			status, stdout, stderr := x.run(args...)
			statuses[i], said[i] = status, stdout+stderr
		})
	}
	wg.Wait()
	return statuses, said
}

// Many at once revoke into one list. Each is in it in the end.
func TestRevokeTogether(t *testing.T) {
	x := newTerminal(t)
	x.env["COSIGN_PASSWORD"] = ""
	dir := t.TempDir()
	key, _, _ := writeKey(t, dir, "security")
	x.want(0, "", "bulla", "import-key-pair", "--key", key, "--output-key-prefix", filepath.Join(dir, "sealed"))
	list := filepath.Join(dir, "list")
	var all [][]string
	for i := range 16 {
		digest := "sha256:" + strings.Repeat("0123456789abcdef"[i:i+1], 64)
		all = append(all, []string{"bulla", "trust", "revoke", "--list", list, "--key", filepath.Join(dir, "sealed.key"), "--reason", "x", "--artifact", digest})
	}
	statuses, said := together(x, all)
	for i, status := range statuses {
		if status != 0 {
			t.Errorf("status %d: %s", status, said[i])
		}
	}
	data, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	_, revoked, err := revocation.Decode(data)
	different := make(map[string]bool)
	for _, r := range revoked {
		different[r.Artifact] = true
	}
	if err != nil || len(different) != len(all) {
		t.Errorf("%v, %d of %d are revoked", err, len(different), len(all))
	}
}

// Of many that add one name at once a single one does; many that replace it while others use it disturb nobody; and of many
// that remove it a single one does. Nothing is left lying about.
func TestInstancesTogether(t *testing.T) {
	w := world.New(t)
	x := newTerminal(t)
	site := newTUFSite(t, w.RootJSON(t), testenv.ReadVector(t, "tuf", "root-signing", "targets", "signing_config.v0.2.json"), x.now)
	artifact, bundle := writeEvidence(t, w)
	add := []string{"bulla", "trust", "add", "ours", "--mirror", site.mirror(), "--root", site.mirror() + "/root.json"}
	count := func(what string, all [][]string, good int, words string) {
		t.Helper()
		statuses, said := together(x, all)
		n := 0
		for i, status := range statuses {
			switch {
			case status == 0:
				n++
			case words == "" || status != 22 || !strings.Contains(said[i], words):
				t.Errorf("%s: status %d: %s", what, status, said[i])
			}
		}
		if n != good {
			t.Errorf("%s: %d of %d went well, want %d", what, n, len(all), good)
		}
	}
	repeat := func(n int, args []string) (out [][]string) {
		for range n {
			out = append(out, args)
		}
		return out
	}
	count("add", repeat(12, add), 1, `there is an instance "ours" already`)
	use := repeat(20, verifyAlice(artifact, bundle, "--instance", "ours"))
	count("use while it is replaced", append(use, repeat(12, append(add, "--replace"))...), 32, "")
	count("use while it changes", use, 20, "")
	site.publish(w.RootJSON(t), nil, x.now)
	count("remove", repeat(8, []string{"bulla", "trust", "remove", "ours"}), 1, "there is no instance")
	entries, err := os.ReadDir(filepath.Join(x.home, ".sigstore", "root", "instances"))
	if err != nil || len(entries) != 0 {
		t.Errorf("%v, left: %v", err, entries)
	}
}
