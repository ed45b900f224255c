package identity

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MatcherOptions are the demands on a certificate. A zero field demands nothing.
type MatcherOptions struct {
	SAN        Pattern
	SANKind    SANKind // accept only names of this kind; needs SAN
	Issuer     Pattern
	Extensions map[string]Pattern // by [Extension.Name]; every one must match
}

// Matcher decides whether a certificate is the one that was demanded. The zero value matches nothing.
type Matcher struct {
	opts  MatcherOptions
	names []string // keys of opts.Extensions in the table's order
}

// Match is the outcome of a comparison.
type Match struct {
	OK     bool
	SAN    SAN      // the name that matched; zero when none did or none was demanded
	Misses []Miss   // why not OK, in the order name, issuer, extensions; empty exactly when OK
	Notes  []string // what a person should know about a match
	Score  int      // demands that were met: among several misses the highest is the nearest
}

// Miss is a demand that was not met.
type Miss struct {
	Field string // "subject alternative name", "issuer", or an extension's Name
	Want  string // the pattern
	Got   string // what the certificate says; "" where it says nothing
}

// Fields of a [Miss] that are not extensions.
const (
	fieldSAN    = "subject alternative name"
	fieldIssuer = "issuer"
)

// NewMatcher checks the demands. It refuses options that demand nothing, an unknown extension name, an extension with
// a zero pattern, and a SANKind without a SAN.
func NewMatcher(opts MatcherOptions) (Matcher, error) {
	if opts.SAN.IsZero() && opts.Issuer.IsZero() && len(opts.Extensions) == 0 {
		return Matcher{}, errors.New("an identity that demands nothing would match every certificate")
	}
	if opts.SANKind != 0 && opts.SAN.IsZero() {
		return Matcher{}, fmt.Errorf("the kind %s is demanded of a name, but no name", opts.SANKind)
	}
	m := Matcher{opts: opts}
	m.opts.Extensions = map[string]Pattern{}
	for _, e := range Extensions() {
		p, ok := opts.Extensions[e.Name]
		if !ok || e.Encoding == EncodingOtherName {
			continue
		}
		if p.IsZero() {
			return Matcher{}, fmt.Errorf("extension %s: an empty pattern accepts nothing", e.Name)
		}
		m.opts.Extensions[e.Name] = p
		m.names = append(m.names, e.Name)
	}
	for name := range opts.Extensions {
		if !slices.Contains(m.names, name) {
			return Matcher{}, fmt.Errorf("unknown certificate extension %q", name)
		}
	}
	return m, nil
}

// IsZero reports whether the matcher was not made by [NewMatcher]; it matches nothing.
func (m Matcher) IsZero() bool {
	return m.opts.SAN.IsZero() && m.opts.Issuer.IsZero() && len(m.names) == 0
}

// Match compares the certificate with every demand. All of its names are considered: one that matches is enough.
// A value that the certificate does not state matches no pattern, with one exception that scripts written for cosign
// rely on: an unanchored regexp for the issuer that also matches nothing, such as ".*", accepts a certificate without
// issuer, and a note says so.
func (m Matcher) Match(c *Certificate) Match {
	var r Match
	if m.IsZero() {
		r.Misses = []Miss{{Field: fieldSAN, Want: Pattern{}.String(), Got: joinSANs(c.SANs)}}
		return r
	}
	if !m.opts.SAN.IsZero() {
		m.matchSAN(c, &r)
	}
	if !m.opts.Issuer.IsZero() {
		m.matchIssuer(c, &r)
	}
	for _, name := range m.names {
		p := m.opts.Extensions[name]
		value := c.Extensions[name]
		ok, note := p.Match(value)
		r.add(value != "" && ok, note, Miss{Field: name, Want: p.String(), Got: value})
	}
	r.OK = len(r.Misses) == 0
	return r
}

// matchSAN looks for a name that matches, and prefers one that matches as a whole to an earlier one that matches by a
// part.
func (m Matcher) matchSAN(c *Certificate, r *Match) {
	found, note := false, ""
	for _, san := range c.SANs {
		if m.opts.SANKind != 0 && san.Kind != m.opts.SANKind {
			continue
		}
		ok, n := m.opts.SAN.Match(san.Value)
		if !ok || found && n != "" {
			continue
		}
		found, note, r.SAN = true, n, san
		if n == "" {
			break
		}
	}
	want := m.opts.SAN.String()
	if m.opts.SANKind != 0 {
		want = m.opts.SANKind.String() + " " + want
	}
	r.add(found, note, Miss{Field: fieldSAN, Want: want, Got: joinSANs(c.SANs)})
}

func (m Matcher) matchIssuer(c *Certificate, r *Match) {
	ok, note := m.opts.Issuer.Match(c.Issuer)
	if c.Issuer == "" {
		ok = ok && m.opts.Issuer.kind == patternUnanchored
		note = "the certificate states no issuer, and the pattern accepts that"
	}
	r.add(ok, note, Miss{Field: fieldIssuer, Want: m.opts.Issuer.String(), Got: c.Issuer})
}

// add records the outcome of one demand.
func (r *Match) add(ok bool, note string, miss Miss) {
	if !ok {
		r.Misses = append(r.Misses, miss)
		return
	}
	r.Score++
	if note != "" {
		r.Notes = append(r.Notes, note)
	}
}

func joinSANs(sans []SAN) string {
	values := make([]string, len(sans))
	for i, san := range sans {
		values[i] = san.Value
	}
	return strings.Join(values, ", ")
}
