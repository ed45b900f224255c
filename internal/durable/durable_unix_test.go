//go:build unix

package durable

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

func TestPipesAreWrittenTo(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skip(err)
	}
	var got []byte
	var wg sync.WaitGroup
	wg.Go(func() { got, _ = os.ReadFile(fifo) })
	if err := WriteFile(fifo, []byte("through"), 0o600); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if string(got) != "through" {
		t.Errorf("got %q", got)
	}
}
