package tuf

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

// ErrExpired is wrapped by errors that say that metadata has expired: the mirror is frozen, or its operator asleep.
var ErrExpired = errors.New("expired")

// state is what a client keeps between refreshes: metadata by role, and targets by name.
type state struct {
	root, timestamp, snapshot, targets []byte
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
	fetch   func(ctx context.Context, limit int64, name ...string) ([]byte, error)
	old     state
	next    state
	trusted *trustedmetadata.TrustedMetadata
}

// run goes through the roles. The order is the specification's.
func (w *workflow) run(ctx context.Context, now time.Time) error {
	if err := w.start(now); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{w.rotate, w.updateTimestamp, w.updateSnapshot, w.updateTargets, w.getFiles} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// start loads the root that is trusted already (5.2), at a fixed time (5.1).
func (w *workflow) start(now time.Time) error {
	if err := vet(w.old.root, maxRoot); err != nil {
		return fmt.Errorf("trusted root.json %w", err)
	}
	err := guarded(func() (err error) {
		w.trusted, err = trustedmetadata.New(w.old.root)
		return err
	})
	if err != nil {
		return fmt.Errorf("trusted root.json: %w", worded(err))
	}
	w.trusted.RefTime = now.UTC()
	w.next.root = w.old.root
	return nil
}

// rotate follows the chain of roots, each signed by the one before and by itself (5.3).
func (w *workflow) rotate(ctx context.Context) error {
	for range maxRotations {
		if w.fetch == nil {
			return nil
		}
		name := strconv.FormatInt(w.trusted.Root.Signed.Version+1, 10) + ".root.json"
		data, err := w.fetch(ctx, maxRoot, name)
		if errors.Is(err, errAbsent) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := apply(name, data, maxRoot, func() error { _, err := w.trusted.UpdateRoot(data); return err }); err != nil {
			return err
		}
		w.next.root = data
	}
	return fmt.Errorf("the mirror has more than %d roots after the trusted one", maxRotations)
}

// updateTimestamp takes the kept timestamp, for its versions, and then the mirror's (5.4).
func (w *workflow) updateTimestamp(ctx context.Context) error {
	const name = "timestamp.json"
	load := func(data []byte) error {
		return apply(name, data, maxTimestamp, func() error { _, err := w.trusted.UpdateTimestamp(data); return err })
	}
	kept := load(w.old.timestamp)
	if w.fetch == nil {
		w.next.timestamp = w.old.timestamp
		return kept
	}
	data, err := w.fetch(ctx, maxTimestamp, name)
	if err != nil {
		return err
	}
	w.next.timestamp = data
	if err = load(data); errors.Is(err, &metadata.ErrEqualVersionNumber{}) {
		w.next.timestamp, err = w.old.timestamp, nil // whether that is still good the next step says
	}
	return err
}

// updateSnapshot takes the kept snapshot if it is the one that the timestamp names, or else the mirror's (5.5).
func (w *workflow) updateSnapshot(ctx context.Context) error {
	load := func(data []byte, kept bool) error {
		return apply("snapshot.json", data, maxSnapshot, func() error { _, err := w.trusted.UpdateSnapshot(data, kept); return err })
	}
	w.next.snapshot = w.old.snapshot
	err := load(w.old.snapshot, true)
	if err == nil || w.fetch == nil {
		return err
	}
	meta, err := named(w.trusted.Timestamp.Signed.Meta, metadata.SNAPSHOT, maxSnapshot)
	if err != nil {
		return fmt.Errorf("timestamp.json %w", err)
	}
	if w.next.snapshot, err = w.fetch(ctx, meta.limit, w.versioned(metadata.SNAPSHOT, meta.version)); err != nil {
		return err
	}
	return load(w.next.snapshot, false)
}

// updateTargets does the same one role further on (5.6). Delegated roles are not followed: a Sigstore repository has what
// is wanted here in its top-level targets.
func (w *workflow) updateTargets(ctx context.Context) error {
	load := func(data []byte) error {
		return apply("targets.json", data, maxTargets, func() error { _, err := w.trusted.UpdateTargets(data); return err })
	}
	w.next.targets = w.old.targets
	err := load(w.old.targets)
	if err == nil || w.fetch == nil {
		return err
	}
	meta, err := named(w.trusted.Snapshot.Signed.Meta, metadata.TARGETS, maxTargets)
	if err != nil {
		return fmt.Errorf("snapshot.json %w", err)
	}
	if w.next.targets, err = w.fetch(ctx, meta.limit, w.versioned(metadata.TARGETS, meta.version)); err != nil {
		return err
	}
	return load(w.next.targets)
}

// getFiles takes the wanted targets that the repository has, kept or from the mirror (5.7).
func (w *workflow) getFiles(ctx context.Context) error {
	w.next.files = make(map[string][]byte)
	for _, name := range wanted {
		info := w.trusted.Targets[metadata.TARGETS].Signed.Targets[name]
		if info == nil {
			continue
		}
		data, err := w.getFile(ctx, name, info)
		if err != nil {
			return err
		}
		w.next.files[name] = data
	}
	return nil
}

func (w *workflow) getFile(ctx context.Context, name string, info *metadata.TargetFiles) ([]byte, error) {
	if info.Length < 1 || info.Length > maxTarget {
		return nil, fmt.Errorf("targets.json says that %s has %d bytes, allowed are 1 to %d", name, info.Length, maxTarget)
	}
	if kept := w.old.files[name]; kept != nil && info.VerifyLengthHashes(kept) == nil {
		return kept, nil
	}
	if w.fetch == nil {
		return nil, fmt.Errorf("%s is not kept here, or not as targets.json has it", name)
	}
	at := name
	if w.trusted.Root.Signed.ConsistentSnapshot {
		sum := cmp.Or(hex.EncodeToString(info.Hashes["sha256"]), hex.EncodeToString(info.Hashes["sha512"]))
		if sum == "" {
			return nil, fmt.Errorf("targets.json has no SHA-256 or SHA-512 of %s", name)
		}
		at = sum + "." + name
	}
	data, err := w.fetch(ctx, info.Length, "targets", at)
	if err != nil {
		return nil, err
	}
	if err := info.VerifyLengthHashes(data); err != nil {
		return nil, fmt.Errorf("%s: %w", name, worded(err))
	}
	return data, nil
}

// versioned is the name of a role's file: with its version in front where snapshots are consistent.
func (w *workflow) versioned(role string, version int64) string {
	if w.trusted.Root.Signed.ConsistentSnapshot {
		return strconv.FormatInt(version, 10) + "." + role + ".json"
	}
	return role + ".json"
}

// fileMeta is what one role says of the file of the next.
type fileMeta struct {
	version, limit int64
}

func named(meta map[string]*metadata.MetaFiles, role string, limit int64) (fileMeta, error) {
	m := meta[role+".json"]
	if m == nil {
		return fileMeta{}, fmt.Errorf("does not name %s.json", role)
	}
	if m.Length > limit {
		return fileMeta{}, fmt.Errorf("says that %s.json has %d bytes, the limit is %d", role, m.Length, limit)
	}
	if m.Length > 0 {
		limit = m.Length
	}
	return fileMeta{m.Version, limit}, nil
}

// apply vets data and gives it to go-tuf. Its errors name the file.
func apply(name string, data []byte, limit int, update func() error) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return fmt.Errorf("%s is empty", name)
	}
	if err := vet(data, limit); err != nil {
		return fmt.Errorf("%s %w", name, err)
	}
	if err := guarded(update); err != nil {
		return fmt.Errorf("%s: %w", name, worded(err))
	}
	return nil
}

// worded says in plain words what go-tuf found. The error still is what it was, for [errors.Is].
func worded(err error) error {
	var expired *metadata.ErrExpiredMetadata
	var version *metadata.ErrBadVersionNumber
	var unsigned *metadata.ErrUnsignedMetadata
	var mismatch *metadata.ErrLengthOrHashMismatch
	switch {
	case errors.As(err, &expired):
		return saying{ErrExpired.Error() + ": " + expired.Msg, errors.Join(err, ErrExpired)}
	case errors.As(err, &version):
		return saying{"wrong version, a sign of a rollback: " + version.Msg, err}
	case errors.As(err, &unsigned):
		return saying{"not signed as demanded: " + unsigned.Msg, err}
	case errors.As(err, &mismatch):
		return saying{"not the announced content: " + mismatch.Msg, err}
	}
	return err
}

// saying is an error in other words.
type saying struct {
	text string
	err  error
}

func (s saying) Error() string { return s.text }
func (s saying) Unwrap() error { return s.err }
