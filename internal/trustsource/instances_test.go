package trustsource

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/tuf"
)

// What a process left that was killed goes when the next one adds something, and what another is at stays.
func TestLeftBehind(t *testing.T) {
	i := Instances{t.TempDir()}
	old := time.Now().Add(-leftAfter - time.Minute)
	for _, name := range []string{".adding-1", ".adding-2", ".removing-1", ".removing-2", "acme", ".other"} {
		dir := filepath.Join(i.dir(), name)
		if err := os.MkdirAll(filepath.Join(dir, "home"), 0o700); err != nil {
			t.Fatal(err)
		}
		if name != ".adding-2" && name != ".removing-2" {
			if err := os.Chtimes(dir, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := i.Add(context.Background(), "new", tuf.Config{Mirror: "nonsense", Root: []byte("{}")}, false); err == nil {
		t.Fatal("added nonsense")
	}
	entries, err := os.ReadDir(i.dir())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{".adding-2", ".other", ".removing-2", "acme"}; !slices.Equal(names, want) {
		t.Errorf("there are %q, want %q", names, want)
	}
}
