package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/verify"
)

// splicer verifies evidence made of two pieces through the program.
type splicer struct {
	dir      string
	world    *world.World
	refused  int
	accepted map[string]int // by field
}

func newSplicer(t *testing.T) *splicer {
	s := &splicer{dir: t.TempDir(), world: world.New(t), accepted: map[string]int{}}
	s.put(t, "root.json", s.world.RootJSON(t))
	return s
}

func (s *splicer) put(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	putFile(t, path, data)
	return path
}

// piece is one side of a splice: complete evidence that verifies with args.
type piece struct {
	spec     world.Spec
	bundle   *bundle.Bundle
	artifact string
	args     []string // the program's, without evidence and artifact
}

// make makes evidence; number tells the sides apart.
func (s *splicer) make(t *testing.T, spec world.Spec, number int) piece {
	t.Helper()
	spec.Artifact = fmt.Appendf(nil, "artifact %d", number)
	spec.Time = world.SigningTime.Add(time.Duration(number) * time.Second)
	spec.Leaf.SANs = []identity.SAN{{Kind: identity.Email, Value: fmt.Sprintf("signer%d@bulla.test", number)}}
	b, _, pub := s.world.Bundle(t, spec)
	if b.Version == bundle.V03 && number > 1 {
		b.MediaType = "application/vnd.dev.sigstore.bundle+json;version=0.3"
	}
	p := piece{spec: spec, bundle: b, artifact: s.put(t, fmt.Sprintf("artifact%d", number), spec.Artifact)}
	command := []string{"bulla", "verify-blob"}
	if spec.Content == world.Statement {
		command = []string{"bulla", "verify-blob-attestation", "--type", world.PredicateType}
	}
	p.args = append(command, "-o", "json", "--trusted-root", filepath.Join(s.dir, "root.json"))
	p.args = append(p.args, demands(spec, number, s.put(t, fmt.Sprintf("%d.pub", number), mintPEM(t, pub)))...)
	return p
}

// demands are the flags that say who must have signed and what must vouch for it.
func demands(spec world.Spec, number int, pub string) []string {
	args := []string{"--key", pub}
	if spec.Signer == world.Cert {
		args = []string{"--certificate-identity", fmt.Sprintf("signer%d@bulla.test", number), "--certificate-oidc-issuer", "https://issuer.bulla.test"}
	}
	if spec.Log == world.NoLog {
		args = append(args, "--log=none")
	}
	if spec.Timestamp {
		args = append(args, "--use-signed-timestamps")
	}
	return args
}

// report runs the program on a bundle and returns the report, nil when there is none.
func (s *splicer) report(t *testing.T, p piece, data []byte) (outcome, *verify.Report) {
	t.Helper()
	o := program(nil, append(slices.Clone(p.args), "--bundle", s.put(t, "spliced.json", data), p.artifact)...)
	if trace.MatchString(o.err) {
		t.Errorf("a trace of the program's inside: %s", o.err)
	}
	if o.out == "" {
		return o, nil
	}
	var r verify.Report
	if err := json.Unmarshal([]byte(o.out), &r); err != nil {
		t.Fatalf("no report: %v\n%s", err, o.out)
	}
	return o, &r
}

// harmless are the places of a bundle that no signature covers, and when they may differ. The library's own splice test
// says why, field by field, and holds the reports against each other.
var harmless = map[string]func(p piece) bool{
	"mediaType":                           always,
	"messageSignature.messageDigest":      always, // without it; what was signed is the artifact
	"verificationMaterial.publicKey":      always,
	"verificationMaterial.publicKey.hint": always,
	// Of a key without log and timestamp there is only the hint.
	"verificationMaterial": func(p piece) bool {
		return p.spec.Signer == world.Key && p.spec.Log == world.NoLog && !p.spec.Timestamp
	},
	// Without it the inclusion proof suffices for the log, and somebody else says when.
	"verificationMaterial.tlogEntries[].inclusionPromise": func(p piece) bool {
		return p.spec.Log == world.LogV1 && (p.spec.Signer == world.Key || p.spec.Timestamp)
	},
}

func always(piece) bool { return true }

// TestSpliceBundles swaps every place of a bundle's JSON, leaf or subtree, for that of another valid bundle, and leaves it
// out; the program must refuse what comes of it.
func TestSpliceBundles(t *testing.T) {
	testenv.Unwatched(t)
	s := newSplicer(t)
	for _, signer := range []world.Signer{world.Key, world.Cert} {
		for _, content := range []world.Content{world.Blob, world.Statement} {
			for _, log := range []world.Logged{world.NoLog, world.LogV1SET, world.LogV1, world.LogV2} {
				for _, stamped := range []bool{false, true} {
					spec := world.Spec{Signer: signer, Content: content, Log: log, Timestamp: stamped}
					if signer == world.Cert && !spec.HasTime() {
						continue
					}
					t.Run(spec.Name(), func(t *testing.T) {
						a, b := s.make(t, spec, 1), s.make(t, spec, 2)
						s.splice(t, a, encoded(t, a.bundle), encoded(t, b.bundle), harmless)
					})
				}
			}
		}
	}
	if s.refused < 1000 {
		t.Errorf("only %d splices were refused: they were not tried", s.refused)
	}
	for field := range harmless {
		if s.accepted[field] == 0 {
			t.Errorf("nothing needs the exception for %s", field)
		}
	}
	t.Logf("%d splices refused, accepted: %v", s.refused, s.accepted)
}

