package tufrepo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/tuf"
)

// ErrPending is wrapped by errors that say that a document now waits for signatures; everything before it stands.
var ErrPending = errors.New("waits for signatures")

// sign adds the signatures of all keys at hand that one of the roots lists for the document's role.
func (r *repository) sign(d *tuf.Document, roots ...*tuf.Document) error {
	for _, key := range r.cfg.Signers {
		id, err := tuf.KeyID(key.Public())
		if err != nil {
			return err
		}
		for _, root := range roots {
			_, missing, _, err := d.Signatures(root)
			if err != nil {
				return err
			}
			if !slices.Contains(missing, id) {
				continue
			}
			if err := d.Sign(key); err != nil {
				return err
			}
		}
	}
	return nil
}

// publish makes files the current ones.
func (r *repository) publish(c *current, files []tuf.Target) error {
	names := make(map[string]string, len(files))
	for _, f := range files {
		names[f.Name] = f.FileName()
	}
	if c.targets != nil {
		published, err := c.targets.TargetNames()
		if err != nil {
			return err
		}
		if maps.Equal(names, published) {
			return r.dropPending(tuf.TargetsRole)
		}
	}
	version, err := r.next(tuf.TargetsRole, c.targets)
	if err != nil {
		return err
	}
	d, err := tuf.NewTargets(version, r.expiry(r.cfg.Lifetimes.Targets, c.targets), files)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := r.create(f.Data, targetsDir, f.FileName()); err != nil {
			return err
		}
	}
	if err := r.sign(d, c.root); err != nil {
		return err
	}
	return r.publishTargets(c, d)
}

// publishTargets publishes a list of files, whose files are there, or makes it pending.
func (r *repository) publishTargets(c *current, d *tuf.Document) error {
	if d.Verify(c.root) != nil {
		return r.putPending(d, c.root, c.root)
	}
	names, err := d.TargetNames()
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := os.Stat(r.path(targetsDir, name)); err != nil {
			return err
		}
	}
	next := *c
	next.targets = d
	if err := r.write(d); err != nil {
		return err
	}
	if err := r.resnapshot(&next, c.root); err != nil {
		return err
	}
	*c = next
	return r.dropPending(tuf.TargetsRole)
}

// resnapshot signs a snapshot and a timestamp anew, with the keys that any of the roots lists.
func (r *repository) resnapshot(c *current, roots ...*tuf.Document) error {
	version, err := r.next(tuf.SnapshotRole, c.snapshot)
	if err != nil {
		return err
	}
	d, err := tuf.NewSnapshot(version, r.expiry(r.cfg.Lifetimes.Snapshot, c.snapshot), c.targets)
	if err != nil {
		return err
	}
	if err := r.signOnline(d, roots); err != nil {
		return err
	}
	if err := r.write(d); err != nil {
		return err
	}
	c.snapshot = d
	return r.restamp(c, roots...)
}

// restamp signs a timestamp anew.
func (r *repository) restamp(c *current, roots ...*tuf.Document) error {
	version, err := r.next(tuf.TimestampRole, c.timestamp)
	if err != nil {
		return err
	}
	d, err := tuf.NewTimestamp(version, r.expiry(r.cfg.Lifetimes.Timestamp, c.timestamp), c.snapshot)
	if err != nil {
		return err
	}
	if err := r.signOnline(d, roots); err != nil {
		return err
	}
	if err := r.write(d); err != nil {
		return err
	}
	c.timestamp = d
	return nil
}

// signOnline signs what cannot wait for anybody: every root's demands must be met at once.
func (r *repository) signOnline(d *tuf.Document, roots []*tuf.Document) error {
	if err := r.sign(d, roots...); err != nil {
		return err
	}
	for _, root := range roots {
		if err := d.Verify(root); err != nil {
			return fmt.Errorf("the keys at hand do not suffice: %w", err)
		}
	}
	return nil
}

