package tuf

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Config says which repository a client reads, and where it keeps what it read.
type Config struct {
	// Mirror is the repository's address, below which root and timestamp lie.
	Mirror string
	// Root is the root.json that the user trusts. It may be nil if the cache has one, from an earlier [Initialize].
	Root []byte
	// Home is the directory for caches of all mirrors, see [Home]. Empty: nothing is kept but in memory.
	Home string
	// HTTP asks the mirror. Redirects to other hosts are refused whatever it says. Nil: a client of its own.
	HTTP *http.Client
	// UserAgent, such as "bulla/1.0"; empty: "bulla".
	UserAgent string
	// Timeout bounds a whole refresh; 0: 30 seconds.
	Timeout time.Duration
	// Now is the present; nil: time.Now.
	Now func() time.Time
}

// Client reads one repository. It may be used by several goroutines at once.
type Client struct {
	config Config
	remote *remote
	cache  *cache // nil: memory only

	mu      sync.Mutex // held for a refresh: one at a time
	known   state      // what was verified last; its root is the trusted one
	checked time.Time  // when the mirror was last heard
}

// New makes a client. It reads the cache's root if the config has none, and does not touch the network.
func New(config Config) (*Client, error) {
	r, err := newRemote(config.Mirror, config.UserAgent, config.HTTP)
	if err != nil {
		return nil, err
	}
	if config.Timeout <= 0 {
		config.Timeout = refreshTime
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	c := &Client{config: config, remote: r}
	c.known.root = config.Root
	if config.Home != "" {
		if c.cache, err = openCache(config.Home, config.Mirror); err != nil {
			return nil, err
		}
		kept := c.cache.read()
		c.cache.began = kept.root
		if c.known.root == nil {
			c.known.root = kept.root
		}
		kept.root = c.known.root
		c.known, c.checked = kept, c.cache.checked()
	}
	if len(c.known.root) == 0 {
		return nil, fmt.Errorf("there is no root.json to begin with for %s", config.Mirror)
	}
	return c, nil
}

// Refresh asks the mirror and returns what it says now. If anything is wrong with the answer nothing changes, except that
// a newer root that was verified is trusted from then on. Errors wrap [ErrNoAnswer] when the mirror was not heard, and
// [ErrExpired].
func (c *Client) Refresh(ctx context.Context) (*Trust, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	w := &workflow{fetch: c.remote.fetch, old: c.known}
	now := c.config.Now()
	t, err := c.run(ctx, w, now)
	if err != nil {
		c.keepRoot(ctx, w)
		return nil, fmt.Errorf("trust from %s: %w", c.config.Mirror, err)
	}
	c.known, c.checked = w.next, now
	if c.cache != nil {
		t.Unsaved = c.cache.save(ctx, w.next, now)
	}
	t.Checked = now
	t.Root.Source.Date = now
	return t, nil
}

func (c *Client) run(ctx context.Context, w *workflow, now time.Time) (*Trust, error) {
	if err := w.run(ctx, now); err != nil {
		return nil, err
	}
	return w.trust(c.config.Mirror)
}

// keepRoot keeps a newer root of a refresh that failed later: it is verified, and the older one may be compromised
// (TUF specification, 5.3.8).
func (c *Client) keepRoot(ctx context.Context, w *workflow) {
	if w.root == nil || w.next.root == nil || string(w.next.root) == string(c.known.root) {
		return
	}
	before := c.known.root
	c.known.root = w.next.root
	if c.cache != nil {
		_ = c.cache.saveRoot(context.WithoutCancel(ctx), before, w.next.root) // the next refresh goes the same way again
	}
}

// Cached returns what is known without asking anybody. It is verified anew: the error says so if a file is missing or
// damaged, and wraps [ErrExpired] if one has expired.
func (c *Client) Cached() (*Trust, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cache != nil {
		c.adopt()
	}
	t, err := c.run(context.Background(), &workflow{old: c.known}, c.config.Now())
	if err != nil && c.cache != nil {
		// Perhaps another process was replacing the files.
		alone := c.cache.readAlone()
		if c.config.Root != nil || alone.root == nil {
			alone.root = c.known.root
		}
		if t2, err2 := c.run(context.Background(), &workflow{old: alone}, c.config.Now()); err2 == nil {
			c.known, t, err = alone, t2, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("kept trust of %s: %w", c.config.Mirror, err)
	}
	t.Cached, t.Checked = true, c.checked
	t.Root.Source.Date = c.checked
	return t, nil
}

// adopt takes over what another process kept since, if it is as good as what is known here.
func (c *Client) adopt() {
	now := c.config.Now()
	disk := c.cache.read()
	if disk.root == nil || c.config.Root != nil {
		disk.root = c.known.root
	}
	if newer(disk, c.known, now) {
		c.known = disk
	}
	if at := c.cache.checked(); at.After(c.checked) {
		c.checked = at
	}
}

// newer says that the first of two states holds now, and that its timestamp is not older than that of the other.
func newer(a, b state, now time.Time) bool {
	wa, wb := &workflow{old: a}, &workflow{old: b}
	if wa.run(context.Background(), now) != nil {
		return false
	}
	return wb.run(context.Background(), now) != nil || wa.root.version >= wb.root.version &&
		wa.timestamp.version >= wb.timestamp.version
}

// Load is [Client.Refresh], and [Client.Cached] where that fails, with what is the matter in [Trust.Problem]: metadata that
// was verified holds until it expires, whether the network is away or somebody tampers with it. If both fail the error
// says why for each.
func (c *Client) Load(ctx context.Context) (*Trust, error) {
	t, problem := c.Refresh(ctx)
	if problem == nil {
		return t, nil
	}
	t, err := c.Cached()
	if err != nil {
		return nil, errors.Join(problem, err)
	}
	t.Problem = problem
	return t, nil
}
