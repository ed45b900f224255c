package pipe_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/pipe"
)

// soon fails the test when read does not return.
func soon(t *testing.T, read func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- read() }()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		t.Fatal("still waiting")
		return nil
	}
}

func TestReaderEndsWithContext(t *testing.T) {
	silent, other := io.Pipe()
	defer other.Close()
	ctx, cancel := context.WithCancel(t.Context())
	r := pipe.Reader(ctx, silent)
	time.AfterFunc(10*time.Millisecond, cancel)
	read := func() error { _, err := io.ReadAll(r); return err }
	for range 2 { // the second time without waiting
		if err := soon(t, read); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	short, done := context.WithTimeout(t.Context(), time.Millisecond)
	defer done()
	r = pipe.Reader(short, silent)
	if err := soon(t, read); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestReaderReadsWhatIsAskedFor(t *testing.T) {
	all := bytes.Repeat([]byte("0123456789"), 100_000)
	from := bytes.NewReader(all)
	r := pipe.Reader(t.Context(), from)
	if _, err := io.ReadFull(r, make([]byte, 7)); err != nil || from.Len() != len(all)-7 {
		t.Errorf("%d are left, %v", from.Len(), err)
	}
	rest, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(rest, all[7:]) {
		t.Errorf("%d bytes, %v", len(rest), err)
	}
	big := make([]byte, 600_000)
	if n, err := io.ReadFull(pipe.Reader(t.Context(), bytes.NewReader(all)), big); err != nil || !bytes.Equal(big, all[:n]) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestOpenFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a")
	if _, err := pipe.Open(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := pipe.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if data, err := io.ReadAll(f); err != nil || string(data) != "x" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestPatience(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if pipe.Patience(ctx) != ctx {
		t.Error("without patience it is another context")
	}
	r := pipe.Reader(ctx, bytes.NewReader([]byte("x")))
	patient := pipe.Reader(pipe.Patience(pipe.WithPatience(ctx, t.Context())), r)
	if data, err := io.ReadAll(patient); err != nil || string(data) != "x" {
		t.Errorf("%q, %v", data, err)
	}
}
