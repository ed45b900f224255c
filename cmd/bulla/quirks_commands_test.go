package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulla-sign/bulla/internal/cli"
)

// quirkCommand is one call of a command in the table of TestQuirks.
type quirkCommand struct {
	command string
	repo    string // full…: has evidence of every form; bundles…: has bundles only; bare…: has the image only; none…: is empty
	args    func(w *quirkWorld, repo string) []string
	ends    func(q *quirk) int // with which status because of a quirk; 0: as without
	fine    int                // the status without a quirk
	may     bool               // it may have to ask more than others of its kind
	says    func(out string) string
	after   func(w *quirkWorld, ok bool) string // what is wrong with what the command left; empty: nothing
}

// The kinds of commands, by what a quirk does to them.
var (
	looks   = func(q *quirk) int { return q.found }
	lists   = func(q *quirk) int { return q.every }
	misses  = func(q *quirk) int { return q.absent }
	writes  = func(q *quirk) int { return q.write }
	adds    = func(q *quirk) int { return q.more }
	older   = func(q *quirk) int { return q.older }
	carries = func(q *quirk) int { return q.carry }
	asks    = func(q *quirk) int { return q.busy }
)

// want is what a command may end with.
func (row *quirkCommand) want(w *quirkWorld) []int {
	q := &w.quirk
	status := row.ends(q)
	if status == 0 {
		status = row.fine
	}
	out := []int{status}
	if q.loose {
		out = append(out, row.fine)
	}
	if row.may && q.troubles() {
		out = append(out, row.fine, cli.ExitUnknown)
	}
	if q.blind && !strings.HasPrefix(row.repo, "bare") {
		out = append(out, cli.ExitNoSignatures)
	}
	return out
}

// pieces are what download prints of a repository with everything.
const (
	quirkSignatures   = 3 // two bundles, of which one is an attestation, and an older signature
	quirkAttestations = 2 // the two bundles
)

func count(what string, n int) func(string) string {
	return func(out string) string {
		if got := strings.Count(out, what); got != n {
			return fmt.Sprintf("%q is there %d times, want %d", what, got, n)
		}
		return ""
	}
}

func printed(n int) func(string) string { return count("\n", n) }

func with(args ...string) func(*quirkWorld, string) []string {
	return func(w *quirkWorld, repo string) []string { return append(slices.Clone(args), w.image(repo)) }
}

// grows demands that nothing is gone from a repository, and that what was reported as attached is there.
func grows(kind, repo string, before int) func(*quirkWorld, bool) string {
	return func(w *quirkWorld, ok bool) string {
		got := w.lines(kind, repo)
		if got < before || ok && got != before+1 {
			return fmt.Sprintf("there are %d pieces of %d and one", got, before)
		}
		return ""
	}
}

// verifies demands that an image verifies once it is reported as signed.
func verifies(command, repo string) func(*quirkWorld, bool) string {
	return func(w *quirkWorld, ok bool) string {
		if !ok {
			return ""
		}
		if code, out, said := quietly(command, "--key", "cosign.pub", "--log=none", w.calm(repo)); code != 0 {
			return fmt.Sprintf("it does not verify: %d\n%s%s", code, out, said)
		}
		return ""
	}
}

// whole demands that what was reported as carried is all there.
func whole(from, to func(w *quirkWorld) string) func(*quirkWorld, bool) string {
	return func(w *quirkWorld, ok bool) string {
		if !ok {
			return ""
		}
		code, out, said := quietly("copy", "--dry-run", from(w), to(w))
		if code != 0 || strings.Contains(out, "missing") || w.quirk.blind {
			if w.quirk.blind && code == 0 {
				return ""
			}
			return fmt.Sprintf("it is not whole: %d\n%s%s", code, out, said)
		}
		return ""
	}
}

func calmly(repo string) func(*quirkWorld) string {
	return func(w *quirkWorld) string { return w.calm(repo) }
}

// uploaded demands that a tag that was reported as written is there.
func uploaded(repo string) func(*quirkWorld, bool) string {
	return func(w *quirkWorld, ok bool) string {
		if ok && w.reg.ReadManifest(repo, "v1") == nil {
			return "the tag is not there"
		}
		return ""
	}
}

// kept demands that everything attached is there still.
func kept(repo string) func(*quirkWorld, bool) string {
	return func(w *quirkWorld, _ bool) string {
		if got := w.lines("signature", repo); got != quirkSignatures {
			return fmt.Sprintf("there are %d pieces of %d", got, quirkSignatures)
		}
		return ""
	}
}

