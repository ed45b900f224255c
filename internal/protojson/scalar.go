package protojson

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// maxNumber bounds the text of a number: 20 digits and a sign suffice for any
// 64-bit integer; the rest is room for 1.000e+3 and the like.
const maxNumber = 64

// text reads a string and returns its bytes without quotes and escapes, valid
// until the next call. The next value must be a string.
func (d *Decoder) text() ([]byte, error) {
	raw, err := d.json.ReadValue()
	if err != nil {
		return nil, syntax(err)
	}
	return d.unquote(raw)
}

func (d *Decoder) unquote(raw []byte) ([]byte, error) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], nil
	}
	out, err := jsontext.AppendUnquote(d.scratch[:0], raw)
	if err != nil {
		return nil, Fail("not a valid string: " + err.Error())
	}
	d.scratch = out
	return out, nil
}

// value reads a value of kind and returns its text.
func (d *Decoder) value(kind jsontext.Kind, want string) ([]byte, error) {
	if got := d.json.PeekKind(); got != kind {
		return nil, d.mismatch(got, want)
	}
	if kind == jsontext.KindString {
		return d.text()
	}
	raw, err := d.json.ReadValue()
	return raw, syntax(err)
}

// whole reads one value of any kind and returns its text, valid until the next
// call. Its depth and the names in its objects are checked.
func (d *Decoder) whole() ([]byte, error) {
	raw, err := d.json.ReadValue()
	if err != nil {
		return nil, syntax(err)
	}
	if err := d.checkShape(raw); err != nil {
		return nil, err
	}
	if raw[0] == '{' || raw[0] == '[' {
		if err := jsontext.NewDecoder(bytes.NewBuffer(raw)).SkipValue(); err != nil {
			return nil, syntax(err)
		}
	}
	return raw, nil
}

// String reads a string into dst.
func (d *Decoder) String(dst *string) error {
	b, err := d.value(jsontext.KindString, "a string")
	if err != nil {
		return err
	}
	*dst = string(b)
	return nil
}

// Bool reads true or false into dst.
func (d *Decoder) Bool(dst *bool) error {
	got := d.json.PeekKind()
	if got != jsontext.KindTrue && got != jsontext.KindFalse {
		return d.mismatch(got, "a boolean")
	}
	_, err := d.json.ReadToken()
	*dst = got == jsontext.KindTrue
	return syntax(err)
}

// Bytes reads base64 (standard or URL alphabet, padded or not) into dst, which
// becomes non-nil even when it is empty.
func (d *Decoder) Bytes(dst *[]byte) error {
	b, err := d.value(jsontext.KindString, "a string of base64")
	if err != nil {
		return err
	}
	out, err := decodeBase64(b)
	*dst = out
	return err
}

// decodeBase64 accepts what the format demands of readers. The two alphabets
// are told apart by their two distinct letters and must not be mixed.
func decodeBase64(b []byte) ([]byte, error) {
	url := bytes.IndexByte(b, '-') >= 0 || bytes.IndexByte(b, '_') >= 0
	padded := len(b)%4 == 0
	enc := base64.StdEncoding
	switch {
	case url && padded:
		enc = base64.URLEncoding
	case url:
		enc = base64.RawURLEncoding
	case !padded:
		enc = base64.RawStdEncoding
	}
	out := make([]byte, enc.DecodedLen(len(b)))
	n, err := enc.Decode(out, b)
	if err != nil {
		return nil, Fail("not base64: " + err.Error())
	}
	return out[:n], nil
}

// Int64 reads a 64-bit integer, given as a string or a number, into dst.
func (d *Decoder) Int64(dst *int64) error { return d.integer(dst, 64) }

// Int32 reads a 32-bit integer into dst.
func (d *Decoder) Int32(dst *int32) error {
	var v int64
	err := d.integer(&v, 32)
	*dst = int32(v) //nolint:gosec // G115: integer checked the range
	return err
}

// Uint32 reads an unsigned 32-bit integer into dst.
func (d *Decoder) Uint32(dst *uint32) error {
	var v int64
	if err := d.integer(&v, 64); err != nil {
		return err
	}
	if v < 0 || v > 1<<32-1 {
		return Fail("is " + strconv.FormatInt(v, 10) + ", want an integer of 0 to 4294967295")
	}
	*dst = uint32(v)
	return nil
}

func (d *Decoder) integer(dst *int64, bits int) error {
	kind := d.json.PeekKind()
	if kind != jsontext.KindString {
		kind = jsontext.KindNumber
	}
	b, err := d.value(kind, "an integer")
	if err != nil {
		return err
	}
	v, ok := parseInteger(b)
	if !ok || bits == 32 && int64(int32(v)) != v { //nolint:gosec // G115: the conversion is the check
		return Fail("is " + Quote(string(b)) + ", want a signed integer of " + strconv.Itoa(bits) + " bits")
	}
	*dst = v
	return nil
}

