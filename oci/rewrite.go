package oci

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// member is one member of a JSON object, its value as it is written.
type member struct {
	name  string
	value []byte
}

// rewrite replaces or appends members of a JSON object and keeps the others, their order and their bytes.
func rewrite(body []byte, changes ...member) ([]byte, error) {
	decoder := jsontext.NewDecoder(bytes.NewReader(body))
	if token, err := decoder.ReadToken(); err != nil || token.Kind() != '{' {
		return nil, fmt.Errorf("manifest: not a JSON object")
	}
	var members []member
	for decoder.PeekKind() != '}' {
		token, err := decoder.ReadToken()
		if err != nil {
			return nil, fmt.Errorf("manifest: not a JSON object")
		}
		name := token.String()
		value, err := decoder.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("manifest: member %s cannot be read", printable(name, 100))
		}
		members = append(members, member{name, bytes.Clone(value)})
	}
	for _, change := range changes {
		members = setMember(members, change)
	}
	return joinMembers(members)
}

func setMember(members []member, change member) []member {
	for i := range members {
		if members[i].name == change.name {
			members[i].value = change.value
			return members
		}
	}
	return append(members, change)
}

func joinMembers(members []member) ([]byte, error) {
	out := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			out = append(out, ',')
		}
		var err error
		if out, err = jsontext.AppendQuote(out, m.name); err != nil {
			return nil, fmt.Errorf("manifest: %w", err)
		}
		out = append(append(out, ':'), m.value...)
	}
	return append(out, '}'), nil
}

// joinEntries writes a JSON array of entries, each as it was.
func joinEntries(entries []entry) []byte {
	out := []byte{'['}
	for i, e := range entries {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, e.raw...)
	}
	return append(out, ']')
}
