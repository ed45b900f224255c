package web

import (
	"strings"
	"testing"
)

// Whatever is typed, the log is asked for something it has a name for, or nobody is asked.
func FuzzReadSearch(f *testing.F) {
	for _, seed := range [][2]string{{"", "42"}, {"", "alice@example.com"}, {"", "sha256:ab"}, {"digest", "zz"}, {"index", "-1"}, {"subject", "https://a/b@c"}, {"x", "y"}, {"", " "}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, by, typed string) {
		s, err := readSearch(by, typed)
		if err != nil {
			return
		}
		switch s.By {
		case "index":
			if s.Index < 0 {
				t.Errorf("%q: index %d", typed, s.Index)
			}
		case "digest", "email", "subject", "publicKey":
			if s.Value == "" || len(s.Value) > maxQuery+len("sha256:") || strings.TrimSpace(s.Value) != s.Value {
				t.Errorf("%q: value %q", typed, s.Value)
			}
		default:
			t.Errorf("%q: by %q", typed, s.By)
		}
	})
}

// An answer gives positions that can be looked up, or an error.
func FuzzReadResults(f *testing.F) {
	for _, seed := range []string{
		`{"entries":[{"logIndex":"3"}],"next":"3","indexed":"9"}`, `{"entries":[],"indexed":"0"}`, `{"entries":[{"logIndex":"-1"}],"indexed":"1"}`,
		`{"entries":[{"logIndex":"01"}],"indexed":"1"}`, `{"entries":null}`, `[]`, `{"entries":[{"logIndex":3}],"indexed":"9"}`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := readResults(data)
		if err != nil {
			return
		}
		if len(r.positions) > pageSize || r.indexed < 0 {
			t.Errorf("%+v", r)
		}
		for _, p := range r.positions {
			if p < 0 {
				t.Errorf("position %d", p)
			}
		}
	})
}

// Any body has a line in a list and words on its page.
func FuzzWords(f *testing.F) {
	f.Add([]byte(`{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{}}`))
	f.Add([]byte("\u202e<script>"))
	f.Fuzz(func(t *testing.T, body []byte) {
		l := list(7, body)
		if l.Index != 7 || (l.Strange == "") == (l.Kind == "" && len(l.Who) == 0) {
			t.Errorf("%+v", l)
		}
		for _, text := range append(l.Who, l.Issuer, l.Strange, cleanLines(string(body))) {
			if strings.ContainsAny(text, "\u202e\u2066\x1b\x00") {
				t.Errorf("%q", text)
			}
		}
	})
}

func TestCount(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1\u202f000", 1234567: "1\u202f234\u202f567"} {
		if got := count(n); got != want {
			t.Errorf("%d is written %q", n, got)
		}
	}
}
