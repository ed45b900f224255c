// Package testenv is the world that tests run in: where the shared test vectors lie, and servers that run in memory.
// Only tests import it.
package testenv

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Vectors returns the path of a file or directory below the shared test vectors ("../shared/vectors", seen from the
// project's root). Where there are no shared vectors at all the test is skipped, and says so; in CI (the variable CI is
// set), where they must be run, that fails the test. A single missing file always does: it is a misspelt name.
func Vectors(t testing.TB, elem ...string) string {
	t.Helper()
	root := filepath.Join(sharedDir(), "vectors")
	if _, err := os.Stat(root); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("test vectors are required in CI: %v", err)
		}
		t.Skipf("no test vectors here: %v", err)
	}
	path := filepath.Join(append([]string{root}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// ReadVector returns the content of a file below the shared test vectors; see [Vectors].
func ReadVector(t testing.TB, elem ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(Vectors(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Root returns the project's root directory: the nearest folder upwards from the working directory that holds the root
// module's go.mod. Tests run in their package's folder, so it is always above.
func Root() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(mod, []byte("module github.com/bulla-sign/bulla\n")) {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			panic("testenv: not inside the project")
		}
		dir = parent
	}
}

func sharedDir() string {
	if dir := os.Getenv("BULLA_SHARED"); dir != "" {
		return dir
	}
	return filepath.Join(filepath.Dir(Root()), "shared")
}
