package identity

import (
	"crypto/x509"
	"reflect"
	"strings"
	"testing"
)

const (
	githubIssuer = "https://token.actions.githubusercontent.com"
	workflowURI  = "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main"
)

func pattern(t *testing.T, construct func(string) (Pattern, error), s string) Pattern {
	t.Helper()
	p, err := construct(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ci is a certificate of a build with two names.
func ci() *Certificate {
	return &Certificate{
		X509:   &x509.Certificate{},
		SANs:   []SAN{{Email, "bot@acme.example"}, {URI, workflowURI}},
		Issuer: githubIssuer,
		Extensions: map[string]string{
			NameIssuer: githubIssuer, "buildTrigger": "push", "sourceRepositoryRef": "refs/heads/main",
		},
	}
}

func TestMatcher(t *testing.T) {
	exact := func(s string) Pattern { return pattern(t, Exact, s) }
	tests := []struct {
		name   string
		opts   MatcherOptions
		san    SAN      // expected when it matches
		misses []string // expected fields
		score  int
	}{
		{"first name", MatcherOptions{SAN: exact("bot@acme.example"), Issuer: exact(githubIssuer)}, SAN{Email, "bot@acme.example"}, nil, 2},
		{"second name", MatcherOptions{SAN: exact(workflowURI), Issuer: exact(githubIssuer)}, SAN{URI, workflowURI}, nil, 2},
		{"kind", MatcherOptions{SAN: exact(workflowURI), SANKind: URI}, SAN{URI, workflowURI}, nil, 1},
		{"other kind", MatcherOptions{SAN: exact(workflowURI), SANKind: Email}, SAN{}, []string{fieldSAN}, 0},
		{"issuer only", MatcherOptions{Issuer: exact(githubIssuer)}, SAN{}, nil, 1},
		{"other issuer", MatcherOptions{SAN: exact(workflowURI), Issuer: exact("https://evil.example")}, SAN{URI, workflowURI}, []string{fieldIssuer}, 1},
		{"other name", MatcherOptions{SAN: exact("x"), Issuer: exact(githubIssuer)}, SAN{}, []string{fieldSAN}, 1},
		{
			"claims",
			MatcherOptions{Extensions: map[string]Pattern{"buildTrigger": exact("push"), "sourceRepositoryRef": exact("refs/heads/main")}},
			SAN{},
			nil, 2,
		},
		{
			"claim that differs",
			MatcherOptions{SAN: exact(workflowURI), Extensions: map[string]Pattern{"buildTrigger": exact("pull_request"), "sourceRepositoryRef": exact("refs/heads/main")}},
			SAN{URI, workflowURI},
			[]string{"buildTrigger"},
			2,
		},
		{
			"claim that is absent",
			MatcherOptions{Extensions: map[string]Pattern{"tokenSubject": pattern(t, Regexp, ".*")}},
			SAN{},
			[]string{"tokenSubject"},
			0,
		},
		{
			"claim that is absent, unanchored",
			MatcherOptions{Extensions: map[string]Pattern{"tokenSubject": pattern(t, UnanchoredRegexp, ".*")}},
			SAN{},
			[]string{"tokenSubject"},
			0,
		},
	}
	for _, tt := range tests {
		m, err := NewMatcher(tt.opts)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got := m.Match(ci())
		var fields []string
		for _, miss := range got.Misses {
			fields = append(fields, miss.Field)
			if miss.Want == "" {
				t.Errorf("%s: a miss without a demand: %+v", tt.name, miss)
			}
		}
		if got.OK != (tt.misses == nil) || got.SAN != tt.san || !reflect.DeepEqual(fields, tt.misses) || got.Score != tt.score {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}

func TestMatcherErrors(t *testing.T) {
	a := pattern(t, Exact, "a")
	for name, opts := range map[string]MatcherOptions{
		"nothing":           {},
		"empty claims":      {Extensions: map[string]Pattern{}},
		"only a kind":       {SANKind: Email},
		"kind without name": {SANKind: Email, Issuer: a},
		"empty pattern":     {SAN: a, Extensions: map[string]Pattern{"buildTrigger": {}}},
		"unknown claim":     {SAN: a, Extensions: map[string]Pattern{"buildtrigger": a}},
		"otherName":         {SAN: a, Extensions: map[string]Pattern{nameOtherName: a}},
	} {
		m, err := NewMatcher(opts)
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
		if got := m.Match(ci()); got.OK || len(got.Misses) == 0 {
			t.Errorf("%s: the matcher that came with the error matched: %+v", name, got)
		}
	}
}

func TestMatcherKeepsItsDemands(t *testing.T) {
	claims := map[string]Pattern{"buildTrigger": pattern(t, Exact, "release")}
	m, err := NewMatcher(MatcherOptions{Extensions: claims})
	if err != nil {
		t.Fatal(err)
	}
	delete(claims, "buildTrigger")
	if m.Match(ci()).OK {
		t.Error("changing the options changed the matcher")
	}
}

func TestMatchNotes(t *testing.T) {
	loose := MatcherOptions{SAN: pattern(t, UnanchoredRegexp, "acme"), Issuer: pattern(t, UnanchoredRegexp, ".*")}
	m, err := NewMatcher(loose)
	if err != nil {
		t.Fatal(err)
	}
	got := m.Match(ci())
	if !got.OK || got.SAN.Kind != Email || len(got.Notes) != 1 || !strings.Contains(got.Notes[0], "only the part") {
		t.Errorf("match by a part: %+v", got)
	}

	// A name that matches as a whole is preferred to an earlier one that matches by a part.
	m, err = NewMatcher(MatcherOptions{SAN: pattern(t, UnanchoredRegexp, "acme|https://.*")})
	if err != nil {
		t.Fatal(err)
	}
	if got = m.Match(ci()); !got.OK || got.SAN.Kind != URI || got.Notes != nil {
		t.Errorf("whole match after a part: %+v", got)
	}

	anonymous := ci()
	anonymous.Issuer = ""
	for _, tt := range []struct {
		issuer Pattern
		want   bool
	}{
		{pattern(t, UnanchoredRegexp, ".*"), true},
		{pattern(t, UnanchoredRegexp, ".+"), false},
		{pattern(t, Regexp, ".*"), false},
		{pattern(t, Glob, "**"), false},
	} {
		m, err := NewMatcher(MatcherOptions{SAN: pattern(t, Exact, workflowURI), Issuer: tt.issuer})
		if err != nil {
			t.Fatal(err)
		}
		got := m.Match(anonymous)
		if got.OK != tt.want || tt.want && len(got.Notes) != 1 {
			t.Errorf("no issuer, %v: %+v", tt.issuer, got)
		}
	}
}
