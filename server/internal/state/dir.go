package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/bulla-sign/bulla/internal/durable"
)

const (
	fileName = "state.json"
	lockName = "state.lock"
	dirMode  = 0o700 // keys lie in it, and though they are encrypted they are nobody else's business
	fileMode = 0o600
)

// ErrNotInitialised says that a directory has no state.
var ErrNotInitialised = errors.New("there is no state")

// Dir is a state directory.
type Dir struct{ path string }

// Open returns the state directory at path, which must have been made by [Create].
func Open(path string) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	d := &Dir{path}
	if _, err := os.Stat(d.Path(fileName)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, ErrNotInitialised)
	} else if err != nil {
		return nil, err
	}
	return d, nil
}

// Create makes a state directory with its first history, which must not exist yet. The history is written last: a
// directory without it counts as empty.
func Create(path string, h *History) (*Dir, error) {
	d, err := Prepare(path)
	if err != nil {
		return nil, err
	}
	h.Version, h.Revision = version, 1
	data, err := h.Encode()
	if err != nil {
		return nil, err
	}
	return d, durable.CreateFile(d.Path(fileName), data, fileMode)
}

// Prepare makes the directory of a state that [Create] will complete, so that keys and databases can be put into it.
func Prepare(path string) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, dirMode); err != nil {
		return nil, err
	}
	d := &Dir{path}
	if _, err := os.Lstat(d.Path(fileName)); err == nil {
		return nil, fmt.Errorf("%s has a state already", path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return d, nil
}

// Path returns the path of something in the directory.
func (d *Dir) Path(elem ...string) string {
	return filepath.Join(append([]string{d.path}, elem...)...)
}

// Load reads the history.
func (d *Dir) Load() (*History, error) {
	f, err := os.Open(d.Path(fileName))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only
	data, err := io.ReadAll(io.LimitReader(f, maxHistory+1))
	if err != nil {
		return nil, err
	}
	h, err := Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return h, nil
}

// Update changes the history while no other process does, and returns what it is then. When it returns nil the change is
// on the disk; when change fails, nothing is written.
func (d *Dir) Update(change func(*History) error) (*History, error) {
	unlock, err := d.Lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	h, err := d.Load()
	if err != nil {
		return nil, err
	}
	if err := change(h); err != nil {
		return nil, err
	}
	h.Revision++
	data, err := h.Encode()
	if err != nil {
		return nil, err
	}
	return h, durable.WriteFile(d.Path(fileName), data, fileMode)
}

// Lock keeps other processes from changing the state until unlock is called. It waits for its turn. A process that dies
// gives the lock up.
func (d *Dir) Lock() (unlock func(), err error) {
	f, err := os.OpenFile(d.Path(lockName), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close() // the lock is the error
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return func() { _ = f.Close() }, nil // closing gives it up
}

// Stamp is a time as histories carry it: UTC, whole seconds, since protobuf's JSON and certificates have no use for more.
func Stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
