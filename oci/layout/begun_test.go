package layout

import (
	"os"
	"path/filepath"
	"testing"
)

// What a run leaves that was killed while it wrote the marker stops no later run; anything else does.
func TestCreateAfterAKill(t *testing.T) {
	for name, ok := range map[string]bool{".bulla-0123.tmp": true, "somebody's": false} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Create(dir); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
