// Package keyset reads and writes files of public keys, each with the time in which it may be used, so that a key can be
// replaced without breaking what it signed:
//
//	{"mediaType": "application/vnd.bulla.keys+json;version=1",
//	 "keys": [{"name": "release 2026", "publicKey": "-----BEGIN PUBLIC KEY-----…", "validFor": {"start": "2026-01-01T00:00:00Z"}}]}
//
// publicKey is PEM, or base64 of the PKIX DER. Of validFor, start and end may be missing. The package is pure, as package
// trust is.
package keyset

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/protojson"
	"github.com/bulla-sign/bulla/trust"
)

// MediaType is that of the file.
const MediaType = "application/vnd.bulla.keys+json;version=1"

const (
	// maxDocument bounds the file in bytes: an RSA key of 4096 bits takes 800.
	maxDocument = 1 << 20
	// maxDepth bounds the nesting: file, list, key, window.
	maxDepth = 4
)

// maxKeys bounds a set of keys: one a month for twenty years.
const maxKeys = 256

// maxName bounds a name or a reason that people read, in bytes.
const maxName = 512

type keySetMessage struct {
	mediaType string
	keys      []setKey
}

type setKey struct {
	name, public string
	window       trust.Window
}

var keySetFields = []protojson.Field[keySetMessage]{
	{Name: "mediaType", Read: func(d *protojson.Decoder, m *keySetMessage) error { return d.String(&m.mediaType) }},
	{Name: "keys", Read: func(d *protojson.Decoder, m *keySetMessage) error {
		return protojson.List(d, &m.keys, maxKeys, func(d *protojson.Decoder, k *setKey) error {
			return protojson.Object(d, setKeyFields, k)
		})
	}},
}

var setKeyFields = []protojson.Field[setKey]{
	{Name: "name", Read: func(d *protojson.Decoder, k *setKey) error { return d.String(&k.name) }},
	{Name: "publicKey", Read: func(d *protojson.Decoder, k *setKey) error { return d.String(&k.public) }},
	{Name: "validFor", Read: func(d *protojson.Decoder, k *setKey) error {
		return protojson.Object(d, windowFields, &k.window)
	}},
}

var windowFields = []protojson.Field[trust.Window]{
	{Name: "start", Read: func(d *protojson.Decoder, w *trust.Window) error { return d.Timestamp(&w.Start) }},
	{Name: "end", Read: func(d *protojson.Decoder, w *trust.Window) error { return d.Timestamp(&w.End) }},
}

// Is says whether data looks like a file of keys rather than one key: whether it is a JSON object.
func Is(data []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) }

// Decode reads a file of keys. Each has a name and, unless it counts for ever, a window: a key that was replaced goes
// on counting for what it signed in its time. A key that stands there twice is an error, and so is a set without keys.
func Decode(data []byte) ([]trust.Key, error) {
	var m keySetMessage
	if err := protojson.Unmarshal(data, protojson.Limits{Bytes: maxDocument, Depth: maxDepth}, keySetFields, &m); err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	if m.mediaType != MediaType {
		return nil, fmt.Errorf("key set: mediaType is %s, want %q", protojson.Quote(m.mediaType), MediaType)
	}
	if len(m.keys) == 0 {
		return nil, errors.New("key set: there is no key in it")
	}
	keys := make([]trust.Key, 0, len(m.keys))
	seen := make(map[string]bool)
	for i, k := range m.keys {
		key, err := k.key()
		if err != nil {
			return nil, fmt.Errorf("key set: keys[%d]: %w", i, err)
		}
		if seen[key.Hint] {
			return nil, fmt.Errorf("key set: keys[%d]: the key stands there twice", i)
		}
		seen[key.Hint] = true
		keys = append(keys, key)
	}
	return keys, nil
}

func (k *setKey) key() (trust.Key, error) {
	if k.name == "" || len(k.name) > maxName {
		return trust.Key{}, fmt.Errorf("name must have 1 to %d bytes", maxName)
	}
	pub, err := parsePublic(k.public)
	if err != nil {
		return trust.Key{}, fmt.Errorf("publicKey: %w", err)
	}
	return trust.NewKey(k.name, pub, algorithm.Unspecified, k.window)
}

func parsePublic(text string) (crypto.PublicKey, error) {
	if strings.HasPrefix(strings.TrimSpace(text), "-----BEGIN") {
		return algorithm.ParsePublicKeyPEM([]byte(text))
	}
	der, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(der) == 0 {
		return nil, errors.New("it is neither PEM nor base64")
	}
	return algorithm.ParsePublicKey(der)
}

// Encode writes a file of keys.
func Encode(keys []trust.Key) ([]byte, error) {
	var w protojson.Writer
	w.Begin("")
	w.String("mediaType", MediaType)
	w.BeginList("keys")
	for i := range keys {
		k := &keys[i]
		der, err := algorithm.MarshalPublicKey(k.Public)
		if err != nil {
			return nil, fmt.Errorf("key set: %s: %w", k.Name, err)
		}
		w.Begin("")
		w.String("name", k.Name)
		w.String("publicKey", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
		if k.Window != (trust.Window{}) {
			w.Begin("validFor")
			w.Time("start", k.Window.Start)
			w.Time("end", k.Window.End)
			w.End()
		}
		w.End()
	}
	w.EndList()
	w.End()
	data, err := w.Done()
	if err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	return data, nil
}
