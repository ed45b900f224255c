package tufdiff

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// spoil is one way to spoil a repository.
type spoil struct {
	name string
	do   func(r *repository)
}

// named are the attacks and faults that have names, for each role.
func named() (out []spoil) {
	for _, role := range roles {
		out = append(out, ages(role)...)
		out = append(out, signatures(role)...)
		out = append(out, forms(role)...)
	}
	return append(out, special()...)
}

// ages are wrong times and versions.
func ages(role string) (out []spoil) {
	set := func(what, member string, value any) {
		out = append(out, spoil{role + ": " + what, func(r *repository) { r.signed[role][member] = value }})
	}
	now := time.Now().UTC()
	set("expired", "expires", now.Add(-time.Hour).Format(time.RFC3339))
	set("expired in another zone", "expires", now.Add(-time.Hour).In(time.FixedZone("", 7200)).Format(time.RFC3339))
	set("expires in another zone", "expires", now.Add(time.Hour).In(time.FixedZone("", 7200)).Format(time.RFC3339))
	for _, e := range []string{"2099-01-01T00:00:00.5Z", "2099-01-01T00:00:00.50Z", "2099-01-01", "2099-01-01T00:00:00", "2099-13-01T00:00:00Z", "2099-01-01t00:00:00z", "2099-01-01T00:00:00+00:00", "0001-01-01T00:00:00Z", ""} {
		set("expires "+e, "expires", e)
	}
	for _, v := range []string{"0", "-1", "1", "2", "4", "999999999999999", "9007199254740993", "18446744073709551616", "1.5", "2e0"} {
		set("version "+v, "version", json.Number(v))
	}
	for _, v := range []string{"", "1", "1.", "1.0", "1.99.7", "2.0.0", "0.9", "x"} {
		set("spec_version "+v, "spec_version", v)
	}
	for _, other := range roles {
		set("type "+other, "_type", other)
	}
	return out
}

// signatures are wrong ones, too few, too many.
func signatures(role string) (out []spoil) {
	env := func(what string, change func(r *repository, env object)) {
		out = append(out, spoil{role + ": " + what, func(r *repository) {
			r.envelope[role] = func(e object) { change(r, e) }
		}})
	}
	list := func(e object) []any { return e["signatures"].([]any) }
	first := func(e object) object { return list(e)[0].(object) }
	env("no signatures", func(_ *repository, e object) { e["signatures"] = []any{} })
	env("signatures missing", func(_ *repository, e object) { delete(e, "signatures") })
	env("one signature less", func(_ *repository, e object) { e["signatures"] = list(e)[1:] })
	env("a signature twice", func(_ *repository, e object) { e["signatures"] = append(list(e), list(e)[0]) })
	env("the same key fills the threshold", func(_ *repository, e object) { e["signatures"] = []any{list(e)[0], list(e)[0], list(e)[0]} })
	env("one signature is of another document", func(r *repository, e object) {
		first(e)["sig"] = hex.EncodeToString(r.keys[role][0].sign([]byte("{}")))
	})
	env("a stranger's signature under a known ID", func(r *repository, e object) {
		first(e)["sig"] = hex.EncodeToString(r.keys["stranger"][0].sign([]byte("{}")))
	})
	env("a stranger's signature besides", func(r *repository, e object) {
		e["signatures"] = append(list(e), object{"keyid": r.keys["stranger"][0].id, "sig": "00"})
	})
	env("an empty signature besides", func(_ *repository, e object) {
		e["signatures"] = append(list(e), object{"keyid": "somebody", "sig": ""})
	})
	env("upper case", func(_ *repository, e object) { first(e)["sig"] = strings.ToUpper(first(e)["sig"].(string)) })
	env("a byte more", func(_ *repository, e object) { first(e)["sig"] = first(e)["sig"].(string) + "00" })
	env("base64", func(_ *repository, e object) {
		raw, _ := hex.DecodeString(first(e)["sig"].(string))
		first(e)["sig"] = base64.StdEncoding.EncodeToString(raw)
	})
	env("an unknown member of a signature", func(_ *repository, e object) { first(e)["x"] = "y" })
	env("an unknown member of the file", func(_ *repository, e object) { e["x"] = "y" })
	env("a key ID is missing", func(_ *repository, e object) { delete(first(e), "keyid") })
	env("a hundred signatures besides", func(_ *repository, e object) {
		for i := range 100 {
			e["signatures"] = append(list(e), object{"keyid": fmt.Sprint(i), "sig": "00"})
		}
	})
	env("a thousand signatures besides", func(_ *repository, e object) {
		for i := range 1000 {
			e["signatures"] = append(list(e), object{"keyid": fmt.Sprint(i), "sig": "00"})
		}
	})
	out = append(out, spoil{role + ": by a stranger", func(r *repository) { r.signers[role] = r.keys["stranger"] }})
	for _, other := range roles {
		if other != role {
			out = append(out, spoil{role + ": by the keys of " + other, func(r *repository) { r.signers[role] = r.keys[other] }})
		}
	}
	return out
}