// emptied demands that nothing is left, and the image still is.
func emptied(repo string) func(*quirkWorld, bool) string {
	return func(w *quirkWorld, ok bool) string {
		if w.reg.ReadManifest(repo, w.x.digest) == nil {
			return "the image is gone"
		}
		if got := w.lines("signature", repo); ok && got != 0 && !w.quirk.blind {
			return fmt.Sprintf("%d pieces are left", got)
		}
		return ""
	}
}

// quirkRepositories are those of all commands.
func quirkRepositories() []string {
	var out []string
	for _, row := range quirkCommands() {
		if !slices.Contains(out, row.repo) {
			out = append(out, row.repo)
		}
	}
	return out
}

func quirkCommands() []quirkCommand {
	return slices.Concat(quirkReaders(), quirkSeekers(), quirkWriters(), quirkCarriers())
}

// quirkReaders look for what is there.
func quirkReaders() []quirkCommand {
	const full, bundles = "full", "bundles"
	trusting := with("--key", "cosign.pub", "--log=none")
	return []quirkCommand{
		{command: "verify", repo: bundles, args: trusting, ends: looks},
		{command: "verify-attestation", repo: bundles, args: trusting, ends: looks},
		{command: "manifest verify", repo: bundles, ends: looks, args: func(w *quirkWorld, _ string) []string {
			return []string{"--key", "cosign.pub", "--log=none", w.file("bundles.yaml")}
		}},
		{command: "dockerfile verify", repo: bundles, ends: looks, args: func(w *quirkWorld, _ string) []string {
			return []string{"--key", "cosign.pub", "--log=none", w.file("bundles.Dockerfile")}
		}},
		{command: "download signature", repo: full, args: with(), ends: lists, says: printed(quirkSignatures)},
		{command: "download attestation", repo: full, args: with(), ends: lists, says: printed(quirkAttestations)},
		{command: "download sbom", repo: full, args: with(), ends: lists, may: true, says: count("SPDX-2.3", 1)},
		{command: "tree", repo: full, args: with("-o", "json"), ends: lists, says: count(`"reference": `, 4+4)},
		{command: "triangulate", repo: full, ends: asks, says: count(".sig\n", 1), args: func(w *quirkWorld, repo string) []string {
			return []string{w.reg.Host + "/" + repo + ":v1"}
		}},
		{command: "generate", repo: full, ends: asks, says: count(`"docker-manifest-digest":"sha256:`, 1), args: func(w *quirkWorld, repo string) []string {
			return []string{w.reg.Host + "/" + repo + ":v1"}
		}},
		{command: "doctor", repo: full, args: with(), ends: asks, may: true},
		{command: "repair", repo: "full-repair", args: with(), ends: asks, may: true, after: kept("full-repair")},
		{command: "repair", repo: "full-scan", args: with("--scan", "--prune"), ends: asks, may: true, after: kept("full-scan")},
		{command: "clean", repo: "full-clean", args: with("-f"), ends: func(q *quirk) int { return q.found & q.every & q.older }, may: true, after: emptied("full-clean")},
	}
}

// quirkSeekers look where nothing is.
func quirkSeekers() []quirkCommand {
	const bare, none = "bare", cli.ExitNoSignatures
	trusting := with("--key", "cosign.pub", "--log=none")
	return []quirkCommand{
		{command: "verify", repo: bare, args: trusting, ends: misses, fine: none},
		{command: "verify-attestation", repo: bare, args: trusting, ends: misses, fine: none},
		{command: "manifest verify", repo: bare, ends: misses, fine: none, args: func(w *quirkWorld, _ string) []string {
			return []string{"--key", "cosign.pub", "--log=none", w.file("bare.yaml")}
		}},
		{command: "dockerfile verify", repo: bare, ends: misses, fine: none, args: func(w *quirkWorld, _ string) []string {
			return []string{"--key", "cosign.pub", "--log=none", w.file("bare.Dockerfile")}
		}},
		{command: "download signature", repo: bare, args: with(), ends: misses, fine: none},
		{command: "download attestation", repo: bare, args: with(), ends: misses, fine: none},
		{command: "download sbom", repo: bare, args: with(), ends: misses, fine: none},
		{command: "tree", repo: bare, args: with("-o", "json"), ends: misses, says: count(`"attached": []`, 1)},
		{command: "clean", repo: "bare-clean", args: with("-f"), ends: misses},
		{command: "repair", repo: "bare-repair", args: with(), ends: misses, may: true, says: count(" 0 entries", 1)},
	}
}

