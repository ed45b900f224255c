package identity

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// Limits on patterns, which come from users and policies. RE2 matches in time proportional to the product of the
// program's and the value's length, so both are bounded.
const (
	// maxPatternSize bounds a pattern's text, in bytes; a policy that lists a hundred workflows in one regexp fits.
	maxPatternSize = 8 << 10
	// maxProgramSize bounds a compiled regexp, in instructions: (x{1000}){…} grows far beyond its text.
	maxProgramSize = 20_000
)

// Pattern says which values are accepted. The zero value accepts nothing.
type Pattern struct {
	kind patternKind
	text string
	full *regexp.Regexp // must match the whole value
	part *regexp.Regexp // may match anywhere in the value
}

type patternKind int

const (
	patternNone patternKind = iota
	patternExact
	patternGlob
	patternRegexp
	patternUnanchored
)

// Exact accepts the value s and no other; case matters.
func Exact(s string) (Pattern, error) {
	if err := checkPattern(s); err != nil {
		return Pattern{}, err
	}
	return Pattern{kind: patternExact, text: s}, nil
}

// Glob accepts values of the shape of s as a whole. "*" stands for any run of characters, also none, that contains
// neither "/" nor "@"; "**" stands for any run at all. Every other character stands for itself: a dot is a dot, and
// "?", "[" and "\" are nothing special, for they occur in URLs. So "*@example.com" accepts no address in another
// domain, "https://github.com/acme/*" no repository's workflow, and "https://github.com/acme/**" everything of acme.
func Glob(s string) (Pattern, error) {
	if err := checkPattern(s); err != nil {
		return Pattern{}, err
	}
	if strings.Contains(s, "***") {
		return Pattern{}, fmt.Errorf("glob %q: \"***\" means nothing; \"**\" crosses \"/\" and \"@\"", s)
	}
	var expr strings.Builder
	for i, crossing := range strings.Split(s, "**") {
		if i > 0 {
			expr.WriteString(`(?s:.*)`)
		}
		for j, literal := range strings.Split(crossing, "*") {
			if j > 0 {
				expr.WriteString(`[^/@]*`)
			}
			expr.WriteString(regexp.QuoteMeta(literal))
		}
	}
	full, err := compile(`\A(?:` + expr.String() + `)\z`)
	if err != nil {
		return Pattern{}, fmt.Errorf("glob %q: %w", s, err)
	}
	return Pattern{kind: patternGlob, text: s, full: full}, nil
}

// Regexp accepts values that the RE2 expression s matches as a whole, whether or not it has anchors.
func Regexp(s string) (Pattern, error) {
	full, _, err := compileUser(s)
	if err != nil {
		return Pattern{}, err
	}
	return Pattern{kind: patternRegexp, text: s, full: full}, nil
}

// UnanchoredRegexp accepts values in which the RE2 expression s matches anywhere, which is what cosign's flags do:
// "alice" accepts "malice@example.org". [Pattern.Match] then says so in its note.
func UnanchoredRegexp(s string) (Pattern, error) {
	full, part, err := compileUser(s)
	if err != nil {
		return Pattern{}, err
	}
	return Pattern{kind: patternUnanchored, text: s, full: full, part: part}, nil
}

// Match reports whether the value is accepted. The note is for people and not empty only when an unanchored regexp
// accepted the value by a part of it.
func (p Pattern) Match(v string) (matched bool, note string) {
	switch p.kind {
	case patternExact:
		return v == p.text, ""
	case patternGlob, patternRegexp:
		return p.full.MatchString(v), ""
	case patternUnanchored:
		at := p.part.FindStringIndex(v)
		if at == nil {
			return false, ""
		}
		if p.full.MatchString(v) {
			return true, ""
		}
		return true, fmt.Sprintf("the regexp %q matched only the part %q of %q", p.text, v[at[0]:at[1]], v)
	}
	return false, ""
}

// IsZero reports whether the pattern is the zero value, which accepts nothing.
func (p Pattern) IsZero() bool { return p.kind == patternNone }

// String describes the pattern for messages.
func (p Pattern) String() string {
	switch p.kind {
	case patternExact:
		return p.text
	case patternGlob:
		return "glob " + p.text
	case patternRegexp:
		return "regexp " + p.text
	case patternUnanchored:
		return "unanchored regexp " + p.text
	}
	return "nothing"
}

func checkPattern(s string) error {
	if s == "" {
		return errors.New("an empty pattern accepts nothing")
	}
	if len(s) > maxPatternSize {
		return fmt.Errorf("pattern of %d bytes, more than %d", len(s), maxPatternSize)
	}
	return nil
}

// compileUser compiles a user's expression, anchored and as it is. The expression is compiled alone first, so that
// unbalanced parentheses cannot escape from the group that anchors it.
func compileUser(s string) (full, part *regexp.Regexp, err error) {
	if err := checkPattern(s); err != nil {
		return nil, nil, err
	}
	if part, err = compile(s); err != nil {
		return nil, nil, fmt.Errorf("regexp %q: %w", s, err)
	}
	if full, err = compile(`\A(?:` + s + `)\z`); err != nil {
		return nil, nil, fmt.Errorf("regexp %q: %w", s, err)
	}
	return full, part, nil
}

func compile(expr string) (*regexp.Regexp, error) {
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, err
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, err
	}
	if len(prog.Inst) > maxProgramSize {
		return nil, fmt.Errorf("it compiles to %d instructions, more than %d", len(prog.Inst), maxProgramSize)
	}
	return regexp.Compile(expr)
}
