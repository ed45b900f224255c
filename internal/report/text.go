// Package report writes verification reports for people and for programs: the same facts, as text and as JSON.
package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/verify"
)

// Style is how text is dressed.
type Style struct {
	// Colour marks outcomes with terminal colours.
	Colour bool
	// Full shows every check of every candidate with its facts; otherwise verified candidates show their signer only, and of
	// the others the one that came nearest shows its checks.
	Full bool
}

// ANSI colours: green, red, dim.
const (
	green = "\x1b[32m"
	red   = "\x1b[31m"
	dim   = "\x1b[2m"
	plain = "\x1b[0m"
)

// Text writes the report for a person: the verdict first, then who signed and when, then what was found and why it was
// refused, and last what was not checked.
func Text(w io.Writer, r *verify.Report, style Style) error {
	p := &printer{w: w, style: style}
	p.verdict(r)
	for i := range r.Candidates {
		p.candidate(r, i)
	}
	for _, s := range r.NotChecked {
		p.line("not checked: %s", s)
	}
	if r.Root != nil {
		p.line("trusted root: %s", rootLine(r.Root))
	}
	return p.err
}

type printer struct {
	w     io.Writer
	style Style
	err   error
}

// line prints a line. What comes from the evidence is made harmless; painted is what the printer itself put together.
func (p *printer) line(format string, args ...any) {
	for i, arg := range args {
		switch v := arg.(type) {
		case string:
			args[i] = Clean(v)
		case painted:
			args[i] = string(v)
		}
	}
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// painted is text that may hold terminal colours.
type painted string

func (p *printer) paint(colour, s string) painted {
	s = Clean(s)
	if !p.style.Colour {
		return painted(s)
	}
	return painted(colour + s + plain)
}

func (p *printer) verdict(r *verify.Report) {
	what := r.Artifact
	if what == "" {
		what = r.Digest
	}
	if what == "" {
		what = "the signature alone, without an artifact"
	}
	if r.Verified {
		p.line("%s %s", p.paint(green, "Verified:"), what)
	} else {
		p.line("%s %s", p.paint(red, "NOT verified:"), what)
		p.line("  reason: %s [%s]", r.Reason, r.Code)
	}
	if r.Digest != "" && what != r.Digest && !strings.Contains(what, r.Digest) {
		p.line("  digest: %s", r.Digest)
	}
}

// candidate writes what was found of one. Of those that were refused only the nearest miss shows its checks, and that only
// where nothing verified: an image that others signed too is no reason to read about every check of theirs.
func (p *printer) candidate(r *verify.Report, i int) {
	n, c := len(r.Candidates), &r.Candidates[i]
	nearest := !r.Verified && i == r.Nearest
	word := p.paint(red, "refused")
	if c.Verified {
		word = p.paint(green, "verified")
	}
	note := ""
	if nearest && n > 1 {
		note = ", the nearest miss"
	}
	p.line("signature %d of %d: %s%s  %s", i+1, n, word, note, p.paint(dim, c.Name))
	if s := c.Signer; s != nil {
		claimed := "signed by"
		switch {
		case c.Verified:
		case len(s.Subjects) == 0 && s.Issuer == "":
			claimed = "held against the key"
		default:
			claimed = "claims to be signed by"
		}
		p.line("  %s %s", claimed, Signer(s))
	}
	if c.Verified {
		p.provenance(c)
	}
	switch {
	case !c.Verified && !p.style.Full && (r.Verified || n > 1 && !nearest):
		p.line("  reason: %s [%s]", c.Reason, c.Code)
	case !c.Verified || p.style.Full:
		for k := range c.Checks {
			p.check(&c.Checks[k])
		}
	}
	for _, warning := range c.Warnings {
		p.line("  warning: %s", warning)
	}
}

// provenance says when a verified signature was made and who logged it. It prints "not logged" where nobody did.
func (p *printer) provenance(c *verify.CandidateReport) {
	for _, t := range c.Times {
		p.line("  at %s (%s %s)", t.Time.UTC().Format(time.RFC3339), t.Source, t.By)
	}
	if len(c.Logs) == 0 {
		p.line("  not logged")
	}
	for _, l := range c.Logs {
		p.line("  logged by %s at index %d (%s, %s)", l.Log, l.Index, l.Kind, l.Proof)
	}
	if c.PredicateType != "" {
		p.line("  statement %s", c.PredicateType)
	}
}

func (p *printer) check(c *verify.Check) {
	mark := map[verify.Outcome]painted{
		verify.Passed: p.paint(green, "ok    "), verify.Failed: p.paint(red, "FAILED"),
		verify.NotRequired: p.paint(dim, "n/a   "), verify.NotReached: p.paint(dim, "-     "),
	}[c.Outcome]
	text := c.Reason
	if c.Outcome == verify.Passed {
		facts := make([]string, 0, len(c.Facts))
		for _, f := range c.Facts {
			facts = append(facts, f.Key+" "+f.Value)
		}
		text = strings.Join(facts, "; ")
	}
	p.line("  %s %-24s %s", mark, c.Name, text)
	if c.Outcome == verify.Failed && c.Spec != "" {
		p.line("         %s", p.paint(dim, "rule: "+c.Spec))
	}
}

// Signer names who signed: the subjects of the certificate and who certified them, or the key.
func Signer(s *verify.Signer) string {
	if len(s.Subjects) == 0 && s.Issuer == "" {
		name := s.KeyName
		if name == "" {
			name = "key"
		}
		return fmt.Sprintf("%s (sha256:%s)", name, s.KeySHA256)
	}
	line := strings.Join(s.Subjects, ", ")
	if s.Issuer != "" {
		line += " (certified by " + s.Issuer + ")"
	}
	return line
}

func rootLine(r *verify.RootReport) string {
	line := r.Name
	if r.Date != "" {
		line += fmt.Sprintf(" of %s (%d days old)", r.Date, r.AgeDays)
	}
	return line
}
