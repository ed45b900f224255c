package tuf

import (
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// RoleKeys are the keys of a role, and how many of them must sign.
type RoleKeys struct {
	Keys      []crypto.PublicKey // ECDSA on P-256 or Ed25519
	Threshold int                // at least 1, at most the number of keys
}

// RootSpec says what a root is to hold: its version, its expiry and the keys of all four roles.
type RootSpec struct {
	Version                            int64
	Expires                            time.Time
	Root, Targets, Snapshot, Timestamp RoleKeys
}

// NewRoot makes a root, still unsigned. Snapshots are consistent: files carry their version or hash in their names.
func NewRoot(spec RootSpec) (*Document, error) {
	if err := checkHeader(spec.Version, spec.Expires); err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	m := metadata.Root(spec.Expires.UTC().Truncate(time.Second))
	m.Signed.Version = spec.Version
	for _, r := range []struct {
		name string
		keys RoleKeys
	}{{RootRole, spec.Root}, {TargetsRole, spec.Targets}, {SnapshotRole, spec.Snapshot}, {TimestampRole, spec.Timestamp}} {
		role := m.Signed.Roles[r.name]
		for _, pub := range r.keys.Keys {
			key, err := keyOf(pub)
			if err != nil {
				return nil, fmt.Errorf("root: role %s: %w", r.name, err)
			}
			id, err := key.ID()
			if err != nil {
				return nil, fmt.Errorf("root: role %s: %w", r.name, err)
			}
			for _, other := range role.KeyIDs {
				if other == id {
					return nil, fmt.Errorf("root: role %s: key %s is listed twice, and would count once", r.name, id)
				}
			}
			m.Signed.Keys[id] = key
			role.KeyIDs = append(role.KeyIDs, id)
		}
		if role.Threshold = r.keys.Threshold; role.Threshold < 1 || role.Threshold > len(role.KeyIDs) {
			return nil, fmt.Errorf("root: role %s: %d of %d keys must sign, which is impossible", r.name, role.Threshold, len(role.KeyIDs))
		}
	}
	return &Document{role: RootRole, version: m.Signed.Version, expires: m.Signed.Expires, content: typed[metadata.RootType]{m}}, nil
}

func checkHeader(version int64, expires time.Time) error {
	if version < 1 {
		return fmt.Errorf("version %d is below 1", version)
	}
	if expires.IsZero() {
		return errors.New("there is no expiry")
	}
	return nil
}

// RootSpec returns what a root holds, to make the next one of it. Keys of kinds that cannot be made here are an error.
func (d *Document) RootSpec() (RootSpec, error) {
	r, ok := d.content.(typed[metadata.RootType])
	if !ok {
		return RootSpec{}, fmt.Errorf("%s is no root", d.FileName())
	}
	spec := RootSpec{Version: d.version, Expires: d.expires}
	for name, into := range map[string]*RoleKeys{
		RootRole: &spec.Root, TargetsRole: &spec.Targets, SnapshotRole: &spec.Snapshot, TimestampRole: &spec.Timestamp,
	} {
		role := r.Signed.Roles[name]
		if role == nil {
			return RootSpec{}, fmt.Errorf("%s has no role %s", d.FileName(), name)
		}
		into.Threshold = role.Threshold
		for _, id := range role.KeyIDs {
			k := r.Signed.Keys[id]
			if k == nil {
				return RootSpec{}, fmt.Errorf("%s has no key %s, which its role %s names", d.FileName(), id, name)
			}
			pub, err := k.ToPublicKey()
			if err != nil {
				return RootSpec{}, fmt.Errorf("%s: key %s: %w", d.FileName(), id, err)
			}
			into.Keys = append(into.Keys, pub)
		}
	}
	return spec, nil
}

// Target is a file that a repository offers.
type Target struct {
	Name   string          // a plain file name
	Data   []byte          // at most 4 MiB
	Custom json.RawMessage // what older Sigstore clients read about it; may be nil
}

// FileName returns the name under which clients look for it, below targets/: its SHA-256 and its name.
func (t Target) FileName() string {
	sum := sha256.Sum256(t.Data)
	return hex.EncodeToString(sum[:]) + "." + t.Name
}

func (t Target) check() error {
	switch {
	case t.Name == "" || t.Name != path.Base(t.Name) || strings.Trim(t.Name, ".") == "" || strings.ContainsAny(t.Name, "\\/:\x00"):
		return fmt.Errorf("target %q: its name is not that of a file", t.Name)
	case len(t.Data) == 0 || len(t.Data) > maxTarget:
		return fmt.Errorf("target %s has %d bytes, allowed are 1 to %d", t.Name, len(t.Data), maxTarget)
	case t.Custom != nil && !json.Valid(t.Custom):
		return fmt.Errorf("target %s: its custom metadata is not JSON", t.Name)
	}
	return nil
}

// NewTargets makes the list of a repository's files, still unsigned.
func NewTargets(version int64, expires time.Time, files []Target) (*Document, error) {
	if err := checkHeader(version, expires); err != nil {
		return nil, fmt.Errorf("targets: %w", err)
	}
	m := metadata.Targets(expires.UTC().Truncate(time.Second))
	m.Signed.Version = version
	for _, f := range files {
		if err := f.check(); err != nil {
			return nil, fmt.Errorf("targets: %w", err)
		}
		if m.Signed.Targets[f.Name] != nil {
			return nil, fmt.Errorf("targets: %s is there twice", f.Name)
		}
		sum := sha256.Sum256(f.Data)
		info := &metadata.TargetFiles{Length: int64(len(f.Data)), Hashes: metadata.Hashes{"sha256": sum[:]}, Path: f.Name}
		if f.Custom != nil {
			custom := f.Custom
			info.Custom = &custom
		}
		m.Signed.Targets[f.Name] = info
	}
	return &Document{role: TargetsRole, version: m.Signed.Version, expires: m.Signed.Expires, content: typed[metadata.TargetsType]{m}}, nil
}

// Renewed makes the same list of files with another version and expiry, still unsigned.
func (d *Document) Renewed(version int64, expires time.Time) (*Document, error) {
	t, ok := d.content.(typed[metadata.TargetsType])
	if !ok {
		return nil, fmt.Errorf("%s is not targets metadata", d.FileName())
	}
	if err := checkHeader(version, expires); err != nil {
		return nil, fmt.Errorf("targets: %w", err)
	}
	m := metadata.Targets(expires.UTC().Truncate(time.Second))
	m.Signed.Version = version
	m.Signed.Targets = t.Signed.Targets
	return &Document{role: TargetsRole, version: version, expires: m.Signed.Expires, content: typed[metadata.TargetsType]{m}}, nil
}

// NewSnapshot makes the statement that a list of files is the current one, still unsigned. The list must have all of its
// signatures already, since its bytes are named.
func NewSnapshot(version int64, expires time.Time, targets *Document) (*Document, error) {
	if err := checkHeader(version, expires); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	meta, err := metaOf(targets, TargetsRole)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	m := metadata.Snapshot(expires.UTC().Truncate(time.Second))
	m.Signed.Version = version
	m.Signed.Meta = map[string]*metadata.MetaFiles{"targets.json": meta}
	return &Document{role: SnapshotRole, version: m.Signed.Version, expires: m.Signed.Expires, content: typed[metadata.SnapshotType]{m}}, nil
}

// NewTimestamp makes the statement that a signed snapshot is the current one, still unsigned.
func NewTimestamp(version int64, expires time.Time, snapshot *Document) (*Document, error) {
	if err := checkHeader(version, expires); err != nil {
		return nil, fmt.Errorf("timestamp: %w", err)
	}
	meta, err := metaOf(snapshot, SnapshotRole)
	if err != nil {
		return nil, fmt.Errorf("timestamp: %w", err)
	}
	m := metadata.Timestamp(expires.UTC().Truncate(time.Second))
	m.Signed.Version = version
	m.Signed.Meta = map[string]*metadata.MetaFiles{"snapshot.json": meta}
	return &Document{role: TimestampRole, version: m.Signed.Version, expires: m.Signed.Expires, content: typed[metadata.TimestampType]{m}}, nil
}

func metaOf(d *Document, role string) (*metadata.MetaFiles, error) {
	if d.role != role {
		return nil, fmt.Errorf("%s is not %s metadata", d.FileName(), role)
	}
	if len(*d.content.signatures()) == 0 {
		return nil, fmt.Errorf("%s is not signed yet", d.FileName())
	}
	data, err := d.Encode()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	return &metadata.MetaFiles{Version: d.version, Length: int64(len(data)), Hashes: metadata.Hashes{"sha256": sum[:]}}, nil
}

// TargetNames returns the file names, below targets/, of everything that a list of files names, and the names themselves.
func (d *Document) TargetNames() (map[string]string, error) {
	t, ok := d.content.(typed[metadata.TargetsType])
	if !ok {
		return nil, fmt.Errorf("%s is not targets metadata", d.FileName())
	}
	names := make(map[string]string, len(t.Signed.Targets))
	for name, info := range t.Signed.Targets {
		names[name] = hex.EncodeToString(info.Hashes["sha256"]) + "." + name
	}
	return names, nil
}

// Next returns the version of the role's file that a snapshot or a timestamp names.
func (d *Document) Next() (version int64, err error) {
	var m *metadata.MetaFiles
	switch c := d.content.(type) {
	case typed[metadata.SnapshotType]:
		m = c.Signed.Meta["targets.json"]
	case typed[metadata.TimestampType]:
		m = c.Signed.Meta["snapshot.json"]
	}
	if m == nil {
		return 0, fmt.Errorf("%s names no next file", d.FileName())
	}
	return m.Version, nil
}
