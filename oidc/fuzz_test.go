package oidc

import (
	"strings"
	"testing"
)

func FuzzParse(f *testing.F) {
	f.Add("eyJhbGciOiJub25lIn0.eyJpc3MiOiJpIiwic3ViIjoicyIsImF1ZCI6WyJhIl0sImV4cCI6MX0.c2ln")
	f.Add("a.eyJpc3MiOiJpIiwic3ViIjoicyIsImVtYWlsIjoiYUBiIiwiZW1haWxfdmVyaWZpZWQiOiJ0cnVlIn0.b")
	f.Add("...")
	f.Fuzz(func(t *testing.T, raw string) {
		token, err := Parse(raw)
		if err != nil {
			return
		}
		if token.Issuer == "" || token.Subject == "" || strings.Count(raw, ".") != 2 {
			t.Errorf("%q is no token: %+v", raw, token)
		}
		if c, err := token.Challenge(); err == nil && c == "" {
			t.Error("an empty challenge")
		}
		if strings.ContainsAny(token.Who(), "\n\x1b") {
			t.Errorf("%q cannot be printed", token.Who())
		}
	})
}

func FuzzSVID(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x09\x0a\x07\x0a\x01x\x12\x02ab"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = parseSVID(data) // must not panic
	})
}
