package toolcache

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestEveryToolIsPinned(t *testing.T) {
	for _, tool := range tools() {
		if !strings.HasPrefix(tool.Version, "v") || strings.Contains(tool.Version, "latest") {
			t.Errorf("%s: version %q is not a pinned one", tool.Name, tool.Version)
		}
		if tool.Why == "" || tool.Package == "" {
			t.Errorf("%s: no package or no reason", tool.Name)
		}
	}
	if _, err := Lookup("no-such-tool"); err == nil || !strings.Contains(err.Error(), "cosign") {
		t.Errorf("an unknown tool must be refused with the known ones named, got %v", err)
	}
}

// fakeGo puts a go command on PATH that answers `go env GOVERSION` and "installs" by writing a script, and counts.
func fakeGo(t *testing.T, body string) (count func() int) {
	t.Helper()
	bin := t.TempDir()
	calls := filepath.Join(bin, "calls")
	script := "#!/bin/sh\nif [ \"$1\" = env ]; then echo go0.0; exit 0; fi\necho call >> " + calls + "\n" + body
	if err := os.WriteFile(filepath.Join(bin, "go"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	return func() int {
		data, _ := os.ReadFile(calls) // missing: none
		return bytes.Count(data, []byte("\n"))
	}
}

func TestBuiltOnceByMany(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("no shell here")
	}
	count := fakeGo(t, "sleep 0.1; echo '#!/bin/sh' > \"$GOBIN/thing\"; exit 0\n")
	dir := t.TempDir()
	tool := Tool{Name: "thing", Package: "example.com/thing", Version: "v1.0.0"}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			exe, err := tool.path(dir, &bytes.Buffer{})
			if err != nil {
				t.Error(err)
				return
			}
			if want := filepath.Join(dir, "thing-v1.0.0-go0.0", "thing"); exe != want {
				t.Errorf("path %s, want %s", exe, want)
			}
		})
	}
	wg.Wait()
	if count() != 1 {
		t.Errorf("built %d times, want once", count())
	}
}

// What go install names after the last folder of a package is found by the tool's own name.
func TestBuiltUnderAnotherName(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("no shell here")
	}
	fakeGo(t, "echo '#!/bin/sh' > \"$GOBIN/posix\"; exit 0\n")
	dir := t.TempDir()
	tool := Tool{Name: "thing", Package: "example.com/thing/posix", Version: "v1.0.0", Built: "posix"}
	exe, err := tool.path(dir, &bytes.Buffer{})
	if want := filepath.Join(dir, "thing-v1.0.0-go0.0", "thing"); err != nil || exe != want || !isFile(want) {
		t.Errorf("path %s, error %v, want %s", exe, err, want)
	}
}

// Node packages are installed once for a lockfile's content; a failure leaves nothing behind.
func TestNodePackages(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("no shell here")
	}
	bin, from := t.TempDir(), t.TempDir()
	t.Setenv("BULLA_TOOLS", t.TempDir())
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	write := func(dir, name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(from, "package.json", "{}")
	write(from, "package-lock.json", "{}")
	write(bin, "npm", "#!/bin/sh\necho 'no registry' >&2; exit 1\n")
	if _, err := NodePackages(from, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "no registry") {
		t.Errorf("a failed installation: %v", err)
	}
	write(bin, "npm", "#!/bin/sh\nmkdir node_modules; echo call >> "+filepath.Join(bin, "calls")+"\n")
	var homes []string
	for _, lock := range []string{"{}", "{}", `{"lockfileVersion": 3}`} {
		write(from, "package-lock.json", lock)
		home, err := NodePackages(from, &bytes.Buffer{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(home, "node_modules")); err != nil {
			t.Error(err)
		}
		homes = append(homes, home)
	}
	calls, _ := os.ReadFile(filepath.Join(bin, "calls")) // missing: none
	if homes[0] != homes[1] || homes[1] == homes[2] || bytes.Count(calls, []byte("\n")) != 2 {
		t.Errorf("folders %v after %q", homes, calls)
	}
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("no shell here")
	}
	for name, body := range map[string]string{
		"error":      "echo 'no such module' >&2; exit 1\n",
		"no program": "exit 0\n",
	} {
		t.Run(name, func(t *testing.T) {
			fakeGo(t, body)
			dir := t.TempDir()
			tool := Tool{Name: "thing", Package: "example.com/thing", Version: "v1.0.0"}
			_, err := tool.path(dir, &bytes.Buffer{})
			if err == nil || !strings.Contains(err.Error(), "example.com/thing@v1.0.0") {
				t.Errorf("error %v must name the package", err)
			}
			left, globErr := filepath.Glob(filepath.Join(dir, "*thing*"))
			if globErr != nil {
				t.Fatal(globErr)
			}
			for _, l := range left {
				if !strings.HasSuffix(l, ".lock") {
					t.Errorf("left behind: %s", l)
				}
			}
		})
	}
}
