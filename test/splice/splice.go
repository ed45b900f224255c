// Package splice breaks evidence in every way in which one piece of it can be swapped for a piece of another: each field
// and each subtree of a bundle, found by reflection, so that a field that is added to the model is tried without anybody
// thinking of it. It serves the tests of the library and of the program alike.
package splice

import (
	"fmt"
	"reflect"
	"regexp"

	"github.com/bulla-sign/bulla/bundle"
)

// Kind is what was done to a field.
type Kind string

// What is done to a field: replaced by another bundle's, set to its zero value, and of an element of a list: given twice,
// or another bundle's put before or after it.
const (
	Swapped   Kind = "swapped"
	Removed   Kind = "removed"
	Duplicate Kind = "duplicated"
	Added     Kind = "added"
)

// Spliced is a bundle with one place changed.
type Spliced struct {
	Kind   Kind
	Path   string // "Material.Entries[0].Proof.Hashes[1]"
	Field  string // the path without indices: "Material.Entries[].Proof.Hashes[]"
	Bundle *bundle.Bundle
	// Changed are the leaf fields, without indices, in which Bundle differs from the original; a list or pointer that is
	// there in one only counts as a whole.
	Changed []string
}

// All returns every splice of b into a that changes something: every field and subtree swapped, then removed, then every
// element of a list duplicated and b's added before and after. Neither bundle is changed.
func All(a, b *bundle.Bundle) []Spliced {
	var out []Spliced
	add := func(kind Kind, path string, change func(a reflect.Value)) {
		copied := Copy(a)
		change(reflect.ValueOf(copied).Elem())
		if changed := Differences(a, copied); len(changed) > 0 {
			out = append(out, Spliced{kind, path, Field(path), copied, changed})
		}
	}
	walk(reflect.ValueOf(a).Elem(), "", func(path string, v reflect.Value) {
		if other, ok := find(reflect.ValueOf(b).Elem(), path); ok {
			add(Swapped, path, func(root reflect.Value) { set(root, path, clone(other)) })
		}
	})
	walk(reflect.ValueOf(a).Elem(), "", func(path string, v reflect.Value) {
		if path != "" {
			add(Removed, path, func(root reflect.Value) { set(root, path, reflect.Zero(v.Type())) })
		}
	})
	walk(reflect.ValueOf(a).Elem(), "", func(path string, v reflect.Value) {
		if v.Kind() != reflect.Slice || isLeaf(v.Type()) {
			return
		}
		if other, ok := find(reflect.ValueOf(b).Elem(), path); ok && other.Len() > 0 {
			add(Added, path, func(root reflect.Value) { set(root, path, reflect.AppendSlice(clone(v), clone(other))) })
			add(Added, path, func(root reflect.Value) { set(root, path, reflect.AppendSlice(clone(other), clone(v))) })
		}
		for i := range v.Len() {
			add(Duplicate, fmt.Sprintf("%s[%d]", path, i), func(root reflect.Value) {
				list, _ := find(root, path)
				list.Set(reflect.Append(list, clone(list.Index(i))))
			})
		}
	})
	return out
}

// Leaves lists the leaf fields of the model without indices.
func Leaves() []string {
	var out []string
	leavesOf(reflect.TypeFor[bundle.Bundle](), "", &out)
	return out
}

func leavesOf(t reflect.Type, path string, out *[]string) {
	switch {
	case isLeaf(t):
		*out = append(*out, path)
	case t.Kind() == reflect.Pointer:
		leavesOf(t.Elem(), path, out)
	case t.Kind() == reflect.Slice:
		leavesOf(t.Elem(), path+"[]", out)
	default:
		for i := range t.NumField() {
			leavesOf(t.Field(i).Type, join(path, t.Field(i).Name), out)
		}
	}
}

// isLeaf says whether a type has no parts. It panics at a type that the walk does not understand.
func isLeaf(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint, reflect.Uint32:
		return true
	case reflect.Slice:
		return t.Elem().Kind() == reflect.Uint8
	case reflect.Struct, reflect.Pointer:
		return false
	}
	panic("splice: the model has a field of a type that is not walked: " + t.String())
}

var index = regexp.MustCompile(`\[\d+\]`)

// Field returns a path without its indices.
func Field(path string) string { return index.ReplaceAllString(path, "[]") }

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// walk visits a value and everything in it, the whole first.
func walk(v reflect.Value, path string, visit func(path string, v reflect.Value)) {
	visit(path, v)
	switch {
	case isLeaf(v.Type()):
	case v.Kind() == reflect.Pointer:
		if !v.IsNil() {
			inside(v.Elem(), path, visit)
		}
	default:
		inside(v, path, visit)
	}
}

// inside visits the parts of a struct or list.
func inside(v reflect.Value, path string, visit func(path string, v reflect.Value)) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			walk(v.Field(i), join(path, v.Type().Field(i).Name), visit)
		}
	case reflect.Slice:
		for i := range v.Len() {
			walk(v.Index(i), fmt.Sprintf("%s[%d]", path, i), visit)
		}
	}
}

// find returns the value at a path; false where the value has no such place.
func find(root reflect.Value, path string) (found reflect.Value, ok bool) {
	walk(root, "", func(p string, v reflect.Value) {
		if p == path && !ok {
			found, ok = v, true
		}
	})
	return found, ok
}

func set(root reflect.Value, path string, to reflect.Value) {
	at, ok := find(root, path)
	if !ok {
		panic("splice: no place " + path)
	}
	at.Set(to)
}

// Copy returns a copy that shares nothing with the original.
func Copy(b *bundle.Bundle) *bundle.Bundle {
	copied := clone(reflect.ValueOf(*b)).Interface().(bundle.Bundle)
	return &copied
}

func clone(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(clone(v.Elem()))
		}
	case reflect.Slice:
		if v.IsNil() {
			break
		}
		out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			out.Index(i).Set(clone(v.Index(i)))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			out.Field(i).Set(clone(v.Field(i)))
		}
	default:
		out.Set(v)
	}
	return out
}

// Differences lists the leaf fields, without indices, in which two bundles differ. Lists of different length and pointers
// that are there in one only are listed themselves.
func Differences(a, b *bundle.Bundle) []string {
	seen := map[string]bool{}
	var out []string
	differences(reflect.ValueOf(*a), reflect.ValueOf(*b), "", func(path string) {
		if !seen[path] {
			seen[path] = true
			out = append(out, path)
		}
	})
	return out
}

func differences(a, b reflect.Value, path string, found func(string)) {
	switch {
	case isLeaf(a.Type()):
		if !reflect.DeepEqual(a.Interface(), b.Interface()) {
			found(path)
		}
	case a.Kind() == reflect.Pointer:
		if a.IsNil() != b.IsNil() {
			found(path)
		} else if !a.IsNil() {
			differences(a.Elem(), b.Elem(), path, found)
		}
	case a.Kind() == reflect.Slice:
		if a.Len() != b.Len() {
			found(path)
			return
		}
		for i := range a.Len() {
			differences(a.Index(i), b.Index(i), path+"[]", found)
		}
	default:
		for i := range a.NumField() {
			differences(a.Field(i), b.Field(i), join(path, a.Type().Field(i).Name), found)
		}
	}
}
