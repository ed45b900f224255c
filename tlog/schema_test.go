package tlog

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/protojson"
	"github.com/bulla-sign/bulla/internal/testenv"
)

// schema is what these tests need of Rekor's JSON schemas.
type schema struct {
	Properties map[string]*schema
	Items      *schema
	WriteOnly  bool
}

// logged lists the properties that a log stores: those that only clients write are left out.
func (s *schema) logged(path ...string) []string {
	for _, p := range path {
		if s = s.Properties[p]; s.Items != nil {
			s = s.Items
		}
	}
	var names []string
	for name, p := range s.Properties {
		if !p.WriteOnly {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func names[T any](fields []protojson.Field[T]) []string {
	var out []string
	for _, f := range fields {
		out = append(out, f.Name)
	}
	slices.Sort(out)
	return out
}

func TestFieldsOfSchemas(t *testing.T) {
	read := func(kind, version string) *schema {
		var s schema
		name := kind + "_v" + strings.ReplaceAll(version, ".", "_") + "_schema.json"
		if err := json.Unmarshal(testenv.ReadVector(t, "rekor", "pkg", "types", kind, "v"+version, name), &s); err != nil {
			t.Fatal(err)
		}
		return &s
	}
	hashed, dsse, intoto1, intoto2 := read("hashedrekord", "0.0.1"), read("dsse", "0.0.1"), read("intoto", "0.0.1"), read("intoto", "0.0.2")
	envelope := append(intoto2.logged("content", "envelope"), "payload") // written by clients, and logged by some releases
	slices.Sort(envelope)
	for name, c := range map[string]struct{ got, want []string }{
		"hashedrekord":          {[]string{"data", "signature"}, hashed.logged()},
		"hashedrekord data":     {names(dataV1Fields), hashed.logged("data")},
		"hash":                  {names(hashV1Fields), hashed.logged("data", "hash")},
		"hashedrekord sig":      {names(signatureV1Fields), hashed.logged("signature")},
		"public key":            {names(publicKeyV1Fields), hashed.logged("signature", "publicKey")},
		"dsse":                  {names(dsseV1Fields), dsse.logged()},
		"dsse signature":        {names(dsseSignatureV1Fields), dsse.logged("signatures")},
		"intoto 0.0.1":          {[]string{"content", "publicKey"}, intoto1.logged()},
		"intoto 0.0.1 content":  {names(intotoV1ContentFields), intoto1.logged("content")},
		"intoto 0.0.2":          {[]string{"content"}, intoto2.logged()},
		"intoto 0.0.2 content":  {names(intotoV2ContentFields), intoto2.logged("content")},
		"intoto 0.0.2 envelope": {names(intotoEnvelopeFields), envelope},
		"intoto 0.0.2 sig":      {names(intotoSignatureFields), intoto2.logged("content", "envelope", "signatures")},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: reads %v, the schema has %v", name, c.got, c.want)
		}
	}
}

// What clients propose is not what logs store, except where the two are the same.
func TestProposedEntries(t *testing.T) {
	for name, want := range map[string]string{
		"pkg/generated/models/testdata/hashedrekord.json": "",
		"pkg/generated/models/testdata/dsse.json":         `unknown field "proposedContent"`,
		"pkg/generated/models/testdata/intoto.json":       "spec.content.envelope: is a string",
		"tests/canonical_rekor.json":                      `spec.data: unknown field "content"`,
	} {
		_, err := ParseBody(testenv.ReadVector(t, append([]string{"rekor"}, strings.Split(name, "/")...)...))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}