// publishRoot publishes a root, or makes it pending. Before it becomes visible everything else is signed so that it
// verifies under the old root and under the new one: no client sees anything in between.
func (r *repository) publishRoot(c *current, d *tuf.Document) error {
	err := d.Verify(d)
	if c.root != nil && err == nil {
		err = d.VerifySuccessor(c.root)
	}
	if err != nil {
		by := d
		if c.root != nil && d.Verify(c.root) != nil {
			by = c.root
		}
		return r.putPending(d, by, c.root)
	}
	if c.targets != nil && c.verify(d) != nil {
		if err := c.targets.Verify(d); err != nil {
			return fmt.Errorf("%s cannot be published before there are targets that its keys have signed: %w", d.FileName(), err)
		}
		if err := r.resnapshot(c, c.root, d); err != nil {
			return fmt.Errorf("before %s: %w", d.FileName(), err)
		}
	}
	if err := r.write(d); err != nil {
		return err
	}
	c.root = d
	return r.dropPending(tuf.RootRole)
}

// putPending keeps a document until it has its signatures. One for the same that waits already is not replaced, since it
// may have some, nor asked for twice because it would expire a little later.
//
// root is the one whose demands are not met, present the one that is published.
func (r *repository) putPending(d, root, present *tuf.Document) error {
	name := r.path(pendingDir, d.Role()+".json")
	if waiting, err := r.read(pendingDir, d.Role()+".json"); err == nil {
		again, err := sameWish(waiting, d)
		if err != nil {
			return err
		}
		if again {
			// That fails where it would expire at another time: what is signed already is worth more.
			_ = mergeInto(waiting, d, root, present)
			d = waiting
		}
	}
	data, err := d.Encode()
	if err != nil {
		return err
	}
	if err := durable.WriteFile(name, data, 0o644); err != nil {
		return err
	}
	signed, missing, threshold, err := d.Signatures(root)
	if err != nil {
		return err
	}
	return fmt.Errorf("%s %w: it has %d of %d, and these keys may sign: %s",
		name, ErrPending, len(signed), threshold, strings.Join(missing, " "))
}

// mergeInto adds the signatures of another copy, by the keys that the roots list for it, and of a root by its own. Roots may
// be nil.
func mergeInto(waiting, other *tuf.Document, roots ...*tuf.Document) error {
	if waiting.Role() == tuf.RootRole {
		roots = append(roots, waiting)
	}
	return waiting.Merge(other, slices.DeleteFunc(roots, func(r *tuf.Document) bool { return r == nil })...)
}

// sameWish says that two documents differ in their expiry at most.
func sameWish(waiting, d *tuf.Document) (bool, error) {
	if waiting.Version() != d.Version() {
		return false, nil
	}
	if d.Role() == tuf.TargetsRole {
		a, errA := waiting.TargetNames()
		b, errB := d.TargetNames()
		return maps.Equal(a, b), errors.Join(errA, errB)
	}
	a, errA := waiting.RootSpec()
	b, errB := d.RootSpec()
	if errA != nil || errB != nil {
		return false, errors.Join(errA, errB)
	}
	return sameKeys(a, b)
}

// sameKeys says that two roots list the same keys, in whatever order, and demand as many signatures.
func sameKeys(a, b tuf.RootSpec) (bool, error) {
	for _, pair := range [][2]tuf.RoleKeys{{a.Root, b.Root}, {a.Targets, b.Targets}, {a.Snapshot, b.Snapshot}, {a.Timestamp, b.Timestamp}} {
		idsA, err := keyIDs(pair[0])
		if err != nil {
			return false, err
		}
		idsB, err := keyIDs(pair[1])
		if err != nil {
			return false, err
		}
		if pair[0].Threshold != pair[1].Threshold || !slices.Equal(idsA, idsB) {
			return false, nil
		}
	}
	return true, nil
}

func keyIDs(keys tuf.RoleKeys) ([]string, error) {
	var ids []string
	for _, k := range keys.Keys {
		id, err := tuf.KeyID(k)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, nil
}

func (r *repository) dropPending(role string) error {
	err := os.Remove(r.path(pendingDir, role+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// change runs f on what is published, with the repository locked.
func (r *repository) change(ctx context.Context, f func(c *current) error) (*current, error) {
	unlock, err := r.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	c, err := r.load()
	if err == nil {
		err = f(c)
	}
	if err != nil {
		return c, fmt.Errorf("TUF repository: %w", err)
	}
	return c, nil
}
