package trustsource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/tuf"
)

// Names of instances that are there without having been added.
const (
	// Default is what `bulla initialize` or `cosign initialize` set up, or else the public-good instance.
	Default = "default"
	// BuiltInName is the public-good instance as the program was built with it.
	BuiltInName = "built-in"
)

const (
	// instancesLock bounds the wait for others that add or remove an instance: they rename a directory.
	instancesLock = 10 * time.Second
	// replaceTime is how long somebody who wants to use an instance waits for one who replaces it.
	replaceTime = 2 * time.Second
	// leftAfter is the age at which what another process was adding or removing has been left by it: either takes seconds.
	leftAfter = time.Hour
)

// Instances are the named instances beside a TUF cache. Each has a home of its own, HOME/instances/NAME, laid out as the
// cache is, so that two with one mirror and different roots do not meet. A home appears and disappears as a whole, by its
// name, under the lock HOME/instances.lock.
type Instances struct {
	Home string // of the TUF cache, see tuf.Home
}

// maxInstanceName is how long a name may be, in bytes.
const maxInstanceName = 63

// isInstanceName says whether a name can be that of a directory on every system.
func isInstanceName(name string) bool {
	ofName := func(c rune) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '-' }
	return name != "" && len(name) <= maxInstanceName && name[0] != '_' && name[0] != '-' &&
		!strings.ContainsFunc(name, func(c rune) bool { return !ofName(c) })
}

// CheckName says why an instance cannot have a name.
func CheckName(name string) error {
	if name == Default || name == BuiltInName {
		return fmt.Errorf("%q is there without being added", name)
	}
	if !isInstanceName(name) {
		return fmt.Errorf("%q is no name for an instance: it needs 1 to 63 of a-z, 0-9, - and _, and begins with a letter or a digit", name)
	}
	return nil
}

func (i Instances) dir() string { return filepath.Join(i.Home, "instances") }

// HomeOf returns the home of an instance. The error says that there is none of that name. While one is being replaced it
// waits a moment, where it may.
func (i Instances) HomeOf(name string) (string, error) {
	home, err := i.homeNow(name)
	if err == nil || !errors.Is(err, errNone) {
		return home, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), replaceTime)
	defer cancel()
	unlock, errLock := durable.Lock(ctx, i.dir()+".lock", durable.Shared)
	if errLock != nil { // nobody has ever added any, or is not to be waited for
		return "", err
	}
	defer unlock()
	return i.homeNow(name)
}

// errNone says that there is no instance.
var errNone = errors.New("there is no instance")

// homeNow is HomeOf at this very moment.
func (i Instances) homeNow(name string) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	home := filepath.Join(i.dir(), name)
	if _, err := os.Stat(filepath.Join(home, "remote.json")); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("%w %q", errNone, name)
		}
		return "", err
	}
	return home, nil
}

// List returns the names of the instances that were added, sorted.
func (i Instances) List() ([]string, error) {
	entries, err := os.ReadDir(i.dir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if _, err := i.homeNow(e.Name()); err == nil {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// Add adds an instance, whose repository is read and verified to its end before anything changes. One that is there is
// replaced only if that is said. config.Home is not looked at.
func (i Instances) Add(ctx context.Context, name string, config tuf.Config, replace bool) (*tuf.Trust, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if _, err := i.HomeOf(name); err == nil && !replace {
		return nil, errThere(name)
	}
	if err := os.MkdirAll(i.dir(), 0o700); err != nil {
		return nil, err
	}
	i.sweep()
	// A name with a dot is none of an instance, so that nobody takes what is not ready for one.
	stage, err := os.MkdirTemp(i.dir(), ".adding-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(stage) }() // nothing is left there once it was renamed
	config.Home = filepath.Join(stage, "home")
	t, err := tuf.Initialize(ctx, config)
	if err != nil {
		return nil, err
	}
	unlock, err := i.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := i.homeNow(name); err == nil {
		if !replace {
			return nil, errThere(name)
		}
		if err := os.Rename(filepath.Join(i.dir(), name), filepath.Join(stage, "old")); err != nil {
			return nil, err
		}
	}
	return t, os.Rename(config.Home, filepath.Join(i.dir(), name))
}

// sweep removes what was left by processes that were killed.
func (i Instances) sweep() {
	entries, _ := os.ReadDir(i.dir())
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".adding-") && !strings.HasPrefix(e.Name(), ".removing-") {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > leftAfter {
			_ = os.RemoveAll(filepath.Join(i.dir(), e.Name()))
		}
	}
}

func errThere(name string) error {
	return fmt.Errorf("there is an instance %q already", name)
}

// Remove removes an instance.
func (i Instances) Remove(ctx context.Context, name string) error {
	if _, err := i.HomeOf(name); err != nil {
		return err
	}
	unlock, err := i.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	home, err := i.homeNow(name) // another may have removed it meanwhile
	if err != nil {
		return err
	}
	away, err := os.MkdirTemp(i.dir(), ".removing-")
	if err != nil {
		return err
	}
	if err := os.Rename(home, filepath.Join(away, name)); err != nil {
		return errors.Join(err, os.Remove(away))
	}
	return os.RemoveAll(away)
}

func (i Instances) lock(ctx context.Context) (func(), error) {
	ctx, cancel := context.WithTimeout(ctx, instancesLock)
	defer cancel()
	unlock, err := durable.Lock(ctx, i.dir()+".lock", durable.Exclusive)
	if err != nil {
		return nil, fmt.Errorf("instances: %w", err)
	}
	return unlock, nil
}