// forms are files that are no metadata, or metadata in another dress.
func forms(role string) (out []spoil) {
	file := func(what string, change func([]byte) []byte) {
		out = append(out, spoil{role + ": " + what, func(r *repository) { r.file[role] = change }})
	}
	for _, s := range []string{"", " ", "null", "[]", "{}", "7", `"x"`, "<html>", `{"signed":null,"signatures":[]}`, `{"signed":{},"signatures":[]}`, `{"signed":{"_type":null}}`, `{"signed":[],"signatures":{}}`} {
		file("is "+s, func([]byte) []byte { return []byte(s) })
	}
	file("followed by something", func(d []byte) []byte { return append(d, "{}"...) })
	file("half", func(d []byte) []byte { return d[:len(d)/2] })
	file("with spaces", func(d []byte) []byte { return slices.Concat([]byte(" \n"), d, []byte("\n\t ")) })
	file("with a BOM", func(d []byte) []byte { return append([]byte("\xef\xbb\xbf"), d...) })
	file("type twice", func(d []byte) []byte { return bytes.Replace(d, []byte(`"_type"`), []byte(`"_type":"x","_type"`), 1) })
	file("version in other letters", func(d []byte) []byte {
		return bytes.Replace(d, []byte(`"version"`), []byte(`"Version":9,"version"`), 1)
	})
	file("invalid UTF-8", func(d []byte) []byte {
		return bytes.Replace(d, []byte(`"_type"`), []byte("\"x\":\"\xff\",\"_type\""), 1)
	})
	large := full() || role == "targets" // they take time
	if large {
		file("huge", func(d []byte) []byte { return append(d, bytes.Repeat([]byte(" "), 6<<20)...) })
	}
	inside := func(what string, value any) {
		out = append(out, spoil{role + ": unknown member " + what, func(r *repository) { r.signed[role]["x-unknown"] = value }})
	}
	deep := any("x")
	for range 50 {
		deep = []any{deep}
	}
	inside("text", "with \" and \\ and \n and é and \u2028")
	inside("number", json.Number("-42"))
	inside("fraction", json.Number("1.5"))
	inside("exponent", json.Number("1e3"))
	inside("large number", json.Number("12345678901234567890"))
	inside("null", nil)
	inside("true", true)
	inside("list", []any{"a", json.Number("1"), object{"b": []any{}}})
	inside("deep", deep)
	if large {
		inside("many values", slices.Repeat([]any{false}, 200_000))
	}
	return out
}

