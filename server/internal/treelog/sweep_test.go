package treelog

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLeftoversAreSwept(t *testing.T) {
	dir := t.TempDir()
	tree := map[string]bool{ // whether it stays
		"checkpoint": true, "checkpoint123456": false, ".state/treeState": true, ".state/treeState77": false,
		".state/frozen": true, ".state/owner.lock": true, ".state/treeState.lock": true,
		"tile/0/000": true, "tile/0/0001804289383": false, "tile/0/001.p/8": true, "tile/0/001.p/255": true,
		"tile/0/001.p/81804289": false, "tile/entries/x001/234": true, "tile/entries/x001/2341804289383": false,
		"tile/data/000.p/2551804289": false, ".bulla-0011aabbccddeeff.tmp": false, "issuer/0123456789": true, "tile/9/notes": true,
	}
	for name := range tree {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := (files{dir: dir}).sweep(); err != nil {
		t.Fatal(err)
	}
	for name, stays := range tree {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != stays {
			t.Errorf("%s: %v, should stay: %v", name, err, stays)
		}
	}
}
