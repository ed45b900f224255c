package tufrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/tuf"
)

const (
	targetsDir = "targets"
	pendingDir = "pending"
	lockName   = ".lock"
	skipName   = ".skipped"

	// maxDocument bounds a metadata file that is read back: our own are a few kilobytes.
	maxDocument = 4 << 20
	// lockTime is how long a change waits for another process that changes the same repository.
	lockTime = 30 * time.Second
)

// repository is the directory.
type repository struct {
	cfg Config
	// skipped is the version up to which targets, snapshots and timestamps may be known to clients already, see [Skip].
	skipped int64
}

func (r *repository) path(elem ...string) string {
	return filepath.Join(append([]string{r.cfg.Dir}, elem...)...)
}

func (r *repository) lock(ctx context.Context) (func(), error) {
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	unlock, err := durable.Lock(ctx, r.path(lockName), durable.Exclusive)
	if err != nil {
		return nil, fmt.Errorf("TUF repository: %w", err)
	}
	return unlock, nil
}

// current is what is published. Before the first publication all but root are nil.
type current struct {
	root, targets, snapshot, timestamp *tuf.Document
}

// load reads what is published and verifies it as a client would, expiry apart: an expired repository is woken by signing
// it anew. Anything else that is wrong is an error: it was changed by somebody else, or restored in part.
func (r *repository) load() (*current, error) {
	c := &current{}
	roots, err := r.versions(tuf.RootRole)
	if err != nil {
		return nil, err
	}
	if len(roots) == 0 {
		return nil, errors.New("the repository has no root: it was not founded, or its first root still waits for signatures")
	}
	for i, v := range roots {
		if v != int64(i+1) {
			return nil, fmt.Errorf("%d.root.json is missing, without which clients do not reach the later ones", i+1)
		}
		next, err := r.read(strconv.FormatInt(v, 10) + ".root.json")
		if err != nil {
			return nil, err
		}
		if c.root == nil {
			err = next.Verify(next)
		} else {
			err = next.VerifySuccessor(c.root)
		}
		if err != nil {
			return nil, err
		}
		c.root = next
	}
	c.timestamp, err = r.read("timestamp.json")
	if errors.Is(err, fs.ErrNotExist) {
		snapshots, err := r.versions(tuf.SnapshotRole)
		if err == nil && len(snapshots) > 1 {
			err = errors.New("timestamp.json is missing, though there are several snapshots: without it versions could go back")
		}
		return c, err
	}
	if err != nil {
		return nil, err
	}
	return c, r.follow(c)
}

// follow reads the snapshot and the targets that the timestamp leads to.
func (r *repository) follow(c *current) error {
	version, err := c.timestamp.Next()
	if err != nil {
		return err
	}
	if c.snapshot, err = r.read(strconv.FormatInt(version, 10) + ".snapshot.json"); err != nil {
		return err
	}
	if version, err = c.snapshot.Next(); err != nil {
		return err
	}
	if c.targets, err = r.read(strconv.FormatInt(version, 10) + ".targets.json"); err != nil {
		return err
	}
	return c.verify(c.root)
}

// verify checks all signatures under a root.
func (c *current) verify(root *tuf.Document) error {
	for _, d := range []*tuf.Document{c.timestamp, c.snapshot, c.targets} {
		if d == nil {
			continue
		}
		if err := d.Verify(root); err != nil {
			return err
		}
	}
	return nil
}

// read reads a metadata file, whose name must be the one that its content asks for.
func (r *repository) read(elem ...string) (*tuf.Document, error) {
	name := r.path(elem...)
	data, err := readFile(name)
	if err != nil {
		return nil, err
	}
	d, err := tuf.ParseDocument(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if base := elem[len(elem)-1]; base != d.FileName() && elem[0] != pendingDir {
		return nil, fmt.Errorf("%s holds what should be %s", name, d.FileName())
	}
	return d, nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if err == nil && len(data) > maxDocument {
		err = fmt.Errorf("%s has more than %d bytes", name, maxDocument)
	}
	return data, err
}

// versions lists the versions of a role that there are files of, in order.
func (r *repository) versions(role string) ([]int64, error) {
	entries, err := os.ReadDir(r.cfg.Dir)
	if err != nil {
		return nil, err
	}
	var out []int64
	for _, e := range entries {
		if v, of, ok := versioned(e.Name()); ok && of == role {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out, nil
}

// versioned reads a name of the form N.ROLE.json, with N from 1 and without leading zeros.
func versioned(name string) (version int64, role string, ok bool) {
	number, rest, _ := strings.Cut(name, ".")
	role, isJSON := strings.CutSuffix(rest, ".json")
	version, err := strconv.ParseInt(number, 10, 64)
	ok = err == nil && isJSON && version > 0 && strconv.FormatInt(version, 10) == number &&
		(role == tuf.RootRole || role == tuf.TargetsRole || role == tuf.SnapshotRole)
	return version, role, ok
}

// next returns the version for a role's next file: one that neither is published nor was begun.
func (r *repository) next(role string, published *tuf.Document) (int64, error) {
	version := int64(0)
	if published != nil {
		version = published.Version()
	}
	if role != tuf.TimestampRole {
		all, err := r.versions(role)
		if err != nil {
			return 0, err
		}
		if len(all) > 0 {
			version = max(version, all[len(all)-1])
		}
	}
	if role != tuf.RootRole {
		version = max(version, r.skipped)
	}
	return version + 1, nil
}

// create writes a file that must not exist yet, and may with the same content.
func (r *repository) create(data []byte, elem ...string) error {
	name := r.path(elem...)
	if err := r.cfg.fault("before " + filepath.Join(elem...)); err != nil {
		return err
	}
	err := durable.CreateFile(name, data, 0o644)
	if errors.Is(err, fs.ErrExist) {
		there, err2 := readFile(name)
		if err2 == nil && !bytes.Equal(there, data) {
			err2 = err
		}
		err = err2
	}
	if err != nil {
		return err
	}
	return r.cfg.fault("after " + filepath.Join(elem...))
}

// write writes a document under its name.
func (r *repository) write(d *tuf.Document) error {
	data, err := d.Encode()
	if err != nil {
		return err
	}
	if d.Role() != tuf.TimestampRole {
		return r.create(data, d.FileName())
	}
	if err := r.cfg.fault("before timestamp.json"); err != nil {
		return err
	}
	if err := durable.WriteFile(r.path("timestamp.json"), data, 0o644); err != nil {
		return err
	}
	return r.cfg.fault("after timestamp.json")
}

// expiry is when a document that is signed now is to expire: after its lifetime, and not before the one that it replaces,
// so that a clock that was set back shortens nothing.
func (r *repository) expiry(life time.Duration, replaced *tuf.Document) time.Time {
	at := r.cfg.Now().Add(life)
	if replaced != nil && replaced.Expires().After(at) {
		return replaced.Expires()
	}
	return at
}
