// Package protojson reads and writes the JSON form of protocol buffer messages
// (the "ProtoJSON format" of protobuf.dev) without generated types and without
// reflection. A message is declared as data: a table of [Field] values, each
// with its two spellings and a function that reads one value.
//
//	var keyFields = []protojson.Field[Key]{
//		{Name: "rawBytes", Proto: "raw_bytes", Read: func(d *protojson.Decoder, k *Key) error { return d.Bytes(&k.Raw) }},
//	}
//
// Such a table is laid out by the linker; it costs nothing at start-up.
//
// Reading is stricter than the format asks for. Refused, with the path of the
// place, are: unknown fields, a field given twice (in whichever spellings), two
// members of one oneof, null inside a list, wrong types, numbers out of range,
// invalid UTF-8 and lone surrogates, trailing data, and input that exceeds
// [Limits]. Accepted, as the format demands, are: both spellings of a name,
// enums by name or number, 64-bit integers as strings or numbers (also 1e3 and
// 1.0), bytes in standard or URL base64 with or without padding, and null for
// an absent field.
package protojson

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Error says where a document departs from its message and how.
type Error struct {
	// Path names the place, for example
	// verificationMaterial.tlogEntries[3].logIndex. Empty: the whole document.
	Path string
	// Reason says what was found and what was expected there.
	Reason string
}

// Error returns "path: reason".
func (e *Error) Error() string {
	if e.Path == "" {
		return e.Reason
	}
	return e.Path + ": " + e.Reason
}

// Fail returns an *Error without a path; the readers of the enclosing objects
// and lists add theirs. Quote what the reason repeats of the input.
func Fail(reason string) error { return &Error{Reason: reason} }

// At puts the path segment name in front of err's path when err is an *Error.
func At(name string, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Path == "":
		e.Path = name
	case e.Path[0] == '[':
		e.Path = name + e.Path
	default:
		e.Path = name + "." + e.Path
	}
	return e
}

// atIndex is At for a list element.
func atIndex(i int, err error) error {
	return At("["+strconv.Itoa(i)+"]", err)
}

// maxQuoted bounds how much of the input an error text repeats (in bytes).
const maxQuoted = 64

// Quote returns s in double quotes with everything unprintable escaped,
// shortened to a length fit for an error message.
func Quote(s string) string {
	if len(s) > maxQuoted {
		return strconv.QuoteToASCII(s[:maxQuoted]) + "…"
	}
	return strconv.Quote(s)
}

// Limits bounds what a document may make the reader do. Zero fields mean no
// limit other than jsontext's own depth of 10000.
type Limits struct {
	Bytes int // of the whole document
	Depth int // of nested objects and lists, the outermost counted as 1
}

// maxFields bounds a table: Object keeps one bit per field in a uint64.
const maxFields = 64

// maxOthers bounds the unknown members of an open object, whose names are kept
// to find duplicates; formats grow by a handful of members, not by thousands.
const maxOthers = 1000

// Field describes one field of message T. A table has at most 64.
type Field[T any] struct {
	// Name is the lowerCamelCase name, which is also the canonical one.
	Name string
	// Proto is the original snake_case name; empty when it equals Name.
	Proto string
	// OneOf is the number of the oneof the field belongs to, counted from 1
	// within the message; 0: none. At most one field of a oneof may be given.
	OneOf uint8
	// Read reads exactly one value from d into v. It is not called for null.
	Read func(d *Decoder, v *T) error
}

// Decoder reads one document. Its methods read the next value.
type Decoder struct {
	json    *jsontext.Decoder
	limits  Limits
	depth   int
	scratch []byte // for strings with escapes; reused
}

// Unmarshal reads the whole of data as one message. Every error is an *Error.
// The value keeps no reference to data.
func Unmarshal[T any](data []byte, limits Limits, fields []Field[T], v *T) error {
	return Document(data, limits, func(d *Decoder) error { return Object(d, fields, v) })
}

