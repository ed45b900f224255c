package main

import (
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// What a signer has signed before is looked for wherever it may be: in the continuation of a list that others began, where
// tags are written once, and under the referrers tag of a registry that lists other evidence by itself.
func TestSkipSignedLooksEverywhere(t *testing.T) {
	x := newQuirkTemplate(t)
	for _, q := range []quirk{
		{name: "immutable", quirks: testenv.Quirks{Immutable: "harbor"}},
		{name: "tag and API", api: true},
	} {
		for _, command := range [][]string{
			{"sign", "--key", quirkKey, "--log=none", "--skip-signed", "-a", "build=2"},
			{"attest", "--key", quirkKey, "--log=none", "--skip-signed", "--predicate", "p2.json"},
			{"sign", "--key", quirkKey, "--log=none", "--skip-signed", "-a", "build=2", "--format=both"},
		} {
			t.Run(q.name+" "+strings.Join(command, " "), func(t *testing.T) {
				t.Parallel()
				w := x.registry(t, q)
				w.prepare(t, "full", "app")
				if q.api {
					w.reg.Fail(testenv.Fault{Path: "/referrers/", Status: 404, Code: "NOT_FOUND"})
				}
				args := append(command, w.image("app"))
				if code, out, said := quietly(args...); code != 0 || strings.Contains(out+said, "signed already") {
					t.Fatalf("status %d\n%s%s", code, out, said)
				}
				w.reg.Heal()
				w.reg.Reset()
				code, out, said := quietly(args...)
				if code != 0 || !strings.Contains(out+said, "is signed already") {
					t.Errorf("status %d\n%s%s%s", code, out, said, w.reg.Log())
				}
				if strings.Contains(w.reg.Log(), "PUT") || strings.Contains(w.reg.Log(), "POST") {
					t.Errorf("something was written:\n%s", w.reg.Log())
				}
			})
		}
	}
}
