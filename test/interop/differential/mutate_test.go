package differential

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// mutant is a bundle made from a vector's by one or two changes; how says which, so that a finding can be understood.
type mutant struct {
	data []byte
	how  string
}

// mutator breaks bundles. The same seed gives the same mutants.
type mutator struct {
	rng    *rand.Rand
	donors []any // parsed bundles of other vectors, to take subtrees from
}

func newMutator(seed uint64, donors []any) *mutator {
	return &mutator{rng: rand.New(rand.NewPCG(seed, 0)), donors: donors}
}

// parse reads JSON into maps, slices, strings, json.Number, bool and nil.
func parse(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

func encode(v any) []byte {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // the tree is made of what parse makes
	}
	return bytes.TrimRight(out.Bytes(), "\n")
}

// path leads from the top of a tree to a node: string keys and int indices.
type path []any

func (p path) String() string {
	var s strings.Builder
	for _, step := range p {
		if i, ok := step.(int); ok {
			fmt.Fprintf(&s, "[%d]", i)
		} else {
			fmt.Fprintf(&s, ".%s", step)
		}
	}
	return strings.TrimPrefix(s.String(), ".")
}

// nodes lists the paths of all nodes but the top one, in an order that depends on the tree alone.
func nodes(v any, at path) []path {
	var out []path
	visit := func(step any, child any) {
		p := append(slices.Clone(at), step)
		out = append(out, p)
		out = append(out, nodes(child, p)...)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range sortedKeys(v) {
			visit(k, v[k])
		}
	case []any:
		for i, child := range v {
			visit(i, child)
		}
	}
	return out
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func get(v any, p path) (any, bool) {
	for _, step := range p {
		switch s := step.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok {
				return nil, false
			}
			if v, ok = m[s]; !ok {
				return nil, false
			}
		case int:
			a, ok := v.([]any)
			if !ok || s >= len(a) {
				return nil, false
			}
			v = a[s]
		}
	}
	return v, true
}

// absent stands for "take this node out" in edit.
type absent struct{}

// edit returns a copy of the tree in which the node at p is another one, or absent.
func edit(v any, p path, with any) any {
	if len(p) == 0 {
		return with
	}
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, child := range v {
			out[k] = child
		}
		key := p[0].(string)
		if child := edit(v[key], p[1:], with); child == (absent{}) {
			delete(out, key)
		} else {
			out[key] = child
		}
		return out
	case []any:
		i := p[0].(int)
		if child := edit(v[i], p[1:], with); child == (absent{}) {
			return slices.Delete(slices.Clone(v), i, i+1)
		} else {
			out := slices.Clone(v)
			out[i] = child
			return out
		}
	}
	return v
}

// mutate makes one mutant: mostly by one change, sometimes by two.
func (m *mutator) mutate(doc any) mutant {
	changes := 1
	if m.rng.IntN(5) == 0 {
		changes = 2
	}
	var how []string
	for range changes {
		var words string
		doc, words = m.change(doc)
		how = append(how, words)
	}
	data, words := m.text(encode(doc))
	if words != "" {
		how = append(how, words)
	}
	return mutant{data: data, how: strings.Join(how, "; ")}
}

// change alters one node of the tree.
func (m *mutator) change(doc any) (any, string) {
	all := nodes(doc, nil)
	if len(all) == 0 {
		return map[string]any{}, "emptied"
	}
	p := all[m.rng.IntN(len(all))]
	old, _ := get(doc, p)
	switch m.rng.IntN(10) {
	case 0, 1:
		return edit(doc, p, absent{}), "deleted " + p.String()
	case 2, 3:
		if with, ok := get(m.donors[m.rng.IntN(len(m.donors))], p); ok {
			return edit(doc, p, with), "took from another bundle " + p.String()
		}
	case 4:
		q := all[m.rng.IntN(len(all))]
		if with, ok := get(doc, q); ok && fmt.Sprintf("%T", with) == fmt.Sprintf("%T", old) {
			return edit(doc, p, with), fmt.Sprintf("copied %s to %s", q, p)
		}
	case 5:
		if with, words := m.reshape(old); words != "" {
			return edit(doc, p, with), words + " " + p.String()
		}
	}
	with, words := m.leaf(old)
	return edit(doc, p, with), words + " " + p.String()
}

// reshape changes what a list or an object holds.
func (m *mutator) reshape(old any) (any, string) {
	switch v := old.(type) {
	case []any:
		if len(v) == 0 {
			return []any{map[string]any{}}, "added an empty element to"
		}
		switch m.rng.IntN(4) {
		case 0:
			return append(slices.Clone(v), v[0]), "doubled the first of"
		case 1:
			out := slices.Clone(v)
			slices.Reverse(out)
			return out, "reversed"
		case 2:
			return []any{}, "emptied"
		default:
			return append(slices.Clone(v), map[string]any{}), "added an empty element to"
		}
	case map[string]any:
		out := map[string]any{}
		for k, child := range v {
			out[k] = child
		}
		keys := sortedKeys(v)
		if len(keys) == 0 || m.rng.IntN(3) == 0 {
			out["surprise"] = "unknown"
			return out, "added an unknown field to"
		}
		k := keys[m.rng.IntN(len(keys))]
		out[snake(k)] = out[k]
		if snake(k) != k {
			delete(out, k)
		}
		return out, "spelled a field in the original way in"
	}
	return nil, ""
}

// leaf replaces a value by a near one.
func (m *mutator) leaf(old any) (any, string) {
	switch v := old.(type) {
	case string:
		return m.str(v)
	case json.Number:
		return m.number(v.String())
	case bool:
		return !v, "inverted"
	case nil:
		return json.Number("0"), "zeroed"
	}
	others := []any{nil, "", json.Number("0"), true, []any{}, map[string]any{}}
	return others[m.rng.IntN(len(others))], "replaced the whole of"
}

