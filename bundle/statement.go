package bundle

import (
	"bytes"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"github.com/bulla-sign/bulla/internal/protojson"
)

// The types of statement that are read.
const (
	// StatementV01 is _type of in-toto attestation framework v0.1.
	StatementV01 = "https://in-toto.io/Statement/v0.1"
	// StatementV1 is _type of in-toto attestation framework v1.
	StatementV1 = "https://in-toto.io/Statement/v1"
	// StatementPayloadType is the DSSE payload type of statements.
	StatementPayloadType = "application/vnd.in-toto+json"
)

// Statement is an in-toto statement: a predicate about some subjects
// (in-toto/attestation, spec/v1/statement.md).
type Statement struct {
	// Type is StatementV01 or StatementV1.
	Type     string
	Subjects []Subject
	// PredicateType is a URI that says how to read Predicate.
	PredicateType string
	// Predicate is the predicate's JSON object, byte by byte as it stands in the
	// statement; nil when there is none. A statement that was read may have a
	// JSON string here: cosign attests SPDX documents in plain text so.
	Predicate []byte
}

// Subject is what a statement is about (spec/v1/resource_descriptor.md).
type Subject struct {
	Name, URI string
	// Digests by in-toto's names of algorithms: "sha256", "gitCommit"…  Those in
	// hexadecimal are in lower case.
	Digests map[string]string
	// Annotations by name, as raw JSON values; nil: absent. Statements of cosign's
	// image signatures carry the user's annotations here.
	Annotations map[string][]byte
}

// Annotation returns the annotation called name if it is a string.
func (s *Subject) Annotation(name string) (value string, ok bool) {
	raw, ok := s.Annotations[name]
	if !ok || len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	err := protojson.Document(raw, protojson.Limits{}, func(d *decoder) error { return d.String(&value) })
	return value, err == nil
}

