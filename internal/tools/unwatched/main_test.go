package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// TestTests: a mark is found in the test itself, and behind functions, methods and variables; others are left alone.
func TestTests(t *testing.T) {
	for _, c := range []struct {
		name, source string
		want         []string
	}{
		{"direct", "func TestA(t *testing.T) { testenv.Unwatched(t) }\nfunc TestB(t *testing.T) {}", []string{"TestA"}},
		{"fuzz target", "func FuzzA(f *testing.F) { testenv.Unwatched(f) }", []string{"FuzzA"}},
		{"function", "func TestA(t *testing.T) { size() }\nfunc size() int { return one() }\nfunc one() int { if testenv.RaceDetector { return 1 }; return 2 }", []string{"TestA"}},
		{"method", "type v struct{}\nfunc (v) run() { _ = raceDetector }\nfunc TestA(t *testing.T) { v{}.run() }", []string{"TestA"}},
		{"method that is handed on", "type v struct{}\nfunc (v) run() { _ = raceDetector }\nfunc TestA(t *testing.T) { t.Cleanup(v{}.run) }", []string{"TestA"}},
		{"variable", "var many = !testenv.RaceDetector\nfunc TestA(t *testing.T) { _ = many }\nfunc TestB(t *testing.T) { }", []string{"TestA"}},
		{"main", "func TestMain(m *testing.M) { run(m) }\nfunc run(m *testing.M) { _ = testenv.RaceDetector }\nfunc TestA(t *testing.T) {}\nfunc TestB(t *testing.T) {}\nfunc helper() {}", []string{"TestA", "TestB"}},
		{"exported helper", "func TestA(t *testing.T) { a.Many() }\nfunc Many() bool { return testenv.RaceDetector }", []string{"TestA"}},
		{"test that is called", "func TestA(t *testing.T) { TestB(t) }\nfunc TestB(t *testing.T) { testenv.Unwatched(t) }", []string{"TestA", "TestB"}},
		{"type of another package", "func TestScript(t *testing.T) { testenv.Unwatched(t) }\nfunc TestA(t *testing.T) { run(nil) }\nfunc run(*testscript.TestScript) {}", []string{"TestScript"}},
		{"ring", "func a() { b() }\nfunc b() { a() }\nfunc TestA(t *testing.T) { a() }", nil},
		{"none", "func TestA(t *testing.T) { testenv.Watched(t) }\nfunc Testing() { testenv.Unwatched(nil) }", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "a_test.go"), []byte("package a\n"+c.source), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := tests(dir)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("got %v, %v; want %v", got, err, c.want)
			}
		})
	}
}

// TestTree: every package of the tree whose tests mention a mark is there, with a test.
func TestTree(t *testing.T) {
	args, err := arguments(testenv.Root(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(args) < 3 || args[0] != "-run" {
		t.Fatalf("arguments %q, want -run, an expression and packages", args)
	}
	for _, want := range []struct{ name, pkg string }{
		{"TestScript", "./cmd/bulla"}, {"TestConcurrentWriters", "./oci"}, {"TestSyncFails", "./test/crash"}, {"TestHostileJSON", "./verify"},
	} {
		if !slices.Contains(args[2:], want.pkg) || !slices.Contains(strings.FieldsFunc(args[1], func(r rune) bool { return strings.ContainsRune("^(|)$", r) }), want.name) {
			t.Errorf("%s of %s is not there: %q", want.name, want.pkg, args)
		}
	}
	if args, err = arguments(testenv.Root(), []string{"./internal/archtest"}); err != nil || slices.Contains(args, "./internal/archtest") || !slices.Contains(args, "./oci") {
		t.Errorf("without one package: %q, %v", args, err)
	}
}
