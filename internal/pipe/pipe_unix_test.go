//go:build unix

package pipe_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/pipe"
)

func TestOpenNamedPipe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skip(err)
	}
	// Nobody writes.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := soon(t, func() error { _, err := pipe.Open(ctx, name); return err }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	// Somebody opens it and writes nothing more. It is open for reading too, lest it wait for us.
	w, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.WriteString("abc"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	f, err := pipe.Open(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make([]byte, 3)
	if _, err := io.ReadFull(f, got); err != nil || string(got) != "abc" {
		t.Errorf("%q, %v", got, err)
	}
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := soon(t, func() error { _, err := f.Read(got); return err }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
