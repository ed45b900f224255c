package predicate

import (
	"strings"
	"testing"
	"time"
)

func TestLookup(t *testing.T) {
	for name, want := range map[string]string{
		"custom": "https://cosign.sigstore.dev/attestation/v1", "slsaprovenance": "https://slsa.dev/provenance/v0.2",
		"spdxjson": "https://spdx.dev/Document", "https://example.com/p/v1": "https://example.com/p/v1",
	} {
		got, err := Lookup(name)
		if err != nil || got.URI != want {
			t.Errorf("%s: %q, %v", name, got.URI, err)
		}
	}
	for _, name := range []string{"", "foo", "example.com/p", "Custom"} {
		if got, err := Lookup(name); err == nil {
			t.Errorf("%q was taken for %q", name, got.URI)
		}
	}
}

func TestBuildKeepsBytes(t *testing.T) {
	uri, err := Lookup("https://example.com/p/v1")
	if err != nil {
		t.Fatal(err)
	}
	// What passes through a float loses digits, trailing zeros and the order of names.
	const data = `{"z":1234567890123456789,"a":1.50,"b":{"y":1e400}}`
	got, err := Build(uri, []byte("\n"+data+"\n"), time.Time{})
	if err != nil || string(got) != data {
		t.Errorf("got %s, %v", got, err)
	}
	for _, bad := range []string{"", "[]", `"x"`, "{", `{"a":1,"a":2}`, "{} {}", "\xff"} {
		if got, err := Build(uri, []byte(bad), time.Time{}); err == nil {
			t.Errorf("%q became %s", bad, got)
		}
	}
}

func TestBuildIsBounded(t *testing.T) {
	custom, err := Lookup(Custom)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Build(custom, make([]byte, MaxSize+1), time.Time{}); err == nil {
		t.Error("a predicate that no bundle holds was taken")
	}
}

func TestBuildText(t *testing.T) {
	custom, _ := Lookup("custom")
	got, err := Build(custom, []byte("a \"b\"\n"), time.Unix(0, 0))
	if want := `{"Data":"a \"b\"\n","Timestamp":"1970-01-01T00:00:00Z"}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
	if got, err := Build(custom, []byte("a\xff"), time.Unix(0, 0)); err == nil {
		t.Errorf("text that is not UTF-8 became %s", got)
	}
	spdx, _ := Lookup("spdx")
	if _, err := Build(spdx, []byte("SPDXVersion: SPDX-2.3"), time.Time{}); err == nil || !strings.Contains(err.Error(), "spdxjson") {
		t.Errorf("plain SPDX gave %v", err)
	}
}

func TestUndated(t *testing.T) {
	custom, err := Lookup(Custom)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	first, err := Build(custom, []byte("text"), at)
	if err != nil {
		t.Fatal(err)
	}
	later, err := Build(custom, []byte("text"), at.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := Undated(custom.URI, first), Undated(custom.URI, later); string(a) != string(b) || string(a) != "text" {
		t.Errorf("%s and %s", a, b)
	}
	// Whatever else it is counts as it stands.
	for _, c := range [][2]string{
		{"https://example.com/p", string(first)}, {custom.URI, `{"Data":"text"}`}, {custom.URI, `{"Data":"text","Timestamp":"x","More":1}`}, {custom.URI, `[`},
	} {
		if got := Undated(c[0], []byte(c[1])); string(got) != c[1] {
			t.Errorf("%s became %s", c[1], got)
		}
	}
}
