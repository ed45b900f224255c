package tuf

import (
	"encoding/hex"
	"fmt"
	"strconv"
)

// members reads the members of an object. The first thing that is wrong stays in err, with the place; what is read after it
// is empty.
type members struct {
	of  *value
	at  string
	err error
}

// membersOf begins to read an object; anything else, and nothing, is an error.
func membersOf(v *value, at string) *members {
	m := &members{of: v, at: at}
	if v == nil || v.kind != '{' {
		m.of = &value{kind: '{'}
		m.err = fmt.Errorf("%s is no object", at)
	}
	return m
}

func (m *members) fail(name, what string) {
	if m.err == nil {
		m.err = fmt.Errorf("%s.%s %s", m.at, name, what)
	}
}

// take returns a member of the kind wanted, nil if there is none. One that is needed must be there.
func (m *members) take(name string, kind byte, need bool) *value {
	v := m.of.get(name)
	switch {
	case v == nil && need:
		m.fail(name, "is missing")
	case v != nil && byte(v.kind) != kind:
		m.fail(name, "is of another type than it must be")
		return nil
	}
	return v
}

func (m *members) text(name string) string {
	if v := m.take(name, '"', true); v != nil {
		return v.text
	}
	return ""
}

// number returns an integer that is not below least.
func (m *members) number(name string, least int64) int64 {
	v := m.take(name, '0', true)
	if v == nil {
		return 0
	}
	n, err := strconv.ParseInt(v.text, 10, 64)
	if err != nil || n < least {
		m.fail(name, fmt.Sprintf("is %s, below %d", v.text, least))
	}
	return n
}

// flag returns a boolean, which may be absent and is false then.
func (m *members) flag(name string) bool {
	v := m.of.get(name)
	if v != nil && v.kind != 't' && v.kind != 'f' {
		m.fail(name, "is neither true nor false")
	}
	return v != nil && v.kind == 't'
}

// texts returns a list of at most limit strings, nil if there is none.
func (m *members) texts(name string, limit int, need bool) []string {
	v := m.take(name, '[', need)
	if v == nil {
		return nil
	}
	if len(v.kids) > limit {
		m.fail(name, fmt.Sprintf("has %d elements, the limit is %d", len(v.kids), limit))
		return nil
	}
	out := make([]string, 0, len(v.kids))
	for _, kid := range v.kids {
		if kid.kind != '"' {
			m.fail(name, "has an element that is no string")
			return nil
		}
		out = append(out, kid.text)
	}
	return out
}

// hashes returns digests by the name of their algorithm. They are bytes in lower-case hexadecimal, which is how they are
// signed.
func (m *members) hashes(name string, need bool) map[string][]byte {
	v := m.take(name, '{', need)
	if v == nil {
		return nil
	}
	out := make(map[string][]byte, len(v.names))
	for i, alg := range v.names {
		sum, err := hex.DecodeString(v.kids[i].text)
		if v.kids[i].kind != '"' || err != nil || hex.EncodeToString(sum) != v.kids[i].text {
			m.fail(name, fmt.Sprintf("has a %q that is not in lower-case hexadecimal", alg))
			return nil
		}
		out[alg] = sum
	}
	return out
}

// The values of documents that are made here.

func textValue(s string) *value  { return &value{kind: '"', text: s} }
func numberValue(n int64) *value { return &value{kind: '0', text: strconv.FormatInt(n, 10)} }
func objectValue() *value        { return &value{kind: '{'} }
func listValue(s ...string) *value {
	v := &value{kind: '['}
	for _, e := range s {
		v.kids = append(v.kids, textValue(e))
	}
	return v
}

// set adds a member that is not there yet.
func (v *value) set(name string, member *value) *value {
	v.names, v.kids = append(v.names, name), append(v.kids, member)
	return v
}
