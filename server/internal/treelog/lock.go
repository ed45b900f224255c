package treelog

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/bulla-sign/bulla/internal/durable"
)

// Errors of lock stores.
var (
	// ErrNoLock is wrapped by Load when nothing is stored under the name.
	ErrNoLock = errors.New("the lock store has no checkpoint")
	// ErrLockConflict is wrapped by Replace when what is stored is not what the caller believes.
	ErrLockConflict = errors.New("the lock store has another checkpoint")
	// ErrLockUnavailable is wrapped by both when the store cannot be asked now and nothing is known to be wrong with it.
	ErrLockUnavailable = errors.New("the lock store is not available")
)

// LockStore remembers the latest signed checkpoint of each log, elsewhere than the log itself: on another disk, in a
// database. It is what tells a log that its own directory was restored from a backup, and what stops two copies of a
// directory from both going on.
type LockStore interface {
	// Load returns the checkpoint that was stored last under the name.
	Load(ctx context.Context, name string) ([]byte, error)
	// Replace stores new in place of old, in one step that nobody can come between; nil for old means that nothing is
	// stored yet. The new value is durable when Replace returns nil.
	Replace(ctx context.Context, name string, old, new []byte) error
}

// FileLock is a [LockStore] in a directory, one file for each log. The directory should be on another disk than the logs,
// and must not be part of the same backup.
type FileLock struct {
	dir string
	mu  sync.Mutex
}

// maxLock bounds a stored checkpoint in bytes: three lines and a signature take less than a kilobyte.
const maxLock = 64 << 10

// NewFileLock returns the lock store in dir, which is made if need be.
func NewFileLock(dir string) (*FileLock, error) {
	if err := makeDir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("lock store: %w", err)
	}
	return &FileLock{dir: dir}, nil
}

// Load implements [LockStore].
func (f *FileLock) Load(_ context.Context, name string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.load(name)
}

func (f *FileLock) load(name string) ([]byte, error) {
	file, err := os.Open(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w for %s", ErrNoLock, name)
	}
	if err != nil {
		return nil, fmt.Errorf("lock store: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxLock+1))
	if err != nil {
		return nil, fmt.Errorf("lock store: %w", err)
	}
	if len(data) > maxLock {
		return nil, fmt.Errorf("lock store: %s has more than %d bytes", f.path(name), maxLock)
	}
	return data, nil
}

// Replace implements [LockStore].
func (f *FileLock) Replace(_ context.Context, name string, old, new []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	guard, err := lockFile(filepath.Join(f.dir, ".guard"), true)
	if err != nil {
		return fmt.Errorf("lock store: %w", err)
	}
	defer guard.Close()
	now, err := f.load(name)
	if err != nil && !errors.Is(err, ErrNoLock) {
		return err
	}
	if (err != nil) != (old == nil) || !bytes.Equal(now, old) {
		return fmt.Errorf("%w for %s than the one to be replaced", ErrLockConflict, name)
	}
	if err := durable.WriteFile(f.path(name), new, 0o600); err != nil {
		if isFull(err) {
			return fmt.Errorf("%w: %w", ErrLockUnavailable, err)
		}
		return fmt.Errorf("lock store: %w", err)
	}
	return nil
}

// path gives every name a file of its own, whatever characters it has.
func (f *FileLock) path(name string) string {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' || name[0] == '.' {
			return filepath.Join(f.dir, "x"+hex.EncodeToString([]byte(name))+".hex.checkpoint")
		}
	}
	return filepath.Join(f.dir, name+".checkpoint")
}

// lockFile opens and locks (flock) a file until it is closed. Without wait, a file that another process has locked is an
// error.
func lockFile(path string, wait bool) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		err = syscall.Flock(int(f.Fd()), how)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, &fs.PathError{Op: "lock", Path: path, Err: err}
		}
	}
}