// special are attacks that concern several roles, keys and delegations.
func special() []spoil {
	root := func(r *repository) object { return r.signed["root"] }
	role := func(r *repository, name string) object { return root(r)["roles"].(object)[name].(object) }
	delegation := func(r *repository) object {
		return r.signed["targets"]["delegations"].(object)["roles"].([]any)[0].(object)
	}
	key := func(r *repository, who string) object { return root(r)["keys"].(object)[r.keys[who][0].id].(object) }
	addKey := func(r *repository, who, id string, k any) {
		root(r)["keys"].(object)[id] = k
		role(r, who)["keyids"] = append(role(r, who)["keyids"].([]any), id)
	}
	rename := func(from, to string) func(r *repository) {
		return func(r *repository) {
			delegation(r)["name"] = to
			meta := r.signed["snapshot"]["meta"].(object)
			r.published = func(files map[string][]byte) {
				files["2."+to+".json"] = files["2."+from+".json"]
			}
			meta[to+".json"] = object{"version": json.Number("2")}
		}
	}
	out := []spoil{
		{"nothing", func(*repository) {}},
		{"a target with other bytes", func(r *repository) {
			r.published = func(f map[string][]byte) {
				for n := range maps.Clone(f) {
					if strings.HasPrefix(n, "targets/") {
						f[n] = bytes.Replace(f[n], []byte("a"), []byte("b"), 1)
					}
				}
			}
		}},
		{"a target that is longer", func(r *repository) {
			r.published = func(f map[string][]byte) {
				for n := range maps.Clone(f) {
					if strings.HasPrefix(n, "targets/") {
						f[n] = append(slices.Clone(f[n]), '\n')
					}
				}
			}
		}},
		{"snapshot without hashes", func(r *repository) { r.fixed["timestamp"] = true }},
		{"targets without hashes", func(r *repository) { r.fixed["snapshot"] = true }},
		{"no consistent snapshots", func(r *repository) {
			root(r)["consistent_snapshot"] = false
			r.published = func(f map[string][]byte) {
				f["snapshot.json"], f["targets.json"], f[delegated+".json"] = f["2.snapshot.json"], f["2.targets.json"], f["2."+delegated+".json"]
				f["targets/"+wanted] = r.content
			}
		}},
		{"threshold above the keys", func(r *repository) { role(r, "timestamp")["threshold"] = json.Number("2") }},
		{"a key under two IDs fills the threshold", func(r *repository) {
			addKey(r, "timestamp", "another", maps.Clone(key(r, "timestamp")))
			role(r, "timestamp")["threshold"] = json.Number("2")
			r.signers["timestamp"] = append(slices.Clone(r.keys["timestamp"]), signer{id: "another", key: r.keys["timestamp"][0].key, made: r.keys["timestamp"][0].made})
		}},
		{"a key ID twice in a role", func(r *repository) {
			ids := role(r, "timestamp")["keyids"].([]any)
			role(r, "timestamp")["keyids"] = append(ids, ids[0])
		}},
		{"a key ID twice in a role fills the threshold", func(r *repository) {
			ids := role(r, "timestamp")["keyids"].([]any)
			role(r, "timestamp")["keyids"] = append(ids, ids[0])
			role(r, "timestamp")["threshold"] = json.Number("2")
		}},
		{"a role names a key that is not there", func(r *repository) {
			role(r, "timestamp")["keyids"] = append(role(r, "timestamp")["keyids"].([]any), "nobody")
		}},
		{"a key of an unknown type", func(r *repository) {
			addKey(r, "timestamp", "pq", object{"keytype": "ml-dsa", "scheme": "ml-dsa-65", "keyval": object{"public": "00"}})
		}},
		{"a key of an unknown type without public", func(r *repository) {
			addKey(r, "timestamp", "id", object{"keytype": "sigstore-oidc", "scheme": "Fulcio", "keyval": object{"identity": "a", "issuer": "b"}})
		}},
		{"keytype ecdsa-sha2-nistp256", func(r *repository) { key(r, "targets")["keytype"] = "ecdsa-sha2-nistp256" }},
		{"a point in hexadecimal", func(r *repository) {
			raw, err := r.keys["targets"][0].pub.ToPublicKey()
			if err == nil {
				key(r, "targets")["keyval"] = object{"public": hex.EncodeToString(point(raw))}
			}
		}},
		{"a scheme that does not fit", func(r *repository) { key(r, "targets")["scheme"] = "ed25519" }},
		{"a key of P-384 as P-256", func(r *repository) { key(r, "targets")["scheme"] = "ecdsa-sha2-nistp384" }},
		{"a short Ed25519 key", func(r *repository) { key(r, "timestamp")["keyval"] = object{"public": "00"} }},
		{"an Ed25519 key that is no point", func(r *repository) { key(r, "timestamp")["keyval"] = object{"public": strings.Repeat("02", 32)} }},
		{"a path hash prefix", func(r *repository) {
			delete(delegation(r), "paths")
			delegation(r)["path_hash_prefixes"] = []any{hashOf([]byte(wanted), 5)[:3]}
		}},
		{"a path hash prefix of others", func(r *repository) {
			delete(delegation(r), "paths")
			delegation(r)["path_hash_prefixes"] = []any{"zz"}
		}},
		{"a delegation of the same name as targets", rename(delegated, "targets")},
		{"the delegated role is said to be gone", func(r *repository) { delete(r.signed["snapshot"]["meta"].(object), delegated+".json") }},
		{"a delegation to itself", func(r *repository) {
			r.signed[delegated]["delegations"] = maps.Clone(r.signed["targets"]["delegations"].(object))
			r.signed[delegated]["targets"] = object{}
		}},
		{"the root is replaced by its first", func(r *repository) {
			r.published = func(f map[string][]byte) { f["2.root.json"] = f["1.root.json"] }
		}},
		{"a root is skipped", func(r *repository) {
			r.published = func(f map[string][]byte) { f["3.root.json"] = f["2.root.json"]; delete(f, "2.root.json") }
		}},
		{"the root lacks the new key", func(r *repository) { r.signers["root"] = without(r.keys["root"], r.keys["root"][2].id) }},
		{"the root lacks the old key", func(r *repository) { r.signers["root"] = without(r.keys["root"], r.keys["root"][0].id) }},
		{"no root, expired or not, but the first", func(r *repository) {
			r.published = func(f map[string][]byte) { delete(f, "2.root.json") }
		}},
	}
	for _, n := range []string{"Delegated-2", "registry.npmjs.org", "a b", "a?b", "../up", "a/b", ".hidden", "Root", "", "ü"} {
		out = append(out, spoil{"a delegated role named " + n, rename(delegated, n)})
	}
	for _, p := range []string{"*", "trusted_root.json", "trusted_root.jso?", "*/*", "[t]rusted_root.json", "[", "", "trusted_root.json/", "TRUSTED_ROOT.JSON"} {
		out = append(out, spoil{"a delegation of the path " + p, func(r *repository) { delegation(r)["paths"] = []any{p} }})
	}
	return append(out, keyTypes()...)
}

