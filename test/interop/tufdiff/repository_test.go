package tufdiff

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/bulla-sign/bulla/internal/testenv"
)

const (
	delegated = "delegated"
	wanted    = "trusted_root.json"
)

// roles in the order in which each names the one before it.
var roles = []string{"root", delegated, "targets", "snapshot", "timestamp"}

// signer is a key with the ID that its signatures state.
type signer struct {
	id  string
	key crypto.Signer
	pub *metadata.Key
	// made are signatures by payload: what is signed again stays the same, byte by byte.
	made map[string][]byte
}

type keyring map[string][]signer

func newSigner(t testing.TB, key crypto.Signer) signer {
	t.Helper()
	pub, err := metadata.KeyFromPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	id, err := pub.ID()
	if err != nil {
		t.Fatal(err)
	}
	return signer{id, key, pub, make(map[string][]byte)}
}

func newKeyring(t testing.TB) keyring {
	t.Helper()
	ed := func() signer {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return newSigner(t, k)
	}
	ec := func(curve elliptic.Curve) signer {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return newSigner(t, k)
	}
	pss, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return keyring{
		"root": {ed(), ec(elliptic.P256()), ed()}, "targets": {ec(elliptic.P256())}, "snapshot": {ed(), ed()},
		"timestamp": {ed()}, delegated: {newSigner(t, pss)}, "stranger": {ed()},
	}
}

func (s signer) sign(payload []byte) []byte {
	if sig := s.made[string(payload)]; sig != nil {
		return sig
	}
	digest := sha256.Sum256(payload)
	var sig []byte
	var err error
	switch k := s.key.(type) {
	case ed25519.PrivateKey:
		sig = ed25519.Sign(k, payload)
	case *rsa.PrivateKey:
		sig, err = rsa.SignPSS(rand.Reader, k, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	default:
		sig, err = k.Sign(rand.Reader, digest[:], crypto.SHA256)
	}
	if err != nil {
		panic(err)
	}
	s.made[string(payload)] = sig
	return sig
}

type object = map[string]any

// repository is the metadata of one publication as trees that can be spoiled, and what is done after signing.
type repository struct {
	keys    keyring
	signed  map[string]object
	signers map[string][]signer
	// envelope changes what was signed, file its bytes, unless nil. fixed roles are not adapted to the roles they name.
	envelope map[string]func(object)
	file     map[string]func([]byte) []byte
	fixed    map[string]bool
	content  []byte // of trusted_root.json
	// published is what else is done to the files.
	published func(files map[string][]byte)
}

// newRepository makes a publication of a version with go-tuf's API. The root of version 2 replaces a key of version 1.
func newRepository(t testing.TB, keys keyring, version int64, now time.Time) *repository {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	expires := now.Add(24 * time.Hour).UTC().Truncate(time.Second)
	r := &repository{
		keys: keys, signed: map[string]object{}, signers: maps.Clone(keys), envelope: map[string]func(object){},
		file: map[string]func([]byte) []byte{}, fixed: map[string]bool{},
		content: append(testenv.ReadVector(t, "tuf", "root-signing", "targets", wanted), strings.Repeat("\n", int(version))...),
	}
	root := metadata.Root(expires)
	root.Signed.Version = version
	rootKeys := keys["root"][:2]
	if version > 1 {
		rootKeys = keys["root"][1:]
	}
	for _, k := range rootKeys {
		must(root.Signed.AddKey(k.pub, "root"))
	}
	for _, role := range []string{"targets", "snapshot", "timestamp"} {
		for _, k := range keys[role] {
			must(root.Signed.AddKey(k.pub, role))
		}
	}
	root.Signed.Roles["root"].Threshold, root.Signed.Roles["snapshot"].Threshold = 2, 2
	info, err := metadata.TargetFile().FromBytes(wanted, r.content, "sha256", "sha512")
	must(err)
	inner := metadata.Targets(expires)
	inner.Signed.Version = version
	inner.Signed.Targets[wanted] = info
	targets := metadata.Targets(expires)
	targets.Signed.Version = version
	targets.Signed.Targets["other.json"] = info
	targets.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}, Roles: []metadata.DelegatedRole{
		{Name: delegated, KeyIDs: []string{}, Threshold: 1, Paths: []string{"trusted_*.json"}, Terminating: true},
	}}
	must(targets.Signed.AddKey(keys[delegated][0].pub, delegated))
	snapshot := metadata.Snapshot(expires)
	snapshot.Signed.Version = version
	snapshot.Signed.Meta["targets.json"], snapshot.Signed.Meta[delegated+".json"] = metadata.MetaFile(version), metadata.MetaFile(version)
	timestamp := metadata.Timestamp(expires)
	timestamp.Signed.Version = version
	timestamp.Signed.Meta["snapshot.json"] = metadata.MetaFile(version)
	for role, m := range map[string]any{"root": root.Signed, delegated: inner.Signed, "targets": targets.Signed, "snapshot": snapshot.Signed, "timestamp": timestamp.Signed} {
		data, err := json.Marshal(m)
		must(err)
		r.signed[role] = decode(t, data)
	}
	return r
}

