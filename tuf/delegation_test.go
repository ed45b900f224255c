package tuf_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/tuf"
)

// leaves is a delegation as it is written.
type leaves struct {
	Name        string   `json:"name"`
	KeyIDs      []string `json:"keyids"`
	Threshold   int      `json:"threshold"`
	Paths       []string `json:"paths,omitempty"`
	Prefixes    []string `json:"path_hash_prefixes,omitempty"`
	Terminating bool     `json:"terminating"`
}

// to is a delegation of everything to a role, whose key it is.
func to(t testing.TB, name string, key crypto.Signer) leaves {
	t.Helper()
	id, err := tuf.KeyID(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return leaves{Name: name, KeyIDs: []string{id}, Threshold: 1, Paths: []string{"*"}}
}

// listing makes targets metadata with delegations, unsigned. Its keys are Ed25519.
func (r *repository) listing(version int64, expires time.Time, files []tuf.Target, keys []crypto.Signer, to ...leaves) *tuf.Document {
	r.t.Helper()
	plain, err := tuf.NewTargets(version, expires, files)
	if err != nil {
		r.t.Fatal(err)
	}
	data, err := plain.Encode()
	if err != nil {
		r.t.Fatal(err)
	}
	var doc struct {
		Signatures []any          `json:"signatures"`
		Signed     map[string]any `json:"signed"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		r.t.Fatal(err)
	}
	all := make(map[string]any)
	for _, k := range keys {
		id, err := tuf.KeyID(k.Public())
		if err != nil {
			r.t.Fatal(err)
		}
		all[id] = map[string]any{"keytype": "ed25519", "scheme": "ed25519", "keyval": map[string]any{"public": hexOf(k.Public().(ed25519.PublicKey))}}
	}
	if len(to) > 0 {
		doc.Signed["delegations"] = map[string]any{"keys": all, "roles": to}
	}
	return r.reparse(doc)
}

func (r *repository) reparse(doc any) *tuf.Document {
	r.t.Helper()
	data, err := json.Marshal(doc)
	if err != nil {
		r.t.Fatal(err)
	}
	d, err := tuf.ParseDocument(data)
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

// delegates publishes top-level targets and delegated roles, each signed by its key.
func (r *repository) delegates(top *tuf.Document, roles map[string]*tuf.Document, keys map[string]crypto.Signer) {
	r.t.Helper()
	r.targets = r.sign(top, r.keys["targets"])
	r.store(r.targets)
	meta := map[string]any{"targets.json": map[string]any{"version": top.Version()}}
	for name, d := range roles {
		if keys[name] != nil {
			r.sign(d, []crypto.Signer{keys[name]})
		}
		data, err := d.Encode()
		if err != nil {
			r.t.Fatal(err)
		}
		r.put(fmt.Sprint(d.Version(), ".", name, ".json"), data)
		meta[name+".json"] = map[string]any{"version": d.Version(), "length": len(data)}
	}
	r.names(meta)
}

// names publishes a snapshot that names some files, and a timestamp.
func (r *repository) names(meta map[string]any) {
	r.t.Helper()
	r.snapshot = r.sign(r.reparse(map[string]any{"signatures": []any{}, "signed": map[string]any{
		"_type": "snapshot", "spec_version": "1.0.31", "version": next(r.snapshot), "expires": r.expires("snapshot").Format(time.RFC3339), "meta": meta,
	}}), r.keys["snapshot"])
	r.store(r.snapshot)
	r.restamp()
}

// delegation is a repository in which the top-level targets have nothing and leave it to others.
type delegation struct {
	*repository
	key   crypto.Signer
	roles map[string]*tuf.Document
	signs map[string]crypto.Signer
}

func newDelegation(t *testing.T) *delegation {
	t.Helper()
	d := &delegation{repository: newRepository(t), key: edKey(t), roles: map[string]*tuf.Document{}, signs: map[string]crypto.Signer{}}
	for _, f := range publicTargets(t) {
		d.put("targets/"+f.FileName(), f.Data)
	}
	return d
}

// role adds a delegated role that has files and delegates further.
func (d *delegation) role(name string, version int64, files []tuf.Target, further ...leaves) {
	d.t.Helper()
	d.roles[name], d.signs[name] = d.listing(version, d.expires("targets"), files, []crypto.Signer{d.key}, further...), d.key
}

// show publishes it all.
func (d *delegation) show(version int64, further ...leaves) {
	d.t.Helper()
	d.delegates(d.listing(version, d.expires("targets"), nil, []crypto.Signer{d.key}, further...), d.roles, d.signs)
}

func TestDelegations(t *testing.T) {
	sum := sha256.Sum256([]byte("trusted_root.json"))
	const nothing = "publishes no trusted_root.json"
	for _, tt := range []struct {
		name, words string
		do          func(d *delegation, files []tuf.Target)
	}{
		{"by path", "", func(d *delegation, files []tuf.Target) {
			d.role("a", 1, files)
			l := to(d.t, "a", d.key)
			l.Paths = []string{"x/*", "trusted_?oot.json", "sign*"}
			d.show(2, l)
		}},
		{"of other paths", nothing, func(d *delegation, files []tuf.Target) {
			d.role("a", 1, files)
			l := to(d.t, "a", d.key)
			l.Paths = []string{"*/trusted_root.json", "trusted_root", "*.JSON"}
			d.show(2, l)
		}},
		{"by hash prefix", "", func(d *delegation, files []tuf.Target) {
			d.role("a", 1, files[:1])
			l := to(d.t, "a", d.key)
			l.Paths, l.Prefixes = nil, []string{"zz", hexOf(sum[:])[:3]}
			d.show(2, l)
		}},
		{"of another hash prefix", nothing, func(d *delegation, files []tuf.Target) {
			d.role("a", 1, files)
			l := to(d.t, "a", d.key)
			l.Paths, l.Prefixes = nil, []string{hexOf(sum[:])[1:4]}
			d.show(2, l)
		}},
		{"the second has it", "", func(d *delegation, files []tuf.Target) {
			d.role("a", 1, nil)
			d.role("b", 1, files)
			d.show(2, to(d.t, "a", d.key), to(d.t, "b", d.key))
		}},
		{"deep down before the next", "", func(d *delegation, files []tuf.Target) {
			d.role("a", 1, nil, to(d.t, "c", d.key))
			d.role("c", 1, files)
			d.role("b", 1, []tuf.Target{{Name: "trusted_root.json", Data: []byte("{}")}})
			d.show(2, to(d.t, "a", d.key), to(d.t, "b", d.key))
		}},
		{"terminating", nothing, func(d *delegation, files []tuf.Target) {
			d.role("a", 1, nil)
			d.role("b", 1, files)
			l := to(d.t, "a", d.key)
			l.Terminating = true
			d.show(2, l, to(d.t, "b", d.key))
		}},
		{"terminating further down", nothing, func(d *delegation, files []tuf.Target) {
			l := to(d.t, "c", d.key)
			l.Terminating = true
			d.role("a", 1, nil, l)
			d.role("c", 1, nil)
			d.role("b", 1, files)
			d.show(2, to(d.t, "a", d.key), to(d.t, "b", d.key))
		}},
		{"in a circle", nothing, func(d *delegation, _ []tuf.Target) {
			d.role("a", 1, nil, to(d.t, "b", d.key))
			d.role("b", 1, nil, to(d.t, "a", d.key))
			d.show(2, to(d.t, "a", d.key))
		}},
		{"too many roles", "is left to more than 32 roles", func(d *delegation, files []tuf.Target) {
			for i := range 40 {
				d.role(fmt.Sprint("r", i), 1, nil, to(d.t, fmt.Sprint("r", i+1), d.key))
			}
			d.role("r40", 1, files)
			d.show(2, to(d.t, "r0", d.key))
		}},
		{"by another key", "a.json: not signed as demanded", func(d *delegation, files []tuf.Target) {
			d.role("a", 1, files)
			d.signs["a"] = edKey(d.t)
			d.show(2, to(d.t, "a", d.key))
		}},
		{"by the key of the targets", "a.json: not signed as demanded", func(d *delegation, files []tuf.Target) {
			d.role("a", 1, files)
			d.signs["a"] = d.keys["targets"][0]
			d.show(2, to(d.t, "a", d.key))
		}},
		{"by one key of two", "a.json: not signed as demanded", func(d *delegation, files []tuf.Target) {
			d.role("a", 1, files)
			l := to(d.t, "a", d.key)
			l.Threshold = 2
			d.show(2, l)
		}},
		{"the same key twice", "a.json: not signed as demanded", func(d *delegation, files []tuf.Target) {
			d.role("a", 1, files)
			l := to(d.t, "a", d.key)
			l.Threshold, l.KeyIDs = 2, []string{l.KeyIDs[0], l.KeyIDs[0]}
			d.show(2, l)
		}},
		{"two delegate with different keys", "a.json: not signed as demanded", func(d *delegation, files []tuf.Target) {
			other := edKey(d.t)
			d.role("a", 1, files)
			first, second := to(d.t, "a", d.key), to(d.t, "b", d.key)
			first.Paths, second.Paths = []string{"trusted_root.json"}, []string{"signing_config*"}
			d.roles["b"] = d.listing(1, d.expires("targets"), nil, []crypto.Signer{other}, to(d.t, "a", other))
			d.signs["b"] = d.key
			d.show(2, first, second)
		}},
		{"not in the snapshot", "snapshot.json does not name a.json", func(d *delegation, _ []tuf.Target) {
			d.show(2, to(d.t, "a", d.key))
		}},
		{"huge", "bytes", func(d *delegation, files []tuf.Target) {
			d.role("a", 1, files)
			d.show(2, to(d.t, "a", d.key))
			d.names(map[string]any{"targets.json": map[string]any{"version": 2}, "a.json": map[string]any{"version": 1, "length": 3 << 20}})
		}},
		{"with other bytes", "a.json: not the announced content", func(d *delegation, files []tuf.Target) {
			d.role("a", 1, files)
			d.show(2, to(d.t, "a", d.key))
			d.put("1.a.json", append(d.get("1.a.json")[:10:10], d.get("1.a.json")[11:]...))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDelegation(t)
			tt.do(d, publicTargets(t))
			if tt.words != "" {
				refused(t, d.client(), tt.words)
			} else if got := refresh(t, d.client()); len(got.Root.Logs) == 0 {
				t.Errorf("got %+v", got)
			}
			if asked := d.asked(); len(asked) > 4+32+3 {
				t.Errorf("%d requests", len(asked))
			}
		})
	}
}

// What the top-level targets have counts, whatever others have under the name.
func TestDelegationsComeSecond(t *testing.T) {
	d := newDelegation(t)
	d.role("a", 1, []tuf.Target{{Name: "trusted_root.json", Data: []byte("{}")}})
	d.delegates(d.listing(2, d.expires("targets"), publicTargets(t)[:1], []crypto.Signer{d.key}, to(t, "a", d.key)), d.roles, d.signs)
	if got := refresh(t, d.client()); len(got.Root.Logs) == 0 {
		t.Errorf("got %+v", got)
	}
}

// A delegated role is kept like the others, and expires like them.
func TestDelegatedRoleIsKept(t *testing.T) {
	d := newDelegation(t)
	home := t.TempDir()
	d.role("a.role", 3, publicTargets(t))
	d.show(2, to(t, "a.role", d.key))
	if got := refresh(t, d.client(inHome(home))); got.Version("a.role") != 3 || got.Unsaved != nil {
		t.Errorf("got %+v", got)
	}
	d.asked()
	c := d.client(fromHome(home))
	if got, err := c.Cached(); err != nil || got.Version("a.role") != 3 {
		t.Errorf("from the cache: %+v, %v", got, err)
	}
	refresh(t, c)
	if asked := d.asked(); len(asked) != 2 {
		t.Errorf("asked for %v", asked)
	}
	for _, life := range []string{"root", "timestamp", "snapshot", "targets"} {
		d.life[life] = 1000 * time.Hour
	}
	d.rotateRoot(nil)
	d.roles["a.role"] = d.listing(4, d.clock.Now().Add(10*time.Hour), publicTargets(t), nil)
	d.show(3, to(t, "a.role", d.key))
	if got := refresh(t, c); got.Expires().Name != "a.role" {
		t.Errorf("first to expire: %+v", got.Expires())
	}
	d.clock.add(10 * time.Hour)
	refresh(t, c)
	d.clock.add(time.Second)
	if err := refused(t, c, "a.role.json: expired"); !errors.Is(err, tuf.ErrExpired) {
		t.Errorf("%v is not ErrExpired", err)
	}
	if _, err := c.Cached(); !errors.Is(err, tuf.ErrExpired) {
		t.Errorf("from the cache: %v", err)
	}
}

// Delegated roles are not rolled back, nor do they vanish.
func TestDelegatedRoleRollback(t *testing.T) {
	d := newDelegation(t)
	d.role("a", 5, publicTargets(t))
	d.show(2, to(t, "a", d.key))
	c := d.client()
	refresh(t, c)
	d.role("a", 4, publicTargets(t))
	d.show(3, to(t, "a", d.key))
	refused(t, c, "rollback")
	delete(d.roles, "a")
	d.show(4, to(t, "a", d.key))
	refused(t, c, "rollback")
	d.role("a", 5, publicTargets(t))
	d.show(5, to(t, "a", d.key))
	refresh(t, c)
}

// A delegated role's name never becomes a path, here or at the mirror, nor the name of another file.
func TestRoleNamesStayInside(t *testing.T) {
	for _, name := range []string{"../../evil", "/etc/evil", `..\..\evil`, "evil/../..", "evil?x", "evil%2f", "evil#", "evil\x01", ".evil", "", "Root", "TIMESTAMP", "targets", "evil é", strings.Repeat("evil", 26)} {
		d := newDelegation(t)
		home := t.TempDir()
		d.role("a", 1, publicTargets(t))
		l := to(t, "a", d.key)
		l.Name = name
		d.delegates(d.listing(2, d.expires("targets"), nil, []crypto.Signer{d.key}, l), d.roles, d.signs)
		d.asked()
		refused(t, d.client(inHome(home)), map[bool]string{true: "publishes no", false: "has a name"}[name == "targets"])
		if asked := d.asked(); slices.ContainsFunc(asked, func(s string) bool { return strings.Contains(s, "evil") }) {
			t.Errorf("asked for %q", asked)
		}
	}
}

// Targets metadata that leaves it open to whom something is left is refused as a whole.
func TestMalformedDelegations(t *testing.T) {
	payload := `{"signatures":[],"signed":{"_type":"targets","spec_version":"1.0","version":2,"expires":"2030-01-01T00:00:00Z","targets":{},"delegations":%s}}`
	for name, s := range map[string]string{
		"no keys": `{"roles":[]}`, "no roles": `{"keys":{}}`, "roles an object": `{"keys":{},"roles":{}}`, "succinct roles": `{"keys":{},"roles":[],"succinct_roles":{}}`,
		"paths and prefixes": `{"keys":{},"roles":[{"name":"a","keyids":[],"threshold":1,"terminating":false,"paths":[],"path_hash_prefixes":[]}]}`,
		"neither":            `{"keys":{},"roles":[{"name":"a","keyids":[],"threshold":1,"terminating":false}]}`,
		"no threshold":       `{"keys":{},"roles":[{"name":"a","keyids":[],"terminating":false,"paths":[]}]}`,
		"threshold 0":        `{"keys":{},"roles":[{"name":"a","keyids":[],"threshold":0,"terminating":false,"paths":[]}]}`,
		"no terminating":     `{"keys":{},"roles":[{"name":"a","keyids":[],"threshold":1,"paths":[]}]}`,
		"no pattern":         `{"keys":{},"roles":[{"name":"a","keyids":[],"threshold":1,"terminating":false,"paths":["["]}]}`,
		"a path a number":    `{"keys":{},"roles":[{"name":"a","keyids":[],"threshold":1,"terminating":false,"paths":[1]}]}`,
		"a list":             `[]`, "text": `"x"`,
	} {
		if doc, err := tuf.ParseDocument(fmt.Appendf(nil, payload, s)); err == nil {
			t.Errorf("%s: became %s", name, doc.FileName())
		}
	}
	good := `{"keys":{},"roles":[{"name":"a","keyids":[],"threshold":1,"terminating":false,"paths":[]}]}`
	if _, err := tuf.ParseDocument(fmt.Appendf(nil, payload, good)); err != nil {
		t.Error(err)
	}
}
