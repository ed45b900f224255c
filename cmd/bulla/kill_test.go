package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// killed is one command that writes to a registry.
type killed struct {
	name   string
	repo   string // what is there before, as in quirkCommand
	args   func(w *quirkWorld, repo string) []string
	after  func(w *quirkWorld, repo string) string // what is wrong once the command has run again
	midway func(w *quirkWorld, repo string) string // what is wrong when it was killed
	not    string                                  // the kind of registry where it has nothing to write
}

func killedCommands() []killed {
	key := []string{"--key", quirkKey, "--log=none"}
	toTag := func(args ...string) func(*quirkWorld, string) []string {
		return func(w *quirkWorld, repo string) []string {
			return append(slices.Clone(args), w.reg.Host+"/"+repo+":v1")
		}
	}
	return []killed{
		{name: "sign", repo: "bare", args: with(append(key, "--skip-signed")...), after: exactly("signature", 1)},
		{name: "sign", repo: "index", args: func(w *quirkWorld, repo string) []string {
			return append(slices.Clone(key), "--recursive", w.reg.Host+"/"+repo+"@"+w.x.indexDigest())
		}, after: indexSigned},
		{name: "attest", repo: "full", args: with(append(key, "--skip-signed", "--predicate", "p2.json")...), after: exactly("attestation", quirkAttestations+1)},
		{name: "attach signature", repo: "full", args: with("--bundle", "sig2.json"), after: exactly("signature", quirkSignatures+1)},
		{name: "attach signature", repo: "bare", args: with("--payload", "older.payload", "--signature", "older.sig"), after: exactly("signature", 1)},
		{name: "attach attestation", repo: "full", args: with("--attestation", "att2.json"), after: exactly("attestation", quirkAttestations+1)},
		{name: "attach sbom", repo: "bare", args: with("--sbom", "s.spdx.json"), after: func(w *quirkWorld, repo string) string {
			return failing("download", "sbom", w.calm(repo))
		}},
		{name: "sign", repo: "bare", args: with(append(key, "--format=legacy")...), after: exactly("signature", 1)},
		{name: "attach sbom", repo: "full", args: with("--registry-referrers-mode=oci-1-1", "--sbom", "s.spdx.json"), after: sbomReferrerThere},
		{name: "upload blob", repo: "none", args: toTag("-f", "blob"), after: tagThere, midway: wholeIfTagged},
		{name: "upload wasm", repo: "none", args: toTag("-f", "f.wasm"), after: tagThere, midway: wholeIfTagged},
		{name: "repair", repo: "damaged", args: func(w *quirkWorld, repo string) []string {
			return []string{"--add", strings.Join(w.x.referrers(), ","), w.image(repo)}
		}, after: exactly("signature", quirkSignatures)},
		{name: "repair", repo: "foreign", args: with("--prune"), after: pruned, not: "immutable"},
		{name: "load", repo: "none", args: toTag("--dir", "saved"), after: wholeThere, midway: wholeIfTagged},
		{name: "load", repo: "none", args: toTag("--dir", "saved", "--bundle", "sig2.json"), after: loadedWithBundle, midway: func(w *quirkWorld, repo string) string {
			if w.reg.ReadManifest(repo, "v1") == nil {
				return ""
			}
			return loadedWithBundle(w, repo)
		}},
		{name: "copy", repo: "none", args: func(w *quirkWorld, repo string) []string {
			return []string{w.x.reg.Host + "/app:v1", w.reg.Host + "/" + repo + ":v1"}
		}, after: wholeThere, midway: wholeIfTagged},
		{name: "clean", repo: "full", args: with("-f"), after: exactly("signature", 0)},
	}
}

// exactly demands so many pieces: none is lost, and none is there twice. The image is there, always.
func exactly(kind string, n int) func(*quirkWorld, string) string {
	return func(w *quirkWorld, repo string) string {
		if w.reg.ReadManifest(repo, w.x.digest) == nil {
			return "the image is gone"
		}
		if got := w.lines(kind, repo); got != n {
			return fmt.Sprintf("there are %d pieces, want %d", got, n)
		}
		return ""
	}
}

