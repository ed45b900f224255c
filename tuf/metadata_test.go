package tuf_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/tuf"
)

// The canonical form, as the specification's examples and Python's securesystemslib have it: sorted by bytes, without
// spaces, with two escapes, and with members that nobody knows.
func TestCanonicalForm(t *testing.T) {
	in := `{"signatures":[],"signed":{"version":1,"_type":"targets","expires":"2030-01-01T00:00:00Z","spec_version":"1.0.31","targets":{},` +
		`"é":"\u00e9\u2028\ud83d\ude00","Z":[true,false,-7,{"b":{},"a":[]}],"a\"b\\c":"\"\\\/\n\t\u0007\u007f","x":""}}`
	want := "{\"Z\":[true,false,-7,{\"a\":[],\"b\":{}}],\"_type\":\"targets\",\"a\\\"b\\\\c\":\"\\\"\\\\/\n\t\a\x7f\",\"expires\":\"2030-01-01T00:00:00Z\"," +
		"\"spec_version\":\"1.0.31\",\"targets\":{},\"version\":1,\"x\":\"\",\"é\":\"é\u2028😀\"}"
	d, err := tuf.ParseDocument([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.Payload(); err != nil || string(got) != want {
		t.Errorf("%v, got\n%q, want\n%q", err, got, want)
	}
}

// What cannot be said in canonical JSON, or is larger or deeper than metadata ever is, is refused.
func TestStrictJSON(t *testing.T) {
	file := func(inside string) string {
		return `{"signatures":[],"signed":{"_type":"targets","expires":"2030-01-01T00:00:00Z","spec_version":"1.0.31","targets":{},"version":1` + inside + `}}`
	}
	if _, err := tuf.ParseDocument([]byte(file(`,"x":999999999999999`))); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string][2]string{
		"null":               {file(`,"x":null`), "has null"},
		"fraction":           {file(`,"x":1.0`), "no integer"},
		"exponent":           {file(`,"x":1e2`), "no integer"},
		"16 digits":          {file(`,"x":1000000000000000`), "no integer"},
		"minus zero":         {file(`,"x":-0`), "no integer"},
		"name twice":         {file(`,"version":1`), "duplicate"},
		"name twice, hidden": {file(`,"versio\u006e":1`), "duplicate"},
		"invalid UTF-8":      {file(",\"x\":\"\xff\""), "not valid JSON"},
		"lone surrogate":     {file(`,"x":"\ud800"`), "not valid JSON"},
		"depth":              {file(`,"x":` + strings.Repeat("[", 31) + strings.Repeat("]", 31)), "nested more than 32 deep"},
		"values":             {file(`,"x":[` + strings.Repeat("0,", 100_000) + `0]`), "more than 100000 values"},
		"size":               {file("") + strings.Repeat(" ", 2<<20), "bytes"},
		"trailing":           {file("") + "{}", "something follows"},
		"nothing":            {" \n", "is empty"},
		"a list":             {"[]", "it is no object"},
		"no signatures":      {strings.Replace(file(""), `"signatures":[],`, "", 1), "signatures is missing"},
		"signatures twice":   {strings.Replace(file(""), `[]`, `[{"keyid":"a","sig":""},{"keyid":"a","sig":""}]`, 1), "has a signature already"},
		"signature not hex":  {strings.Replace(file(""), `[]`, `[{"keyid":"a","sig":"zz"}]`, 1), "not hexadecimal"},
		"many signatures":    {strings.Replace(file(""), `[]`, `[`+strings.TrimSuffix(strings.Repeat(`{"keyid":"","sig":""},`, 129), ",")+`]`, 1), "the limit is 128"},
		"version a text":     {strings.Replace(file(""), `"version":1`, `"version":"1"`, 1), "another type"},
		"version 0":          {strings.Replace(file(""), `"version":1`, `"version":0`, 1), "below 1"},
		"specification 2":    {strings.Replace(file(""), `1.0.31`, `2.0.0`, 1), "only 1.x is known"},
		"no specification":   {strings.Replace(file(""), `"spec_version":"1.0.31",`, ``, 1), "spec_version is missing"},
		"expiry a date":      {strings.Replace(file(""), `T00:00:00Z`, ``, 1), "not a time"},
		"expiry twice said":  {strings.Replace(file(""), `00Z`, `00.50Z`, 1), "not a time"},
		"another role":       {strings.Replace(file(""), `"targets",`, `"mirrors",`, 1), "none of the four roles"},
		"upper-case hash":    {strings.Replace(file(""), `{},`, `{"a":{"length":1,"hashes":{"sha256":"AB"}}},`, 1), "lower-case"},
		"no hash":            {strings.Replace(file(""), `{},`, `{"a":{"length":1,"hashes":{}}},`, 1), "hashes is empty"},
		"length below 0":     {strings.Replace(file(""), `{},`, `{"a":{"length":-1,"hashes":{"sha256":"ab"}}},`, 1), "below 0"},
	} {
		if _, err := tuf.ParseDocument([]byte(tt[0])); err == nil || !strings.Contains(err.Error(), tt[1]) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt[1])
		}
	}
}