// Document reads the whole of data as one value with read. Nothing but white
// space may follow that value.
func Document(data []byte, limits Limits, read func(*Decoder) error) error {
	if limits.Bytes > 0 && len(data) > limits.Bytes {
		return Fail(strconv.Itoa(len(data)) + " bytes, more than the limit of " + strconv.Itoa(limits.Bytes))
	}
	if len(data) == 0 {
		return Fail("empty")
	}
	// jsontext's own check for duplicate names costs an allocation per name;
	// object, Members and whole do it instead.
	d := &Decoder{json: jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true)), limits: limits}
	if err := read(d); err != nil {
		return syntax(err)
	}
	switch _, err := d.json.ReadToken(); {
	case err == nil:
		return Fail("more JSON after the end of the document, at byte " + strconv.FormatInt(d.json.InputOffset(), 10))
	case !errors.Is(err, io.EOF):
		return Fail("unexpected data after the end of the document, at byte " + strconv.FormatInt(d.json.InputOffset(), 10))
	}
	return nil
}

// Object reads a JSON object as message T. A field is matched by either of its
// spellings; an unknown one is refused by name.
func Object[T any](d *Decoder, fields []Field[T], v *T) error {
	return object(d, fields, v, false)
}

// OpenObject is Object for formats that tell readers to ignore members they do
// not know (in-toto statements): those are checked for syntax and skipped.
func OpenObject[T any](d *Decoder, fields []Field[T], v *T) error {
	return object(d, fields, v, true)
}

func object[T any](d *Decoder, fields []Field[T], v *T, open bool) error {
	if len(fields) > maxFields {
		return Fail("the message's table has more than 64 fields")
	}
	if err := d.enter(jsontext.KindBeginObject); err != nil {
		return err
	}
	var seen, oneOfs uint64 // bit i: field i, oneof i
	next := 0               // documents usually follow the table's order
	var others names
	for d.json.PeekKind() == '"' {
		name, err := d.text()
		if err != nil {
			return err
		}
		i := find(fields, name, next)
		if i < 0 {
			if !open {
				return unknown(fields, string(name))
			}
			if len(others) >= maxOthers {
				return Fail("more than " + strconv.Itoa(maxOthers) + " unknown members")
			}
			other := string(name)
			if err := others.add(other); err != nil {
				return err
			}
			if _, err := d.whole(); err != nil {
				return At(shorten(other), err)
			}
			continue
		}
		f := &fields[i]
		if seen&(1<<i) != 0 {
			return At(f.Name, Fail("given twice"))
		}
		seen |= 1 << i
		next = i + 1
		if d.json.PeekKind() == 'n' {
			if _, err := d.json.ReadToken(); err != nil {
				return err
			}
			continue
		}
		if f.OneOf != 0 {
			if oneOfs&(1<<f.OneOf) != 0 {
				return At(f.Name, Fail("excludes another field that is given beside it"))
			}
			oneOfs |= 1 << f.OneOf
		}
		if err := f.Read(d, v); err != nil {
			return At(f.Name, syntax(err))
		}
	}
	return d.leave()
}

// find returns the index of the field called name, looking at guess first; -1
// when there is none.
func find[T any](fields []Field[T], name []byte, guess int) int {
	if guess < len(fields) && fields[guess].Name == string(name) {
		return guess
	}
	for i := range fields {
		if fields[i].Name == string(name) || fields[i].Proto != "" && fields[i].Proto == string(name) {
			return i
		}
	}
	return -1
}

// unknown reports the field name, with the known spelling when only the case
// differs.
func unknown[T any](fields []Field[T], name string) error {
	for i := range fields {
		if strings.EqualFold(fields[i].Name, name) {
			return Fail("unknown field " + Quote(name) + ", is " + Quote(fields[i].Name) + " meant?")
		}
	}
	return Fail("unknown field " + Quote(name))
}

