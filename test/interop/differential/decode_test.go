package differential

import (
	"bytes"
	"regexp"
	"testing"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/bulla-sign/bulla/bundle"
)

// decodedMutants is how many mutants of each vector are decoded by both readers.
const decodedMutants = 150

// decodeRule is a reason for which bulla's reader refuses a document that the generated one accepts.
type decodeRule struct {
	name   string
	reason *regexp.Regexp // in bulla's error
	why    string
}

func decodeRules() []decodeRule {
	re := regexp.MustCompile
	return []decodeRule{
		{
			"media type", re(`^mediaType: `),
			"the type and version of the document decide by which rules it is read, so that they come first",
		},
		{
			"required parts", re(`^verificationMaterial: missing|^neither messageSignature nor dsseEnvelope|: missing`),
			"a bundle has one kind of verification material and one thing that is signed",
		},
		{
			"limits", re(`: more than \d+ elements`),
			"a list stops at its limit while it is being read",
		},
	}
}

// TestDecodeAsTheGeneratedTypes decodes every vector and many mutants with bulla's hand-written reader and with the types
// generated from the schema: bulla accepts nothing that those refuse, reads the same values, and refuses more only by the
// rules above.
func TestDecodeAsTheGeneratedTypes(t *testing.T) {
	var donors, trees []any
	vectors := corpus(t)
	for i := range vectors {
		doc, err := parse(vectors[i].bundle)
		if err != nil {
			doc = nil
		} else {
			donors = append(donors, doc)
		}
		trees = append(trees, doc)
	}
	d := decoding{rules: decodeRules(), used: map[string]int{}}
	for i := range vectors {
		d.compare(t, vectors[i].name, mutant{data: vectors[i].bundle})
		if trees[i] == nil {
			continue
		}
		m := newMutator(uint64(1000+i), donors)
		for range decodedMutants {
			d.compare(t, vectors[i].name, m.mutate(trees[i]))
		}
	}
	t.Logf("%d read alike, %d refused by both, %d refused by a rule of ours", d.both, d.neither, total(d.used))
	for _, r := range d.rules {
		t.Logf("%6d %s: %s", d.used[r.name], r.name, r.why)
		if d.used[r.name] == 0 {
			t.Errorf("the rule %q was never needed", r.name)
		}
	}
}

type decoding struct {
	rules         []decodeRule
	both, neither int
	used          map[string]int
}

func (d *decoding) compare(t *testing.T, name string, x mutant) {
	t.Helper()
	var generated protobundle.Bundle
	generatedErr := protojson.Unmarshal(x.data, &generated)
	ours, oursErr := bundle.Decode(x.data)
	switch {
	case generatedErr != nil && oursErr != nil:
		d.neither++
	case generatedErr != nil:
		t.Errorf("%s, %s: read here, but the generated reader says: %v", name, x.how, generatedErr)
	case oursErr != nil:
		for _, r := range d.rules {
			if r.reason.MatchString(oursErr.Error()) {
				d.used[r.name]++
				return
			}
		}
		t.Errorf("%s, %s: the generated reader takes it, but: %v", name, x.how, oursErr)
	default:
		d.both++
		sameValues(t, name+", "+x.how, ours, &generated)
	}
}

// sameValues writes what bulla read and reads that with the generated types: the two messages must be equal.
func sameValues(t *testing.T, what string, ours *bundle.Bundle, want *protobundle.Bundle) {
	t.Helper()
	written, err := ours.Encode()
	if err != nil {
		t.Errorf("%s: was read but cannot be written: %v", what, err)
		return
	}
	var got protobundle.Bundle
	if err := protojson.Unmarshal(written, &got); err != nil {
		t.Errorf("%s: what bulla writes cannot be read: %v", what, err)
		return
	}
	prune(got.ProtoReflect())
	prune(want.ProtoReflect())
	if !proto.Equal(&got, want) {
		t.Errorf("%s: values differ\n%s\n%s", what, protojson.Format(&got), protojson.Format(want))
	}
	again, err := bundle.Decode(written)
	if err != nil {
		t.Errorf("%s: what bulla writes it cannot read: %v", what, err)
		return
	}
	if twice, err := again.Encode(); err != nil || !bytes.Equal(twice, written) {
		t.Errorf("%s: written twice it differs (%v)", what, err)
	}
}

// prune takes out empty messages, which mean the same as absent ones, except where being there is the choice itself.
func prune(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				prune(v.List().Get(i).Message())
			}
		case f.Message() != nil && !f.IsMap():
			prune(v.Message())
			empty := true
			v.Message().Range(func(protoreflect.FieldDescriptor, protoreflect.Value) bool { empty = false; return false })
			if empty && f.ContainingOneof() == nil {
				m.Clear(f)
			}
		}
		return true
	})
}
