package main

import (
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// What was to be taken out and stays makes the command fail, and is named.
func TestRepairStays(t *testing.T) {
	x := newQuirkTemplate(t)
	w := x.registry(t, quirk{name: "immutable", quirks: testenv.Quirks{Immutable: "harbor"}})
	w.prepare(t, "foreign", "app")
	code, out, said := quietly("repair", "--prune", w.image("app"))
	if code != 1 || !strings.Contains(out, "stays    "+x.digest) || !strings.Contains(out, "0 pruned; nothing was written") ||
		!strings.Contains(said, x.digest+" was not taken out") {
		t.Errorf("status %d\n%s%s", code, out, said)
	}
	if code, out, said := quietly("repair", w.image("app")); code != 0 {
		t.Errorf("without --prune: status %d\n%s%s", code, out, said)
	}
}
