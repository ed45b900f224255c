package tuf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// ErrExpired is wrapped by errors that say that metadata has expired: the mirror is frozen, or its operator asleep.
var ErrExpired = errors.New("expired")

// state is what a client keeps between refreshes: metadata by role, and targets by name.
type state struct {
	root, timestamp, snapshot, targets []byte
	delegated                          map[string][]byte
	files                              map[string][]byte
}

// The targets that a client wants. No other name is ever asked for or written, so that none can lead anywhere.
const (
	trustedRootFile   = "trusted_root.json"
	signingConfigFile = "signing_config.v0.2.json"
	revocationsFile   = "revocations.v1.json"
)

var wanted = []string{trustedRootFile, signingConfigFile, revocationsFile}

// workflow is one run of the client workflow (TUF specification, 5). It starts from old, which may be empty or hold
// anything, and leaves what it verified in next.
type workflow struct {
	// fetch reads a file of the repository; nil: there is no network, and old must suffice.
	fetch func(ctx context.Context, limit int64, name ...string) ([]byte, error)
	old   state
	next  state
	now   time.Time

	root, timestamp, snapshot, targets *Document // verified
	delegated                          map[string]*Document
	order                              []string // the delegated roles as they were loaded
}

// run goes through the roles. The order is the specification's; the time is fixed first (5.1).
func (w *workflow) run(ctx context.Context, now time.Time) error {
	w.now = now
	for _, step := range []func(context.Context) error{
		w.start, w.rotate, w.updateTimestamp, w.updateSnapshot, w.updateTargets, w.getFiles,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// start loads the root that is trusted already (5.2). It may have expired: only the last root may not.
func (w *workflow) start(context.Context) error {
	d, err := parseAs(RootRole, w.old.root, maxRoot)
	if err != nil {
		return fmt.Errorf("trusted root.json %w", err)
	}
	if err := d.Verify(d); err != nil {
		return fmt.Errorf("trusted root.json: %w", err)
	}
	w.root, w.next.root = d, w.old.root
	return nil
}

// rotate follows the chain of roots, each signed by the one before and by itself (5.3).
func (w *workflow) rotate(ctx context.Context) error {
	for range maxRotations {
		if w.fetch == nil {
			return w.current("root.json", w.root)
		}
		name := strconv.FormatInt(w.root.version+1, 10) + ".root.json"
		data, err := w.fetch(ctx, maxRoot, name)
		if errors.Is(err, errAbsent) {
			return w.current("root.json", w.root)
		}
		if err != nil {
			return err
		}
		d, err := parseAs(RootRole, data, maxRoot)
		if err != nil {
			return fmt.Errorf("%s %w", name, err)
		}
		if err := d.VerifySuccessor(w.root); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		w.root, w.next.root = d, data
	}
	return fmt.Errorf("the mirror has more than %d roots after the trusted one", maxRotations)
}

// kept returns metadata of the last refresh if it is signed as the root demands now; it may have expired, and then still
// says which versions there were. Otherwise the error says why.
func (w *workflow) kept(role string, data []byte, limit int) (*Document, error) {
	d, err := parseAs(role, data, limit)
	if err != nil {
		return nil, fmt.Errorf("%s.json %w", role, err)
	}
	return d, d.Verify(w.root)
}

// remembered returns the kept timestamp, and has the kept snapshot in w. Both are forgotten when keys of either were
// replaced since (5.3.11): somebody may have driven up versions with them, after which none could follow. That is seen by
// the signatures that they lack now, so that it holds as well when the root was taken in an earlier refresh.
func (w *workflow) remembered() (timestamp *Document, err error) {
	timestamp, err = w.kept(TimestampRole, w.old.timestamp, maxTimestamp)
	snapshot, errSnapshot := w.kept(SnapshotRole, w.old.snapshot, maxSnapshot)
	if errors.Is(err, errUnsigned) || errors.Is(errSnapshot, errUnsigned) {
		return nil, errors.Join(err, errSnapshot)
	}
	if errSnapshot == nil {
		w.snapshot = snapshot // to compare with, and perhaps the current one
	}
	if err != nil {
		return nil, err
	}
	return timestamp, nil
}

// updateTimestamp takes the kept timestamp, for its versions, and then the mirror's (5.4).
func (w *workflow) updateTimestamp(ctx context.Context) error {
	const name = "timestamp.json"
	kept, err := w.remembered()
	if w.fetch == nil {
		if err != nil {
			return err
		}
		w.timestamp, w.next.timestamp = kept, w.old.timestamp
		return w.current(name, kept)
	}
	data, err := w.fetch(ctx, maxTimestamp, name)
	switch {
	case errors.Is(err, errAbsent): // every repository has one
		return fmt.Errorf("%w: is there a TUF repository at this address?", err)
	case err != nil:
		return err
	}
	d, err := parseAs(TimestampRole, data, maxTimestamp)
	if err != nil {
		return fmt.Errorf("%s %w", name, err)
	}
	if err := d.Verify(w.root); err != nil {
		return err
	}
	if _, ok := d.meta["snapshot.json"]; !ok {
		return errors.New("timestamp.json does not name snapshot.json")
	}
	w.timestamp, w.next.timestamp = d, data
	if kept != nil {
		switch was := kept.meta["snapshot.json"].version; {
		case d.version < kept.version:
			return fmt.Errorf("%s: %w: %d after %d", name, errVersion, d.version, kept.version)
		case d.version == kept.version: // there is nothing new (5.4.3.1)
			w.timestamp, w.next.timestamp = kept, w.old.timestamp
		case d.meta["snapshot.json"].version < was:
			return fmt.Errorf("%s: %w: it names snapshot %d after %d", name, errVersion, d.meta["snapshot.json"].version, was)
		}
	}
	return w.current(name, w.timestamp)
}

// updateSnapshot takes the kept snapshot if it is the one that the timestamp names, or else the mirror's (5.5).
func (w *workflow) updateSnapshot(ctx context.Context) error {
	kept := w.snapshot
	f := file{name: SnapshotRole, meta: w.timestamp.meta["snapshot.json"], limit: maxSnapshot, kept: w.old.snapshot, verify: w.byRoot}
	d, data, err := w.load(ctx, f)
	if err != nil {
		return err
	}
	w.snapshot, w.next.snapshot = d, data
	if kept == nil {
		return nil
	}
	for name, was := range kept.meta {
		if is, ok := d.meta[name]; !ok || is.version < was.version {
			return fmt.Errorf("snapshot.json: %w: it names version %d of %s after %d", errVersion, is.version, name, was.version)
		}
	}
	return nil
}

// updateTargets does the same one role further on (5.6).
func (w *workflow) updateTargets(ctx context.Context) (err error) {
	meta, ok := w.snapshot.meta["targets.json"]
	if !ok {
		return errors.New("snapshot.json does not name targets.json")
	}
	f := file{name: TargetsRole, meta: meta, limit: maxTargets, kept: w.old.targets, verify: w.byRoot}
	w.targets, w.next.targets, err = w.load(ctx, f)
	return err
}

func (w *workflow) byRoot(d *Document) error { return d.Verify(w.root) }

// file is a metadata file that another one names.
type file struct {
	name   string // of its role
	meta   fileMeta
	limit  int
	kept   []byte
	verify func(*Document) error // checks its signatures
}

// load takes the kept file if it is the one that is named, or else the mirror's.
func (w *workflow) load(ctx context.Context, f file) (*Document, []byte, error) {
	d, err := w.check(f, f.kept)
	if err == nil {
		return d, f.kept, nil
	}
	if w.fetch == nil {
		return nil, nil, err
	}
	limit := int64(f.limit)
	if f.meta.length > 0 {
		limit = min(limit, f.meta.length)
	}
	data, err := w.fetch(ctx, limit, w.versioned(f.name, f.meta.version))
	if err != nil {
		return nil, nil, err
	}
	if d, err = w.check(f, data); err != nil {
		return nil, nil, err
	}
	return d, data, nil
}

// check goes through what makes a file the one that is named: its length and hashes, before it is read at all, signatures,
// version and expiry. Delegated roles have metadata of the type "targets".
func (w *workflow) check(f file, data []byte) (*Document, error) {
	role := TargetsRole
	if f.name == SnapshotRole {
		role = SnapshotRole
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, fmt.Errorf("%s.json is empty", f.name)
	}
	if err := checkContent(data, f.meta.length, f.meta.hashes); err != nil {
		return nil, fmt.Errorf("%s.json: %w", f.name, err)
	}
	d, err := parseAs(role, data, f.limit)
	if err != nil {
		return nil, fmt.Errorf("%s.json %w", f.name, err)
	}
	if err := f.verify(d); err != nil {
		return nil, fmt.Errorf("%s.json: %w", f.name, err)
	}
	if d.version != f.meta.version {
		return nil, fmt.Errorf("%s.json: %w: %d where %d is named", f.name, errVersion, d.version, f.meta.version)
	}
	return d, w.current(f.name+".json", d)
}

// current refuses what has expired. It holds up to the second that it states.
func (w *workflow) current(name string, d *Document) error {
	if w.now.After(d.expires) {
		return fmt.Errorf("%s: %w on %s", name, ErrExpired, d.expires.UTC().Format("2006-01-02 at 15:04:05 UTC"))
	}
	return nil
}

// versioned is the name of a role's file: with its version in front where snapshots are consistent.
func (w *workflow) versioned(role string, version int64) string {
	if w.root.root.consistent {
		return strconv.FormatInt(version, 10) + "." + role + ".json"
	}
	return role + ".json"
}

// parseAs reads metadata that must be of a role.
func parseAs(role string, data []byte, limit int) (*Document, error) {
	d, err := parse(data, limit)
	if err != nil {
		return nil, err
	}
	if d.role != role {
		return nil, fmt.Errorf("is of the role %s, not %s", d.role, role)
	}
	return d, nil
}
