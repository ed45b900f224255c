package token

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits on a token, applied before anything of it is decoded (GHSA-f83f-xpx7-ffpw: a million dots made a million
// strings).
const (
	// MaxBytes bounds a token in its compact form. GitHub's have 2 kB, those of Azure with many groups some 10 kB.
	MaxBytes = 32 << 10
	// maxClaims bounds the number of claims; GitHub's tokens have 35.
	maxClaims = 256
	// maxDepth bounds the nesting of claims; the deepest known (Kubernetes) has three levels.
	maxDepth = 16
	// maxSubject bounds sub, which becomes an extension of the certificate.
	maxSubject = 4 << 10
)

// unverified is what a token says of itself.
type unverified struct {
	Algorithm string
	KeyID     string
	Issuer    string
	claims    map[string]any
	input     string // what is signed: the first two parts and the dot between them
	signature []byte
}

// peek reads a compact JWS (RFC 7515 7.1) without verifying it: three parts of base64url with a dot between, the first
// two of them JSON objects. Its errors tell the position of a fault and never repeat the token.
func peek(raw string) (*unverified, error) {
	header, payload, err := split(raw)
	if err != nil {
		return nil, err
	}
	last := strings.LastIndexByte(raw, '.')
	t := &unverified{input: raw[:last]}
	if t.signature, err = decode(raw[last+1:]); err != nil {
		return nil, errors.New("the token's signature is not base64url")
	}
	head, err := object(header)
	if err != nil {
		return nil, fmt.Errorf("the token's header cannot be read: %w", err)
	}
	for _, name := range []string{"crit", "b64"} {
		if _, ok := head[name]; ok {
			return nil, errors.New("the token's header demands an extension (crit or b64), none is supported")
		}
	}
	if t.Algorithm, err = text(head, "alg"); err == nil {
		t.KeyID, err = text(head, "kid")
	}
	if err != nil {
		return nil, fmt.Errorf("the token's header: %w", err)
	}
	if !slices.Contains(Algorithms, t.Algorithm) {
		return nil, fmt.Errorf("the token is signed with algorithm %q, accepted are %s", clip(t.Algorithm), strings.Join(Algorithms, ", "))
	}
	if t.claims, err = object(payload); err != nil {
		return nil, fmt.Errorf("the token's claims cannot be read: %w", err)
	}
	if len(t.claims) > maxClaims {
		return nil, fmt.Errorf("the token has more than %d claims", maxClaims)
	}
	t.Issuer, _ = t.claims["iss"].(string)
	if t.Issuer == "" {
		return nil, errors.New("the token has no claim iss")
	}
	return t, nil
}

// split checks the outer form and decodes header and payload. It allocates no more than the token's own size.
func split(raw string) (header, payload []byte, err error) {
	switch {
	case raw == "":
		return nil, nil, errors.New("the request has no identity token")
	case len(raw) > MaxBytes:
		return nil, nil, fmt.Errorf("the token is longer than %d bytes", MaxBytes)
	}
	dots := [2]int{-1, -1}
	n := 0
	for i := range len(raw) {
		c := raw[i]
		switch {
		case c == '.':
			if n == len(dots) {
				return nil, nil, errors.New("the token has more than three parts: it is no signed JWT in compact form")
			}
			dots[n] = i
			n++
		case c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z'):
			return nil, nil, fmt.Errorf("the token has a character at position %d that is not of base64url: it is no JWT", i)
		}
	}
	if n != len(dots) || dots[0] == 0 || dots[1] == dots[0]+1 || dots[1] == len(raw)-1 {
		return nil, nil, errors.New("the token has not three parts: it is no signed JWT in compact form")
	}
	if header, err = decode(raw[:dots[0]]); err != nil {
		return nil, nil, errors.New("the token's header is not base64url")
	}
	if payload, err = decode(raw[dots[0]+1 : dots[1]]); err != nil {
		return nil, nil, errors.New("the token's claims are not base64url")
	}
	return header, payload, nil
}

// decode reads base64url without padding, and refuses encodings that are not canonical.
func decode(s string) ([]byte, error) { return base64.RawURLEncoding.Strict().DecodeString(s) }

// text returns a member that is a string, if it is there.
func text(of map[string]any, name string) (string, error) {
	value, ok := of[name]
	if !ok {
		return "", nil
	}
	s, ok := value.(string)
	if !ok {
		return "", fmt.Errorf("%s is not a text", name)
	}
	return s, nil
}

// object reads one JSON object with exact numbers, of bounded depth, and without a name given twice: what a reader makes of
// the second is a matter of taste, and the signature covers both. The errors do not repeat the input, which is the token.
func object(data []byte) (map[string]any, error) {
	// What is no UTF-8 is read as U+FFFD, as encoding/json does; names are compared here, since the decoder's own error would
	// repeat them at any length.
	d := jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	first, err := d.ReadToken()
	if err != nil {
		return nil, errors.New("malformed JSON")
	}
	if first.Kind() != jsontext.KindBeginObject {
		return nil, errors.New("not a JSON object")
	}
	out, err := members(d, 1)
	if err != nil {
		return nil, err
	}
	if d.InputOffset() != int64(len(bytes.TrimRight(data, " \t\r\n"))) {
		return nil, errors.New("something follows the JSON object")
	}
	return out, nil
}

// members reads an object from behind its brace on.
func members(d *jsontext.Decoder, depth int) (map[string]any, error) {
	out := map[string]any{}
	for {
		token, err := d.ReadToken()
		if err != nil {
			return nil, errors.New("malformed JSON")
		}
		if token.Kind() == jsontext.KindEndObject {
			return out, nil
		}
		name := token.String() // nothing else than a string stands here
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("%q is given twice", clip(name))
		}
		if out[name], err = value(d, depth); err != nil {
			return nil, err
		}
	}
}

// value reads a value at a depth, which is the number of objects and lists around it.
func value(d *jsontext.Decoder, depth int) (any, error) {
	token, err := d.ReadToken()
	if err != nil {
		return nil, errors.New("malformed JSON")
	}
	kind := token.Kind()
	switch kind {
	case jsontext.KindNull:
		return nil, nil
	case jsontext.KindTrue, jsontext.KindFalse:
		return kind == jsontext.KindTrue, nil
	case jsontext.KindString:
		return token.String(), nil
	case jsontext.KindNumber:
		return json.Number(token.String()), nil
	}
	if depth >= maxDepth {
		return nil, errors.New("nested too deeply")
	}
	if kind == jsontext.KindBeginObject {
		return members(d, depth+1)
	}
	list := []any{}
	for d.PeekKind() != jsontext.KindEndArray {
		element, err := value(d, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, element)
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, errors.New("malformed JSON")
	}
	return list, nil
}

// clip shortens a text from the token for an error message.
func clip(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
