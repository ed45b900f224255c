package httpserver

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestHealth(t *testing.T) {
	c := newClock()
	var logged lockedBuffer
	h := NewHealth()
	s := start(t, Config{Health: h, Now: c.now, Hosts: []string{"bulla.example"}, Log: slog.New(slog.NewTextHandler(&logged, nil))},
		http.NotFoundHandler())
	want := func(status int, body string) {
		t.Helper()
		c.move(checkEvery)
		resp, got := fetch(t, s.url+"/readyz")
		if resp.StatusCode != status || strings.TrimSpace(got) != body {
			t.Errorf("%s %s, want %d %s", resp.Status, got, status, body)
		}
		// The process is up, whether it is ready or not.
		if resp, got := fetch(t, s.url+"/healthz"); resp.StatusCode != 200 || got != "{\"status\":\"SERVING\"}\n" {
			t.Errorf("/healthz: %s %s", resp.Status, got)
		}
	}
	want(503, `{"ready":false,"failing":["nothing registered"]}`)
	var keys, storage atomic.Bool
	secret := errors.New("no file /etc/bulla/canary")
	gate := func(open *atomic.Bool) func(context.Context) error {
		return func(context.Context) error {
			if !open.Load() {
				return secret
			}
			return nil
		}
	}
	h.Register("storage", gate(&storage))
	h.Register("keys", gate(&keys))
	want(503, `{"ready":false,"failing":["keys","storage"]}`)
	if !strings.Contains(logged.String(), "canary") {
		t.Errorf("the log does not say why: %s", logged.String())
	}
	keys.Store(true)
	want(503, `{"ready":false,"failing":["storage"]}`)
	storage.Store(true)
	want(200, `{"ready":true}`)
	h.Register("trust", func(context.Context) error { panic("x") })
	want(503, `{"ready":false,"failing":["trust"]}`)
	h.Register("trust", gate(&keys)) // replaced
	want(200, `{"ready":true}`)
	h.Drain()
	want(503, `{"ready":false,"failing":["draining"]}`)
	if names, err := h.Failing(t.Context()); err == nil || len(names) != 1 {
		t.Errorf("Failing: %v %v", names, err)
	}
}

// However many ask, the checks run once a second; one that hangs is not started again.
func TestHealthIsCheap(t *testing.T) {
	c := newClock()
	h := NewHealth()
	var runs atomic.Int64
	h.Register("counted", func(context.Context) error { runs.Add(1); return nil })
	for range 100 {
		h.cached(c.now())
	}
	if n := runs.Load(); n != 1 {
		t.Errorf("%d runs", n)
	}
	c.move(-time.Hour) // a clock set back must not keep the answer for an hour
	h.cached(c.now())
	if n := runs.Load(); n != 2 {
		t.Errorf("%d runs after the clock was set back", n)
	}

	hang := make(chan struct{})
	defer close(hang)
	var started atomic.Int64
	h.Register("hangs", func(context.Context) error { started.Add(1); <-hang; return nil })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 {
		if names, _ := h.Failing(ctx); len(names) == 0 {
			t.Error("ready although a check hangs")
		}
	}
	if n := started.Load(); n != 1 {
		t.Errorf("the check was started %d times", n)
	}
}
