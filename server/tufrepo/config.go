package tufrepo

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/tuf"
)

// Lifetimes say for how long metadata holds after it was signed. A zero is the usual time.
type Lifetimes struct {
	Root, Targets, Snapshot, Timestamp time.Duration
}

// The usual lifetimes, see the package's comment.
const (
	day             = 24 * time.Hour
	usualRoot       = 3650 * day
	usualTargets    = 3650 * day
	usualSnapshot   = 30 * day
	usualTimestamp  = 7 * day
	shortestAllowed = time.Minute
	longestAllowed  = 7300 * day // twenty years: nobody who signs today will answer for more
)

// Config is what a repository is made of.
type Config struct {
	// Dir is the repository's directory. Required.
	Dir string
	// Prefix is the path that it is served under; "" stands for "/tuf".
	Prefix string
	// Signers are the keys at hand: those of snapshot and timestamp, and of root and targets unless they are kept offline.
	// Which key may sign what the root says.
	Signers []crypto.Signer
	// Lifetimes of the roles.
	Lifetimes Lifetimes
	// Now is the clock; nil is the system's.
	Now func() time.Time
	// Log is told what is published, and of what expires and cannot be signed here; nil is silent.
	Log *slog.Logger
	// Metrics is where the service registers its metrics; nil for none.
	Metrics prometheus.Registerer

	// fault is called between any two effects on the disk, in tests, and ends the work where it fails.
	fault func(point string) error
}

func (c *Config) complete() error {
	if c.Dir == "" {
		return errors.New("there is no directory")
	}
	if c.Prefix == "" {
		c.Prefix = "/tuf"
	}
	if !strings.HasPrefix(c.Prefix, "/") || strings.HasSuffix(c.Prefix, "/") || strings.ContainsAny(c.Prefix, "{}") {
		return fmt.Errorf("prefix %q does not begin with a slash, or ends with one, or holds a brace", c.Prefix)
	}
	for _, l := range []struct {
		name  string
		value *time.Duration
		usual time.Duration
	}{
		{"root", &c.Lifetimes.Root, usualRoot},
		{"targets", &c.Lifetimes.Targets, usualTargets},
		{"snapshot", &c.Lifetimes.Snapshot, usualSnapshot},
		{"timestamp", &c.Lifetimes.Timestamp, usualTimestamp},
	} {
		if *l.value == 0 {
			*l.value = l.usual
		}
		if *l.value < shortestAllowed || *l.value > longestAllowed {
			return fmt.Errorf("lifetime of %s: %v is not between %v and %v", l.name, *l.value, shortestAllowed, longestAllowed)
		}
	}
	for _, k := range c.Signers {
		if _, err := tuf.KeyID(k.Public()); err != nil {
			return err
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if c.fault == nil {
		c.fault = func(string) error { return nil }
	}
	return nil
}

// Init founds a repository: its first root, with the keys of spec, whose version and expiry are not looked at. If the
// signers do not suffice, because the root's keys are offline, the root becomes pending and the error is [ErrPending]. A
// directory that has a root already is an error that wraps [os.ErrExist].
func Init(ctx context.Context, cfg Config, spec tuf.RootSpec) error {
	if err := cfg.complete(); err != nil {
		return fmt.Errorf("TUF repository: %w", err)
	}
	r := &repository{cfg: cfg}
	for _, dir := range []string{cfg.Dir, r.path(targetsDir), r.path(pendingDir)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("TUF repository: %w", err)
		}
	}
	unlock, err := r.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	versions, err := r.versions(tuf.RootRole)
	if err == nil && len(versions) > 0 {
		err = fmt.Errorf("%s: %w", filepath.Join(cfg.Dir, "1.root.json"), os.ErrExist)
	}
	if err != nil {
		return fmt.Errorf("TUF repository: %w", err)
	}
	spec.Version, spec.Expires = 1, cfg.Now().Add(cfg.Lifetimes.Root)
	root, err := tuf.NewRoot(spec)
	if err != nil {
		return fmt.Errorf("TUF repository: %w", err)
	}
	if err := r.sign(root, root); err != nil {
		return err
	}
	return r.publishRoot(&current{}, root)
}
