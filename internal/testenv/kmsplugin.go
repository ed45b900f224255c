package testenv

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// KMSPlugIn builds the test key store (see its own comment, in kmsplugin) as the plug-in program for NAME:// keys and
// returns the directory it lies in, which holds nothing else.
func KMSPlugIn(t testing.TB, name string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "sigstore-kms-"+name), "./internal/testenv/kmsplugin")
	cmd.Dir = Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the test key store: %v\n%s", err, out)
	}
	return dir
}
