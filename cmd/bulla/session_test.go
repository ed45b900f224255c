package main

import (
	"strings"
	"testing"
)

func FuzzParseSession(f *testing.F) {
	f.Add([]byte(`{"version":1,"authority":"https://ca.test","logs":"","key":"MA==","chain":["MA=="]}`))
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := parseSession(data); err == nil && (s.cert == nil || s.shown("") == nil) {
			t.Error("a session without a certificate")
		}
	})
}

func TestParseSessionRefuses(t *testing.T) {
	for want, text := range map[string]string{
		"not a session of this version": `{"version":2,"chain":["MA=="]}`,
		"of this version":               `{"version":1,"chain":[]}`,
		"unknown field":                 `{"version":1,"token":"x"}`,
		"x509":                          `{"version":1,"chain":["MA=="]}`,
		"more than":                     strings.Repeat(" ", maxStored+1),
	} {
		if _, err := parseSession([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
