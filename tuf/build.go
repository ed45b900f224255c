package tuf

import (
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// specVersion is the version of the specification that documents are made by.
const specVersion = "1.0.31"

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

// newSigned begins the signed part of a document.
func newSigned(role string, version int64, expires time.Time) (*value, error) {
	if version < 1 {
		return nil, fmt.Errorf("%s: version %d is below 1", role, version)
	}
	if expires.IsZero() {
		return nil, fmt.Errorf("%s: there is no expiry", role)
	}
	return objectValue().set("_type", textValue(role)).set("spec_version", textValue(specVersion)).
		set("version", numberValue(version)).set("expires", textValue(expires.UTC().Truncate(time.Second).Format(time.RFC3339))), nil
}

// build makes the document of a signed part: it is read as if it came from elsewhere, so that all that is made here can be
// read here.
func build(signed *value) (*Document, error) {
	data, err := signed.encode()
	if err != nil {
		return nil, err
	}
	again, err := parseJSON(data, maxTargets)
	if err != nil {
		return nil, fmt.Errorf("%s: what was made %w", signed.get("_type").text, err)
	}
	d, err := newDocument(again, data)
	if err != nil {
		return nil, fmt.Errorf("%s: what was made is malformed: %w", signed.get("_type").text, err)
	}
	return d, nil
}

// NewRoot makes a root, still unsigned. Snapshots are consistent: files carry their version or hash in their names.
func NewRoot(spec RootSpec) (*Document, error) {
	signed, err := newSigned(RootRole, spec.Version, spec.Expires)
	if err != nil {
		return nil, err
	}
	keys, roles := objectValue(), objectValue()
	for _, r := range []struct {
		name string
		keys RoleKeys
	}{{RootRole, spec.Root}, {TargetsRole, spec.Targets}, {SnapshotRole, spec.Snapshot}, {TimestampRole, spec.Timestamp}} {
		var ids []string
		for _, pub := range r.keys.Keys {
			k, err := keyOf(pub)
			if err != nil {
				return nil, fmt.Errorf("root: role %s: %w", r.name, err)
			}
			id := k.id()
			if slices.Contains(ids, id) {
				return nil, fmt.Errorf("root: role %s: key %s is listed twice, and would count once", r.name, id)
			}
			ids = append(ids, id)
			if keys.get(id) == nil {
				keys.set(id, k.value())
			}
		}
		if r.keys.Threshold < 1 || r.keys.Threshold > len(ids) {
			return nil, fmt.Errorf("root: role %s: %d of %d keys must sign, which is impossible", r.name, r.keys.Threshold, len(ids))
		}
		roles.set(r.name, objectValue().set("keyids", listValue(ids...)).set("threshold", numberValue(int64(r.keys.Threshold))))
	}
	return build(signed.set("consistent_snapshot", &value{kind: 't'}).set("keys", keys).set("roles", roles))
}

// RootSpec returns what a root holds, to make the next one of it. Keys of kinds that cannot be made here are an error.
func (d *Document) RootSpec() (RootSpec, error) {
	if d.root == nil {
		return RootSpec{}, fmt.Errorf("%s is no root", d.FileName())
	}
	spec := RootSpec{Version: d.version, Expires: d.expires}
	for name, into := range map[string]*RoleKeys{
		RootRole: &spec.Root, TargetsRole: &spec.Targets, SnapshotRole: &spec.Snapshot, TimestampRole: &spec.Timestamp,
	} {
		role := d.root.roles[name]
		into.Threshold = int(role.threshold)
		for _, id := range role.ids {
			k, ok := d.root.keys[id]
			if !ok {
				return RootSpec{}, fmt.Errorf("%s has no key %s, which its role %s names", d.FileName(), id, name)
			}
			pub, _, err := k.parse()
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
	}
	return nil
}

// value is what targets metadata says of the file.
func (t Target) value() (*value, error) {
	v := fileValue(t.Data)
	if t.Custom == nil {
		return v, nil
	}
	custom, err := parseJSON(t.Custom, maxTargets)
	if err != nil {
		return nil, fmt.Errorf("target %s: its custom metadata %w", t.Name, err)
	}
	return v.set("custom", custom), nil
}

// fileValue is the length and the hash of a file.
func fileValue(data []byte) *value {
	sum := sha256.Sum256(data)
	return objectValue().set("hashes", objectValue().set("sha256", textValue(hex.EncodeToString(sum[:])))).
		set("length", numberValue(int64(len(data))))
}

// NewTargets makes the list of a repository's files, still unsigned.
func NewTargets(version int64, expires time.Time, files []Target) (*Document, error) {
	signed, err := newSigned(TargetsRole, version, expires)
	if err != nil {
		return nil, err
	}
	list := objectValue()
	for _, f := range files {
		if err := f.check(); err != nil {
			return nil, fmt.Errorf("targets: %w", err)
		}
		if list.get(f.Name) != nil {
			return nil, fmt.Errorf("targets: %s is there twice", f.Name)
		}
		v, err := f.value()
		if err != nil {
			return nil, fmt.Errorf("targets: %w", err)
		}
		list.set(f.Name, v)
	}
	return build(signed.set("targets", list))
}

// Renewed makes the same list of files, with the same delegations, of another version and expiry, still unsigned.
func (d *Document) Renewed(version int64, expires time.Time) (*Document, error) {
	if d.targets == nil {
		return nil, fmt.Errorf("%s is not targets metadata", d.FileName())
	}
	signed, err := newSigned(TargetsRole, version, expires)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"targets", "delegations"} {
		if v := d.tree.get(name); v != nil {
			signed.set(name, v)
		}
	}
	return build(signed)
}

// NewSnapshot makes the statement that a list of files is the current one, still unsigned. The list must have all of its
// signatures already, since its bytes are named.
func NewSnapshot(version int64, expires time.Time, targets *Document) (*Document, error) {
	return newNaming(SnapshotRole, TargetsRole, version, expires, targets)
}

// NewTimestamp makes the statement that a signed snapshot is the current one, still unsigned.
func NewTimestamp(version int64, expires time.Time, snapshot *Document) (*Document, error) {
	return newNaming(TimestampRole, SnapshotRole, version, expires, snapshot)
}

// newNaming makes a document of a role that names the current one of another.
func newNaming(role, named string, version int64, expires time.Time, d *Document) (*Document, error) {
	signed, err := newSigned(role, version, expires)
	if err != nil {
		return nil, err
	}
	switch {
	case d.role != named:
		return nil, fmt.Errorf("%s: %s is not %s metadata", role, d.FileName(), named)
	case len(d.signatures) == 0:
		return nil, fmt.Errorf("%s: %s is not signed yet", role, d.FileName())
	}
	data, err := d.Encode()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", role, err)
	}
	return build(signed.set("meta", objectValue().set(named+".json", fileValue(data).set("version", numberValue(d.version)))))
}

// TargetNames returns the file names, below targets/, of everything that a list of files names, and the names themselves.
func (d *Document) TargetNames() (map[string]string, error) {
	if d.targets == nil {
		return nil, fmt.Errorf("%s is not targets metadata", d.FileName())
	}
	names := make(map[string]string, len(d.targets.files))
	for name, info := range d.targets.files {
		names[name] = hex.EncodeToString(info.hashes["sha256"]) + "." + name
	}
	return names, nil
}

// Next returns the version of the role's file that a snapshot or a timestamp names.
func (d *Document) Next() (version int64, err error) {
	next := map[string]string{SnapshotRole: "targets.json", TimestampRole: "snapshot.json"}[d.role]
	if m, ok := d.meta[next]; ok {
		return m.version, nil
	}
	return 0, errors.New(d.FileName() + " names no next file")
}
