package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/testenv"
)

// TestQuirks runs the commands against registries that behave as registries do. Whatever a command says is true, or it says
// that it could not find out: an image that is signed is never called unsigned, one that is not is never verified, and what
// sign reports as stored is there.
func TestQuirks(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	t.Chdir(t.TempDir())
	t.Setenv("COSIGN_PASSWORD", "pw")
	private, public := keyPair()
	for name, data := range map[string][]byte{"key.pem": private, "key.pub": public} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name    string
		quirks  testenv.Quirks
		api     bool
		etag    bool
		verdict int // of verify about an image that is signed
		sign    int
	}{
		{name: "API", api: true},
		{name: "tag"},
		{name: "GitLab", quirks: testenv.Quirks{TagIsSubject: true}},
		{name: "GHCR", api: true, quirks: testenv.Quirks{ListThrottled: true}, verdict: cli.ExitUnknown, sign: cli.ExitUnknown},
		{name: "no artifact type", api: true, quirks: testenv.Quirks{NoArtifactType: true}},
		{name: "no artifact type under the tag", quirks: testenv.Quirks{NoArtifactType: true}},
		{name: "the config's type", api: true, quirks: testenv.Quirks{ConfigAsType: true}},
		{name: "weak ETag", etag: true, quirks: testenv.Quirks{WeakETag: true}},
		{name: "conditions honoured", etag: true},
		{name: "eventually consistent", quirks: testenv.Quirks{StaleFor: 30 * time.Millisecond}},
		{name: "immutable", quirks: testenv.Quirks{Immutable: "harbor"}},
		{name: "HTML 404", quirks: testenv.Quirks{HTMLNotFound: true}, sign: cli.ExitUnknown},
		{name: "endless pages", api: true, quirks: testenv.Quirks{EndlessPages: true}},
		{name: "lying sizes", api: true, quirks: testenv.Quirks{LyingSizes: true}, verdict: cli.ExitUnknown},
		{name: "two-faced", api: true, quirks: testenv.Quirks{TwoFaced: true}, verdict: cli.ExitUnknown, sign: cli.ExitUnknown},
		{name: "throttled", api: true, quirks: testenv.Quirks{Throttle: 10}, verdict: cli.ExitUnknown, sign: cli.ExitUnknown},
		{name: "failing", quirks: testenv.Quirks{Unavailable: 10}, verdict: cli.ExitUnknown, sign: cli.ExitUnknown},
		{name: "failing now and then", quirks: testenv.Quirks{Unavailable: 3}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // most of the time is waiting
			reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: test.api, ETag: test.etag})
			signed, other, bare := reg.PushImage(t, "app:v1"), reg.PushImage(t, "app:v2"), reg.PushImage(t, "app:v3")
			verify := []string{"verify", "--key", "key.pub", "--log=none"}
			sign := []string{"sign", "--key", "key.pem", "--log=none"}
			expect(t, []int{0}, append(sign, signed)...)
			reg.SetQuirks(test.quirks)
			expect(t, []int{test.verdict, 0}, append(verify, signed)...)
			expect(t, []int{cli.ExitNoSignatures, cli.ExitUnknown}, append(verify, bare)...)
			expect(t, []int{0, cli.ExitUnknown}, "tree", signed)
			expect(t, []int{0, cli.ExitUnknown}, "download", "signature", signed)
			expect(t, []int{0, cli.ExitUnknown}, "repair", signed)
			// Two signatures: the second finds a list that is there.
			first := expect(t, []int{test.sign, 0}, append(sign, other)...)
			second := expect(t, []int{test.sign, 0}, append(sign, other)...)
			reg.SetQuirks(testenv.Quirks{})
			if first == 0 || second == 0 {
				expect(t, []int{0}, append(verify, other)...)
			}
			expect(t, []int{0}, append(verify, signed)...)
		})
	}
}

// expect runs the program, which must end with one of the statuses, and returns it.
func expect(t *testing.T, want []int, args ...string) int {
	t.Helper()
	sys := cli.OS()
	var out, said bytes.Buffer
	sys.Out, sys.Err, sys.In = &out, &said, strings.NewReader("")
	code := newApp(sys).Main(t.Context(), append([]string{"bulla"}, args...))
	if !slices.Contains(want, code) {
		t.Errorf("%v: status %d, want one of %v\n%s%s", args, code, want, out.String(), said.String())
	}
	return code
}
