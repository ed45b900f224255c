package control_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/server/internal/control"
)

type question struct{ Name string }

func mux() *http.ServeMux {
	m := http.NewServeMux()
	control.Handle(m, "/hello", func(_ context.Context, q question) (string, error) {
		if q.Name == "" {
			return "", errors.New("no name")
		}
		return "hello " + q.Name, nil
	})
	return m
}

func TestCall(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), strings.Repeat("long/", 30))} {
		s, err := control.Listen(dir, mux())
		if err != nil {
			t.Fatal(err)
		}
		peers, err := control.Peers(dir)
		if err != nil || len(peers) != 1 || !peers[0].Self(s) {
			t.Fatalf("%d peers, %v", len(peers), err)
		}
		var answer string
		if err := peers[0].Call(context.Background(), "/hello", question{"you"}, &answer); err != nil || answer != "hello you" {
			t.Errorf("%q, %v", answer, err)
		}
		if err := peers[0].Call(context.Background(), "/hello", question{}, &answer); err == nil || err.Error() != "no name" {
			t.Errorf("an error arrives as %v", err)
		}
		if err := peers[0].Call(context.Background(), "/hello", map[string]int{"nonsense": 1}, &answer); err == nil {
			t.Error("an unknown field is accepted")
		}
		if err := peers[0].Call(context.Background(), "/other", nil, nil); err == nil {
			t.Error("an unknown command is accepted")
		}
		if info, err := os.Stat(filepath.Join(dir, "run")); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("others can reach the socket: %v, %v", info.Mode(), err)
		}
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if peers, err := control.Peers(dir); err != nil || len(peers) != 0 {
			t.Errorf("after the end: %d peers, %v", len(peers), err)
		}
	}
}

// A socket that a killed process left is no peer, and is gone afterwards.
func TestDead(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "run", "1-1.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if peers, err := control.Peers(dir); err != nil || len(peers) != 0 {
		t.Errorf("%d peers, %v", len(peers), err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the dead socket is still there")
	}
}
