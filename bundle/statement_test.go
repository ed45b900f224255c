package bundle

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// TestStatementVectors parses the statement of every DSSE bundle among the
// vectors and compares it with what encoding/json reads.
func TestStatementVectors(t *testing.T) {
	count := 0
	for _, manifest := range manifests {
		bundles(t, manifest, func(v vector, path string) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b, err := Decode(data)
			if err != nil || b.Envelope == nil {
				return
			}
			s, err := ParseStatement(b.Envelope.Payload)
			if v.Name == "github-cli_sigstoreBundle-invalid-signature.json" {
				if err == nil {
					t.Errorf("%s: its payload is not JSON", v.Name)
				}
				return
			}
			if err != nil {
				t.Errorf("%s: %v", v.Name, err)
				return
			}
			count++
			var want struct {
				Type    string `json:"_type"`
				Subject []struct {
					Name   string            `json:"name"`
					Digest map[string]string `json:"digest"`
				} `json:"subject"`
				PredicateType string          `json:"predicateType"`
				Predicate     json.RawMessage `json:"predicate"`
			}
			if err := json.Unmarshal(b.Envelope.Payload, &want); err != nil {
				t.Fatal(err)
			}
			if s.Type != want.Type || s.PredicateType != want.PredicateType || string(s.Predicate) != string(want.Predicate) || len(s.Subjects) != len(want.Subject) {
				t.Errorf("%s: %+v", v.Name, s)
				return
			}
			for i, w := range want.Subject {
				if s.Subjects[i].Name != w.Name || !reflect.DeepEqual(s.Subjects[i].Digests, w.Digest) {
					t.Errorf("%s: subject %d: %+v", v.Name, i, s.Subjects[i])
				}
			}
		})
	}
	if count < 40 {
		t.Errorf("only %d statements", count)
	}
}

const (
	hex256     = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	subjectOne = `{"name":"n","digest":{"sha256":"` + hex256 + `"}}`
	statement1 = `{"_type":"https://in-toto.io/Statement/v1","subject":[` + subjectOne + `],"predicateType":"https://example.com/p","predicate":{"n":1234567890123456789,"f":1.50}}`
)