// keyed is a root in which a role has keys as they are given, signed by the repository's root keys.
func (r *repository) keyed(role string, threshold int, ids []string, keys map[string]any) {
	r.t.Helper()
	d, err := tuf.NewRoot(r.rootSpec(r.root.Version() + 1))
	if err != nil {
		r.t.Fatal(err)
	}
	data, err := d.Encode()
	if err != nil {
		r.t.Fatal(err)
	}
	var doc struct {
		Signatures []any `json:"signatures"`
		Signed     struct {
			Type       string         `json:"_type"`
			Spec       string         `json:"spec_version"`
			Version    int64          `json:"version"`
			Expires    string         `json:"expires"`
			Consistent bool           `json:"consistent_snapshot"`
			Keys       map[string]any `json:"keys"`
			Roles      map[string]any `json:"roles"`
		} `json:"signed"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		r.t.Fatal(err)
	}
	for id, k := range keys {
		doc.Signed.Keys[id] = k
	}
	doc.Signed.Roles[role] = map[string]any{"keyids": ids, "threshold": threshold}
	r.root = r.sign(r.reparse(doc), r.keys["root"])
	r.store(r.root)
}

func written(kind, scheme, public string) map[string]any {
	return map[string]any{"keytype": kind, "scheme": scheme, "keyval": map[string]any{"public": public}}
}

func asPEM(t *testing.T, pub crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// stamped publishes a timestamp with signatures as they are given, by key ID.
func (r *repository) stamped(sign map[string]func(payload []byte) []byte) {
	r.t.Helper()
	d, err := tuf.NewTimestamp(next(r.timestamp), r.expires("timestamp"), r.snapshot)
	if err != nil {
		r.t.Fatal(err)
	}
	payload, err := d.Payload()
	if err != nil {
		r.t.Fatal(err)
	}
	var sigs []any
	for id, f := range sign {
		sigs = append(sigs, map[string]any{"keyid": id, "sig": hexOf(f(payload))})
	}
	data, err := json.Marshal(map[string]any{"signatures": sigs, "signed": json.RawMessage(payload)})
	if err != nil {
		r.t.Fatal(err)
	}
	r.put("timestamp.json", data)
}

// Every form in which a key may be written, and those in which it may not.
func TestKeyForms(t *testing.T) {
	curve := func(c elliptic.Curve) *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	p256, p384 := curve(elliptic.P256()), curve(elliptic.P384())
	point := func(k *ecdsa.PrivateKey) string {
		raw, err := k.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return hexOf(raw)
	}
	pss, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ed := edKey(t)
	signers := map[string]func([]byte) []byte{
		"p256": func(p []byte) []byte {
			d := sha256.Sum256(p)
			s, _ := ecdsa.SignASN1(rand.Reader, p256, d[:])
			return s
		},
		"p384": func(p []byte) []byte {
			d := sha512.Sum384(p)
			s, _ := ecdsa.SignASN1(rand.Reader, p384, d[:])
			return s
		},
		"rsa": func(p []byte) []byte {
			d := sha256.Sum256(p)
			s, _ := rsa.SignPSS(rand.Reader, pss, crypto.SHA256, d[:], nil)
			return s
		},
		"pkcs1": func(p []byte) []byte {
			d := sha256.Sum256(p)
			s, _ := rsa.SignPKCS1v15(rand.Reader, pss, crypto.SHA256, d[:])
			return s
		},
		"ed": func(p []byte) []byte { s, _ := ed.Sign(rand.Reader, p, crypto.Hash(0)); return s },
	}
	edHex := hexOf(ed.Public().(ed25519.PublicKey))
	for _, tt := range []struct {
		kind, scheme, public, by, words string
	}{
		{"ecdsa", "ecdsa-sha2-nistp256", asPEM(t, p256.Public()), "p256", ""},
		{"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", asPEM(t, p256.Public()), "p256", ""},
		{"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", point(p256), "p256", ""},
		{"ecdsa", "ecdsa-sha2-nistp384", asPEM(t, p384.Public()), "p384", ""},
		{"ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384", point(p384), "p384", ""},
		{"ed25519", "ed25519", edHex, "ed", ""},
		{"rsa", "rsassa-pss-sha256", asPEM(t, pss.Public()), "rsa", ""},

		{"rsa", "rsassa-pss-sha256", asPEM(t, pss.Public()), "pkcs1", "not signed as demanded"},
		{"ecdsa", "ecdsa-sha2-nistp256", asPEM(t, p384.Public()), "p384", "P-256"},
		{"ecdsa", "ecdsa-sha2-nistp384", asPEM(t, p256.Public()), "p256", "P-384"},
		{"ecdsa", "ecdsa-sha2-nistp256", asPEM(t, pss.Public()), "rsa", "ECDSA"},
		{"ecdsa", "ecdsa-sha2-nistp256", point(p256)[:128], "p256", "key"},
		{"ecdsa", "ecdsa-sha2-nistp256", "04" + strings.Repeat("11", 64), "p256", "key"},
		{"ecdsa", "ecdsa-sha2-nistp256", "", "p256", "key"},
		{"ed25519", "ed25519", edHex[2:], "ed", "32 bytes"},
		{"ed25519", "ed25519", strings.Repeat("02", 32), "ed", "not a point"},
		{"ed25519", "ed25519", asPEM(t, ed.Public()), "ed", "32 bytes"},
		{"ed25519", "ecdsa-sha2-nistp256", edHex, "ed", "not signed as demanded"}, // a scheme of another type is an unknown one
		{"ed448", "ed448", edHex, "ed", "not signed as demanded"},
	} {
		t.Run(fmt.Sprint(tt.kind, " ", tt.scheme, " ", tt.words), func(t *testing.T) {
			r := newRepository(t)
			r.keyed("timestamp", 1, []string{"k"}, map[string]any{"k": written(tt.kind, tt.scheme, tt.public)})
			r.stamped(map[string]func([]byte) []byte{"k": signers[tt.by]})
			if tt.words != "" {
				refused(t, r.client(), tt.words)
				return
			}
			refresh(t, r.client())
			r.stamped(map[string]func([]byte) []byte{"k": func(p []byte) []byte { return signers[tt.by](append(p, ' ')) }})
			refused(t, r.client(), "not signed as demanded")
		})
	}
}

// A key counts once, however often and under however many names it signs; one of an unknown type counts for nothing and
// does no harm.
func TestThreshold(t *testing.T) {
	a, b := edKey(t), edKey(t)
	by := func(k crypto.Signer) func([]byte) []byte {
		return func(p []byte) []byte { s, _ := k.Sign(rand.Reader, p, crypto.Hash(0)); return s }
	}
	hexKey := func(k crypto.Signer) map[string]any {
		return written("ed25519", "ed25519", hexOf(k.Public().(ed25519.PublicKey)))
	}
	unknown := map[string]any{"keytype": "sigstore-oidc", "scheme": "Fulcio", "keyval": map[string]any{"identity": "x", "issuer": "y"}}
	type signed = map[string]func([]byte) []byte
	for _, tt := range []struct {
		name, words string
		threshold   int
		ids         []string
		keys        map[string]any
		sigs        signed
	}{
		{"two of two", "", 2, []string{"a", "b"}, map[string]any{"a": hexKey(a), "b": hexKey(b)}, signed{"a": by(a), "b": by(b)}},
		{"one of two", "not signed as demanded", 2, []string{"a", "b"}, map[string]any{"a": hexKey(a), "b": hexKey(b)}, signed{"a": by(a)}},
		{"one key under two IDs", "not signed as demanded", 2, []string{"a", "b"}, map[string]any{"a": hexKey(a), "b": hexKey(a)}, signed{"a": by(a), "b": by(a)}},
		{"one key, whose ID is listed twice", "not signed as demanded", 2, []string{"a", "a"}, map[string]any{"a": hexKey(a)}, signed{"a": by(a)}},
		{"signatures exchanged", "not signed as demanded", 1, []string{"a", "b"}, map[string]any{"a": hexKey(a), "b": hexKey(b)}, signed{"a": by(b), "b": by(a)}},
		{"a key of the root, but of no role", "not signed as demanded", 1, []string{"a"}, map[string]any{"a": hexKey(a), "b": hexKey(b)}, signed{"b": by(b)}},
		{"an unknown key besides", "", 1, []string{"x", "a"}, map[string]any{"a": hexKey(a), "x": unknown}, signed{"a": by(a), "x": by(b)}},
		{"an unknown key does not count", "not signed as demanded", 2, []string{"x", "a"}, map[string]any{"a": hexKey(a), "x": unknown}, signed{"a": by(a), "x": by(b)}},
		{"a key that is not there", "is not listed", 1, []string{"a", "z"}, map[string]any{"a": hexKey(a)}, signed{"a": by(a)}},
		{"no keys", "not signed as demanded", 1, []string{}, nil, signed{"a": by(a)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRepository(t)
			r.keyed("timestamp", tt.threshold, tt.ids, tt.keys)
			r.stamped(tt.sigs)
			if tt.words == "" {
				refresh(t, r.client())
			} else {
				refused(t, r.client(), tt.words)
			}
		})
	}
}

// After the snapshot's key was stolen and versions driven up, a root with a new key lets clients start over (5.3.11), also
// those whose refresh ended at that root.
func TestFastForwardRecoveryOfTheSnapshot(t *testing.T) {
	r := newRepository(t)
	home := t.TempDir()
	c := r.client(inHome(home))
	before := r.snapshot
	d, err := tuf.NewSnapshot(1_000_000, r.expires("snapshot"), r.targets)
	if err != nil {
		t.Fatal(err)
	}
	r.snapshot = r.sign(d, r.keys["snapshot"])
	r.store(r.snapshot)
	r.restamp()
	refresh(t, c)
	r.snapshot = before
	r.resnapshot()
	refused(t, c, "rollback")
	r.rotateRoot(func() { r.keys["snapshot"] = []crypto.Signer{edKey(t)} })
	timestamp := r.get("timestamp.json")
	r.put("timestamp.json", nil)
	refused(t, c, "does not have it") // only the root is taken
	r.put("timestamp.json", timestamp)
	r.resnapshot()
	if got := refresh(t, c); got.Version("snapshot") != 3 || got.Version("root") != 2 {
		t.Errorf("versions %+v", got.Roles)
	}
	if got := refresh(t, r.client(fromHome(home))); got.Version("snapshot") != 3 {
		t.Errorf("versions %+v", got.Roles)
	}
}

// While its key stays nothing of that is forgotten, whatever else of the root changes.
func TestRotationElsewhereForgetsNothing(t *testing.T) {
	r := newRepository(t)
	c := r.client()
	old := r.copyFiles()
	r.publish(publicTargets(t)...)
	refresh(t, c)
	r.rotateRoot(func() { r.keys["root"], r.keys["targets"] = []crypto.Signer{edKey(t)}, []crypto.Signer{edKey(t)} })
	root := r.get("2.root.json")
	r.restore(old)
	r.put("2.root.json", root)
	refused(t, c, "rollback")
}

// A kept snapshot serves only if it is the one that the timestamp names, hash and all.
func TestKeptSnapshotIsTheNamedOne(t *testing.T) {
	r := newRepository(t)
	home := t.TempDir()
	refresh(t, r.client(inHome(home)))
	d, err := tuf.NewSnapshot(1, r.expires("snapshot").Add(time.Hour), r.targets)
	if err != nil {
		t.Fatal(err)
	}
	other, err := r.sign(d, r.keys["snapshot"]).Encode()
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, r.place(home)+"/snapshot.json", other)
	if _, err := r.client(fromHome(home)).Cached(); err == nil || !strings.Contains(err.Error(), "snapshot.json: not the announced content") {
		t.Errorf("error %v", err)
	}
	if asked := r.asked(); len(asked) == 0 {
		t.Error("nothing was asked for")
	}
	refresh(t, r.client(fromHome(home)))
	if got := readFile(t, r.place(home)+"/snapshot.json"); !bytes.Equal(got, r.get("1.snapshot.json")) {
		t.Error("it was not replaced")
	}
}

// Metadata of another role is refused where a role is wanted, even if it is signed by that other role as it must be, and
// neither length nor hash speaks against it.
func TestAnotherRolesMetadata(t *testing.T) {
	r := newRepository(t)
	r.names(map[string]any{"targets.json": map[string]any{"version": 1}})
	targets := r.get("1.targets.json")
	r.put("1.targets.json", r.get("1.snapshot.json"))
	refused(t, r.client(), "targets.json is of the role snapshot, not targets")
	r.put("1.targets.json", targets)
	refresh(t, r.client())
	r.put("timestamp.json", r.get("1.snapshot.json"))
	refused(t, r.client(), "timestamp.json is of the role snapshot, not timestamp")
	r.restamp()
	r.put("2.root.json", targets)
	refused(t, r.client(), "2.root.json is of the role targets, not root")
}

// Sigstore's roots of all times can be read, and what they hold.
func TestPublicRootsHaveKeys(t *testing.T) {
	for v := 1; v <= 15; v++ {
		d, err := tuf.ParseDocument(testenv.ReadVector(t, "tuf", "root-signing", "metadata", "root_history", fmt.Sprint(v, ".root.json")))
		if err != nil {
			t.Fatal(err)
		}
		spec, err := d.RootSpec()
		if err != nil || len(spec.Root.Keys) != 5 || spec.Root.Threshold != 3 || spec.Version != int64(v) {
			t.Errorf("root %d: %v, %d keys, threshold %d", v, err, len(spec.Root.Keys), spec.Root.Threshold)
		}
	}
}
