//go:build unix

package toolcache

import (
	"os"
	"syscall"
)

// lock takes an advisory lock on a file and waits for it; the system lets go of it when a process dies.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		_ = f.Close() // the error of the lock is the one to tell
		return nil, err
	}
	return func() { _ = f.Close() }, nil // closing lets go of the lock
}