func TestParseStatement(t *testing.T) {
	in := strings.Replace(statement1, `"name":"n"`, `"uri":"u","annotations":{"a":"b","n":1.50},"other":[1e400]`, 1)
	in = strings.Replace(in, `{"_type"`, `{"extension":{"x":12345678901234567890},"_type"`, 1)
	in = strings.Replace(in, hex256, strings.ToUpper(hex256)+`","gitCommit":"ABC`, 1)
	s, err := ParseStatement([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	want := &Statement{
		Type: StatementV1, PredicateType: "https://example.com/p", Predicate: []byte(`{"n":1234567890123456789,"f":1.50}`),
		Subjects: []Subject{{
			URI: "u", Digests: map[string]string{"sha256": hex256, "gitCommit": "ABC"},
			Annotations: map[string][]byte{"a": []byte(`"b"`), "n": []byte("1.50")},
		}},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("\n got %+v\nwant %+v", s, want)
	}
	if v, ok := s.Subjects[0].Annotation("a"); v != "b" || !ok {
		t.Errorf("annotation a: %q %v", v, ok)
	}
	for _, name := range []string{"n", "absent"} {
		if v, ok := s.Subjects[0].Annotation(name); ok {
			t.Errorf("annotation %s is the string %q", name, v)
		}
	}
	if s, err := ParseStatement([]byte(strings.Replace(statement1, `,"predicate":{"n":1234567890123456789,"f":1.50}`, "", 1))); err != nil || s.Predicate != nil {
		t.Errorf("without predicate: %v", err)
	}
	// What cosign attest --type spdx writes.
	text := strings.Replace(statement1, `{"n":1234567890123456789,"f":1.50}`, `"SPDXVersion: SPDX-2.2\n"`, 1)
	if s, err := ParseStatement([]byte(text)); err != nil || string(s.Predicate) != `"SPDXVersion: SPDX-2.2\n"` {
		t.Errorf("a predicate that is a text: %v", err)
	}
}

func TestParseStatementRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ old, new, want string }{
		"not an object":     {statement1, "[]", "want an object"},
		"no type":           {`"_type":"https://in-toto.io/Statement/v1",`, "", "_type: missing"},
		"other type":        {"Statement/v1", "Statement/v2", `_type: "https://in-toto.io/Statement/v2" is not a known`},
		"type's case":       {"in-toto.io/Statement", "in-toto.io/statement", "is not a known type"},
		"type twice":        {`{"_type"`, `{"_type":"https://in-toto.io/Statement/v0.1","_type"`, "_type: given twice"},
		"escaped twice":     {`{"_type"`, `{"\u005ftype":"https://in-toto.io/Statement/v0.1","_type"`, "_type: given twice"},
		"no subject":        {subjectOne, "", "subject: missing or empty"},
		"subject null":      {"[" + subjectOne + "]", "null", "subject: missing or empty"},
		"subject object":    {"[" + subjectOne + "]", subjectOne, "subject: is an object, want a list"},
		"null in subjects":  {subjectOne, "null", "subject[0]: null inside a list"},
		"subject twice":     {`"predicateType"`, `"subject":[],"predicateType"`, "subject: given twice"},
		"no digest":         {subjectOne, subjectOne + `,{"name":"m"}`, "subject[1].digest: missing"},
		"empty digests":     {`{"sha256":"` + hex256 + `"}`, `{}`, "subject[0].digest: missing"},
		"digest list":       {`{"sha256":"` + hex256 + `"}`, `["` + hex256 + `"]`, "subject[0].digest: is a list"},
		"digest number":     {`"` + hex256 + `"`, `1`, "subject[0].digest.sha256: is a number"},
		"digest null":       {`"` + hex256 + `"`, `null`, "subject[0].digest.sha256: is null"},
		"digest twice":      {`{"sha256"`, `{"sha256":"","sha256"`, "subject[0].digest.sha256: given twice"},
		"digest not hex":    {hex256, "x" + hex256[1:], "digest.sha256: is"},
		"digest short":      {hex256, hex256[2:], "digest.sha256: is"},
		"digest empty":      {hex256, "", "digest: empty name or value"},
		"digest nameless":   {`{"sha256"`, `{""`, "digest: empty name or value"},
		"sha512 of sha256":  {`{"sha256"`, `{"sha512"`, "digest.sha512: is"},
		"annotation twice":  {`{"name"`, `{"annotations":{"a":"1","a":"2"},"name"`, "subject[0].annotations.a: given twice"},
		"predicate twice":   {`"predicate":`, `"predicate":{},"predicate":`, "predicate: given twice"},
		"twice inside":      {`"f":1.50`, `"f":{"a":1,"a":2}`, "predicate.a: given twice"},
		"twice in unknown":  {`{"_type"`, `{"x":{"a":1,"a":2},"_type"`, "x.a: given twice"},
		"predicate number":  {`{"n":1234567890123456789,"f":1.50}`, `1`, "predicate: want a JSON object"},
		"predicate list":    {`{"n":1234567890123456789,"f":1.50}`, `[]`, "predicate: want a JSON object"},
		"predicateType":     {`"https://example.com/p"`, `{}`, "predicateType: is an object"},
		"trailing":          {`1.50}}`, `1.50}}{}`, "more JSON"},
		"bad number":        {`1.50`, `01.50`, "not valid JSON"},
		"too deep":          {`1.50`, strings.Repeat("[", 600) + strings.Repeat("]", 600), "predicate: nested deeper than 512"},
		"too many subjects": {subjectOne, strings.Repeat(subjectOne+",", 1024) + subjectOne, "subject: more than 1024"},
		"too many digests":  {`{"sha256"`, `{` + manyMembers(32) + `"sha256"`, "digest: more than 32"},
	} {
		in := strings.Replace(statement1, tc.old, tc.new, 1)
		if in == statement1 {
			t.Fatalf("%s: nothing replaced", name)
		}
		_, err := ParseStatement([]byte(in))
		if e := (*FormatError)(nil); !errors.As(err, &e) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

// manyMembers returns n distinct members, each with a comma.
func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`"` + strings.Repeat("a", i+1) + `":"b",`)
	}
	return b.String()
}

