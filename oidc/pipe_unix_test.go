//go:build unix

package oidc_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/oidc"
)

// A token comes through a pipe, such as a shell's <(...), and a pipe from which nothing comes does not hold the user up.
func TestFromPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := oidc.FromFlag(ctx, path); !errors.Is(err, context.Canceled) {
		t.Fatalf("given up: %v", err)
	}
	path += "2"
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	raw := jwt(`{"iss":"i","sub":"s"}`)
	go func() { _ = os.WriteFile(path, []byte(raw+"\n"), 0o600) }() // a token that is not whole fails below
	if token, err := oidc.FromFlag(t.Context(), path); err != nil || token.Raw != raw {
		t.Errorf("%v, %v", token, err)
	}
}