// List reads a JSON array of at most limit elements and appends them to dst,
// each read by read. limit names what the caller can bear; 0 means no limit
// but the document's size.
func List[E any](d *Decoder, dst *[]E, limit int, read func(*Decoder, *E) error) error {
	if err := d.enter(jsontext.KindBeginArray); err != nil {
		return err
	}
	for i := 0; ; i++ {
		switch d.json.PeekKind() {
		case jsontext.KindEndArray, jsontext.KindInvalid:
			return d.leave()
		case jsontext.KindNull:
			return atIndex(i, Fail("null inside a list"))
		}
		if limit > 0 && i >= limit {
			return Fail("more than " + strconv.Itoa(limit) + " elements")
		}
		var e E
		*dst = append(*dst, e)
		if err := read(d, &(*dst)[len(*dst)-1]); err != nil {
			return atIndex(i, syntax(err))
		}
	}
}

// Members reads a JSON object of at most limit members (0: no limit) with
// arbitrary names; read is called for each name and reads its value.
func (d *Decoder) Members(limit int, read func(name string) error) error {
	if err := d.enter(jsontext.KindBeginObject); err != nil {
		return err
	}
	var seen names
	for n := 0; d.json.PeekKind() == '"'; n++ {
		if limit > 0 && n >= limit {
			return Fail("more than " + strconv.Itoa(limit) + " members")
		}
		name, err := d.text()
		if err != nil {
			return err
		}
		key := string(name)
		if err := seen.add(key); err != nil {
			return err
		}
		if err := read(key); err != nil {
			return At(shorten(key), syntax(err))
		}
	}
	return d.leave()
}

// names are those met in one object.
type names map[string]struct{}

// add refuses a name met before.
func (n *names) add(name string) error {
	if _, met := (*n)[name]; met {
		return At(shorten(name), Fail("given twice"))
	}
	if *n == nil {
		*n = names{}
	}
	(*n)[name] = struct{}{}
	return nil
}

// enter consumes the opening bracket of kind.
func (d *Decoder) enter(kind jsontext.Kind) error {
	if got := d.json.PeekKind(); got != kind {
		return d.mismatch(got, describe(kind))
	}
	d.depth++
	if d.limits.Depth > 0 && d.depth > d.limits.Depth {
		return Fail("nested deeper than " + strconv.Itoa(d.limits.Depth))
	}
	_, err := d.json.ReadToken()
	return syntax(err)
}

// leave consumes the closing bracket.
func (d *Decoder) leave() error {
	d.depth--
	_, err := d.json.ReadToken()
	return syntax(err)
}

// mismatch reports that a value of kind got stands where want belongs.
func (d *Decoder) mismatch(got jsontext.Kind, want string) error {
	if got == jsontext.KindInvalid {
		if _, err := d.json.ReadToken(); err != nil {
			return syntax(err)
		}
	}
	return Fail("is " + describe(got) + ", want " + want)
}

// describe names a kind of JSON value.
func describe(k jsontext.Kind) string {
	switch k {
	case jsontext.KindNull:
		return "null"
	case jsontext.KindFalse, jsontext.KindTrue:
		return "a boolean"
	case jsontext.KindString:
		return "a string"
	case jsontext.KindNumber:
		return "a number"
	case jsontext.KindBeginObject:
		return "an object"
	case jsontext.KindBeginArray:
		return "a list"
	}
	return "no value"
}

// syntax turns jsontext's errors into *Error. jsontext's own JSON pointer is
// dropped: the path is added by the readers on the way up.
func syntax(err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return Fail("not valid JSON: ends too early")
	}
	var s *jsontext.SyntacticError
	if !errors.As(err, &s) {
		return Fail("not valid JSON: " + err.Error())
	}
	if errors.Is(s.Err, jsontext.ErrDuplicateName) {
		return At(shorten(s.JSONPointer.LastToken()), Fail("given twice"))
	}
	return Fail("not valid JSON at byte " + strconv.FormatInt(s.ByteOffset, 10) + ": " + s.Err.Error())
}

func shorten(s string) string {
	if len(s) > maxQuoted {
		return s[:maxQuoted] + "…"
	}
	return s
}
