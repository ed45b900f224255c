// Package portable reads and writes trust as one file that can be carried to where no network is: the trusted root, the
// signing config, what is revoked, when all of that was known to be current, and where it came from.
//
//	{"mediaType": "application/vnd.bulla.trust+json;version=1",
//	 "issued": "2026-11-25T09:00:00Z", "from": "TUF, https://…",
//	 "trustedRoot": {…}, "signingConfig": {…}, "revocations": {…}}
//
// The first four members and the trusted root must be there. The file is not signed: whoever hands it over is trusted.
//
// The package is pure, as package trust is.
package portable

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/bulla-sign/bulla/internal/protojson"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/trust/revocation"
)

// MediaType is that of the file.
const MediaType = "application/vnd.bulla.trust+json;version=1"

const (
	// MaxSize bounds the file in bytes: a list of revocations, and a trusted root and a signing config of a megabyte each.
	MaxSize = revocation.MaxList + 2<<20
	// maxDepth bounds the nesting: one more than that of a client config or a list of revocations.
	maxDepth = 9
	// maxFrom bounds the line that says where the trust came from, in bytes.
	maxFrom = 512
)

// Trust is what a file holds.
type Trust struct {
	Issued        time.Time // when the rest was known to be current
	From          string    // where it came from, for people
	Root          *trust.Root
	SigningConfig *trust.SigningConfig // nil: none
	Revocations   []byte               // the list as it was published; nil: none
}

type message struct {
	mediaType, from           string
	issued                    time.Time
	root, config, revocations []byte
}

var fields = []protojson.Field[message]{
	{Name: "mediaType", Read: func(d *protojson.Decoder, m *message) error { return d.String(&m.mediaType) }},
	{Name: "issued", Read: func(d *protojson.Decoder, m *message) error { return d.Timestamp(&m.issued) }},
	{Name: "from", Read: func(d *protojson.Decoder, m *message) error { return d.String(&m.from) }},
	{Name: "trustedRoot", Read: func(d *protojson.Decoder, m *message) error { return d.Raw(&m.root) }},
	{Name: "signingConfig", Read: func(d *protojson.Decoder, m *message) error { return d.Raw(&m.config) }},
	{Name: "revocations", Read: func(d *protojson.Decoder, m *message) error { return d.Raw(&m.revocations) }},
}

// Decode reads a file. Nothing in it may be unknown, and all of it must be readable. The root has the revocations, and its
// source the date.
func Decode(data []byte) (*Trust, error) {
	t, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("trust file: %w", err)
	}
	return t, nil
}

func decode(data []byte) (*Trust, error) {
	var m message
	if err := protojson.Unmarshal(data, protojson.Limits{Bytes: MaxSize, Depth: maxDepth}, fields, &m); err != nil {
		return nil, err
	}
	switch {
	case m.mediaType != MediaType:
		return nil, fmt.Errorf("mediaType is %s, want %q", protojson.Quote(m.mediaType), MediaType)
	case m.issued.IsZero():
		return nil, errors.New("issued is missing")
	case m.root == nil:
		return nil, errors.New("trustedRoot is missing")
	}
	if err := checkFrom(m.from); err != nil {
		return nil, err
	}
	root, err := trust.DecodeRoot(m.root)
	if err != nil {
		return nil, err
	}
	t := &Trust{Issued: m.issued, From: m.from, Root: root, Revocations: m.revocations}
	if m.config != nil {
		if t.SigningConfig, err = trust.DecodeSigningConfig(m.config); err != nil {
			return nil, err
		}
	}
	if m.revocations != nil {
		if _, root.Revocations, err = revocation.Decode(m.revocations); err != nil {
			return nil, err
		}
		root.Revocable = true
	}
	root.Source = trust.Source{Name: m.from, SHA256: sha256.Sum256(m.root), Date: m.issued}
	return t, nil
}

func checkFrom(from string) error {
	if from == "" || len(from) > maxFrom || strings.IndexFunc(from, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
		return fmt.Errorf("from must have 1 to %d printable bytes", maxFrom)
	}
	return nil
}

// Encode writes the file.
func (t *Trust) Encode() ([]byte, error) {
	root, err := t.Root.Encode()
	if err != nil {
		return nil, fmt.Errorf("trust file: %w", err)
	}
	var w protojson.Writer
	w.Begin("")
	w.String("mediaType", MediaType)
	w.Time("issued", t.Issued.UTC())
	w.String("from", t.From)
	w.Raw("trustedRoot", root)
	if t.SigningConfig != nil {
		config, err := t.SigningConfig.Encode()
		if err != nil {
			return nil, fmt.Errorf("trust file: %w", err)
		}
		w.Raw("signingConfig", config)
	}
	if t.Revocations != nil {
		w.Raw("revocations", t.Revocations)
	}
	w.End()
	data, err := w.Done()
	if err == nil {
		_, err = decode(data) // what is written can be read
	}
	if err != nil {
		return nil, fmt.Errorf("trust file: %w", err)
	}
	return data, nil
}
