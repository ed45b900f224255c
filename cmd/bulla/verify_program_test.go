package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/blob"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/keys"
	"github.com/bulla-sign/bulla/verify"
	"github.com/bulla-sign/bulla/verify/reason"
)

// outcome is what a run of the program left.
type outcome struct {
	status   int
	out, err string
}

// program runs the program inside the test, with an empty environment.
func program(stdin io.Reader, args ...string) outcome {
	var out, errs bytes.Buffer
	sys := cli.OS()
	sys.In, sys.Out, sys.Err, sys.Dial = stdin, &out, &errs, withinThisMachine
	sys.LookupEnv = func(string) (string, bool) { return "", false }
	sys.Environ = func() []string { return nil }
	status := newApp(sys).Main(context.Background(), args)
	return outcome{status, out.String(), errs.String()}
}

// trace finds what no user should ever see.
var trace = regexp.MustCompile(`panic|goroutine \d+|runtime error|%!|\(MISSING\)|<nil>`)

// vector is an entry of the manifests of shared vectors.
type vector struct {
	Name   string
	Args   []string
	Expect string
}

// TestVectorsThroughProgram verifies every shared bundle with the command, by file and by standard input.
func TestVectorsThroughProgram(t *testing.T) {
	testenv.Unwatched(t)
	counts := map[string]int{}
	for _, set := range []struct{ manifest, dir string }{
		{"conformance-public/manifest.json", "conformance-public"}, {"cpython-public/manifest.json", "cpython-public"}, {"other-bundles.json", ""},
	} {
		var vectors []vector
		if err := json.Unmarshal(testenv.ReadVector(t, filepath.FromSlash(set.manifest)), &vectors); err != nil {
			t.Fatal(err)
		}
		dir := testenv.Vectors(t, set.dir)
		for _, v := range vectors {
			t.Run(set.dir+"/"+v.Name, func(t *testing.T) {
				t.Chdir(dir)
				counts[v.Expect] += v.run(t)
			})
		}
	}
	t.Logf("runs by expectation: %v", counts)
	if counts["pass"] < 100 || counts["fail"] < 30 {
		t.Errorf("only %v runs: the vectors are not all there", counts)
	}
}

func (v vector) run(t *testing.T) (runs int) {
	args := append([]string{"bulla", "verify-blob", "--any-predicate"}, v.Args[1:]...)
	check := func(o outcome) {
		t.Helper()
		runs++
		if trace.MatchString(o.out + o.err) {
			t.Errorf("a trace of the program's inside: %s%s", o.out, o.err)
		}
		switch {
		case v.Expect == "pass" && o.status != 0:
			t.Errorf("%s\nstatus %d, want 0: %s", strings.Join(args, " "), o.status, o.err)
		case v.Expect == "fail" && (o.status != cli.ExitFailure && o.status != cli.ExitInput && o.status != cli.ExitUsage || o.err == ""):
			t.Errorf("%s\nstatus %d, want a refusal: %s", strings.Join(args, " "), o.status, o.err)
		}
	}
	check(program(nil, args...))
	last := args[len(args)-1]
	data, err := os.ReadFile(last)
	if err != nil {
		return runs // a digest
	}
	args = append(slices.Clone(args[:len(args)-1]), "-")
	check(program(bytes.NewReader(data), args...))
	return runs
}

// zeros is a stream of n zero bytes.
type zeros struct{ n int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), z.n))
	clear(p[:n])
	z.n -= int64(n)
	return n, nil
}

// TestBigStandardInput verifies 64 MiB from standard input. The whole run may allocate a small part of that.
func TestBigStandardInput(t *testing.T) {
	testenv.Unwatched(t)
	w := world.New(t)
	const size = 64 << 20
	b, _, pub := w.Bundle(t, world.Spec{Log: world.LogV1, Artifact: make([]byte, size)})
	dir := t.TempDir()
	for suffix, data := range forms(t, b, pub) {
		putFile(t, filepath.Join(dir, "e"+suffix), data)
	}
	putFile(t, filepath.Join(dir, "root.json"), w.RootJSON(t))
	args := []string{
		"bulla", "verify-blob", "--key", filepath.Join(dir, "e.pub"), "--bundle", filepath.Join(dir, "e.json"),
		"--trusted-root", filepath.Join(dir, "root.json"), "-",
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	o := program(&zeros{size}, args...)
	runtime.ReadMemStats(&after)
	if o.status != 0 {
		t.Fatalf("status %d: %s", o.status, o.err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
		t.Errorf("%d bytes allocated for an artifact of %d", used, size)
	}
	if o := program(&zeros{size - 1}, args...); o.status != cli.ExitFailure {
		t.Errorf("one byte less: status %d", o.status)
	}
}

func putFile(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestInputError gives errors about what was read their exit statuses.
func TestInputError(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int // 0: left as it is
	}{
		{nil, 0},
		{context.Canceled, 0},
		{cli.Usagef("x"), cli.ExitUsage},
		{fmt.Errorf("a: %w", blob.ErrNoAnswer), cli.ExitUnknown},
		{fmt.Errorf("a: %w", keys.ErrNoAnswer), cli.ExitUnknown},
		{context.DeadlineExceeded, cli.ExitUnknown},
		{fmt.Errorf("a: %w", &fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}), cli.ExitIO},
		{fmt.Errorf("a: %w", fs.ErrNotExist), cli.ExitIO},
		{errors.New("malformed"), cli.ExitInput},
	} {
		err := inputError(tt.err)
		var coded *cli.Error
		switch got := 0; {
		case errors.As(err, &coded):
			if got = coded.Code; got != tt.want {
				t.Errorf("%v: status %d, want %d", tt.err, got, tt.want)
			}
		case tt.want != 0 || err != tt.err:
			t.Errorf("%v became %v", tt.err, err)
		}
	}
}

// TestRefusalStatus gives every code of a refused report its status, for images and for files.
func TestRefusalStatus(t *testing.T) {
	for code, want := range map[reason.Code][2]int{ // image, file
		reason.NoEvidence: {10, 1}, reason.NoCertificate: {13, 1}, reason.Signature: {12, 1}, reason.Identity: {12, 1},
		reason.Malformed: {12, 22}, reason.WrongMaterial: {12, 1}, reason.NoLog: {12, 1}, reason.Threshold: {12, 1},
	} {
		for i, image := range []bool{true, false} {
			var coded *cli.Error
			err := refusal(&verify.Report{Code: code, Reason: "a\x1b[2Kreason"}, image)
			if !errors.As(err, &coded) || coded.Code != want[i] {
				t.Errorf("%s, image %v: %v, want status %d", code, image, err, want[i])
			}
			if strings.Contains(err.Error(), "\x1b") {
				t.Errorf("%s: control characters in %q", code, err)
			}
		}
	}
	if err := refusal(&verify.Report{Verified: true}, true); err != nil {
		t.Errorf("a verified report is refused: %v", err)
	}
}