func TestEncodeStatement(t *testing.T) {
	s := &Statement{
		Type: StatementV01, PredicateType: "p", Predicate: []byte(" {\"z\": 1234567890123456789, \"a\":1.50}\n"),
		Subjects: []Subject{
			{Name: "<n>", URI: "u", Digests: map[string]string{"sha512": strings.Repeat("ab", 64), "sha256": hex256}, Annotations: map[string][]byte{"b": []byte(`"2"`), "a": []byte(`1.0`)}},
			{Digests: map[string]string{"sha256": strings.ToUpper(hex256)}, Annotations: map[string][]byte{}},
		},
	}
	got, err := s.Encode()
	want := `{"_type":"https://in-toto.io/Statement/v0.1","subject":[{"name":"<n>","uri":"u","digest":{"sha256":"` + hex256 + `","sha512":"` + strings.Repeat("ab", 64) +
		`"},"annotations":{"a":1.0,"b":"2"}},{"digest":{"sha256":"` + hex256 + `"},"annotations":{}}],"predicateType":"p","predicate":{"z": 1234567890123456789, "a":1.50}}`
	if err != nil || string(got) != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
	if s.Subjects[1].Digests["sha256"] != strings.ToUpper(hex256) {
		t.Error("Encode changed its receiver")
	}
	for want, change := range map[string]func(s *Statement){
		"_type: missing":             func(s *Statement) { s.Type = "" },
		"subject: missing":           func(s *Statement) { s.Subjects = nil },
		"subject: more than 1024":    func(s *Statement) { s.Subjects = make([]Subject, 1025) },
		"predicateType: missing":     func(s *Statement) { s.PredicateType = "" },
		"predicate: want a JSON":     func(s *Statement) { s.Predicate = []byte("[]") },
		"predicate: not valid JSON":  func(s *Statement) { s.Predicate = []byte("{") },
		"predicate: unexpected data": func(s *Statement) { s.Predicate = []byte("{},\"x\":{}") },
		"predicate.a: given twice":   func(s *Statement) { s.Predicate = []byte(`{"a":1,"a":2}`) },
		"annotations.k: not valid":   func(s *Statement) { s.Subjects[0].Annotations = map[string][]byte{"k": []byte("x")} },
		"annotations.k: empty":       func(s *Statement) { s.Subjects[0].Annotations = map[string][]byte{"k": nil} },
		"not valid UTF-8":            func(s *Statement) { s.Subjects[0].Name = "\xff" },
		"subject[0].digest: missing": func(s *Statement) { s.Subjects[0].Digests = nil },
	} {
		s, err := ParseStatement([]byte(statement1))
		if err != nil {
			t.Fatal(err)
		}
		change(s)
		if out, err := s.Encode(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v %s, want %q", err, out, want)
		}
	}
}

func TestHexDigestSize(t *testing.T) {
	for name, size := range map[string]int{
		"md5": 16, "sha1": 20, "sha224": 28, "sha256": 32, "sha384": 48, "sha512": 64, "sha512_224": 28, "sha512_256": 32,
		"sha3_224": 28, "sha3_256": 32, "sha3_384": 48, "sha3_512": 64,
	} {
		for _, n := range []int{size - 1, size, size + 1} {
			s := Subject{Digests: map[string]string{name: strings.Repeat("0a", n)}}
			if err := s.check(); (err == nil) != (n == size) {
				t.Errorf("%s of %d bytes: %v", name, n, err)
			}
		}
	}
	for _, name := range []string{"gitCommit", "dirHash", "SHA256"} {
		s := Subject{Digests: map[string]string{name: "h1:xyz="}}
		if err := s.check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzStatement(f *testing.F) {
	f.Add([]byte(statement1))
	f.Add(testenv.ReadVector(f, "dsse", "conformance-statement.json"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseStatement(data)
		if err != nil {
			if e := (*FormatError)(nil); !errors.As(err, &e) || e.Reason == "" {
				t.Fatalf("not a *FormatError with a reason: %v", err)
			}
			return
		}
		if s.PredicateType == "" || s.Predicate != nil && s.Predicate[0] != '{' {
			return // read, but not written
		}
		out, err := s.Encode()
		if err != nil {
			t.Fatalf("parsed but not encoded: %v", err)
		}
		again, err := ParseStatement(out)
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("changed: %v\n%+v\n%+v", err, s, again)
		}
	})
}