func (m *mutator) number(v string) (any, string) {
	switch m.rng.IntN(5) {
	case 0:
		return json.Number("0"), "zeroed"
	case 1:
		return json.Number("-1"), "made negative"
	case 2:
		return json.Number("9223372036854775807"), "made huge"
	case 3:
		return v, "spelled as a string"
	}
	return json.Number("1" + strings.TrimPrefix(v, "-")), "put a digit before"
}

// str changes a string: as base64 of JSON, as other base64, as digits, as text.
func (m *mutator) str(v string) (any, string) {
	if m.rng.IntN(20) == 0 {
		return "", "emptied"
	}
	if raw, err := base64.StdEncoding.DecodeString(v); err == nil && len(raw) > 3 {
		return m.encoded(raw)
	}
	if v != "" && strings.Trim(v, "0123456789") == "" {
		if m.rng.IntN(3) == 0 && json.Valid([]byte(v)) {
			return json.Number(v), "spelled as a number"
		}
		return m.number(v)
	}
	if strings.Contains(v, "\n") {
		return m.lines(v)
	}
	if v == "" {
		return "x", "filled"
	}
	i := m.rng.IntN(len(v))
	return v[:i] + string(rune('a'+m.rng.IntN(26))) + v[i+1:], "altered a letter of"
}

// encoded changes bytes that were in base64; where they are JSON, a node of that.
func (m *mutator) encoded(raw []byte) (any, string) {
	if doc, err := parse(raw); err == nil && m.rng.IntN(4) != 0 {
		if _, ok := doc.(map[string]any); ok {
			changed, words := m.change(doc)
			return base64.StdEncoding.EncodeToString(encode(changed)), words + " inside"
		}
	}
	out := slices.Clone(raw)
	switch m.rng.IntN(7) {
	case 0:
		return base64.StdEncoding.EncodeToString(out[:m.rng.IntN(len(out))]), "cut short"
	case 1:
		return base64.StdEncoding.EncodeToString(append(out, 0)), "appended a byte to"
	case 2:
		return base64.RawURLEncoding.EncodeToString(out), "spelled in URL base64"
	case 3:
		return base64.StdEncoding.EncodeToString(make([]byte, len(out))), "zeroed the bytes of"
	}
	i := m.rng.IntN(len(out))
	out[i] ^= 1 << m.rng.IntN(8)
	return base64.StdEncoding.EncodeToString(out), fmt.Sprintf("flipped a bit of byte %d of %d in", i, len(out))
}

// lines changes text of several lines: a checkpoint.
func (m *mutator) lines(v string) (any, string) {
	l := strings.Split(v, "\n")
	i := m.rng.IntN(len(l))
	switch m.rng.IntN(5) {
	case 0:
		return strings.Join(slices.Delete(l, i, i+1), "\n"), fmt.Sprintf("dropped line %d of", i)
	case 1:
		return strings.Join(slices.Insert(l, i, l[i]), "\n"), fmt.Sprintf("doubled line %d of", i)
	case 2:
		j := m.rng.IntN(len(l))
		l[i], l[j] = l[j], l[i]
		return strings.Join(l, "\n"), fmt.Sprintf("swapped lines %d and %d of", i, j)
	case 3:
		return v + "\n", "appended a newline to"
	}
	if l[i] == "" {
		l[i] = "x"
	} else {
		k := m.rng.IntN(len(l[i]))
		l[i] = l[i][:k] + string(rune('0'+m.rng.IntN(10))) + l[i][k+1:]
	}
	return strings.Join(l, "\n"), fmt.Sprintf("altered line %d of", i)
}

// text changes the JSON text itself, rarely: what a tree cannot express.
func (m *mutator) text(data []byte) ([]byte, string) {
	switch m.rng.IntN(60) {
	case 0:
		return append(data, "{}"...), "trailing object"
	case 1:
		return append([]byte("\ufeff"), data...), "byte order mark"
	case 2:
		if i := bytes.Index(data, []byte(`"mediaType":`)); i > 0 {
			return slices.Insert(slices.Clone(data), i, []byte(`"mediaType":"x",`)...), "mediaType given twice"
		}
	case 3:
		return append(data, '\n', ' '), "trailing white space"
	}
	return data, ""
}

// snake is the original proto name of a lowerCamelCase field.
func snake(camel string) string {
	var s strings.Builder
	for _, r := range camel {
		if r >= 'A' && r <= 'Z' {
			s.WriteByte('_')
			r += 'a' - 'A'
		}
		s.WriteRune(r)
	}
	return s.String()
}

func TestMutatorIsDeterministic(t *testing.T) {
	doc, err := parse([]byte(`{"a":{"bC":["1","QUJDREVG"],"d":"x\ny\n"},"e":5}`))
	if err != nil {
		t.Fatal(err)
	}
	distinct := map[string]bool{}
	a, b := newMutator(7, []any{doc}), newMutator(7, []any{doc})
	for range 200 {
		x, y := a.mutate(doc), b.mutate(doc)
		if !bytes.Equal(x.data, y.data) || x.how != y.how {
			t.Fatalf("the same seed gives %s (%s) and %s (%s)", x.data, x.how, y.data, y.how)
		}
		distinct[string(x.data)] = true
	}
	if len(distinct) < 60 {
		t.Errorf("only %d distinct mutants in 200", len(distinct))
	}
	if got := string(encode(doc)); got != `{"a":{"bC":["1","QUJDREVG"],"d":"x\ny\n"},"e":5}` {
		t.Errorf("a mutation changed the original: %s", got)
	}
}
