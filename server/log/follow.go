package log

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/bulla-sign/bulla/server/internal/treelog"
	"github.com/bulla-sign/bulla/tlog"
)

const (
	// followPause between two steps lets entries gather, so that the index is synced twice a second at most; busyPause, when the last step had
	// busyStep of them or more: each touches pages of its own, which many share.
	followPause = 500 * time.Millisecond
	busyPause   = 2 * time.Second
	busyStep    = 128
	// followBatch bounds the memory of one step: 16 bundles.
	followBatch = 16 * tlog.TileWidth
	// maxCatchUp is what New indexes before the log is open: some seconds' work. A longer way is gone in the background.
	maxCatchUp = 1 << 16
	// followAgain is when it is tried again after a failure: a disk that was full may have room by then.
	followAgain = 30 * time.Second
)

// follower brings the index up to the tree, and keeps it there.
type follower struct {
	tree  *treelog.Log
	index *index
	// terms returns those of an entry if they are known without reading its body.
	terms func(leaf [sha256.Size]byte) []string
	// seen is told how many entries are in the index.
	seen func(next uint64)
	mu   sync.Mutex // held for a step, and to begin anew
}

// check throws away an index that is not of this tree: one that is ahead of it, or saw another entry.
func (f *follower) check() error {
	next, last, err := f.index.progress()
	if err != nil || next == 0 {
		return err
	}
	if head, _ := f.tree.Head(); next <= head.Size {
		leaf, err := f.tree.LeafHash(next - 1)
		if err == nil && string(leaf[:]) == string(last) {
			return nil
		}
		if err != nil && !errors.Is(err, treelog.ErrNotCovered) {
			return nil // the tree cannot be read; that is not the index's fault
		}
	}
	return f.index.reset()
}

// step indexes the next entries of the published tree and says whether there are more.
func (f *follower) step() (more bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next, _, err := f.index.progress()
	if err != nil {
		return false, err
	}
	head, _ := f.tree.Head()
	end := min(head.Size, next+followBatch)
	var entries []indexed
	for at := next; at < end; {
		bundle := at / tlog.TileWidth
		width := min(end-bundle*tlog.TileWidth, tlog.TileWidth)
		data, err := f.tree.Bundle(bundle, int(width))
		if err != nil {
			return false, err
		}
		bodies, err := tlog.SplitEntries(data, int(width))
		if err != nil {
			return false, fmt.Errorf("bundle %d: %w", bundle, err)
		}
		for _, body := range bodies[at-bundle*tlog.TileWidth:] {
			e := indexed{leaf: tlog.LeafHash(body)}
			if e.terms = f.terms(e.leaf); e.terms == nil {
				e.terms = describe(body).terms()
			}
			entries = append(entries, e)
			at++
		}
	}
	if err := f.index.add(next, entries); err != nil {
		return false, err
	}
	f.seen(end)
	return end < head.Size, nil
}

// catchUp indexes all that is published, if that is not more than limit entries.
func (f *follower) catchUp(ctx context.Context, limit uint64) (done bool, err error) {
	next, _, err := f.index.progress()
	if err != nil {
		return false, err
	}
	if head, _ := f.tree.Head(); head.Size > next && head.Size-next > limit {
		return false, nil
	}
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if more, err = f.step(); err != nil {
			return false, err
		}
	}
	return true, nil
}

// rebuild makes the index anew, up to what is published now.
func (f *follower) rebuild(ctx context.Context) error {
	f.mu.Lock()
	err := f.index.reset()
	f.mu.Unlock()
	if err != nil {
		return err
	}
	_, err = f.catchUp(ctx, math.MaxUint64)
	return err
}

// run follows the tree until the context ends, or the tree grows no more.
func (f *follower) run(ctx context.Context) error {
	var last time.Time // when the last step began that had something to do
	before, _, err := f.index.progress()
	if err != nil {
		return err
	}
	for {
		more, err := f.step()
		if err != nil {
			return err
		}
		if more {
			if ctx.Err() != nil {
				return nil
			}
			continue
		}
		next, _, err := f.index.progress()
		if err != nil {
			return err
		}
		if _, err := f.tree.Await(ctx, next); err != nil {
			return nil
		}
		pause := followPause
		if next-before >= busyStep {
			pause = busyPause
		}
		before = next
		select { // who comes after a quiet time is indexed at once
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(last.Add(pause))):
		}
		last = time.Now()
	}
}

// keep runs until the context ends, or the tree grows no more, and again some time after each failure, which told gets.
func (f *follower) keep(ctx context.Context, again time.Duration, told func(error)) {
	for {
		err := f.run(ctx)
		if err == nil {
			return
		}
		told(err)
		timer := time.NewTimer(again)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}
