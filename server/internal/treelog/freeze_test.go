package treelog

import (
	"context"
	"errors"
	"testing"
	"time"
)

// slowLock is a lock store that answers when it is let.
type slowLock struct {
	LockStore
	asked chan struct{} // gets a value for each question
	let   chan struct{} // closed to let all be answered
}

func (s *slowLock) Replace(ctx context.Context, name string, old, new []byte) error {
	select {
	case s.asked <- struct{}{}:
	default:
	}
	<-s.let
	return s.LockStore.Replace(ctx, name, old, new)
}

// unpublished opens a log in which some entries are acknowledged and in no checkpoint yet, as the lock store is slow.
func unpublished(t *testing.T, w *world) (*Log, map[string]uint64, *slowLock) {
	t.Helper()
	closeLog(t, w.open(t)) // so that the first checkpoint is there
	cfg := w.config(t)
	slow := &slowLock{LockStore: cfg.Lock, asked: make(chan struct{}, 1), let: make(chan struct{})}
	cfg.Lock = slow
	l, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	entries := add(t, l, "acknowledged", 5)
	<-slow.asked
	return l, entries, slow
}

// Whoever freezes a log may be interrupted, and comes again. What was taken meanwhile must be in the last checkpoint all the
// same: a CT log has given timestamps for it.
func TestFreezeAfterAnInterruptedOne(t *testing.T) {
	w := newWorld(t)
	l, entries, slow := unpublished(t, w)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 {
		if err := l.Freeze(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("freezing for somebody who has left: %v", err)
		}
	}
	time.AfterFunc(50*time.Millisecond, func() { close(slow.let) })
	if err := l.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	prove(t, l, entries)
	closeLog(t, l)
}

// A directory that is still being written to must not become somebody else's, however often it is closed.
func TestCloseAfterAnInterruptedOne(t *testing.T) {
	w := newWorld(t)
	l, _, slow := unpublished(t, w)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 {
		if err := l.Close(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("closing for somebody who has left: %v", err)
		}
	}
	if other, err := Open(t.Context(), w.config(t)); err == nil {
		t.Error("the directory was opened a second time while the first one wrote")
		closeLog(t, other)
	}
	close(slow.let)
	if err := l.Close(t.Context()); !errors.Is(err, context.Canceled) {
		t.Errorf("closing again: %v", err)
	}
	l.loops.Wait() // so that nothing is written into a directory that the test removes
}