// TestSpliceCosignBundles does the same with cosign's own bundles, which have no place that may differ.
func TestSpliceCosignBundles(t *testing.T) {
	testenv.Unwatched(t)
	s := newSplicer(t)
	for _, signer := range []world.Signer{world.Key, world.Cert} {
		for _, content := range []world.Content{world.Blob, world.Statement} {
			spec := world.Spec{Signer: signer, Content: content, Log: world.LogV1SET, Version: bundle.Cosign}
			t.Run(spec.Name(), func(t *testing.T) {
				a, b := s.make(t, spec, 1), s.make(t, spec, 2)
				one, err1 := a.bundle.CosignBlob()
				two, err2 := b.bundle.CosignBlob()
				if err1 != nil || err2 != nil {
					t.Fatal(err1, err2)
				}
				s.splice(t, a, one, two, nil)
			})
		}
	}
	if s.refused < 40 {
		t.Errorf("only %d splices were refused", s.refused)
	}
}

func encoded(t *testing.T, b *bundle.Bundle) []byte {
	t.Helper()
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var indices = regexp.MustCompile(`\[\d+\]`)

func (s *splicer) splice(t *testing.T, a piece, one, two []byte, allowed map[string]func(piece) bool) {
	t.Helper()
	o, before := s.report(t, a, one)
	if o.status != 0 {
		t.Fatalf("the original is refused: %s", o.err)
	}
	other := jsonTree(t, two)
	for _, path := range jsonPaths(jsonTree(t, one), "") {
		for _, remove := range []bool{false, true} {
			doc := jsonTree(t, one)
			value, found := jsonAt(other, path)
			if !remove && !found || !jsonChange(doc, path, value, remove) {
				continue
			}
			data, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			if sameJSON(t, data, one) || sameJSON(t, data, two) {
				continue
			}
			o, after := s.report(t, a, data)
			if o.status != 0 {
				s.refused++
				if o.status != cli.ExitFailure && o.status != cli.ExitInput || o.err == "" {
					t.Errorf("%s (removed: %v): status %d, %s", path, remove, o.status, o.err)
				}
				continue
			}
			field := indices.ReplaceAllString(path, "[]")
			if ok := allowed[field]; ok == nil || !ok(a) {
				t.Errorf("%s (removed: %v) was accepted", path, remove)
				continue
			}
			s.accepted[field]++
			if after.Digest != before.Digest || !slices.Equal(after.Principals, before.Principals) ||
				!bytes.Equal(after.Candidates[0].Payload, before.Candidates[0].Payload) {
				t.Errorf("%s (removed: %v) was accepted as something else", path, remove)
			}
		}
	}
}

func jsonTree(t *testing.T, data []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func sameJSON(t *testing.T, a, b []byte) bool {
	x, err1 := json.Marshal(jsonTree(t, a))
	y, err2 := json.Marshal(jsonTree(t, b))
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

// paths lists every place below v: "a", "a.b", "a.c[0]".
func jsonPaths(v any, at string) []string {
	var out []string
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			path := strings.TrimPrefix(at+"."+name, ".")
			out = append(append(out, path), jsonPaths(v[name], path)...)
		}
	case []any:
		for i := range v {
			path := fmt.Sprintf("%s[%d]", at, i)
			out = append(append(out, path), jsonPaths(v[i], path)...)
		}
	}
	return out
}

// steps splits a path.
func jsonSteps(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}

func jsonAt(v any, path string) (any, bool) {
	for _, step := range jsonSteps(path) {
		switch node := v.(type) {
		case map[string]any:
			next, ok := node[step]
			if !ok {
				return nil, false
			}
			v = next
		case []any:
			var i int
			if _, err := fmt.Sscan(step, &i); err != nil || i >= len(node) {
				return nil, false
			}
			v = node[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// change sets or removes what is at path; false says that it cannot.
func jsonChange(doc any, path string, value any, remove bool) bool {
	all := jsonSteps(path)
	last := all[len(all)-1]
	parent, ok := jsonAt(doc, strings.Join(all[:len(all)-1], "."))
	if !ok {
		return false
	}
	switch node := parent.(type) {
	case map[string]any:
		if remove {
			delete(node, last)
		} else {
			node[last] = value
		}
		return true
	case []any:
		var i int
		if _, err := fmt.Sscan(last, &i); err != nil || remove {
			return false
		}
		node[i] = value
		return true
	}
	return false
}

// TestSpliceDetached mixes the files of two detached signatures.
func TestSpliceDetached(t *testing.T) {
	testenv.Unwatched(t)
	s := newSplicer(t)
	spec := world.Spec{Signer: world.Cert, Timestamp: true, Version: bundle.Cosign}
	sides := []piece{s.make(t, spec, 1), s.make(t, spec, 2)}
	var files [2]map[string]string
	for i, p := range sides {
		files[i] = map[string]string{}
		for suffix, data := range forms(t, p.bundle, nil) {
			files[i][suffix] = s.put(t, fmt.Sprintf("d%d%s", i, suffix), data)
		}
	}
	for mix := range 8 {
		args := append(slices.Clone(sides[0].args), "--signature", files[mix&1][".signature"],
			"--certificate", files[mix>>1&1][".crt"], "--rfc3161-timestamp", files[mix>>2&1][".tsr"], sides[0].artifact)
		o := program(nil, args...)
		if want := map[bool]int{true: 0, false: cli.ExitFailure}[mix == 0]; o.status != want {
			t.Errorf("mix %03b: status %d, want %d: %s", mix, o.status, want, o.err)
		}
	}
}

// TestSpliceLayers mixes the payload and the annotations of two layers below the older tags of images.
func TestSpliceLayers(t *testing.T) {
	testenv.Unwatched(t)
	s := newSplicer(t)
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	for _, signer := range []world.Signer{world.Key, world.Cert} {
		for _, content := range []world.Content{world.SimpleSigning, world.Statement} {
			spec := world.Spec{Signer: signer, Content: content, Log: world.LogV1SET, Timestamp: true, Version: bundle.Cosign}
			t.Run(spec.Name(), func(t *testing.T) { s.layers(t, reg, spec) })
		}
	}
}

// tagged is one layer of cosign's older tags.
type tagged struct {
	payload     []byte
	mediaType   string
	annotations map[string]string
}

func (s *splicer) layers(t *testing.T, reg *testenv.Registry, spec world.Spec) {
	var sides [2]tagged
	var image string
	var args []string
	for i := range sides {
		name := reg.PushImage(t, fmt.Sprintf("app:v%d", i))
		_, digest, _ := strings.Cut(name, "@")
		spec.Artifact = reg.ReadManifest("app", digest)
		spec.Time = world.SigningTime.Add(time.Duration(i) * time.Second)
		spec.Leaf.SANs = []identity.SAN{{Kind: identity.Email, Value: fmt.Sprintf("signer%d@bulla.test", i)}}
		b, _, pub := s.world.Bundle(t, spec)
		payload, mediaType, annotations, err := b.Layer()
		if err != nil {
			t.Fatal(err)
		}
		sides[i] = tagged{payload, mediaType, annotations}
		if i == 0 {
			image = name
			args = append([]string{"--trusted-root", filepath.Join(s.dir, "root.json")}, demands(spec, 0, s.put(t, "image.pub", mintPEM(t, pub)))...)
		}
	}
	command, suffix := []string{"bulla", "verify"}, "sig"
	if spec.Content == world.Statement {
		command, suffix = []string{"bulla", "verify-attestation", "--type", world.PredicateType}, "att"
	}
	check := func(what string, l tagged, want ...int) {
		t.Helper()
		tagLayer(t, reg, image, suffix, l)
		o := program(nil, slices.Concat(command, args, []string{image})...)
		if !slices.Contains(want, o.status) || trace.MatchString(o.err) {
			t.Errorf("%s: status %d, want %v: %s", what, o.status, want, o.err)
		}
	}
	check("the original", sides[0], 0)
	check("the other", sides[1], cli.ExitNoMatching)
	mixed := sides[0]
	mixed.payload = sides[1].payload
	check("the other's payload", mixed, cli.ExitNoMatching)
	for name := range sides[0].annotations {
		if sides[0].annotations[name] == sides[1].annotations[name] {
			continue
		}
		mixed := tagged{sides[0].payload, sides[0].mediaType, maps.Clone(sides[0].annotations)}
		mixed.annotations[name] = sides[1].annotations[name]
		check("the other's "+name, mixed, cli.ExitNoMatching)
		delete(mixed.annotations, name)
		check("without "+name, mixed, cli.ExitNoMatching, cli.ExitNoCertificate)
	}
}

// tagLayer makes a layer the only one below an older tag of an image.
func tagLayer(t *testing.T, reg *testenv.Registry, image, suffix string, l tagged) {
	t.Helper()
	_, digest, _ := strings.Cut(image, "@sha256:")
	descriptor := reg.PushBlob(t, "app", l.mediaType, l.payload)
	descriptor["annotations"] = l.annotations
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": reg.PushBlob(t, "app", "application/vnd.oci.image.config.v1+json", []byte("{}")), "layers": []any{descriptor},
	})
	if err != nil {
		t.Fatal(err)
	}
	reg.PushManifest(t, "app", "sha256-"+digest+"."+suffix, "application/vnd.oci.image.manifest.v1+json", manifest)
}
