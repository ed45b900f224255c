package treelog

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/mod/sumdb/note"

	"github.com/bulla-sign/bulla/tlog"
)

// FsckConfig says which log to check.
type FsckConfig struct {
	Dir      string
	Origin   string
	Layout   Layout
	Verifier note.Verifier
	// Lock and LockName are those of [Config]; without Lock the checkpoint is compared with nothing else.
	Lock     LockStore
	LockName string
	// Progress is told, after every bundle, how many entries of how many are checked. nil: nobody is.
	Progress func(done, total uint64)
	// Entry is called for each entry in order, as [Layout.Split] returns it; an error of it ends the check. nil: nothing is
	// done with them.
	Entry func(index uint64, entry []byte) error
}

// FsckReport is what a check found, when it found nothing wrong.
type FsckReport struct {
	// Published is the checkpoint in the directory, and Size the number of entries in the tree, which may be more: entries
	// that were sequenced when the process was killed.
	Published Head
	Size      uint64
	// Locked is the size in the lock store; 0 without one.
	Locked uint64
}

// Fsck reads the whole log: every entry against its leaf hash, every tile against the tiles below, the root against the
// checkpoint, the checkpoint against the lock store. It may run while the log is being written. The first thing that is
// wrong is the error.
func Fsck(ctx context.Context, cfg FsckConfig) (FsckReport, error) {
	setDefault(&cfg.LockName, cfg.Origin)
	report, err := fsck(ctx, cfg)
	if err != nil {
		return report, fmt.Errorf("fsck of %s in %s: %w", cfg.Origin, cfg.Dir, err)
	}
	return report, nil
}

func fsck(ctx context.Context, cfg FsckConfig) (report FsckReport, err error) {
	l := &Log{
		cfg:   Config{Dir: cfg.Dir, Origin: cfg.Origin, Verifier: cfg.Verifier, Lock: cfg.Lock, LockName: cfg.LockName},
		files: files{dir: cfg.Dir, layout: cfg.Layout},
	}
	// In this order, so that what is read later is never older.
	published, err := l.readCheckpoint()
	if err != nil {
		return report, err
	}
	if published == nil {
		return report, errors.New("there is no checkpoint")
	}
	report.Published = *published
	var locked *Head
	if cfg.Lock != nil {
		if locked, err = l.readLock(ctx); err != nil {
			return report, err
		}
	}
	tree, err := readTreeState(cfg.Dir)
	if errors.Is(err, fs.ErrNotExist) && isFrozen(cfg.Dir) {
		tree, err = treeState{Size: published.Size, Root: published.Root[:]}, nil
	}
	if err != nil {
		return report, err
	}
	report.Size = tree.Size
	if err := l.judgeTree(ctx, tree, published, locked); err != nil {
		return report, err
	}
	if cfg.Lock != nil {
		if locked == nil {
			return report, fmt.Errorf("%w for %s", ErrNoLock, cfg.LockName)
		}
		if report.Locked = locked.Size; locked.Size < published.Size {
			return report, fmt.Errorf("the lock store has %d entries, the published checkpoint %d", locked.Size, published.Size)
		}
	}
	c := checker{files: l.files, size: tree.Size, entry: cfg.Entry}
	return report, c.run(ctx, cfg.Progress)
}

// checker computes all tiles from the entries. A tile that is right leads, with the root that was compared already, to
// entries that are the ones signed for.
type checker struct {
	files files
	size  uint64
	entry func(uint64, []byte) error
	// levels has the hashes of the unfinished tile at each level, and how many tiles were finished.
	levels []level
}

type level struct {
	hashes [][tlog.HashSize]byte
	index  uint64
}

func (c *checker) run(ctx context.Context, progress func(done, total uint64)) error {
	for at := uint64(0); at < c.size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		width := min(c.size-at, tlog.TileWidth)
		if err := c.bundle(at/tlog.TileWidth, int(width)); err != nil {
			return err
		}
		at += width
		if progress != nil {
			progress(at, c.size)
		}
	}
	for i := range c.levels {
		if len(c.levels[i].hashes) > 0 {
			if err := c.compare(i); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checker) bundle(index uint64, width int) error {
	data, err := c.files.bundle(index, width, c.size)
	if err != nil {
		return err
	}
	entries, err := c.files.layout.Split(data)
	if err == nil && len(entries) != width {
		err = fmt.Errorf("%d entries instead of %d", len(entries), width)
	}
	if err != nil {
		return fmt.Errorf("bundle %d: %w", index, err)
	}
	for i, e := range entries {
		hash, err := c.files.layout.LeafHash(e)
		if err != nil {
			return fmt.Errorf("bundle %d, entry %d: %w", index, i, err)
		}
		if c.entry != nil {
			if err := c.entry(index*tlog.TileWidth+uint64(i), e); err != nil {
				return err
			}
		}
		if err := c.add(0, hash); err != nil {
			return err
		}
	}
	return nil
}

// add appends a hash at a level of tiles, and a finished tile's own hash one level up.
func (c *checker) add(at int, hash [tlog.HashSize]byte) error {
	if at == len(c.levels) {
		c.levels = append(c.levels, level{})
	}
	y := &c.levels[at]
	y.hashes = append(y.hashes, hash)
	if len(y.hashes) < tlog.TileWidth {
		return nil
	}
	if err := c.compare(at); err != nil {
		return err
	}
	root := perfectRoot(y.hashes)
	y.hashes, y.index = y.hashes[:0], y.index+1
	return c.add(at+1, root)
}

func (c *checker) compare(at int) error {
	y := &c.levels[at]
	stored, err := c.files.hashes(uint64(at), y.index, len(y.hashes), c.size)
	if err != nil {
		return err
	}
	for i, h := range y.hashes {
		if string(stored[i*tlog.HashSize:(i+1)*tlog.HashSize]) != string(h[:]) {
			return fmt.Errorf("tile %d/%d: hash %d is not what the entries below lead to", at, y.index, i)
		}
	}
	return nil
}

// perfectRoot is the hash of a perfect subtree (RFC 6962 2.1); it uses up nothing of its argument.
func perfectRoot(hashes [][tlog.HashSize]byte) [tlog.HashSize]byte {
	for level := append([][tlog.HashSize]byte(nil), hashes...); ; level = level[:len(level)/2] {
		if len(level) == 1 {
			return level[0]
		}
		for i := range len(level) / 2 {
			level[i] = nodeHash(level[2*i], level[2*i+1])
		}
	}
}

// nodeHash is the hash of an inner node (RFC 6962 2.1).
func nodeHash(left, right [tlog.HashSize]byte) [tlog.HashSize]byte {
	var node [1 + 2*tlog.HashSize]byte
	node[0] = 1
	copy(node[1:], left[:])
	copy(node[1+tlog.HashSize:], right[:])
	return sha256.Sum256(node[:])
}
