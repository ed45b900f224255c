package upkeep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/server/internal/backup"
	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/instance"
	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/server/internal/treelog"
	"github.com/bulla-sign/bulla/server/tufrepo"
	"github.com/bulla-sign/bulla/tlog"
)

// tufName is the folder of the TUF repository in a state directory.
const tufName = "tuf"

// configName is the configuration file in a state directory, where it is copied too.
const configName = "bulla-server.yaml"

// Backup writes a backup of a deployment, which may be running.
func Backup(ctx context.Context, to io.Writer, dir *state.Dir, now func() time.Time) (*backup.Manifest, error) {
	h, err := dir.Load()
	if err != nil {
		return nil, err
	}
	src := backup.Source{
		Dir: dir, Now: now, Files: []string{configName},
		Folders: []string{"keys", tufName, "public", instance.CADir, "monitor"},
	}
	for _, t := range trees(h) {
		tree := backup.Tree{Dir: instance.LogDir(t.kind, t.of.Name), Layout: t.layout}
		if t.kind == state.CTLog {
			tree.Also = []string{"issuer"} // certificates of issuers, by their fingerprints
		}
		src.Trees = append(src.Trees, tree)
	}
	return backup.Write(ctx, to, src)
}

// tree is a log of the history.
type tree struct {
	kind   state.Kind
	of     *state.Instance
	layout treelog.Layout
}

func (t *tree) name() string { return string(t.kind) + " " + t.of.Name }

// trees are all logs that exist: those that were ever active.
func trees(h *state.History) (out []tree) {
	for kind, layout := range map[state.Kind]treelog.Layout{state.Log: treelog.Entries, state.CTLog: treelog.CT} {
		for i := range h.Instances[kind] {
			if of := &h.Instances[kind][i]; of.Phase != state.Next {
				out = append(out, tree{kind, of, layout})
			}
		}
	}
	return out
}

// lockDir is where the configuration has the lock of a log.
func (t *tree) lockDir(f *config.File, dir *state.Dir) string {
	configured := f.Log.Lock
	if t.kind == state.CTLog {
		configured = f.CTLog.Lock
	}
	return instance.LockDir(configured, dir, t.kind, t.of.Name)
}

// RestoreOptions say how a backup is brought back.
type RestoreOptions struct {
	// Dir is where the state shall be.
	Dir string
	// Lock is where the lock store is; empty: where the configuration in the backup says.
	Lock string
	// OlderLogs accepts a backup in which a log ends before what the lock store knows that it has signed. The log then
	// takes no entries any more.
	OlderLogs bool
}

// Restored says what a restore found.
type Restored struct {
	Manifest *backup.Manifest `json:"manifest"`
	// NoLock are logs of which the lock store knows nothing, Older those that end before it.
	NoLock []string `json:"noLock,omitempty"`
	Older  []string `json:"older,omitempty"`
}

// ErrOlderLog says that a backup is older than what its log has signed since.
var ErrOlderLog = errors.New("the backup is older than the log")

// Restore brings a backup back. A log that would come back shorter than it was is refused: it would sign a second history,
// and everybody who has seen the first would rightly call it a fork.
func Restore(ctx context.Context, from io.Reader, o RestoreOptions) (*Restored, error) {
	final, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	out := &Restored{}
	out.Manifest, err = backup.Restore(from, final, func(path string, _ *backup.Manifest) error {
		dir, err := state.Open(path)
		if err != nil {
			return err
		}
		h, err := dir.Load()
		if err != nil {
			return err
		}
		f, err := config.Load(dir.Path(configName))
		if errors.Is(err, fs.ErrNotExist) {
			f, err = config.Default(), nil
		}
		if err != nil {
			return err
		}
		for _, t := range trees(h) {
			lock := t.lockDir(f, dir)
			if o.Lock != "" {
				lock = instance.LockDir(o.Lock, dir, t.kind, t.of.Name)
			} else if rest, inside := strings.CutPrefix(lock, path+string(filepath.Separator)); inside {
				lock = filepath.Join(final, rest) // the configuration means where the state will be
			}
			if err := o.compare(ctx, &t, dir, lock, out); err != nil {
				return fmt.Errorf("%s: %w", t.name(), err)
			}
		}
		// What was published since the backup was made has versions that this repository must not give out again.
		return tufrepo.Skip(dir.Path(tufName))
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// compare holds a restored log against its lock.
func (o *RestoreOptions) compare(ctx context.Context, t *tree, dir *state.Dir, lock string, out *Restored) error {
	locked, err := lockedSize(ctx, lock, instance.LogOrigin(t.kind, t.of))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, treelog.ErrNoLock) {
		if t.of.Phase == state.Active {
			out.NoLock = append(out.NoLock, t.name())
		}
		return nil
	}
	if err != nil {
		return err
	}
	_, name := treelog.StatePaths()
	var size uint64
	data, err := os.ReadFile(dir.Path(instance.LogDir(t.kind, t.of.Name), name))
	if err == nil {
		size, err = treelog.TreeSize(data)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return err
	}
	if size >= locked {
		return nil
	}
	if !o.OlderLogs {
		return fmt.Errorf("%w: it has %d entries in the backup, and the lock store knows that it has signed %d", ErrOlderLog, size, locked)
	}
	out.Older = append(out.Older, t.name())
	return nil
}

// lockedSize is the size of the tree in a lock store, which is not made if it is not there.
func lockedSize(ctx context.Context, dir, origin string) (uint64, error) {
	if _, err := os.Stat(dir); err != nil {
		return 0, err
	}
	store, err := treelog.NewFileLock(dir)
	if err != nil {
		return 0, err
	}
	data, err := store.Load(ctx, origin)
	if err != nil {
		return 0, err
	}
	cp, err := tlog.ParseCheckpoint(string(data))
	if err != nil {
		return 0, fmt.Errorf("the lock store in %s: %w", dir, err)
	}
	return uint64(cp.Size), nil
}
