package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// Who says the same of the same image twice has said it once: nothing is stored, and the earlier bundle is what --bundle gets.
func TestSignTwice(t *testing.T) {
	x := newQuirkTemplate(t)
	for _, q := range []quirk{
		{name: "tag"}, {name: "API", api: true}, {name: "immutable", quirks: testenv.Quirks{Immutable: "harbor"}},
	} {
		for _, command := range [][]string{{"sign"}, {"sign", "-a", "build=1"}, {"attest", "--predicate", "p2.json"}} {
			t.Run(q.name+" "+strings.Join(command, " "), func(t *testing.T) {
				t.Parallel()
				w := x.registry(t, q)
				w.prepare(t, "bare", "app")
				kind := map[string]string{"sign": "signature", "attest": "attestation"}[command[0]]
				run := func(want int, more ...string) {
					t.Helper()
					args := append(append(append([]string{}, command...), "--key", quirkKey, "--log=none"), more...)
					if code, out, said := quietly(append(args, w.image("app"))...); code != 0 {
						t.Fatalf("%v: status %d\n%s%s", args, code, out, said)
					}
					if got := w.lines(kind, "app"); got != want {
						t.Fatalf("%v: there are %d, want %d", args, got, want)
					}
				}
				run(1)
				w.reg.Reset()
				file := filepath.Join(t.TempDir(), "bundle.json")
				run(1, "--bundle", file)
				if log := w.reg.Log(); strings.Contains(log, "PUT ") || strings.Contains(log, "POST ") {
					t.Errorf("something was written:\n%s", log)
				}
				if data, err := os.ReadFile(file); err != nil || !strings.Contains(string(data), "dsseEnvelope") {
					t.Errorf("the bundle file holds %q, %v", data, err)
				}
				run(2, "--skip-signed=false")
				other := []string{"--predicate", filepath.Join(t.TempDir(), "p3.json")}
				if command[0] == "sign" {
					other = []string{"-a", "second=2"}
				} else if err := os.WriteFile(other[1], []byte(`{"other":true}`), 0o600); err != nil {
					t.Fatal(err)
				}
				run(3, other...)
				run(3, other...)
			})
		}
	}
}

// What was signed before is no reason to fail, or to cost much: where it cannot be read, or there is a lot of it, the image
// is signed. By the name of cosign each signing is one more.
func TestSignTwiceWithoutLooking(t *testing.T) {
	x := newQuirkTemplate(t)
	args := []string{"sign", "--key", quirkKey, "--log=none"}
	w := x.registry(t, quirk{name: "tag"})
	w.prepare(t, "bare", "broken")
	sign := func(repo string, more ...string) {
		t.Helper()
		if code, out, said := quietly(append(append(append([]string{}, args...), more...), w.image(repo))...); code != 0 {
			t.Fatalf("status %d\n%s%s", code, out, said)
		}
	}
	sign("broken")
	w.reg.Fail(testenv.Fault{Method: "GET", Path: "/v2/broken/blobs/", Status: 500})
	sign("broken")
	w.reg.Heal()
	if got := w.lines("signature", "broken"); got != 2 {
		t.Errorf("there are %d signatures, want 2", got)
	}

	w = x.registry(t, quirk{name: "API", api: true})
	w.prepare(t, "bare", "many")
	for i := range 24 {
		sign("many", "--skip-signed=false", "-a", fmt.Sprintf("n=%d", i))
	}
	w.reg.Reset()
	sign("many")
	// Portions of 4 and 16; what else there is to signing is in docs/registries.md.
	if n := strings.Count(w.reg.Log(), "/v2/many/"); n > 10+2*(firstPortion+maxPieces) {
		t.Errorf("%d requests:\n%s", n, w.reg.Log())
	}
	if got := w.lines("signature", "many"); got != 25 {
		t.Errorf("there are %d signatures, want 25", got)
	}

	w.prepare(t, "bare", "cosign")
	for n := 1; n <= 2; n++ {
		if code, said := process("cosign", "sign", "--key", quirkKey, "--tlog-upload=false", "--use-signing-config=false", "-y", w.image("cosign")); code != 0 {
			t.Fatalf("status %d\n%s", code, said)
		}
		if got := w.lines("signature", "cosign"); got != n {
			t.Errorf("by the name of cosign: there are %d signatures, want %d", got, n)
		}
	}
}

// Looking first stays within the requests that signing may take, docs/registries.md, also where an upload takes two and the
// signature of a key store may be the same each time.
func TestSignTwiceRequests(t *testing.T) {
	x := newQuirkTemplate(t)
	for _, test := range []struct {
		quirk
		most int
	}{
		{quirk{name: "API", api: true, quirks: testenv.Quirks{TwoStepUploads: true}}, 8},
		{quirk{name: "tag", quirks: testenv.Quirks{TwoStepUploads: true}}, 11},
	} {
		for _, command := range [][]string{{"sign"}, {"attest", "--predicate", "p2.json"}} {
			w := x.registry(t, test.quirk)
			w.prepare(t, "bare", "app")
			w.reg.Reset()
			if code, out, said := quietly(append(command, "--key", quirkKey, "--log=none", w.image("app"))...); code != 0 {
				t.Fatalf("status %d\n%s%s", code, out, said)
			}
			if n := w.reg.Total(); n > test.most {
				t.Errorf("%s, %s: %d requests, want %d at most:\n%s", test.name, command[0], n, test.most, w.reg.Log())
			}
		}
	}
}
