package keys

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// answering creates a file when it is told something.
type answering struct {
	told strings.Builder
	path string
}

func (a *answering) Write(data []byte) (int, error) {
	if err := os.WriteFile(a.path, nil, 0o600); err != nil {
		return 0, err
	}
	return a.told.Write(data)
}

// What a program asks for is seen while it waits.
func TestProgramIsHeardWhileItRuns(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	dir := t.TempDir()
	asked := &answering{path: filepath.Join(dir, "touched")}
	script := "#!/bin/sh\nprintf 'touch the tök\\033[1men' >&2\nwhile [ ! -e " + asked.path + " ]; do sleep 0.01; done\necho done\n"
	if err := os.WriteFile(filepath.Join(dir, "sigstore-kms-t"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	p, err := findProgram("t", Environment{PlugInDirs: []string{dir}, Stderr: asked})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := p.run(ctx, nil, "v1")
	if err != nil || string(out) != "done\n" || asked.told.String() != "touch the tök[1men" {
		t.Errorf("%q, %v; asked %q", out, err, asked.told.String())
	}
}

func TestRelay(t *testing.T) {
	var out strings.Builder
	r := &relay{to: &out, left: 12}
	for _, b := range []byte("a\x1b\xc3\xb6€\xff much more") {
		if n, err := r.Write([]byte{b}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if got := out.String(); got != "aö€\ufffd muc" {
		t.Errorf("got %q", got)
	}
}
