package tuf_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/tuf"
)

// Somebody who initializes waits for others who do, much longer than a refresh waits: a hundred jobs may begin at once.
func TestInitializeWaits(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	config := r.config()
	config.Home = t.TempDir()
	if err := os.MkdirAll(config.Home, 0o700); err != nil {
		t.Fatal(err)
	}
	unlock, err := durable.Lock(context.Background(), r.place(config.Home)+".lock", durable.Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := tuf.Initialize(context.Background(), config)
		done <- err
	}()
	select {
	case err := <-done:
		t.Errorf("did not wait: %v", err)
		unlock()
		return
	case <-time.After(700 * time.Millisecond): // a refresh waits for half a second
	}
	unlock()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if mirror, err := tuf.Initialized(config.Home); err != nil || mirror != r.URL {
		t.Errorf("initialized %q, %v", mirror, err)
	}
}

// A home that cannot be one is told by what is wrong with it.
func TestInitializedNowhere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file, nil)
	if mirror, err := tuf.Initialized(file); mirror != "" || err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("%q, %v", mirror, err)
	}
	if mirror, err := tuf.Initialized(filepath.Join(t.TempDir(), "nosuch")); mirror != "" || err != nil {
		t.Errorf("%q, %v", mirror, err)
	}
}
