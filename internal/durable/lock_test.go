package durable

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	ctx := context.Background()
	if _, err := Lock(ctx, name, Shared); err == nil {
		t.Fatal("a shared lock made the file")
	}
	unlock, err := Lock(ctx, name, Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []LockMode{Shared, Exclusive} {
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		if _, err := Lock(short, name, mode); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("mode %d beside an exclusive lock: %v", mode, err)
		}
		cancel()
	}
	unlock()
	first, err := Lock(ctx, name, Shared)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Lock(ctx, name, Shared)
	if err != nil {
		t.Fatal(err)
	}
	first()
	done := make(chan error)
	go func() {
		unlock, err := Lock(ctx, name, Exclusive)
		if err == nil {
			unlock()
		}
		done <- err
	}()
	select {
	case err := <-done:
		t.Errorf("an exclusive lock beside a shared one: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	second()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A counter that is read and written under the lock loses nothing.
func TestLockExcludes(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	var count atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			unlock, err := Lock(context.Background(), name, Exclusive)
			if err != nil {
				t.Error(err)
				return
			}
			defer unlock()
			was := count.Load()
			time.Sleep(time.Millisecond)
			count.Store(was + 1)
		})
	}
	wg.Wait()
	if count.Load() != 20 {
		t.Errorf("counted %d of 20", count.Load())
	}
}
