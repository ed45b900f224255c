package log

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/bulla-sign/bulla/server/internal/treelog"
)

// Log is an open transparency log.
type Log struct {
	cfg      Config
	origin   string
	key      *noteKey
	tree     *treelog.Log
	index    *index
	follow   *follower
	submit   *submitter
	metrics  *metrics
	mux      *http.ServeMux
	flights  chan struct{}
	searches chan struct{}

	cancel context.CancelFunc
	loops  sync.WaitGroup
}

// New opens the log. Its directory and its search index are made if they do not exist. An error means that it cannot be
// served at all; a log that can only be read is opened, and [Log.Ready] says why it takes no entries.
func New(ctx context.Context, cfg Config) (*Log, error) {
	l := &Log{cfg: cfg}
	var err error
	if l.origin, err = Origin(cfg.BaseURL); err != nil {
		return nil, fmt.Errorf("transparency log: %w", err)
	}
	if err := l.open(ctx); err != nil {
		return nil, fmt.Errorf("transparency log %s: %w", l.origin, err)
	}
	return l, nil
}

func (l *Log) open(ctx context.Context) (err error) {
	if err := l.cfg.check(); err != nil {
		return err
	}
	if l.key, err = newNoteKey(l.origin, l.cfg.PublicKey, l.cfg.Key); err != nil {
		return err
	}
	if l.tree, err = treelog.Open(ctx, l.cfg.tree(l.key)); err != nil {
		return err
	}
	if l.index, err = openIndex(l.cfg.IndexFile, l.origin, l.cfg.Log); err != nil {
		return errors.Join(err, l.tree.Close(ctx))
	}
	if err := l.begin(ctx); err != nil {
		return errors.Join(err, l.index.close(), l.tree.Close(ctx))
	}
	return nil
}

func (l *Log) begin(ctx context.Context) (err error) {
	l.submit = newSubmitter(l)
	l.follow = &follower{tree: l.tree, index: l.index, terms: l.submit.terms, seen: l.submit.forget}
	if err := l.follow.check(); err != nil {
		return err
	}
	done, err := l.follow.catchUp(ctx, maxCatchUp)
	if err != nil {
		return err
	}
	if !done {
		l.cfg.Log.Warn("the search index is far behind the log and is being made in the background; until it is there, "+
			"searches are incomplete and a repeated upload may become a second entry", "log", l.origin)
	}
	if l.metrics, err = newMetrics(l.cfg.Metrics, l); err != nil {
		return err
	}
	l.flights = make(chan struct{}, l.cfg.MaxInFlight)
	l.searches = make(chan struct{}, maxSearches)
	l.routes()
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.cancel = cancel
	l.loops.Go(func() {
		l.follow.keep(background, followAgain, func(err error) {
			l.cfg.Log.Error("the search index cannot be kept up now", "log", l.origin, "error", err, "again_in", followAgain)
		})
	})
	return nil
}

// Ready returns nil when entries are taken and proven, or, for a frozen log, when it can be read.
func (l *Log) Ready(ctx context.Context) error { return l.tree.Ready(ctx) }

// Head returns the published tree's size and root, and false when there is none yet.
func (l *Log) Head() (size uint64, root [32]byte, ok bool) {
	h, ok := l.tree.Head()
	return h.Size, h.Root, ok
}

// Freeze ends the log: uploads are answered with 405 from now on, and reads go on. It returns once the final checkpoint is
// published.
func (l *Log) Freeze(ctx context.Context) error { return l.tree.Freeze(ctx) }

// Close publishes what was taken and ends the log. Requests must have ended.
func (l *Log) Close(ctx context.Context) error {
	err := l.tree.Close(ctx)
	l.cancel()
	l.loops.Wait()
	l.metrics.unregister()
	return errors.Join(err, l.index.close())
}