func decode(t testing.TB, data []byte) object {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var out object
	if err := dec.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// publish signs everything, each role after those that it names, and returns the files.
func (r *repository) publish() map[string][]byte {
	files := make(map[string][]byte)
	for _, role := range roles {
		data := r.encode(role)
		files[name(role, r.signed[role]["version"])] = data
		r.announce(role, data)
	}
	for _, sum := range []string{fmt.Sprintf("%x", sha256.Sum256(r.content)), hashOf(r.content, crypto.SHA512)} {
		files["targets/"+sum+"."+wanted] = r.content
	}
	if r.published != nil {
		r.published(files)
	}
	return files
}

func hashOf(data []byte, h crypto.Hash) string {
	sum := h.New()
	sum.Write(data)
	return hex.EncodeToString(sum.Sum(nil))
}

func name(role string, version any) string {
	if role == "timestamp" {
		return "timestamp.json"
	}
	return fmt.Sprintf("%v.%s.json", version, role)
}

// encode signs a role's tree and wraps it.
func (r *repository) encode(role string) []byte {
	tree := r.signed[role]
	payload, err := cjson.EncodeCanonical(tree)
	if err != nil { // there is no canonical form of it; nobody can agree what is signed
		payload, _ = json.Marshal(tree)
	}
	var signatures []any
	for _, s := range r.signers[role] {
		signatures = append(signatures, object{"keyid": s.id, "sig": hex.EncodeToString(s.sign(payload))})
	}
	env := object{"signed": tree, "signatures": signatures}
	if change := r.envelope[role]; change != nil {
		change(env)
	}
	data, err := json.Marshal(env)
	if err != nil {
		panic(err)
	}
	if change := r.file[role]; change != nil {
		data = change(data)
	}
	return data
}

// announce writes length, hashes and version of a file into the role that names it.
func (r *repository) announce(role string, data []byte) {
	by := map[string]string{delegated: "snapshot", "targets": "snapshot", "snapshot": "timestamp"}[role]
	if by == "" || r.fixed[by] {
		return
	}
	meta, ok := r.signed[by]["meta"].(object)
	if !ok {
		return
	}
	entry, ok := meta[role+".json"].(object)
	if !ok {
		return
	}
	entry["length"], entry["hashes"] = json.Number(fmt.Sprint(len(data))), object{"sha256": hashOf(data, crypto.SHA256)}
	if _, odd := r.signed[role]["version"].(json.Number); odd {
		entry["version"] = r.signed[role]["version"]
	}
}

// without returns signers without those of an ID.
func without(all []signer, id string) []signer {
	return slices.DeleteFunc(slices.Clone(all), func(s signer) bool { return s.id == id })
}
