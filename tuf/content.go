package tuf

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"path"
	"strings"
	"time"
)

// The top-level roles (TUF specification, 2.1).
const (
	RootRole      = "root"
	TargetsRole   = "targets"
	SnapshotRole  = "snapshot"
	TimestampRole = "timestamp"
)

var topRoles = []string{RootRole, TargetsRole, SnapshotRole, TimestampRole}

// rootContent is what a root says (TUF specification, 4.3).
type rootContent struct {
	consistent bool
	keys       map[string]key
	roles      map[string]roleKeys // the four
}

// fileMeta is what a snapshot or a timestamp says of another metadata file (4.4, 4.5).
type fileMeta struct {
	version, length int64 // length 0: not stated
	hashes          map[string][]byte
}

// targetFile is what targets metadata says of a file (4.6).
type targetFile struct {
	length int64
	hashes map[string][]byte
}

// targetsContent is what targets metadata says (4.6).
type targetsContent struct {
	files       map[string]targetFile
	keys        map[string]key // of the delegations
	delegations []delegation   // in order of priority
}

// delegation leaves some target paths to another role.
type delegation struct {
	name            string
	keys            roleKeys
	paths, prefixes []string // one of them is empty
	terminating     bool
}

// matches says that a target is the delegated role's business. A * or ? in a pattern is no slash.
func (d *delegation) matches(target string) bool {
	for _, p := range d.paths {
		if ok, _ := path.Match(p, target); ok {
			return true
		}
	}
	sum := sha256.Sum256([]byte(target))
	for _, p := range d.prefixes {
		if strings.HasPrefix(hex.EncodeToString(sum[:]), p) {
			return true
		}
	}
	return false
}

// header reads what all roles have. The specification's version must be 1 (its 2.1.1 has clients refuse another).
func (d *Document) header(m *members) {
	d.role = m.text("_type")
	d.version = m.number("version", 1)
	if spec := m.text("spec_version"); m.err == nil && !strings.HasPrefix(spec, "1.") {
		m.fail("spec_version", fmt.Sprintf("is %q, only 1.x is known", spec))
	}
	expires := m.text("expires")
	at, err := time.Parse(time.RFC3339Nano, expires)
	if m.err == nil && (err != nil || at.IsZero() || at.Format(time.RFC3339Nano) != expires) {
		m.fail("expires", fmt.Sprintf("is %q, not a time like 2030-01-01T00:00:00Z", expires))
	}
	d.expires = at
}

// content reads what the document's role has besides.
func (d *Document) content(m *members) error {
	if m.err != nil {
		return m.err
	}
	var err error
	switch d.role {
	case RootRole:
		d.root, err = parseRoot(m)
	case TargetsRole:
		d.targets, err = parseTargets(m)
	case SnapshotRole, TimestampRole:
		d.meta, err = parseMeta(m)
	default:
		m.fail("_type", fmt.Sprintf("is %q, none of the four roles", d.role))
	}
	return errors.Join(m.err, err)
}