// keyTypes has the timestamp signed by each kind of key that go-tuf can write.
func keyTypes() (out []spoil) {
	for _, who := range roles {
		out = append(out, spoil{"the timestamp has the key of " + who, func(r *repository) {
			s := r.keys[who][0]
			data, _ := json.Marshal(s.pub)
			var k metadata.Key
			_ = json.Unmarshal(data, &k)
			r.signed["root"]["keys"].(object)[s.id] = object{"keytype": k.Type, "scheme": k.Scheme, "keyval": object{"public": k.Value.PublicKey}}
			r.signed["root"]["roles"].(object)["timestamp"].(object)["keyids"] = []any{s.id}
			r.signers["timestamp"] = []signer{s}
		}})
	}
	return out
}

// anywhere replaces every value of every role, and takes it away.
func anywhere(r *repository) (out []spoil) {
	others := []any{nil, "", "x", json.Number("-1"), json.Number("0"), json.Number("1"), json.Number("1e400"), json.Number("0.5"), true, []any{}, []any{nil}, object{}, object{"x": nil}, "00"}
	for _, role := range roles {
		for _, path := range pathsOf(r.signed[role], nil) {
			where := role + ": " + strings.Join(path, "/")
			out = append(out, spoil{where + " is gone", func(r *repository) { edit(r, role, path, nil, true) }})
			for _, v := range others {
				text, _ := json.Marshal(v)
				out = append(out, spoil{fmt.Sprintf("%s is %s", where, text), func(r *repository) { edit(r, role, path, v, false) }})
			}
		}
	}
	return out
}

func pathsOf(v any, at []string) (out [][]string) {
	if len(at) > 0 {
		out = append(out, at)
	}
	switch v := v.(type) {
	case object:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out = append(out, pathsOf(v[k], append(slices.Clone(at), k))...)
		}
	case []any:
		for i := range v {
			out = append(out, pathsOf(v[i], append(slices.Clone(at), fmt.Sprint(i)))...)
		}
	}
	return out
}

// edit replaces the value at a path or takes it away. The role that is edited is not adapted any more to what it names.
func edit(r *repository, role string, path []string, to any, remove bool) {
	r.fixed[role] = true
	var in any = r.signed[role]
	for _, step := range path[:len(path)-1] {
		switch v := in.(type) {
		case object:
			in = v[step]
		case []any:
			var i int
			fmt.Sscan(step, &i)
			in = v[i]
		}
	}
	last := path[len(path)-1]
	switch v := in.(type) {
	case object:
		if v[last] = to; remove {
			delete(v, last)
		}
	case []any:
		var i int
		fmt.Sscan(last, &i)
		v[i] = to // an element is not taken out of its list, but emptied
	}
}
