package treelog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/tlog"
)

// Names in the log's directory. The first three are Tessera's (layout version 1).
const (
	stateDir       = ".state"
	treeStateFile  = "treeState"
	checkpointFile = "checkpoint"
	frozenFile     = "frozen"
)

// whatToDo is the advice to the operator of a log that refuses entries. It names the command for this kind of log, and says
// --now: nothing can be logged until the new shard is in use.
func (c *Config) whatToDo() string {
	kind := "log"
	if c.Layout == CT {
		kind = "ctlog"
	}
	return "restore the newer directory if it exists; otherwise begin a new log with `bulla-server rotate " + kind + " --now`, " +
		"which freezes this one"
}

// treeState is what Tessera remembers of the tree that it has written, signed or not.
type treeState struct {
	Size uint64 `json:"size"`
	Root []byte `json:"root"`
}

func readTreeState(dir string) (treeState, error) {
	path := filepath.Join(dir, stateDir, treeStateFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return treeState{}, err
	}
	var s treeState
	if err := json.Unmarshal(data, &s); err != nil {
		return treeState{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// beginTree gives a new directory the state of an empty tree. Tessera would do so as well, and publish it by itself.
func beginTree(dir string) error {
	path := filepath.Join(dir, stateDir, treeStateFile)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	root, err := files{dir: dir}.root(0)
	if err != nil {
		return err
	}
	data, err := json.Marshal(treeState{Root: root[:]})
	if err != nil {
		return err
	}
	return durable.WriteFile(path, data, 0o644)
}

// readCheckpoint returns the checkpoint in the directory, or nil if there is none. One that the log's key did not sign is
// an error.
func (l *Log) readCheckpoint() (*Head, error) {
	path := filepath.Join(l.cfg.Dir, checkpointFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	head, err := openCheckpoint(data, &l.cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return head, nil
}

// readLock returns the checkpoint in the lock store, or nil if there is none.
func (l *Log) readLock(ctx context.Context) (*Head, error) {
	data, err := l.cfg.Lock.Load(ctx, l.cfg.LockName)
	if errors.Is(err, ErrNoLock) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	head, err := openCheckpoint(data, &l.cfg)
	if err != nil {
		return nil, fmt.Errorf("lock store, %s: %w", l.cfg.LockName, err)
	}
	return head, nil
}

// judge compares the directory with what the log is known to have signed. refusal is the reason not to write; err says
// that this cannot be told. It also sets what is served and what the next checkpoint must extend.
func (l *Log) judge(ctx context.Context) (refusal, err error) {
	tree, err := readTreeState(l.cfg.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	published, err := l.readCheckpoint()
	if err != nil {
		return nil, err
	}
	locked, err := l.readLock(ctx)
	if err != nil {
		return nil, err
	}
	l.gate = &gate{log: l, signer: l.cfg.Signer, locked: locked}
	if published != nil {
		l.head.Store(published)
	}
	if refusal := l.judgeTree(ctx, tree, published, locked); refusal != nil {
		return fmt.Errorf("%w: %w; %s", ErrForked, refusal, l.cfg.whatToDo()), nil
	}
	return l.judgeLock(ctx, tree, published, locked)
}

// judgeTree checks that the directory holds a tree that extends every checkpoint known.
func (l *Log) judgeTree(ctx context.Context, tree treeState, published, locked *Head) error {
	root, err := l.files.root(tree.Size)
	if err != nil {
		return err
	}
	if tree.Size > 0 && string(root[:]) != string(tree.Root) {
		return fmt.Errorf("the tiles for %d entries have the root %x, the tree's state says %x", tree.Size, root, tree.Root)
	}
	for _, known := range []struct {
		head *Head
		name string
	}{{locked, "checkpoint in the lock store"}, {published, "published checkpoint"}} {
		if known.head == nil {
			continue
		}
		if known.head.Size > tree.Size {
			return fmt.Errorf("the directory has %d entries, the %s has %d", tree.Size, known.name, known.head.Size)
		}
		if err := l.files.consistent(ctx, *known.head, Head{Size: tree.Size, Root: root}); err != nil {
			return fmt.Errorf("the %s, %d entries: %w", known.name, known.head.Size, err)
		}
	}
	return nil
}

// judgeLock checks that the lock store knows at least what was published.
func (l *Log) judgeLock(ctx context.Context, tree treeState, published, locked *Head) (refusal, err error) {
	var have, know uint64
	if published != nil {
		have = published.Size
	}
	switch {
	case locked != nil:
		know = locked.Size
		if know >= have {
			return nil, nil
		}
	case tree.Size == 0:
		return nil, nil
	}
	if !l.cfg.AdoptLock {
		return fmt.Errorf("%w: the lock store knows a log of %d entries, the directory has published %d and holds %d; bring the "+
			"lock store back, or let it adopt the directory's checkpoint if you know that there is no newer copy",
			ErrForked, know, have, tree.Size), nil
	}
	if published == nil {
		return nil, nil // the next checkpoint will be the first one in the lock store
	}
	var old []byte
	if locked != nil {
		old = locked.Checkpoint
	}
	if err := l.cfg.Lock.Replace(ctx, l.cfg.LockName, old, published.Checkpoint); err != nil {
		return nil, err
	}
	l.gate.locked = published
	return nil, nil
}

func isFrozen(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, stateDir, frozenFile))
	return err == nil
}

// openFrozen opens the log for reading only, from a directory that may be read-only itself.
func (l *Log) openFrozen() error {
	published, err := l.readCheckpoint()
	if err != nil {
		return err
	}
	if published == nil {
		return errors.New("the log is frozen and has no checkpoint")
	}
	l.head.Store(published)
	l.integrated.Store(published.Size)
	frozen := error(ErrFrozen)
	l.refusal.Store(&frozen)
	return nil
}

// openCheckpoint reads a checkpoint that must be signed by the log's key.
func openCheckpoint(data []byte, cfg *Config) (*Head, error) {
	cp, err := tlog.ParseCheckpoint(string(data))
	if err != nil {
		return nil, err
	}
	if cp.Origin != cfg.Origin {
		return nil, fmt.Errorf("the checkpoint's origin is %q, not %q", cp.Origin, cfg.Origin)
	}
	signed := false
	for _, sig := range cp.Signatures {
		if sig.Name == cfg.Verifier.Name() && sig.KeyHint == cfg.Verifier.KeyHash() {
			if !cfg.Verifier.Verify(cp.Note, sig.Signature) {
				return nil, errors.New("the checkpoint's signature by the log's key is wrong")
			}
			signed = true
		}
	}
	if !signed {
		return nil, errors.New("the checkpoint is not signed by the log's key")
	}
	return &Head{Size: uint64(cp.Size), Root: cp.Root, Checkpoint: data}, nil
}
