// Package refresh keeps the trust of a long-lived program fresh, in the background: a webhook, a server, a controller.
package refresh

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/bulla-sign/bulla/tuf"
)

// Config says how often a [Refresher] asks, and whom it tells.
type Config struct {
	// Every is the time between two refreshes that went well, give or take a fifth, so that many programs do not ask at once;
	// 0: six hours. Trust that expires sooner is refreshed sooner.
	Every time.Duration
	// Retry is the time after the first one that failed; it doubles with each, up to Every. 0: one minute.
	Retry time.Duration
	// Told is called after every refresh with what is trusted now, nil if nothing is, and what was the matter, nil if it went
	// well. It may be nil. It must not block.
	Told func(t *tuf.Trust, problem error)
	// Now is the clock; nil: the system's.
	Now func() time.Time
}

const (
	refreshEvery = 6 * time.Hour
	refreshRetry = time.Minute
	// leastWait keeps a program whose trust is about to expire from asking without a pause.
	leastWait = time.Second
)

// Refresher keeps the trust of a long-lived program fresh: [Refresher.Run] asks the mirror now and then, in the background,
// and [Refresher.Trust] answers at once. While the mirror is away, or its answers are bad, the last good trust holds until
// it expires. It may be used by several goroutines at once.
type Refresher struct {
	client *tuf.Client
	config Config

	mu      sync.Mutex
	trust   *tuf.Trust
	problem error // of the last refresh
}

// New makes a refresher of a client, which others may use as well. It knows what the cache holds at once, and asks
// nobody before [Refresher.Run].
func New(client *tuf.Client, config Config) *Refresher {
	if config.Every <= 0 {
		config.Every = refreshEvery
	}
	if config.Retry <= 0 {
		config.Retry = refreshRetry
	}
	config.Retry = min(config.Retry, config.Every)
	if config.Now == nil {
		config.Now = time.Now
	}
	r := &Refresher{client: client, config: config}
	r.trust, r.problem = client.Cached()
	return r
}

// Run refreshes until the context ends, and returns why that did. It is called once.
func (r *Refresher) Run(ctx context.Context) error {
	for failures := 0; ; {
		t, problem := r.client.Load(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if t != nil && problem == nil {
			problem = t.Problem
		}
		if failures++; problem == nil {
			failures = 0
		}
		r.learn(t, problem)
		timer := time.NewTimer(r.wait(t, failures))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// learn takes over what a refresh found. One that found nothing takes nothing away.
func (r *Refresher) learn(t *tuf.Trust, problem error) {
	r.mu.Lock()
	if t != nil {
		r.trust = t
	}
	r.problem = problem
	t = r.trust
	r.mu.Unlock()
	if r.config.Told != nil {
		r.config.Told(t, problem)
	}
}

// wait is how long to wait after so many failures.
func (r *Refresher) wait(t *tuf.Trust, failures int) time.Duration {
	d := r.config.Every
	if failures > 0 {
		d = r.config.Retry
		for i := 1; i < failures && d < r.config.Every; i++ {
			d *= 2
		}
		d = min(d, r.config.Every)
	}
	if t != nil && failures == 0 {
		d = min(d, t.Expires().Expires.Sub(r.config.Now())/2)
	}
	d = max(d, leastWait)
	return d - d/5 + rand.N(2*d/5+1) //nolint:gosec // G404: it spreads requests, and keeps no secret
}

// Trust returns what is trusted now. Its Checked says how old that is, and its Problem why it is not newer. The error says
// that nothing is, or no longer: it wraps [tuf.ErrExpired] then, and what kept it from being refreshed.
func (r *Refresher) Trust() (*tuf.Trust, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.trust == nil {
		if r.problem == nil {
			return nil, errors.New("nothing is trusted yet")
		}
		return nil, r.problem
	}
	if first := r.trust.Expires(); r.config.Now().After(first.Expires) {
		err := fmt.Errorf("trust from %s: %s.json %w on %s", r.trust.Mirror, first.Name, tuf.ErrExpired, first.Expires.UTC().Format(time.RFC3339))
		return nil, errors.Join(err, r.problem)
	}
	out := *r.trust
	out.Problem = r.problem
	return &out, nil
}
