package token

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"
)

// What is read of a token is what encoding/json makes of it, and what that refuses is refused.
func TestObject(t *testing.T) {
	for _, text := range []string{
		`{}`, ` { } `, "{}\n", `{"a":1}`, `{"a":-1.50e+3,"b":12345678901234567890}`, `{"a":true,"b":false,"c":null}`,
		`{"a":"x\n\u00e9\ud83d\ude00"}`, `{"a":"\ud800"}`, "{\"a\":\"\xff\"}", "{\"\xff\":1}", `{"a":[],"b":[1,[2,{"c":[{}]}]]}`, `{"":""}`,
		``, `{`, `}`, `[]`, `1`, `null`, `"a"`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,"a":1}`, `{"a":1 "b":2}`, `{a:1}`, `{1:1}`, `{[]:1}`,
		`{"a":[1,]}`, `{"a":[1 2]}`, `{"a":[}`, `{"a":[1}]`, `{"a":01}`, `{"a":+1}`, `{"a":1.}`, `{"a":tru}`, `{"a":NaN}`, `{"a":'b'}`,
		`{"a":"\x"}`, "{\"a\":\"\n\"}", `{"a":1}}`, `{"a":1}{}`, `{"a":1} x`, `{"a":1},`, "\ufeff{}", `{"a":1}//`, "{}\v", "{}\x00",
	} {
		checkObject(t, []byte(text))
	}
	for _, text := range []string{`{"a":1,"a":1}`, `{"a":{"b":1,"b":2}}`, `{"a":1,"\u0061":2}`, "{\"\xff\":1,\"\xfe\":2}"} {
		if _, err := object([]byte(text)); err == nil || !strings.Contains(err.Error(), "given twice") {
			t.Errorf("%q gives %v", text, err)
		}
	}
	deep := func(n int) []byte { return []byte(strings.Repeat(`{"a":`, n-1) + `{}` + strings.Repeat(`}`, n-1)) }
	if _, err := object(deep(maxDepth)); err != nil {
		t.Error(err)
	}
	if _, err := object(deep(maxDepth + 1)); err == nil {
		t.Error("an object that nests too deeply is read")
	}
}

func FuzzObject(f *testing.F) {
	f.Add([]byte(`{"iss":"https://a.example","exp":1,"l":[true,null,{"x":"\ud800"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := object(data)
		if err != nil {
			return // more is refused here: names given twice, depth
		}
		if want, err := reference(data); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q is read as %v; encoding/json: %v, %v", data, got, want, err)
		}
	})
}

func checkObject(t *testing.T, data []byte) {
	t.Helper()
	got, err := object(data)
	want, refused := reference(data)
	if (err != nil) != (refused != nil) || err == nil && !reflect.DeepEqual(got, want) {
		t.Errorf("%q is read as %v, %v; encoding/json: %v, %v", data, got, err, want, refused)
	}
}

// reference is another reader's opinion.
func reference(data []byte) (out map[string]any, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF || out == nil {
		return nil, io.ErrUnexpectedEOF
	}
	return out, nil
}
