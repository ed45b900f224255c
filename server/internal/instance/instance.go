package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/server/ca"
	"github.com/bulla-sign/bulla/server/httpserver"
	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/keyring"
	"github.com/bulla-sign/bulla/server/internal/state"
)

// Config is what a process is made of.
type Config struct {
	File *config.File
	Dir  *state.Dir
	Ring *keyring.Keyring
	Log  *slog.Logger
	Now  func() time.Time
	// Development says that the process is for this machine alone, where what is convenient is no cause for a warning.
	Development bool
	// Ready is called once, when everything answers.
	Ready func(addresses []net.Addr)
}

// Instance is a running process.
type Instance struct {
	Config
	registry *prometheus.Registry
	expiry   *httpserver.Expiry
	health   *httpserver.Health
	router   router // to what is public
	inside   router // to what is for operators
	admin    admin

	follow  sync.Mutex // held while services are changed
	ended   bool       // under follow: nothing is opened any more
	mu      sync.Mutex
	history *state.History
	mounts  map[string]*mounted
	fresh   map[string]*mounted // opened, and not among the mounts yet
	started time.Time
	journal *ca.FileJournal // of the authority; nil until it is opened
}

// mounted is a mount with what it was made from.
type mounted struct {
	*mount
	metrics *metrics
	late    bool // see want
	inside  bool // see want
}

// retireTime is how long a replaced service may go on answering the requests that it has: longer than any of them takes.
const retireTime = 90 * time.Second

// New opens all services. Nothing answers yet.
func New(ctx context.Context, cfg Config) (*Instance, error) {
	in := &Instance{Config: cfg, registry: httpserver.NewRegistry(), health: httpserver.NewHealth(), mounts: make(map[string]*mounted), started: cfg.Now()}
	var err error
	if in.expiry, err = httpserver.NewExpiry(in.registry, cfg.Now); err != nil {
		return nil, err
	}
	if err := in.registerExpiry(); err != nil {
		return nil, err
	}
	if err := in.Follow(ctx); err != nil {
		return nil, errors.Join(err, in.close(ctx))
	}
	return in, nil
}

