package interop

import (
	"os"
	"testing"
)

// needsDebian ends a test for which the machine lacks something that Debian has: it is skipped on anybody's own machine, and
// fails in CI, where it must run.
func needsDebian(t *testing.T, what, pkg string, err error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s: %v", what, err)
	}
	t.Skipf("skipped: there is no %s on this machine (Debian's package %s): %v", what, pkg, err)
}