// quirkWriters attach something, to an image with nothing and to one with everything.
func quirkWriters() []quirkCommand {
	key := []string{"--key", quirkKey, "--log=none"}
	attest := with(append(key, "--predicate", "p2.json")...)
	return []quirkCommand{
		{command: "sign", repo: "bare-sign", args: with(key...), ends: writes, after: verifies("verify", "bare-sign")},
		{command: "sign", repo: "bare-older", args: with(append(key, "--format=legacy")...), ends: older, after: verifies("verify", "bare-older")},
		{command: "attest", repo: "bare-attest", args: attest, ends: writes, after: verifies("verify-attestation", "bare-attest")},
		{command: "attest", repo: "full-attest", args: attest, ends: adds, after: grows("attestation", "full-attest", quirkAttestations)},
		{command: "attach signature", repo: "bare-attach", args: with("--bundle", "sig.json"), ends: writes, after: verifies("verify", "bare-attach")},
		{command: "attach signature", repo: "bare-attach-older", args: with("--payload", "older.payload", "--signature", "older.sig"), ends: older, after: verifies("verify", "bare-attach-older")},
		{command: "attach attestation", repo: "full-attach", args: with("--attestation", "att2.json"), ends: adds, may: true, after: grows("attestation", "full-attach", quirkAttestations)},
		{command: "attach sbom", repo: "bare-sbom", args: with("--sbom", "s.spdx.json"), ends: older, after: func(w *quirkWorld, ok bool) string {
			if code, _, said := quietly("download", "sbom", w.calm("bare-sbom")); ok && code != 0 {
				return "it cannot be read: " + said
			}
			return ""
		}},
		{command: "attach sbom", repo: "full-sbom", args: with("--registry-referrers-mode=oci-1-1", "--sbom", "s.spdx.json"), ends: adds, after: func(w *quirkWorld, ok bool) string {
			if _, out, said := quietly("tree", w.calm("full-sbom")); ok && !strings.Contains(out, "artifact.sbom") {
				return "it is not there: " + out + said
			}
			return kept("full-sbom")(w, ok)
		}},
		{command: "upload blob", repo: "none-blob", ends: asks, after: uploaded("none-blob"), args: func(w *quirkWorld, repo string) []string {
			return []string{"-f", "blob", w.reg.Host + "/" + repo + ":v1"}
		}},
		{command: "upload wasm", repo: "none-wasm", ends: asks, after: uploaded("none-wasm"), args: func(w *quirkWorld, repo string) []string {
			return []string{"-f", "f.wasm", w.reg.Host + "/" + repo + ":v1"}
		}},
	}
}

// quirkCarriers carry the image with everything from such a registry and to it.
func quirkCarriers() []quirkCommand {
	full := calmly("full")
	return []quirkCommand{
		{command: "copy", repo: "full-from", ends: lists, may: true, after: whole(full, calmly("none-from")), args: func(w *quirkWorld, repo string) []string {
			return []string{w.image(repo), w.still.Host + "/none-from:v1"}
		}},
		{command: "copy", repo: "none-to", ends: carries, after: whole(full, calmly("none-to")), args: func(w *quirkWorld, repo string) []string {
			return []string{w.calm("full"), w.reg.Host + "/" + repo + ":v1"}
		}},
		{command: "copy", repo: "full-merge", ends: carries, after: whole(full, calmly("full-merge")), args: func(w *quirkWorld, repo string) []string {
			return []string{w.calm("full"), w.reg.Host + "/" + repo + ":v1"}
		}},
		{command: "load", repo: "none-load", ends: carries, after: whole(full, calmly("none-load")), args: func(w *quirkWorld, repo string) []string {
			return []string{"--dir", "saved", w.reg.Host + "/" + repo + ":v1"}
		}},
		{command: "save", repo: "full", ends: lists, may: true, args: func(w *quirkWorld, repo string) []string {
			return []string{"--dir", w.file("saved"), w.image(repo)}
		}, after: func(w *quirkWorld, ok bool) string {
			code, _, said := quietly("verify", "--key", "cosign.pub", "--log=none", "--local-image", w.file("saved"))
			switch {
			case ok && code != 0 && !w.quirk.blind:
				return "it does not verify: " + said
			case !ok && code == 0:
				return "it is taken for a whole one"
			}
			return ""
		}},
	}
}