// indexSigned demands one signature of the index and one of the image in it.
func indexSigned(w *quirkWorld, repo string) string {
	if got := w.linesOf("signature", w.still.Host+"/"+repo+"@"+w.x.indexDigest()); got != 1 {
		return fmt.Sprintf("there are %d signatures of the index, want 1", got)
	}
	return exactly("signature", 1)(w, repo)
}

// failing runs a command that must work.
func failing(args ...string) string {
	if code, out, said := quietly(args...); code != 0 {
		return fmt.Sprintf("bulla %s: status %d\n%s%s", strings.Join(args, " "), code, out, said)
	}
	return ""
}

func tagThere(w *quirkWorld, repo string) string {
	if w.reg.ReadManifest(repo, "v1") == nil {
		return "the tag is not there"
	}
	return failing("copy", w.still.Host+"/"+repo+":v1", w.still.Host+"/again-"+repo+":v1")
}

func wholeThere(w *quirkWorld, repo string) string {
	code, out, said := quietly("copy", "--dry-run", w.x.reg.Host+"/app:v1", w.calm(repo))
	if code != 0 || strings.Contains(out, "missing") {
		return fmt.Sprintf("it is not whole: %d\n%s%s", code, out, said)
	}
	return tagThere(w, repo)
}

// loadedWithBundle demands the image with all that was saved, and one bundle more.
func loadedWithBundle(w *quirkWorld, repo string) string {
	return cmp.Or(wholeThere(w, repo), exactly("signature", quirkSignatures+1)(w, repo))
}

// sbomReferrerThere demands the SBOM once among the referrers, and all that was there before.
func sbomReferrerThere(w *quirkWorld, repo string) string {
	_, out, said := quietly("tree", w.calm(repo))
	if got := strings.Count(out, "artifact.sbom"); got != 1 {
		return fmt.Sprintf("the SBOM is there %d times\n%s%s", got, out, said)
	}
	return exactly("signature", quirkSignatures)(w, repo)
}

// pruned demands that what is about the image is listed, and nothing else.
func pruned(w *quirkWorld, repo string) string {
	_, out, said := quietly("repair", "--dry-run", w.calm(repo))
	list, _, _ := strings.Cut(out, " entries, ") // of the referrers; those of older tags follow
	if strings.Count(list, "kept ") != len(w.x.referrers()) || strings.Contains(list, "foreign ") {
		return fmt.Sprintf("the list is not what it should be\n%s%s", out, said)
	}
	return exactly("signature", quirkSignatures)(w, repo)
}

// wholeIfTagged: the tag comes last, so that nobody takes for the image what has only begun.
func wholeIfTagged(w *quirkWorld, repo string) string {
	switch {
	case w.reg.ReadManifest(repo, "v1") == nil:
		return ""
	case strings.HasPrefix(repo, "upload"):
		return tagThere(w, repo)
	}
	return wholeThere(w, repo)
}

// TestKilledAnywhere has a registry kill the program with SIGKILL at its n-th request, for every n (for a third of them without BULLA_SOAK): before the request has an
// effect, or when it had it and nobody was told. Then the command is run again, and all is as if it had never been killed.
func TestKilledAnywhere(t *testing.T) {
	x := newQuirkTemplate(t)
	kinds := []quirk{{name: "tag"}}
	step, both := 3, false // odd, so that both effects take turns
	switch {
	case os.Getenv("BULLA_SOAK") != "":
		step = 1
		kinds = append(kinds, quirk{name: "API", api: true}, quirk{name: "immutable", quirks: testenv.Quirks{Immutable: "harbor"}})
		both = true
	case raceDetector:
		step = 9 // the program is the same one, and starts slowly
	}
	turns, kills, runs := make(chan struct{}, 16), atomic.Int64{}, 0
	var group sync.WaitGroup
	for _, q := range kinds {
		w := x.registry(t, q)
		for i, row := range killedCommands() {
			if row.not == q.name {
				continue
			}
			requests := w.requests(t, i, row)
			if requests < 4 {
				t.Errorf("%s makes %d requests, and writes", row.name, requests)
			}
			for n := 1; n <= requests; n += step {
				for _, applied := range []bool{false, true} {
					if !both && applied != (n%2 == 0) {
						continue
					}
					repo := fmt.Sprintf("%s-%d-%d-%t", strings.ReplaceAll(row.name, " ", "-"), i, n, applied)
					w.prepare(t, row.repo, repo)
					runs++
					group.Go(func() {
						turns <- struct{}{}
						defer func() { <-turns }()
						what, died := w.kill(row, repo, n, applied)
						if died {
							kills.Add(1)
						}
						if what != "" {
							t.Errorf("%s: %s, killed at request %d of %d, which had an effect: %t: %s", q.name, row.name, n, requests, applied, what)
						}
					})
				}
			}
		}
	}
	group.Wait()
	t.Logf("%d runs, %d killed", runs, kills.Load())
	if n := int(kills.Load()); n < runs*9/10 {
		t.Errorf("of %d runs only %d were killed", runs, n)
	}
}