// Follow reads the state and makes the services what it says: it opens those that are new, sends requests to them, waits
// for the requests in those that were replaced, and closes them. It is safe to call at any time.
func (in *Instance) Follow(ctx context.Context) error {
	in.follow.Lock()
	defer in.follow.Unlock()
	if in.ended {
		return errors.New("the server has ended")
	}
	h, err := in.Dir.Load()
	if err != nil {
		return err
	}
	wanted := in.wanted(h)
	if err := in.change(ctx, h, wanted); err != nil {
		return err
	}
	for _, w := range wanted {
		if w.settle == nil {
			continue
		}
		if err := w.settle(ctx, in.mounted(w.key).service); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

// mounted returns the present mount with a key, nil if there is none. While services are changed, those that have just
// been opened count already: others are made with them.
func (in *Instance) mounted(key string) *mounted {
	in.mu.Lock()
	defer in.mu.Unlock()
	if m := in.fresh[key]; m != nil {
		return m
	}
	return in.mounts[key]
}

// change replaces the services that are not what the history says. Late ones look at the others through the router: they
// end before it changes, and are opened when it has.
func (in *Instance) change(ctx context.Context, h *state.History, wanted []want) error {
	var early, late []want
	for _, w := range wanted {
		if w.late {
			late = append(late, w)
		} else {
			early = append(early, w)
		}
	}
	if err := in.endLate(ctx, late); err != nil {
		return err
	}
	if err := in.generation(ctx, h, early); err != nil {
		return err
	}
	return in.generation(ctx, h, wanted)
}

// endLate ends late services that will be replaced.
func (in *Instance) endLate(ctx context.Context, wanted []want) error {
	keep := make(map[string]bool)
	for _, w := range wanted {
		keep[w.key] = true
	}
	next := make(map[string]*mounted)
	in.mu.Lock()
	for key, m := range in.mounts {
		if !m.late || keep[key] {
			next[key] = m
		}
	}
	in.mu.Unlock()
	if len(next) == len(in.mounts) {
		return nil
	}
	if err := in.route(next); err != nil {
		return err
	}
	return in.retire(ctx, in.swap(next, in.history), nil)
}

// route sends requests to mounts.
func (in *Instance) route(mounts map[string]*mounted) error {
	var public, inside []*mount
	for _, m := range mounts {
		if m.inside {
			inside = append(inside, m.mount)
		} else {
			public = append(public, m.mount)
		}
	}
	if err := in.inside.set(inside); err != nil {
		return err
	}
	return in.router.set(public)
}

// generation opens what is wanted and not there yet, and sends requests to what is wanted alone. Late services that are
// there stay.
func (in *Instance) generation(ctx context.Context, h *state.History, wanted []want) error {
	next, opened := make(map[string]*mounted), []*mounted(nil)
	defer in.freshen("", nil)
	for key, m := range in.mounts {
		if m.late {
			next[key] = m
		}
	}
	for _, w := range wanted {
		if m := in.mounts[w.key]; m != nil {
			next[w.key] = m
			continue
		}
		m, err := in.open(ctx, w)
		if err != nil {
			for _, m := range opened {
				err = errors.Join(err, m.Close(ctx))
			}
			return named(w.name, err)
		}
		next[w.key], opened = m, append(opened, m)
		in.freshen(w.key, m)
	}
	if err := in.route(next); err != nil {
		return err
	}
	old := in.swap(next, h)
	for _, m := range opened {
		in.Log.InfoContext(ctx, "opened", "service", m.name)
	}
	return in.retire(ctx, old, opened)
}

// named says whose error it is, unless the error does.
func named(name string, err error) error {
	if strings.HasPrefix(err.Error(), name+":") {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// freshen notes a service that was opened but is not mounted yet; nil forgets all.
func (in *Instance) freshen(key string, m *mounted) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if m == nil {
		in.fresh = nil
		return
	}
	if in.fresh == nil {
		in.fresh = make(map[string]*mounted)
	}
	in.fresh[key] = m
}

// swap makes next the present mounts and returns those that are not among them.
func (in *Instance) swap(next map[string]*mounted, h *state.History) (old []*mounted) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for key, m := range in.mounts {
		if next[key] == nil {
			old = append(old, m)
		}
	}
	in.mounts, in.history = next, h
	return old
}

// retire ends replaced services, and shows the metrics of the new ones once those of the old are gone.
func (in *Instance) retire(ctx context.Context, old, opened []*mounted) error {
	var errs []error
	for _, m := range old {
		m.metrics.hide()
	}
	for _, m := range opened {
		errs = append(errs, m.metrics.show())
		in.health.Register(m.name, m.check)
	}
	if len(old) == 0 {
		return errors.Join(errs...)
	}
	// Not for as long as somebody waits who has asked for it: nobody would come back for what is not closed now.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), retireTime)
	defer cancel()
	for _, m := range old {
		if err := m.retire(ctx); err != nil {
			errs = append(errs, err)
			continue
		}
		if in.handedOver(m) {
			continue // another mount goes on with it
		}
		if err := m.Close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("closing %s: %w", m.name, err))
		}
		in.Log.InfoContext(ctx, "closed", "service", m.name)
	}
	return errors.Join(errs...)
}

// handedOver says whether a mount's service goes on in another one: a log that is below a path now.
func (in *Instance) handedOver(old *mounted) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, m := range in.mounts {
		if s, ok := m.service.(*shard); ok && service(s.Log) == old.service {
			return true
		}
	}
	return false
}

// check is the readiness of a mount. One that was replaced is nobody's concern.
func (m *mounted) check(ctx context.Context) error {
	if !m.enter() {
		return nil
	}
	defer m.leave()
	return m.Ready(ctx)
}

// close ends all services, after requests have ended.
func (in *Instance) close(ctx context.Context) error {
	in.follow.Lock()
	defer in.follow.Unlock()
	in.ended = true
	in.mu.Lock()
	defer in.mu.Unlock()
	var errs []error
	for _, m := range in.mounts {
		if err := m.Close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("closing %s: %w", m.name, err))
		}
	}
	in.mounts = nil
	if in.journal != nil {
		errs = append(errs, in.journal.Close())
	}
	return errors.Join(errs...)
}

// History returns the state that the services follow.
func (in *Instance) History() *state.History {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.history
}
