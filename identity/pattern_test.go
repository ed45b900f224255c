package identity

import (
	"strings"
	"testing"
	"time"
)

// TestPatterns is the table of what each kind of pattern accepts: the ways in which patterns of other tools accepted
// too much are in it.
func TestPatterns(t *testing.T) {
	const workflow = "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main"
	tests := []struct {
		make    func(string) (Pattern, error)
		pattern string
		value   string
		want    bool
	}{
		{Exact, "alice@example.com", "alice@example.com", true},
		{Exact, "alice@example.com", "Alice@example.com", false},
		{Exact, "alice@example.com", "alice@example.com.evil.net", false},
		{Exact, "alice@example.com", "malice@example.com", false},
		{Exact, "a*", "ab", false},
		{Exact, "a", "", false},

		{Glob, "*@example.com", "alice@example.com", true},
		{Glob, "*@example.com", "alice@evil.net@example.com", false}, // extra @
		{Glob, "*@example.com", "alice@example.com.evil.net", false}, // suffix
		{Glob, "*@example.com", "alice@exampleXcom", false},          // dot as wildcard
		{Glob, "*@*.example.com", "a@b.example.com", true},
		{Glob, "*@*.example.com", "a@b.c.example.com", true},
		{Glob, "*@*.example.com", "a@example.com", false},
		{Glob, "alice@*", "alice@example.com", true},
		{Glob, "alice@*", "malice@example.com", false}, // prefix
		{Glob, "https://github.com/acme/*", workflow, false},
		{Glob, "https://github.com/acme/**", workflow, true},
		{Glob, "https://github.com/acme/**", "https://github.com/acme-evil/x", false},
		{Glob, "https://github.com/acme/**", "https://evil.net/https://github.com/acme/x", false}, // embedded
		{Glob, "https://github.com/acme/*/.github/workflows/*@refs/heads/main", workflow, true},
		{Glob, "https://github.com/acme/*/.github/workflows/*@refs/heads/main", workflow + "x", false},
		{Glob, "https://github.com/acme/*/.github/workflows/*@refs/heads/main", strings.Replace(workflow, "app", "app/../x", 1), false},
		{Glob, "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/*", strings.Replace(workflow, "heads/main", "tags/v1.2", 1), true},
		{Glob, "https://x/?a=[b]*", "https://x/?a=[b]c", true},
		{Glob, "https://x/?a", "https://x/Xa", false},
		{Glob, "a|b", "a", false},
		{Glob, "a**b", "a\nb", true},
		{Glob, "a*", "a", true},
		{Glob, "*", "", true},

		{Regexp, "alice@example\\.com", "alice@example.com", true},
		{Regexp, "alice", "malice", false},
		{Regexp, "alice|bob", "malice", false},
		{Regexp, "alice|bob", "bobby", false},
		{Regexp, "alice|bob", "bob", true},
		{Regexp, "^https://github.com/acme/", workflow, false},
		{Regexp, "^https://github.com/acme/.*$", workflow, true},
		{Regexp, "(?m)^a$", "a\nb", false},
		{Regexp, "a$", "a\n", false},
		{Regexp, "(?i)ALICE", "alice", true},

		{UnanchoredRegexp, "alice", "malice", true},
		{UnanchoredRegexp, "^alice", "malice", false},
		{UnanchoredRegexp, "^alice$", "alice", true},
	}
	for _, tt := range tests {
		p, err := tt.make(tt.pattern)
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		if got, _ := p.Match(tt.value); got != tt.want {
			t.Errorf("%v on %q: %v, want %v", p, tt.value, got, tt.want)
		}
	}
}

func TestPatternNotes(t *testing.T) {
	for _, tt := range []struct{ pattern, value, want string }{
		{"alice", "malice@example.org", `only the part "alice"`},
		{"^https://github.com/acme", "https://github.com/acme-evil/x", `only the part "https://github.com/acme"`},
		{"^https://github.com/acme/.*", "https://github.com/acme/x", ""},
		{"a|ab", "ab", ""}, // leftmost-first finds "a", but the whole value matches too
		{"bob", "alice", ""},
	} {
		p, err := UnanchoredRegexp(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		_, note := p.Match(tt.value)
		if tt.want == "" && note != "" || !strings.Contains(note, tt.want) {
			t.Errorf("%q on %q: note %q, want %q", tt.pattern, tt.value, note, tt.want)
		}
	}
}

func TestPatternErrors(t *testing.T) {
	constructors := map[string]func(string) (Pattern, error){
		"exact": Exact, "glob": Glob, "regexp": Regexp, "unanchored": UnanchoredRegexp,
	}
	for name, construct := range constructors {
		for _, s := range []string{"", strings.Repeat("a", maxPatternSize+1)} {
			if p, err := construct(s); err == nil || !p.IsZero() {
				t.Errorf("%s of %d bytes: %v, %v", name, len(s), p, err)
			}
		}
	}
	for _, s := range []string{"a)|(b", "(", "a{1001}", strings.Repeat("(x{900})", 100), `\Qa`} {
		if p, err := Regexp(s); err == nil || !p.IsZero() {
			t.Errorf("regexp %.20q: accepted", s)
		}
		if p, err := UnanchoredRegexp(s); err == nil || !p.IsZero() {
			t.Errorf("unanchored regexp %.20q: accepted", s)
		}
	}
	if _, err := Glob("a***b"); err == nil {
		t.Error("*** accepted")
	}
	if ok, _ := (Pattern{}).Match(""); ok {
		t.Error("the zero pattern accepted the empty value")
	}
}

// TestPatternTime matches the largest allowed value against an expression that makes backtracking engines explode.
func TestPatternTime(t *testing.T) {
	p, err := Regexp(`(a|aa)+(a|aa)+(a|aa)+b`)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if ok, _ := p.Match(strings.Repeat("a", maxValueSize)); ok {
		t.Error("accepted")
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("https://github.com/acme/**", "https://github.com/acme/app")
	f.Add("*@example.com", "alice@evil.net@example.com")
	f.Add("(?i)a|b$", "B")
	f.Fuzz(func(t *testing.T, pattern, value string) {
		if p, err := Glob(pattern); err == nil && !strings.Contains(pattern, "*") {
			if ok, _ := p.Match(value); ok != (pattern == value) {
				t.Errorf("glob %q without stars on %q: %v", pattern, value, ok)
			}
		}
		full, err := Regexp(pattern)
		if err != nil {
			return
		}
		loose, err := UnanchoredRegexp(pattern)
		if err != nil {
			t.Fatalf("%q is a regexp only when anchored: %v", pattern, err)
		}
		whole, _ := full.Match(value)
		some, note := loose.Match(value)
		if whole && !some || some && whole != (note == "") {
			t.Errorf("%q on %q: whole %v, some %v, note %q", pattern, value, whole, some, note)
		}
	})
}
