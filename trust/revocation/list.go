package revocation

import (
	"errors"
	"fmt"

	"github.com/bulla-sign/bulla/internal/protojson"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/trust/keyset"
)

// ListMediaType is that of a list of revocations:
//
//	{"mediaType": "application/vnd.bulla.revocations+json;version=1", "keys": {a key set, see keyset.Decode}, "statements": [{a DSSE envelope}]}
const ListMediaType = "application/vnd.bulla.revocations+json;version=1"

const (
	// MaxList bounds a list in bytes: thousands of statements.
	MaxList = 4 << 20
	// maxStatements bounds their number. Each costs a signature check at every verification.
	maxStatements = 4096
)

// List is a list of revocations as it is distributed: the keys that may revoke, and the statements as they were signed.
type List struct {
	Keys       []trust.Key
	Statements [][]byte
}

type listMessage struct {
	mediaType  string
	keys       []byte
	statements [][]byte
}

var listFields = []protojson.Field[listMessage]{
	{Name: "mediaType", Read: func(d *protojson.Decoder, m *listMessage) error { return d.String(&m.mediaType) }},
	{Name: "keys", Read: func(d *protojson.Decoder, m *listMessage) error { return d.Raw(&m.keys) }},
	{Name: "statements", Read: func(d *protojson.Decoder, m *listMessage) error {
		return protojson.List(d, &m.statements, maxStatements, func(d *protojson.Decoder, s *[]byte) error { return d.Raw(s) })
	}},
}

// Decode reads a list, checks every signature in it, and returns what is revoked as well.
func Decode(data []byte) (*List, []trust.Revocation, error) {
	var m listMessage
	if err := protojson.Unmarshal(data, protojson.Limits{Bytes: MaxList, Depth: maxDepth}, listFields, &m); err != nil {
		return nil, nil, fmt.Errorf("revocations: %w", err)
	}
	if m.mediaType != ListMediaType {
		return nil, nil, fmt.Errorf("revocations: mediaType is %s, want %q", protojson.Quote(m.mediaType), ListMediaType)
	}
	if m.keys == nil {
		return nil, nil, errors.New("revocations: keys, of those who may revoke, is missing")
	}
	l := &List{Statements: m.statements}
	var err error
	if l.Keys, err = keyset.Decode(m.keys); err != nil {
		return nil, nil, fmt.Errorf("revocations: %w", err)
	}
	for i := range l.Keys {
		// Nothing trusted says when a statement was signed.
		if l.Keys[i].Window != (trust.Window{}) {
			return nil, nil, fmt.Errorf("revocations: keys[%d] has a window; a key may revoke or may not", i)
		}
	}
	revoked := make([]trust.Revocation, 0, len(l.Statements))
	for i, s := range l.Statements {
		r, err := Open(s, l.Keys)
		if err != nil {
			return nil, nil, fmt.Errorf("revocations: statements[%d]: %w", i, err)
		}
		revoked = append(revoked, r)
	}
	return l, revoked, nil
}

// Encode writes the list.
func (l *List) Encode() ([]byte, error) {
	keys, err := keyset.Encode(l.Keys)
	if err != nil {
		return nil, fmt.Errorf("revocations: %w", err)
	}
	var w protojson.Writer
	w.Begin("")
	w.String("mediaType", ListMediaType)
	w.Raw("keys", keys)
	w.BeginList("statements")
	for _, s := range l.Statements {
		w.Raw("", s)
	}
	w.EndList()
	w.End()
	data, err := w.Done()
	if err != nil {
		return nil, fmt.Errorf("revocations: %w", err)
	}
	return data, nil
}
