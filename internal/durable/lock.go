package durable

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"
)

// LockMode says who may hold a lock besides.
type LockMode int

const (
	// Shared is for those who read what the lock protects: others may hold it in the same mode.
	Shared LockMode = iota
	// Exclusive is for those who change it: nobody else holds it.
	Exclusive
)

// maxPause is the longest time between two attempts: a hundred processes that wait must not keep the one that works from it.
const maxPause = 50 * time.Millisecond

// errBusy says that somebody holds the lock in a mode that excludes ours.
var errBusy = errors.New("another process holds it")

// Lock takes a lock on a file, which is made where mode is [Exclusive], and returns the function that gives it back. It
// waits until ctx ends. The system gives the lock back if the process dies. Where the system has no such locks it does
// nothing. Everybody who takes the lock must agree on the file, which holds nothing and is never removed.
func Lock(ctx context.Context, name string, mode LockMode) (unlock func(), err error) {
	flag := os.O_RDONLY
	if mode == Exclusive {
		flag = os.O_RDWR | os.O_CREATE
	}
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	for pause := time.Millisecond; ; pause = min(2*pause, maxPause) {
		err := tryLock(f, mode == Exclusive)
		if err == nil {
			return func() { f.Close() }, nil // which gives the lock back
		}
		if !errors.Is(err, errBusy) {
			f.Close()
			return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, &fs.PathError{Op: "lock", Path: name, Err: errors.Join(errBusy, ctx.Err())}
		case <-time.After(pause):
		}
	}
}
