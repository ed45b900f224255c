package log

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
)

// TestEveryFieldMissing is the class of GHSA-frqx-jfcm-6jjr and GHSA-273p-m2cw-6833, panics on entries that lack what the code
// took for given: whatever is missing, null, empty or of another kind is refused as the client's mistake.
func TestEveryFieldMissing(t *testing.T) {
	l, srv := newWorld(t).open(t)
	tried := 0
	for kind, made := range map[string]func() map[string]any{
		"hashedrekord": func() map[string]any { return ecdsaSigner(t).upload(t, "m") },
		"dsse":         func() map[string]any { return envelopeUpload(t, algorithm.ECDSAP256SHA256) },
	} {
		for _, path := range fields(plain(t, made()), nil) {
			for name, wrong := range map[string]any{"missing": nil, "null": json.RawMessage("null"), "empty": map[string]any{}, "a list": []any{nil}, "a number": -1} {
				if path[len(path)-1] == "keyid" && (wrong == nil || name == "null") {
					continue // it may be left out (DSSE protocol, "Signature Definition")
				}
				request := plain(t, made())
				replace(request, path, wrong)
				tried++
				if code, _, answer := post(t, srv, request); code != http.StatusBadRequest {
					t.Errorf("%s: %v %s: %d %s", kind, path, name, code, answer)
				}
			}
		}
	}
	for _, old := range []string{
		`{"kind":"intoto","apiVersion":"0.0.2","spec":{"content":{"envelope":{"payloadType":"x"}}}}`,
		`{"kind":"cose","apiVersion":"0.0.1","spec":{"message":"0g=="}}`,
	} {
		if code, _, answer := post(t, srv, json.RawMessage(old)); code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", old, code, answer)
		}
	}
	if h, ok := l.tree.Head(); tried < 50 || ok && h.Size != 0 {
		t.Errorf("%d requests were tried, %d entries were logged", tried, h.Size)
	}
}

// plain is a request as JSON has it.
func plain(t *testing.T, request map[string]any) (out map[string]any) {
	t.Helper()
	data, err := json.Marshal(request)
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// fields are the paths of all members, those within lists with their index.
func fields(v any, below []any) (out [][]any) {
	add := func(step, inner any) {
		path := append(append([]any{}, below...), step)
		out = append(append(out, path), fields(inner, path)...)
	}
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			add(name, inner)
		}
	case []any:
		for i, inner := range v {
			add(i, inner)
		}
	}
	return out
}

// replace puts something else in the place of a member; nil takes it away, and leaves null in a list.
func replace(v any, path []any, by any) {
	if list, ok := v.([]any); ok {
		if i := path[0].(int); len(path) > 1 {
			replace(list[i], path[1:], by)
		} else {
			list[i] = by
		}
		return
	}
	object, name := v.(map[string]any), path[0].(string)
	switch {
	case len(path) > 1:
		replace(object[name], path[1:], by)
	case by == nil:
		delete(object, name)
	default:
		object[name] = by
	}
}