func parseRoot(m *members) (*rootContent, error) {
	r := &rootContent{consistent: m.flag("consistent_snapshot"), roles: make(map[string]roleKeys)}
	roles := membersOf(m.take("roles", '{', true), m.at+".roles")
	var err error
	if r.keys, err = parseKeys(m, m.at); err != nil {
		return nil, err
	}
	for _, name := range topRoles {
		role := membersOf(roles.take(name, '{', true), roles.at+"."+name)
		r.roles[name] = parseRoleKeys(role)
		if err := errors.Join(roles.err, role.err); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func parseKeys(m *members, at string) (map[string]key, error) {
	list := m.take("keys", '{', true)
	if list == nil {
		return nil, m.err
	}
	if len(list.names) > maxKeys {
		return nil, fmt.Errorf("%s.keys has %d members, the limit is %d", at, len(list.names), maxKeys)
	}
	keys := make(map[string]key, len(list.names))
	for i, id := range list.names {
		k, err := parseKey(list.kids[i], fmt.Sprintf("%s.keys[%q]", at, id))
		if err != nil {
			return nil, err
		}
		keys[id] = k
	}
	return keys, nil
}

func parseRoleKeys(m *members) roleKeys {
	return roleKeys{ids: m.texts("keyids", maxKeys, true), threshold: m.number("threshold", 1)}
}

func parseMeta(m *members) (map[string]fileMeta, error) {
	list := m.take("meta", '{', true)
	if list == nil {
		return nil, m.err
	}
	meta := make(map[string]fileMeta, len(list.names))
	for i, name := range list.names {
		f := membersOf(list.kids[i], fmt.Sprintf("%s.meta[%q]", m.at, name))
		entry := fileMeta{version: f.number("version", 1), hashes: f.hashes("hashes", false)}
		if f.of.get("length") != nil {
			entry.length = f.number("length", 1)
		}
		if f.err != nil {
			return nil, f.err
		}
		meta[name] = entry
	}
	return meta, nil
}

func parseTargets(m *members) (*targetsContent, error) {
	list := m.take("targets", '{', true)
	if list == nil {
		return nil, m.err
	}
	t := &targetsContent{files: make(map[string]targetFile, len(list.names))}
	for i, name := range list.names {
		f := membersOf(list.kids[i], fmt.Sprintf("%s.targets[%q]", m.at, name))
		file := targetFile{length: f.number("length", 0), hashes: f.hashes("hashes", true)}
		if len(file.hashes) == 0 {
			f.fail("hashes", "is empty")
		}
		if f.err != nil {
			return nil, f.err
		}
		t.files[name] = file
	}
	if m.of.get("delegations") == nil {
		return t, nil
	}
	return t, t.parseDelegations(membersOf(m.take("delegations", '{', true), m.at+".delegations"))
}

func (t *targetsContent) parseDelegations(m *members) (err error) {
	if m.of.get("succinct_roles") != nil { // TAP 15, which is not in the specification
		return fmt.Errorf("%s.succinct_roles are not supported", m.at)
	}
	roles := m.take("roles", '[', true)
	if t.keys, err = parseKeys(m, m.at); err != nil || roles == nil {
		return errors.Join(m.err, err)
	}
	for i, v := range roles.kids {
		f := membersOf(v, fmt.Sprintf("%s.roles[%d]", m.at, i))
		if f.of.get("terminating") == nil {
			f.fail("terminating", "is missing")
		}
		d := delegation{
			name: f.text("name"), keys: parseRoleKeys(f), terminating: f.flag("terminating"),
			paths: f.texts("paths", maxPaths, false), prefixes: f.texts("path_hash_prefixes", maxPaths, false),
		}
		if (d.paths == nil) == (d.prefixes == nil) {
			f.fail("paths", "and path_hash_prefixes: exactly one of them must be there")
		}
		for _, p := range d.paths {
			if _, err := path.Match(p, ""); err != nil {
				f.fail("paths", fmt.Sprintf("has %q, which is no pattern", p))
			}
		}
		if f.err != nil {
			return f.err
		}
		t.delegations = append(t.delegations, d)
	}
	return nil
}

// errContent says that a file is not the one that was announced.
var errContent = errors.New("not the announced content")

// checkContent checks a file against the length, if not 0, and the hashes that were announced for it. A hash of an unknown
// kind is an error: it was given to be checked.
func checkContent(data []byte, length int64, hashes map[string][]byte) error {
	if length != 0 && length != int64(len(data)) {
		return fmt.Errorf("%w: it has %d bytes and not %d", errContent, len(data), length)
	}
	for alg, want := range hashes {
		var h hash.Hash
		switch alg {
		case "sha256":
			h = sha256.New()
		case "sha512":
			h = sha512.New()
		default:
			return fmt.Errorf("%w: its hash is of the unknown kind %q", errContent, alg)
		}
		h.Write(data)
		if !bytes.Equal(h.Sum(nil), want) {
			return fmt.Errorf("%w: its %s is another", errContent, alg)
		}
	}
	return nil
}
