package log

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An index that is made anew is told of: it says that a file was damaged.
func TestIndexMadeAnewIsTold(t *testing.T) {
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	path := filepath.Join(t.TempDir(), "index.db")
	open := func(origin string) {
		t.Helper()
		x, err := openIndex(path, origin, log)
		if err != nil {
			t.Fatal(err)
		}
		if err := x.close(); err != nil {
			t.Fatal(err)
		}
	}
	open("a.example.com")
	open("a.example.com")
	if said.Len() > 0 {
		t.Errorf("of a sound index: %s", said.String())
	}
	if err := os.WriteFile(path, []byte("not an index"), 0o600); err != nil {
		t.Fatal(err)
	}
	open("a.example.com")
	if !strings.Contains(said.String(), "level=WARN") || !strings.Contains(said.String(), "damaged") {
		t.Errorf("of a damaged index: %q", said.String())
	}
	said.Reset()
	open("b.example.com")
	if !strings.Contains(said.String(), "of another log") {
		t.Errorf("of another log's index: %q", said.String())
	}
}
