package tufrepo

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/bulla-sign/bulla/tuf"
)

// dueAfter is the part of a lifetime after which a document is signed anew: a seventh for timestamps, so that usually there
// are six days to notice that it does not work, half for the others.
func dueAfter(role string, life time.Duration) time.Duration {
	if role == tuf.TimestampRole {
		return life / 7
	}
	return life / 2
}

// due says that a document is to be signed anew. A clock that was set back makes nothing due.
func (r *repository) due(d *tuf.Document, life time.Duration) bool {
	left := d.Expires().Sub(r.cfg.Now())
	return r.behind(d) || left < life-dueAfter(d.Role(), life)
}

// warnBefore is how long before the end of what cannot be signed here the log says so. Keys in a safe take a while to fetch.
const warnBefore = 60 * day

// Renew signs anew whatever is due, and can be signed with the keys at hand. The server calls it by itself.
func (s *Server) Renew(ctx context.Context) error {
	if s.fresh() {
		return nil
	}
	err := s.change(ctx, func(c *current) error { return s.renew(ctx, c) })
	if errors.Is(err, ErrPending) {
		s.repo.cfg.Log.WarnContext(ctx, "TUF metadata expires, and its keys are not here", "error", err)
		err = nil
	}
	return err
}

// fresh says that nothing is due, without touching the disk.
func (s *Server) fresh() bool {
	s.mu.Lock()
	c := *s.current
	s.mu.Unlock()
	if c.timestamp == nil {
		return true
	}
	l := s.repo.cfg.Lifetimes
	return !s.repo.due(c.timestamp, l.Timestamp) && !s.repo.due(c.snapshot, l.Snapshot) &&
		!s.atHand(c.targets, c.root, l.Targets) && !s.atHand(c.root, c.root, l.Root)
}

// atHand says that a document of an offline role is due and its keys are here after all.
func (s *Server) atHand(d, root *tuf.Document, life time.Duration) bool {
	return s.repo.due(d, life) && s.repo.suffices(d, root)
}

// suffices says that the keys at hand are enough for a role.
func (r *repository) suffices(d, root *tuf.Document) bool {
	signed, missing, threshold, err := d.Signatures(root)
	if err != nil {
		return false
	}
	n := 0
	for _, key := range r.cfg.Signers {
		id, err := tuf.KeyID(key.Public())
		if err == nil && (slices.Contains(signed, id) || slices.Contains(missing, id)) {
			n++
		}
	}
	return n >= threshold
}

func (s *Server) renew(ctx context.Context, c *current) error {
	if c.timestamp == nil {
		return nil
	}
	r, l := s.repo, s.repo.cfg.Lifetimes
	if s.atHand(c.root, c.root, l.Root) {
		spec, err := c.root.RootSpec()
		if err != nil {
			return err
		}
		if err := s.nextRoot(ctx, c, spec); err != nil {
			return err
		}
	}
	for _, d := range []*tuf.Document{c.root, c.targets} {
		if left := d.Expires().Sub(r.cfg.Now()); left < warnBefore && !r.suffices(d, c.root) {
			r.cfg.Log.WarnContext(ctx, "TUF metadata expires, and its keys are not here", "file", d.FileName(), "expires", d.Expires())
		}
	}
	switch {
	case s.atHand(c.targets, c.root, l.Targets):
		if err := s.resignTargets(c, c.root); err != nil {
			return err
		}
		s.published(ctx, c.targets)
	case r.due(c.snapshot, l.Snapshot):
		if err := r.resnapshot(c, c.root); err != nil {
			return err
		}
		s.published(ctx, c.snapshot)
	case r.due(c.timestamp, l.Timestamp):
		if err := r.restamp(c, c.root); err != nil {
			return err
		}
		s.published(ctx, c.timestamp)
	}
	if r.behind(c.targets) { // its keys are not here: it waits for them
		return s.resignTargets(c, c.root)
	}
	return nil
}
