package tuf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// value is one JSON value of metadata. Numbers stay the digits that were read, names and strings what they mean, so that
// the canonical form can be written of anything that was read, known or not.
type value struct {
	kind  jsontext.Kind // '{', '[', '"', '0', 't' or 'f'
	text  string        // of a string or a number
	names []string      // of an object's members
	kids  []*value      // an object's members or a list's elements
	raw   []byte        // the bytes that it was read from
}

// reading is a document on its way in.
type reading struct {
	data  []byte
	dec   *jsontext.Decoder
	count int
}

// parseJSON reads one value of at most limit bytes. It takes what canonical JSON can express, without null, which no
// member of metadata may be: integers of at most 15 digits (2^53 has 16), names that occur once, valid UTF-8.
func parseJSON(data []byte, limit int) (*value, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("is empty")
	}
	if len(data) > limit {
		return nil, fmt.Errorf("has more than %d bytes", limit)
	}
	r := &reading{data: data, dec: jsontext.NewDecoder(bytes.NewReader(data))}
	v, err := r.value()
	if err != nil {
		return nil, err
	}
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("is not valid JSON: something follows it")
	}
	return v, nil
}

func (r *reading) value() (*value, error) {
	start := r.dec.InputOffset()
	token, err := r.dec.ReadToken()
	if err != nil {
		return nil, fmt.Errorf("is not valid JSON: %w", err)
	}
	if r.count++; r.count > maxValues {
		return nil, fmt.Errorf("has more than %d values", maxValues)
	}
	v := &value{kind: token.Kind()}
	switch v.kind {
	case '"':
		v.text = token.String()
	case '0':
		v.text = token.String()
		if err := checkNumber(v.text); err != nil {
			return nil, fmt.Errorf("%w at %q", err, r.dec.StackPointer())
		}
	case 't', 'f':
	case '{', '[':
		if r.dec.StackDepth() > maxDepth {
			return nil, fmt.Errorf("is nested more than %d deep", maxDepth)
		}
		if err := r.inside(v); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("has null at %q", r.dec.StackPointer())
	}
	v.raw = bytes.TrimLeft(r.data[start:r.dec.InputOffset()], " \t\r\n:,")
	return v, nil
}

// inside reads the members of an object or the elements of a list, and its end.
func (r *reading) inside(v *value) error {
	for r.dec.PeekKind() != '}' && r.dec.PeekKind() != ']' {
		if v.kind == '{' {
			name, err := r.dec.ReadToken() // refuses names that occur twice
			if err != nil {
				return fmt.Errorf("is not valid JSON: %w", err)
			}
			v.names = append(v.names, name.String())
		}
		kid, err := r.value()
		if err != nil {
			return err
		}
		v.kids = append(v.kids, kid)
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return fmt.Errorf("is not valid JSON: %w", err)
	}
	return nil
}

func checkNumber(text string) error {
	if strings.ContainsAny(text, ".eE") || len(text) > 15 || text == "-0" {
		return fmt.Errorf("has the number %q, which is no integer of at most 15 digits,", text)
	}
	return nil
}

// get returns a member of an object, nil if it has none of the name.
func (v *value) get(name string) *value {
	if i := slices.Index(v.names, name); i >= 0 {
		return v.kids[i]
	}
	return nil
}

// canonical writes the form that is signed: OLPC canonical JSON (TUF specification, 4.1.2). Members are sorted by their
// bytes, nothing is between tokens, and strings are as they are but for a backslash before quotes and backslashes.
func (v *value) canonical(out *bytes.Buffer) {
	switch v.kind {
	case '"':
		canonicalString(out, v.text)
	case '0':
		out.WriteString(v.text)
	case 't':
		out.WriteString("true")
	case 'f':
		out.WriteString("false")
	case '[':
		out.WriteByte('[')
		for i, kid := range v.kids {
			if i > 0 {
				out.WriteByte(',')
			}
			kid.canonical(out)
		}
		out.WriteByte(']')
	case '{':
		out.WriteByte('{')
		for i, at := range v.sorted() {
			if i > 0 {
				out.WriteByte(',')
			}
			canonicalString(out, v.names[at])
			out.WriteByte(':')
			v.kids[at].canonical(out)
		}
		out.WriteByte('}')
	}
}

func canonicalString(out *bytes.Buffer, s string) {
	out.WriteByte('"')
	_, _ = quotes.WriteString(out, s) // a buffer takes everything
	out.WriteByte('"')
}

var quotes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// sorted returns the places of an object's members in the order of their names.
func (v *value) sorted() []int {
	order := make([]int, len(v.names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(v.names[a], v.names[b]) })
	return order
}

// encode writes a value as a file: sorted and indented.
func (v *value) encode() ([]byte, error) {
	var out bytes.Buffer
	if err := v.tokens(jsontext.NewEncoder(&out, jsontext.WithIndent("  "))); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

func (v *value) tokens(enc *jsontext.Encoder) error {
	switch v.kind {
	case '"':
		return enc.WriteToken(jsontext.String(v.text))
	case '0':
		return enc.WriteValue(jsontext.Value(v.text))
	case 't', 'f':
		return enc.WriteToken(jsontext.Bool(v.kind == 't'))
	case '[':
		if err := enc.WriteToken(jsontext.BeginArray); err != nil {
			return err
		}
		for _, kid := range v.kids {
			if err := kid.tokens(enc); err != nil {
				return err
			}
		}
		return enc.WriteToken(jsontext.EndArray)
	}
	if err := enc.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for _, at := range v.sorted() {
		if err := errors.Join(enc.WriteToken(jsontext.String(v.names[at])), v.kids[at].tokens(enc)); err != nil {
			return err
		}
	}
	return enc.WriteToken(jsontext.EndObject)
}