// parseInteger reads a JSON number that is a whole number within int64.
func parseInteger(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > maxNumber {
		return 0, false
	}
	digits := b
	negative := b[0] == '-'
	if negative {
		digits = b[1:]
	}
	whole, rest := span(digits)
	if len(whole) == 0 || len(whole) > 1 && whole[0] == '0' {
		return 0, false
	}
	var frac []byte
	if len(rest) > 0 && rest[0] == '.' {
		if frac, rest = span(rest[1:]); len(frac) == 0 {
			return 0, false
		}
	}
	exp := 0
	if len(rest) > 0 {
		if rest[0]|0x20 != 'e' {
			return 0, false
		}
		var err error
		// Atoi takes "+3" and "-3" as JSON does; three digits are plenty, and
		// keep the loops below short.
		if exp, err = strconv.Atoi(string(rest[1:])); err != nil || exp > 999 || exp < -999 {
			return 0, false
		}
	}
	return assemble(negative, append(append(make([]byte, 0, maxNumber), whole...), frac...), exp-len(frac))
}

// assemble returns ±digits·10^exp if that is a whole number within int64.
func assemble(negative bool, digits []byte, exp int) (int64, bool) {
	for ; exp < 0; exp++ {
		if n := len(digits); n == 0 || digits[n-1] == '0' {
			digits = digits[:max(n-1, 0)]
			continue
		}
		return 0, false
	}
	var u uint64
	for _, c := range digits {
		if u > 1<<63/10 {
			return 0, false
		}
		u = u*10 + uint64(c-'0')
	}
	for ; exp > 0 && u != 0; exp-- {
		if u > 1<<63/10 {
			return 0, false
		}
		u *= 10
	}
	switch {
	case negative && u <= 1<<63:
		return -int64(u), true //nolint:gosec // G115: wraps to the minimum for 1<<63, as meant
	case !negative && u < 1<<63:
		return int64(u), true
	}
	return 0, false
}

// span splits b after its leading digits.
func span(b []byte) (digits, rest []byte) {
	i := 0
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return b[:i], b[i:]
}

// EnumValue is one name of an enum. Several names may share a number; the
// first is the canonical one.
type EnumValue struct {
	Name   string
	Number int32
}

// Enum reads an enum, given by name or number, into dst. Unknown names are
// refused. Unknown numbers are kept, since proto3 enums are open: the caller
// refuses what it cannot use.
func (d *Decoder) Enum(values []EnumValue, dst *int32) error {
	return d.EnumFunc(func(name string) (int32, bool) {
		for _, v := range values {
			if v.Name == name {
				return v.Number, true
			}
		}
		return 0, false
	}, dst)
}

// EnumFunc is Enum with a function that knows the names.
func (d *Decoder) EnumFunc(number func(name string) (int32, bool), dst *int32) error {
	if d.json.PeekKind() != jsontext.KindString {
		return d.Int32(dst)
	}
	b, err := d.text()
	if err != nil {
		return err
	}
	n, ok := number(string(b))
	if !ok {
		return Fail("unknown value " + Quote(string(b)))
	}
	*dst = n
	return nil
}

// Timestamp reads a google.protobuf.Timestamp: a string by RFC 3339 with at
// most nine digits of fraction, between the years 1 and 9999. dst is in UTC.
func (d *Decoder) Timestamp(dst *time.Time) error {
	b, err := d.value(jsontext.KindString, "a time by RFC 3339")
	if err != nil {
		return err
	}
	// time.Parse takes a comma for the point and ignores the tenth digit on.
	point := bytes.IndexByte(b, '.')
	fraction, _ := span(b[point+1:])
	t, err := time.Parse(time.RFC3339Nano, string(b))
	if err != nil || bytes.IndexByte(b, ',') >= 0 || point >= 0 && len(fraction) > 9 {
		return Fail("is " + Quote(string(b)) + ", want a time by RFC 3339")
	}
	t = t.UTC()
	if t.Year() < 1 || t.Year() > 9999 {
		return Fail("is " + Quote(string(b)) + ", outside of the years 1 to 9999")
	}
	*dst = t
	return nil
}

// Raw reads any value and copies its text, without surrounding white space,
// into dst.
func (d *Decoder) Raw(dst *[]byte) error {
	raw, err := d.whole()
	*dst = bytes.Clone(raw)
	return err
}

// Skip reads over any value, checking its syntax, depth and names.
func (d *Decoder) Skip() error {
	_, err := d.whole()
	return err
}

// maxNames bounds the members of one object inside a raw value: finding
// duplicates keeps every name. In-toto links name each file of a source tree,
// of which the largest have some hundred thousand.
const maxNames = 1 << 20

// checkShape applies the limits on depth and names to a syntactically valid
// value.
func (d *Decoder) checkShape(raw []byte) error {
	var room [32]int
	commas := room[:0] // of the open brackets; negative for lists
	inString := false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if d.limits.Depth > 0 && d.depth+len(commas) >= d.limits.Depth {
				return Fail("nested deeper than " + strconv.Itoa(d.limits.Depth))
			}
			start := 0
			if c == '[' {
				start = math.MinInt
			}
			commas = append(commas, start)
		case c == '}' || c == ']':
			commas = commas[:len(commas)-1]
		case c == ',':
			if commas[len(commas)-1]++; commas[len(commas)-1] >= maxNames {
				return Fail("an object of more than " + strconv.Itoa(maxNames) + " members")
			}
		}
	}
	return nil
}