// prepare makes a repository that has what another one of [TestQuirks] has.
func (w *quirkWorld) prepare(t *testing.T, like, repo string) {
	t.Helper()
	if like != "none" {
		w.x.push(t, w.reg, repo)
	}
	switch like {
	case "index":
		w.reg.PushManifest(t, repo, "multi", quirkIndexType, w.x.index())
	case "full":
		w.x.fill(t, w, repo)
	case "damaged", "foreign":
		w.x.fill(t, w, repo)
		w.damage(t, like, repo)
	}
}

// damage leaves one entry in the list of referrers, or adds one that is not about the image. A registry with the API lets
// nobody do that, and there is nothing to mend.
func (w *quirkWorld) damage(t *testing.T, how, repo string) {
	t.Helper()
	if w.quirk.api {
		return
	}
	i := slices.IndexFunc(w.x.manifests, func(m quirkManifest) bool { return m.list })
	list := w.x.manifests[i]
	var doc map[string]any
	if err := json.Unmarshal(list.body, &doc); err != nil {
		t.Fatal(err)
	}
	entries := doc["manifests"].([]any)
	if how == "damaged" {
		entries = entries[:1]
	} else {
		entries = append(entries, map[string]any{"mediaType": quirkManifestType, "digest": w.x.digest, "size": len(w.x.manifest)})
	}
	doc["manifests"] = entries
	body, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	w.reg.PushManifest(t, repo, list.tag, list.mediaType, body)
}

// requests is how many requests the command makes when nobody kills it.
func (w *quirkWorld) requests(t *testing.T, i int, row killed) int {
	t.Helper()
	repo := fmt.Sprintf("whole-%d", i)
	w.prepare(t, row.repo, repo)
	if what := failing(append(strings.Fields(row.name), row.args(w, repo)...)...); what != "" {
		t.Fatal(what)
	}
	return strings.Count(w.reg.Log(), "/v2/"+repo+"/")
}

// kill runs the command in a process of its own, which dies at the n-th request, and then once more.
func (w *quirkWorld) kill(row killed, repo string, n int, applied bool) (wrong string, died bool) {
	reached, release := make(chan struct{}, 1), make(chan struct{})
	fault := testenv.Fault{Path: "/v2/" + repo + "/", Skip: n - 1, Times: 1, Reached: reached, Wait: release}
	if !applied {
		fault.Status = 500
	}
	w.reg.Fail(fault)
	args := append(strings.Fields(row.name), row.args(w, repo)...)
	program, err := os.Executable()
	if err != nil {
		return err.Error(), false
	}
	cmd := exec.Command(program)
	cmd.Args = append([]string{"bulla"}, args...) // by this name the test binary is the program, see TestMain
	if err := cmd.Start(); err != nil {
		return err.Error(), false
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-reached:
		_ = cmd.Process.Kill() // it waits for the answer
		<-ended
		died = true
	case err := <-ended: // side by side it makes a request less, now and then
		if err != nil {
			return fmt.Sprintf("it was not killed, and ended with %v", err), false
		}
	}
	close(release)
	if !died {
		w.reg.HealPath(fault.Path) // or what it did not meet would be met by those who look
	}
	if row.midway != nil {
		wrong = row.midway(w, repo)
	}
	if wrong == "" {
		wrong = failing(args...)
	}
	if wrong == "" {
		wrong = row.after(w, repo)
	}
	return wrong, died
}
