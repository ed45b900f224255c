// Package predicate knows the predicate types of attestations by their short names, and makes predicates of what a user
// gives. What is JSON already goes into the statement byte for byte: no number is rounded and no unknown field lost.
package predicate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Type is a kind of predicate that has a short name.
type Type struct {
	// Name is what --type takes, URI the predicate type in the statement.
	Name, URI string
	// Text says that the user's file is not JSON and becomes a JSON string, or part of one.
	Text bool
}

// Custom is the type of predicates that nobody named.
const Custom = "custom"

// Types lists the short names, as cosign has them.
func Types() []Type {
	return []Type{
		{Custom, "https://cosign.sigstore.dev/attestation/v1", true},
		{"slsaprovenance", "https://slsa.dev/provenance/v0.2", false},
		{"slsaprovenance02", "https://slsa.dev/provenance/v0.2", false},
		{"slsaprovenance1", "https://slsa.dev/provenance/v1", false},
		{"link", "https://in-toto.io/Link/v1", false},
		{"spdx", "https://spdx.dev/Document", true},
		{"spdxjson", "https://spdx.dev/Document", false},
		{"cyclonedx", "https://cyclonedx.org/bom", false},
		{"vuln", "https://cosign.sigstore.dev/attestation/vuln/v1", false},
		{"openvex", "https://openvex.dev/ns", false},
	}
}

// Lookup finds the type for what --type takes: a short name, or an absolute URI, which stands for itself.
func Lookup(name string) (Type, error) {
	var names []string
	for _, t := range Types() {
		if t.Name == name {
			return t, nil
		}
		names = append(names, t.Name)
	}
	if u, err := url.Parse(name); err == nil && u.IsAbs() {
		return Type{Name: name, URI: name}, nil
	}
	return Type{}, fmt.Errorf("invalid predicate type %q: give an absolute URI or one of %s", name, strings.Join(names, ", "))
}

// MaxSize bounds a predicate, and a whole statement: a bundle has at most 64 MiB and holds it in base64.
const MaxSize = 47 << 20

// Undated is a predicate without the time at which [Build] made it, which stands in those of the type custom only.
func Undated(uri string, predicate []byte) []byte {
	var made struct{ Data, Timestamp *string }
	if custom, err := Lookup(Custom); err != nil || uri != custom.URI {
		return predicate
	}
	dec := json.NewDecoder(bytes.NewReader(predicate))
	dec.DisallowUnknownFields()
	if dec.Decode(&made) != nil || made.Data == nil || made.Timestamp == nil {
		return predicate
	}
	return []byte(*made.Data)
}

// Build makes the predicate of type t from the user's data: a JSON object, kept as it is. Custom wraps the data in an
// object with the present time, as cosign does.
func Build(t Type, data []byte, now time.Time) ([]byte, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("the predicate has %d bytes; at most %d can be attested", len(data), MaxSize)
	}
	switch {
	case t.Name == Custom && !utf8.Valid(data):
		// Encoding it as JSON would change it.
		return nil, errors.New("a predicate of type custom becomes a text in JSON, and the data is not valid UTF-8: put it into a JSON object yourself (in base64, say) and give --type a URI of your own")
	case t.Name == Custom:
		return json.Marshal(struct{ Data, Timestamp string }{string(data), now.UTC().Format(time.RFC3339)})
	case t.Text:
		return nil, fmt.Errorf("a predicate of type %s is plain text, and a statement's predicate is a JSON object: convert the document to SPDX JSON and give --type spdxjson", t.Name)
	}
	v := jsontext.Value(bytes.TrimSpace(data))
	if !v.IsValid() {
		return nil, fmt.Errorf("a predicate of type %s must be JSON, and the data is not valid JSON", t.Name)
	}
	if v.Kind() != '{' {
		return nil, fmt.Errorf("a predicate of type %s must be a JSON object", t.Name)
	}
	return v, nil
}
