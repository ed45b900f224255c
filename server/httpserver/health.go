package httpserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// checkTime bounds one readiness check: the callers of /readyz wait for some seconds only.
	checkTime = 3 * time.Second
	// checkEvery is how long an answer of /readyz is given again, so that whoever asks often does not load the storage.
	checkEvery = time.Second
)

// Health knows whether the process can do its work. It is ready when it is not ending, at least one check is registered
// and all of them pass: what has to be there before requests come (keys, trust, storage) is registered before the
// server serves, with a check that fails until it is there. It may be used by several goroutines.
type Health struct {
	draining atomic.Bool
	log      atomic.Pointer[slog.Logger]

	mu     sync.Mutex
	names  []string
	checks map[string]*check

	run      sync.Mutex // held while checks run; guards what follows
	last     time.Time
	failing  []string
	reported string
}

// check is a readiness check; busy while it runs, so that one that hangs is not started again and again.
type check struct {
	run  func(context.Context) error
	busy atomic.Bool
}

// NewHealth makes a Health without checks.
func NewHealth() *Health {
	return &Health{checks: make(map[string]*check)}
}

// Register adds a check under a name, that /readyz shows to everybody. It replaces the check that has the name. The check
// returns nil when requests can be served now; it must end when its context does.
func (h *Health) Register(name string, run func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.checks[name]; !ok {
		h.names = append(h.names, name)
		slices.Sort(h.names)
	}
	h.checks[name] = &check{run: run}
}

// Drain makes /readyz say no from now on, whatever the checks find.
func (h *Health) Drain() { h.draining.Store(true) }

// Failing runs the checks and returns the names of those that fail, sorted, with their errors. Both are empty when the
// process is ready.
func (h *Health) Failing(ctx context.Context) (names []string, err error) {
	if h.draining.Load() {
		return []string{"draining"}, errors.New("the server is ending")
	}
	h.mu.Lock()
	names = slices.Clone(h.names)
	checks := make([]*check, len(names))
	for i, n := range names {
		checks[i] = h.checks[n]
	}
	h.mu.Unlock()
	if len(names) == 0 {
		return []string{"nothing registered"}, errors.New("no check is registered, so nothing is known")
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() { errs[i] = c.try(ctx) })
	}
	wg.Wait()
	failing := names[:0]
	for i, name := range names {
		if errs[i] != nil {
			failing = append(failing, name)
			err = errors.Join(err, fmt.Errorf("%s: %w", name, errs[i]))
		}
	}
	return failing, err
}

// try gives up on a check that does not end with its context; its goroutine then ends when the check does.
func (c *check) try(ctx context.Context) error {
	if !c.busy.CompareAndSwap(false, true) {
		return errors.New("the check before has not ended")
	}
	done := make(chan error, 1)
	go func() {
		defer c.busy.Store(false)
		defer func() {
			if v := recover(); v != nil {
				done <- fmt.Errorf("the check panicked: %T", v)
			}
		}()
		done <- c.run(ctx)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cached is Failing, at most once a second. What changes is logged, with the reasons, which /readyz does not show:
// they may name files and addresses.
func (h *Health) cached(now time.Time) []string {
	if h.draining.Load() {
		return []string{"draining"}
	}
	h.run.Lock()
	defer h.run.Unlock()
	if age := now.Sub(h.last); !h.last.IsZero() && age >= 0 && age < checkEvery {
		return h.failing
	}
	// Not the request's context: the next caller is given this answer too.
	failing, err := h.Failing(context.Background())
	h.failing, h.last = failing, now
	if text := strings.Join(failing, ", "); text != h.reported {
		h.reported = text
		if log := h.log.Load(); log != nil && err != nil {
			log.Warn("not ready", "failing", failing, "err", err)
		} else if log != nil {
			log.Info("ready")
		}
	}
	return failing
}

// healthz answers as long as the process can.
func (h *Health) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte("{\"status\":\"SERVING\"}\n")) // as Rekor's does; a client that is gone needs no answer
}

// readyz answers 200 when ready, else 503 with the names of what is not.
func (h *Health) readyz(now func() time.Time) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		failing := h.cached(now())
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if len(failing) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		body, err := json.Marshal(struct {
			Ready   bool     `json:"ready"`
			Failing []string `json:"failing,omitempty"`
		}{len(failing) == 0, failing})
		if err == nil {
			_, _ = w.Write(append(body, '\n')) // a client that is gone needs no answer
		}
	}
}
