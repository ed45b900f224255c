package protojson

import (
	"encoding/base64"
	"errors"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Writer builds canonical ProtoJSON: compact, lowerCamelCase names, enums by
// name, 64-bit integers as strings, standard padded base64, no escaping beyond
// what RFC 8785 section 3.2.2.2 asks for. Field order is the order of the
// calls, which should be that of the field numbers. The zero Writer is ready.
//
// Methods take the member's name, or "" for list elements and the document
// itself. As the format demands, a member with its zero value is left out; a
// list element never is.
type Writer struct {
	buf   []byte
	comma bool
	err   error
}

// Done returns what was written, or an error if a string was not valid UTF-8
// or a time was out of range.
func (w *Writer) Done() ([]byte, error) {
	if w.err != nil {
		return nil, w.err
	}
	return w.buf, nil
}

// Begin opens an object, End closes it.
func (w *Writer) Begin(name string) { w.open(name, '{') }

// End closes the object opened last.
func (w *Writer) End() { w.close('}') }

// BeginList opens a list, EndList closes it.
func (w *Writer) BeginList(name string) { w.open(name, '[') }

// EndList closes the list opened last.
func (w *Writer) EndList() { w.close(']') }

// String writes a string.
func (w *Writer) String(name, v string) {
	if v != "" || name == "" {
		w.Text(name, v)
	}
}

// Text writes a string also when it is empty: for fields of a oneof, whose
// presence means something.
func (w *Writer) Text(name, v string) {
	w.name(name)
	w.quote(v)
}

// Bytes writes base64.
func (w *Writer) Bytes(name string, v []byte) {
	if len(v) == 0 && name != "" {
		return
	}
	w.name(name)
	w.buf = append(w.buf, '"')
	w.buf = base64.StdEncoding.AppendEncode(w.buf, v)
	w.buf = append(w.buf, '"')
}

// Int64 writes a 64-bit integer as a string.
func (w *Writer) Int64(name string, v int64) {
	if v == 0 && name != "" {
		return
	}
	w.name(name)
	w.buf = append(w.buf, '"')
	w.buf = strconv.AppendInt(w.buf, v, 10)
	w.buf = append(w.buf, '"')
}

// Int32 writes a 32-bit integer as a number.
func (w *Writer) Int32(name string, v int32) {
	if v == 0 && name != "" {
		return
	}
	w.name(name)
	w.buf = strconv.AppendInt(w.buf, int64(v), 10)
}

// Bool writes a boolean.
func (w *Writer) Bool(name string, v bool) {
	if !v && name != "" {
		return
	}
	w.name(name)
	w.buf = strconv.AppendBool(w.buf, v)
}

// Time writes a google.protobuf.Timestamp: UTC, fraction of 0, 3, 6 or 9
// digits. The zero time is left out.
func (w *Writer) Time(name string, t time.Time) {
	if t.IsZero() && name != "" {
		return
	}
	t = t.UTC()
	if t.Year() < 1 || t.Year() > 9999 {
		w.err = errors.New("time outside of the years 1 to 9999")
		return
	}
	layout := "2006-01-02T15:04:05.000000000Z"
	switch ns := t.Nanosecond(); {
	case ns == 0:
		layout = "2006-01-02T15:04:05Z"
	case ns%1e6 == 0:
		layout = "2006-01-02T15:04:05.000Z"
	case ns%1e3 == 0:
		layout = "2006-01-02T15:04:05.000000Z"
	}
	w.Text(name, t.Format(layout))
}

// Raw writes a value that is already valid JSON, byte by byte.
func (w *Writer) Raw(name string, v []byte) {
	w.name(name)
	w.buf = append(w.buf, v...)
}

// name writes the comma before a value and its name.
func (w *Writer) name(name string) {
	if w.comma {
		w.buf = append(w.buf, ',')
	}
	w.comma = true
	if name != "" {
		w.quote(name)
		w.buf = append(w.buf, ':')
	}
}

// Member writes a name, also an empty one, for members of arbitrary names; the
// value must follow at once, written with Value.
func (w *Writer) Member(name string, value []byte) {
	if w.comma {
		w.buf = append(w.buf, ',')
	}
	w.comma = true
	w.quote(name)
	w.buf = append(w.buf, ':')
	w.buf = append(w.buf, value...)
}

func (w *Writer) quote(s string) {
	buf, err := jsontext.AppendQuote(w.buf, s)
	if err != nil && w.err == nil {
		w.err = errors.New("string " + Quote(s) + " is not valid UTF-8")
	}
	w.buf = buf
}

func (w *Writer) open(name string, bracket byte) {
	w.name(name)
	w.buf = append(w.buf, bracket)
	w.comma = false
}

func (w *Writer) close(bracket byte) {
	w.buf = append(w.buf, bracket)
	w.comma = true
}
