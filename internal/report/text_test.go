package report

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulla-sign/bulla/verify"
	"github.com/bulla-sign/bulla/verify/reason"
)

// verified is a report with everything that the short text shows.
func verified() *verify.Report {
	at := time.Date(2026, 3, 1, 13, 1, 0, 0, time.FixedZone("CET", 3600))
	return &verify.Report{
		Verified: true, Artifact: "a.txt", Digest: "sha256:00", Nearest: 1,
		Root: &verify.RootReport{Name: "public-good, embedded", Date: "2026-08-21", AgeDays: 93, Embedded: true},
		Candidates: []verify.CandidateReport{{
			Name: "a.json", Verified: true, PredicateType: "https://example.com/p",
			Signer: &verify.Signer{Subjects: []string{"a@b", "https://c"}, Issuer: "https://issuer"},
			Times:  []verify.VerifiedTime{{Time: at, Source: "transparency log", By: "https://log"}},
			Logs:   []verify.LoggedAt{{Log: "https://log", Index: 7, Kind: "dsse/0.0.1", Proof: "inclusion proof"}},
			Checks: []verify.Check{
				{Name: verify.CheckSignature, Outcome: verify.Passed, Facts: []verify.Fact{{Key: "algorithm", Value: "x"}, {Key: "over", Value: "y"}}},
				{Name: verify.CheckTimestamp, Outcome: verify.NotRequired, Reason: "none is demanded"},
			},
			Warnings: []string{"a pattern matched a part"},
		}, {
			Name: "b.json", Code: reason.Signature, Reason: "no",
			Signer: &verify.Signer{KeyName: "k.pub", KeySHA256: "11"},
			Checks: []verify.Check{
				{Name: verify.CheckSignature, Outcome: verify.Failed, Code: reason.Signature, Reason: "no", Spec: "a clause"},
				{Name: verify.CheckIdentity, Outcome: verify.NotReached, Reason: "an earlier check failed"},
			},
		}},
		NotChecked: []string{"the log (waived)"},
	}
}

