package token

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
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
}

// peek reads a compact JWS (RFC 7515 7.1) without verifying it: three parts of base64url with a dot between, the first
// two of them JSON objects. Its errors tell the position of a fault and never repeat the token.
func peek(raw string) (*unverified, error) {
	header, payload, err := split(raw)
	if err != nil {
		return nil, err
	}
	var head struct {
		Algorithm string          `json:"alg"`
		KeyID     string          `json:"kid"`
		Critical  json.RawMessage `json:"crit"`
		Encoded   *bool           `json:"b64"`
	}
	if err := unmarshal(header, &head); err != nil {
		return nil, fmt.Errorf("the token's header is not a JSON object of the expected kind: %w", err)
	}
	if head.Critical != nil || head.Encoded != nil {
		return nil, errors.New("the token's header demands an extension (crit or b64), none is supported")
	}
	if !slices.Contains(Algorithms, head.Algorithm) {
		return nil, fmt.Errorf("the token is signed with algorithm %q, accepted are %s", clip(head.Algorithm), strings.Join(Algorithms, ", "))
	}
	t := &unverified{Algorithm: head.Algorithm, KeyID: head.KeyID}
	if err := unmarshal(payload, &t.claims); err != nil {
		return nil, fmt.Errorf("the token's claims are not a JSON object: %w", err)
	}
	if t.claims == nil {
		return nil, errors.New("the token's claims are not a JSON object")
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

// unmarshal reads one JSON object with exact numbers, of bounded depth, and without a name given twice: what a reader
// makes of the second is a matter of taste, and the signature covers both.
func unmarshal(data []byte, v any) error {
	if err := shape(data); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		// The decoder's own words can repeat the input, which is the token.
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return fmt.Errorf("%s is of type %s", clip(wrong.Field), wrong.Value)
		}
		return errors.New("malformed JSON")
	}
	return nil
}

// shape walks a document and checks depth, duplicates, and that nothing follows it.
func shape(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := walk(d, 0); err != nil {
		return err
	}
	if d.InputOffset() != int64(len(bytes.TrimRight(data, " \t\r\n"))) {
		return errors.New("something follows the JSON object")
	}
	return nil
}

func walk(d *json.Decoder, depth int) error {
	tok, err := d.Token()
	if err != nil {
		return errors.New("malformed JSON")
	}
	open, ok := tok.(json.Delim)
	if depth == 0 && open != '{' {
		return errors.New("not a JSON object")
	}
	if !ok {
		return nil
	}
	if depth >= maxDepth {
		return errors.New("nested too deeply")
	}
	seen := map[string]bool{}
	for d.More() {
		if open == '{' {
			name, err := d.Token()
			text, ok := name.(string)
			if err != nil || !ok {
				return errors.New("malformed JSON")
			}
			if seen[text] {
				return fmt.Errorf("%q is given twice", clip(text))
			}
			seen[text] = true
		}
		if err := walk(d, depth+1); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return errors.New("malformed JSON")
	}
	return nil
}

// clip shortens a text from the token for an error message.
func clip(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
