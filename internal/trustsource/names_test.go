package trustsource

import (
	"strings"
	"testing"
)

// A name is that of a directory: nothing in it leads elsewhere, or differs by its case only.
func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "0", "acme", "acme-prod_2", "a_", "a-", strings.Repeat("a", maxInstanceName)} {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{
		"", "-a", "_a", ".", "..", "a/b", `a\b`, "a b", "a.b", "A", "aB", "ä", "aä", "a\x00", "a\n", "\xff", "a:b",
		strings.Repeat("a", maxInstanceName+1), Default, BuiltInName,
	} {
		if CheckName(name) == nil {
			t.Errorf("%q is taken for the name of an instance", name)
		}
	}
}