func text(t *testing.T, r *verify.Report, s Style) string {
	t.Helper()
	var out strings.Builder
	if err := Text(&out, r, s); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestText(t *testing.T) {
	const want = `Verified: a.txt
  digest: sha256:00
signature 1 of 2: verified  a.json
  signed by a@b, https://c (certified by https://issuer)
  at 2026-03-01T12:01:00Z (transparency log https://log)
  logged by https://log at index 7 (dsse/0.0.1, inclusion proof)
  statement https://example.com/p
  warning: a pattern matched a part
signature 2 of 2: refused  b.json
  held against the key k.pub (sha256:11)
  reason: no [signature-mismatch]
not checked: the log (waived)
trusted root: public-good, embedded of 2026-08-21 (93 days old)
`
	if diff := cmp.Diff(want, text(t, verified(), Style{})); diff != "" {
		t.Error(diff)
	}
	full := text(t, verified(), Style{Full: true})
	for _, line := range []string{"  ok     signature                algorithm x; over y\n", "  n/a    timestamp                none is demanded\n", "  FAILED signature                no\n         rule: a clause\n"} {
		if !strings.Contains(full, line) {
			t.Errorf("the full text lacks %q:\n%s", line, full)
		}
	}
}

func TestTextRefused(t *testing.T) {
	r := &verify.Report{Artifact: "reg/app@sha256:00", Digest: "sha256:00", Code: reason.NoEvidence, Reason: "nothing was found", Nearest: -1}
	const want = "NOT verified: reg/app@sha256:00\n  reason: nothing was found [no-signatures]\n"
	if diff := cmp.Diff(want, text(t, r, Style{})); diff != "" {
		t.Error(diff)
	}
	c := verified()
	c.Verified, c.Candidates[0].Verified = false, false
	c.Candidates[0].Code, c.Candidates[0].Reason = reason.Identity, "somebody else"
	const others = "  reason: somebody else [identity-mismatch]\n"
	const nearest = "signature 2 of 2: refused, the nearest miss  b.json\n  held against the key k.pub (sha256:11)\n  FAILED signature"
	if out := text(t, c, Style{}); !strings.Contains(out, others) || !strings.Contains(out, nearest) {
		t.Errorf("of two refused candidates the nearest shows its checks, the other its reason:\n%s", out)
	}
	if out := text(t, c, Style{}); !strings.Contains(out, "  claims to be signed by a@b, ") || strings.Contains(out, "logged by") {
		t.Errorf("a refused candidate's claims are shown as facts:\n%s", out)
	}
	c = verified()
	c.Candidates[0].Logs, c.Candidates[0].Signer = nil, &verify.Signer{KeySHA256: "22"}
	if out := text(t, c, Style{}); !strings.Contains(out, "  not logged\n") || !strings.Contains(out, "  signed by key (sha256:22)\n") {
		t.Errorf("a key's unlogged signature:\n%s", out)
	}
}

func TestTextColour(t *testing.T) {
	plainText := text(t, verified(), Style{Full: true})
	if strings.Contains(plainText, "\x1b") {
		t.Error("colours where none are wanted")
	}
	coloured := text(t, verified(), Style{Full: true, Colour: true})
	if !strings.HasPrefix(coloured, green+"Verified:"+plain+" a.txt\n") || !strings.Contains(coloured, red+"FAILED"+plain) {
		t.Errorf("no colours: %q", coloured)
	}
	if diff := cmp.Diff(plainText, strings.NewReplacer(green, "", red, "", dim, "", plain, "").Replace(coloured)); diff != "" {
		t.Errorf("colours change the text:\n%s", diff)
	}
}

// TestTextHostile writes control characters into every string of a report: none may come out, and no line more.
func TestTextHostile(t *testing.T) {
	const evil = "x\n\x1b[2KVerified: a.txt\r\u202e\u2028\x00\x9b\xff"
	r := verified()
	r.Artifact, r.Digest, r.Reason, r.Root.Name = evil, evil, evil, evil
	r.NotChecked = []string{evil}
	for i := range r.Candidates {
		c := &r.Candidates[i]
		c.Name, c.PredicateType, c.Warnings = evil, evil, []string{evil}
		c.Signer = &verify.Signer{Subjects: []string{evil}, Issuer: evil, KeyName: evil}
		for j := range c.Logs {
			c.Logs[j].Log, c.Logs[j].Kind, c.Logs[j].Proof, c.Times[j].By, c.Times[j].Source = evil, evil, evil, evil, evil
		}
		for j := range c.Checks {
			c.Checks[j].Reason, c.Checks[j].Spec, c.Checks[j].Facts = evil, evil, []verify.Fact{{Key: evil, Value: evil}}
		}
	}
	lines := strings.Count(text(t, verified(), Style{Full: true}), "\n")
	out := text(t, r, Style{Full: true})
	if strings.ContainsAny(out, "\x1b\r\x00\u202e\u2028\u009b") || strings.Contains(out, "\xff") {
		t.Errorf("control characters came through: %q", out)
	}
	if got := strings.Count(out, "\n"); got > lines {
		t.Errorf("%d lines, want at most %d:\n%s", got, lines, out)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "plain, ünïcode ✓": "plain, ünïcode ✓", "a\tb\nc": `a\u0009b\u000ac`, "\x1b[31m": `\u001b[31m`,
		"\u200b\u202e": `\u200b\u202e`, "\xff": `\xff`, "\uFFFD": "\uFFFD", "a\x80\uFFFD": `a\x80` + "\uFFFD",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

type broken struct{ after int }

func (b *broken) Write(p []byte) (int, error) {
	if b.after--; b.after < 0 {
		return 0, errors.New("disk full")
	}
	return len(p), nil
}

func TestTextWriteError(t *testing.T) {
	for after := range 3 {
		if err := Text(&broken{after}, verified(), Style{}); err == nil {
			t.Errorf("after %d writes: no error", after)
		}
	}
}
