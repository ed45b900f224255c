package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/buildinfo"
	"github.com/bulla-sign/bulla/internal/trustsource"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/trust/publicgood"
	"github.com/bulla-sign/bulla/tuf"
)

// trustSource finds the trust of a command whose flags name none: the TUF repository that was initialized, or else that of
// the public-good instance, or what is built in of it.
// A command makes one and takes from it both the trusted root and the signing config.
func trustSource(c *cli.Call) *trustsource.Source {
	return &trustsource.Source{
		LookupEnv: c.LookupEnv, Offline: c.Net.Offline(), HTTP: &http.Client{Transport: c.Net.Transport()},
		UserAgent: buildinfo.UserAgent("bulla"), Now: c.Now, Ahead: expiryAhead,
	}
}

// expiryAhead is how long before its expiry trust is warned of unless --trust-expiry-warning says otherwise. Timestamps
// commonly live for a week and are renewed daily, so that nobody has renewed one for days by then; offline, a weekend is left.
const expiryAhead = 72 * time.Hour

// rootFrom is the default trusted root of a command. It tells the user what should be known about it.
func rootFrom(ctx context.Context, c *cli.Call, s *trustsource.Source) (*trust.Root, error) {
	t, err := initializedTrust(ctx, c, s)
	if err == nil && t != nil {
		return t.Root, nil
	}
	if err != nil {
		return nil, err
	}
	return s.Root(ctx)
}

// signingConfigFrom is the default signing config of a command.
func signingConfigFrom(ctx context.Context, c *cli.Call, s *trustsource.Source) (*trust.SigningConfig, error) {
	if _, err := initializedTrust(ctx, c, s); err != nil {
		return nil, err
	}
	return s.SigningConfig(ctx)
}

// initializedTrust returns the trust of the repository that was initialized, or of the public-good instance, nil if what is
// built in stands in for it, and warns of what is old.
func initializedTrust(ctx context.Context, c *cli.Call, s *trustsource.Source) (*tuf.Trust, error) {
	done := c.Progress("refreshing what is trusted")
	t, err := s.Trust(ctx)
	done()
	if err != nil {
		return nil, fmt.Errorf("trusted root: %w", err)
	}
	s.TellOnce(func() {
		if value, _ := c.LookupEnv("TUF_ROOT_JSON"); value != "" && s.Assumed() {
			c.Warnf("TUF_ROOT_JSON has no effect without TUF_MIRROR: the public-good instance is trusted from the root that is built in")
		}
		if t != nil {
			tellTrust(c, t, s.Ahead)
		} else if err := s.Unheard(); err != nil {
			c.Warnf("the keys of the public-good instance could not be fetched, and are those of %s, when this program was built (--offline does not ask): %v",
				publicgood.Date, err)
		}
	})
	return t, nil
}

// tellTrust warns of what is old, or soon will be.
func tellTrust(c *cli.Call, t *tuf.Trust, ahead time.Duration) {
	if t.Problem != nil {
		c.Warnf("what is trusted could not be refreshed, and is used as it was %s (valid until %s): %v",
			ago(c.Now(), t.Checked), t.Expires().Expires.Format(time.RFC3339), t.Problem)
	}
	if t.Unsaved != nil {
		c.Debugf("what is trusted was fetched and cannot be kept: %v", t.Unsaved)
	}
	first := t.Expires()
	left := first.Expires.Sub(c.Now())
	switch {
	case ahead == 0 || left > ahead:
	case t.Cached:
		c.Warnf("what is trusted was last confirmed %s and expires %s, with %s.json: refresh it before, where %s can be reached",
			ago(c.Now(), t.Checked), until(left), first.Name, t.Mirror)
	default:
		c.Warnf("%s.json of %s expires %s: unless its operator renews it, nothing of it is trusted then", first.Name, t.Mirror, until(left))
	}
}

// until words how long something still lasts.
func until(left time.Duration) string {
	switch {
	case left < 2*time.Hour:
		return fmt.Sprintf("in %d minutes", max(int(left/time.Minute), 0))
	case left < 48*time.Hour:
		return fmt.Sprintf("in %d hours", int(left/time.Hour))
	}
	return fmt.Sprintf("in %d days", int(left/(24*time.Hour)))
}

// ago words how long before now something was.
func ago(now, then time.Time) string {
	d := now.Sub(then)
	switch {
	case then.IsZero():
		return "at an unknown time"
	case d < time.Minute:
		return "less than a minute ago"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes ago", int(d/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours ago", int(d/time.Hour))
	}
	return fmt.Sprintf("%d days ago", int(d/(24*time.Hour)))
}