// ParseStatement reads an in-toto statement of type v0.1 or v1. Required are
// _type and at least one subject, each with at least one digest; digests with a
// hexadecimal form must have it. As in-toto demands, unknown members are
// ignored; unlike most readers, a member given twice is refused at any depth.
func ParseStatement(payload []byte) (*Statement, error) {
	s := new(Statement)
	err := protojson.Document(payload, decodeLimits, func(d *decoder) error {
		return protojson.OpenObject(d, statementFields, s)
	})
	if err != nil {
		return nil, formatError(err)
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	if s.Predicate != nil && s.Predicate[0] != '{' && s.Predicate[0] != '"' {
		return nil, malformed("predicate", "want a JSON object")
	}
	return s, nil
}

var statementFields = []protojson.Field[Statement]{
	{Name: "_type", Read: func(d *decoder, s *Statement) error { return d.String(&s.Type) }},
	{Name: "subject", Read: func(d *decoder, s *Statement) error {
		return protojson.List(d, &s.Subjects, maxSubjects, readSubject)
	}},
	{Name: "predicateType", Read: func(d *decoder, s *Statement) error { return d.String(&s.PredicateType) }},
	{Name: "predicate", Read: func(d *decoder, s *Statement) error { return d.Raw(&s.Predicate) }},
}

func readSubject(d *decoder, s *Subject) error { return protojson.OpenObject(d, subjectFields, s) }

var subjectFields = []protojson.Field[Subject]{
	{Name: "name", Read: func(d *decoder, s *Subject) error { return d.String(&s.Name) }},
	{Name: "uri", Read: func(d *decoder, s *Subject) error { return d.String(&s.URI) }},
	{Name: "digest", Read: func(d *decoder, s *Subject) error {
		s.Digests = make(map[string]string, 1)
		return d.Members(maxDigests, func(name string) error {
			var value string
			err := d.String(&value)
			s.Digests[name] = value
			return err
		})
	}},
	{Name: "annotations", Read: func(d *decoder, s *Subject) error {
		s.Annotations = map[string][]byte{}
		return readRawMembers(d, s.Annotations)
	}},
}

func readRawMembers(d *decoder, into map[string][]byte) error {
	return d.Members(maxAnnotations, func(name string) error {
		var raw []byte
		err := d.Raw(&raw)
		into[name] = raw
		return err
	})
}

// check applies the rules that reading and writing share.
func (s *Statement) check() error {
	switch {
	case s.Type == "":
		return malformed("_type", "missing: not an in-toto statement")
	case s.Type != StatementV01 && s.Type != StatementV1:
		return malformed("_type", protojson.Quote(s.Type)+" is not a known type of statement, want "+StatementV1+" or "+StatementV01)
	case len(s.Subjects) == 0:
		return malformed("subject", "missing or empty: the statement is about nothing")
	case len(s.Subjects) > maxSubjects:
		return malformed("subject", "more than 1024 elements")
	}
	for i := range s.Subjects {
		if err := s.Subjects[i].check(); err != nil {
			return within(at("subject", i), err)
		}
	}
	return nil
}

func (s *Subject) check() error {
	switch {
	case len(s.Digests) == 0:
		return malformed("digest", "missing or empty: the subject cannot be told from others")
	case len(s.Digests) > maxDigests:
		return malformed("digest", "more than 32 members")
	}
	for name, value := range s.Digests {
		if name == "" || value == "" {
			return malformed("digest", "empty name or value")
		}
		size := hexDigestSize(name)
		if size == 0 {
			continue
		}
		if b, err := hex.DecodeString(value); err != nil || len(b) != size {
			return malformed("digest."+name, "is "+protojson.Quote(value)+", not a digest of that algorithm in hexadecimal")
		}
		s.Digests[name] = strings.ToLower(value)
	}
	return nil
}

// hexDigestSize returns the size in bytes of digests called name
// (spec/v1/digest_set.md); 0: not known here, or not in hexadecimal.
func hexDigestSize(name string) int {
	switch name {
	case "sha256", "sha512_256", "sha3_256":
		return 32
	case "sha224", "sha512_224", "sha3_224":
		return 28
	case "sha384", "sha3_384":
		return 48
	case "sha512", "sha3_512":
		return 64
	case "sha1":
		return 20
	case "md5":
		return 16
	}
	return 0
}

// Encode writes s for signing: compact, members in the order _type, subject,
// predicateType, predicate; of a subject name, uri, digest, annotations. Maps
// are sorted by name. The bytes of Predicate and of annotations are kept as
// they are, so that no number changes, but for white space around the whole;
// they must be valid JSON without duplicate names.
func (s *Statement) Encode() ([]byte, error) {
	c := *s
	c.Subjects = slices.Clone(s.Subjects)
	c.Predicate = bytes.Trim(s.Predicate, " \t\r\n") // keeps nil
	for i := range c.Subjects {
		c.Subjects[i].Digests = maps.Clone(c.Subjects[i].Digests) // check lowers the case
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	switch {
	case c.PredicateType == "":
		return nil, malformed("predicateType", "missing")
	case c.Predicate != nil && (len(c.Predicate) == 0 || c.Predicate[0] != '{'):
		return nil, malformed("predicate", "want a JSON object")
	}
	w := new(protojson.Writer)
	w.Begin("")
	w.String("_type", c.Type)
	w.BeginList("subject")
	for i := range c.Subjects {
		if err := c.Subjects[i].encode(w); err != nil {
			return nil, within(at("subject", i), err)
		}
	}
	w.EndList()
	w.String("predicateType", c.PredicateType)
	if c.Predicate != nil {
		if err := checkRaw(c.Predicate); err != nil {
			return nil, within("predicate", err)
		}
		w.Raw("predicate", c.Predicate)
	}
	w.End()
	return done(w)
}

func (s *Subject) encode(w *protojson.Writer) error {
	w.Begin("")
	w.String("name", s.Name)
	w.String("uri", s.URI)
	w.Begin("digest")
	for _, name := range slices.Sorted(maps.Keys(s.Digests)) {
		w.Text(name, s.Digests[name])
	}
	w.End()
	if s.Annotations != nil {
		if err := writeRawMembers(w, "annotations", s.Annotations); err != nil {
			return err
		}
	}
	w.End()
	return nil
}

// writeRawMembers writes an object of raw values, sorted by name.
func writeRawMembers(w *protojson.Writer, name string, members map[string][]byte) error {
	w.Begin(name)
	for _, key := range slices.Sorted(maps.Keys(members)) {
		if err := checkRaw(members[key]); err != nil {
			return within(name+"."+key, err)
		}
		w.Member(key, members[key])
	}
	w.End()
	return nil
}

// checkRaw refuses what is not exactly one JSON value.
func checkRaw(raw []byte) error {
	return formatError(protojson.Document(raw, decodeLimits, func(d *decoder) error { return d.Skip() }))
}

func done(w *protojson.Writer) ([]byte, error) {
	data, err := w.Done()
	if err != nil {
		return nil, malformed("", err.Error())
	}
	return data, nil
}
