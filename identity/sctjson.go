package identity

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// ParseSCT reads a detached SCT: the JSON object that CT logs and Fulcio return (RFC 6962 4.1: sct_version, id,
// timestamp, extensions, signature), or the TLS encoding of one SCT.
func ParseSCT(detached []byte) (SCT, error) {
	if len(detached) > maxSCTSize {
		return SCT{}, fmt.Errorf("SCT of %d bytes, more than %d", len(detached), maxSCTSize)
	}
	var sct SCT
	var err error
	// The TLS encoding begins with the version byte, which is no JSON.
	if len(detached) > 0 && detached[0] == 0 {
		sct, err = parseTLSSCT(detached)
	} else {
		sct, err = parseJSONSCT(detached)
	}
	if err != nil {
		return SCT{}, fmt.Errorf("SCT: %w", err)
	}
	return sct, nil
}

// parseJSONSCT reads the JSON form. All members but extensions must be there; unknown and repeated ones are refused.
func parseJSONSCT(data []byte) (SCT, error) {
	var sct SCT
	seen := map[string]bool{}
	dec := jsontext.NewDecoder(bytes.NewReader(data))
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '{' {
		return SCT{}, errors.New("neither a JSON object nor a TLS structure of version 1")
	}
	for dec.PeekKind() != '}' {
		// The decoder refuses repeated names itself.
		name, err := dec.ReadToken()
		if err != nil {
			return SCT{}, err
		}
		member := name.String()
		seen[member] = true
		value, err := dec.ReadToken()
		if err != nil {
			return SCT{}, err
		}
		if err := sct.setMember(member, value); err != nil {
			return SCT{}, fmt.Errorf("member %q: %w", member, err)
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return SCT{}, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return SCT{}, errors.New("data after the JSON object")
	}
	for _, member := range []string{"sct_version", "id", "timestamp", "signature"} {
		if !seen[member] {
			return SCT{}, fmt.Errorf("the member %s is missing", member)
		}
	}
	return sct, nil
}

func (s *SCT) setMember(name string, value jsontext.Token) error {
	switch name {
	case "sct_version":
		if n, err := jsonUint(value); err != nil || n != 0 {
			return errors.New("not 0 (v1)")
		}
		return nil
	case "timestamp":
		n, err := jsonUint(value)
		if err != nil {
			return err
		}
		return s.setTime(n)
	case "id", "extensions", "signature":
	default:
		return errors.New("unknown member")
	}
	if value.Kind() != '"' {
		return errors.New("not a string")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(value.String())
	if err != nil {
		return errors.New("not base64")
	}
	switch name {
	case "id":
		if len(raw) != len(s.LogID) {
			return fmt.Errorf("%d bytes, not %d", len(raw), len(s.LogID))
		}
		s.LogID = [32]byte(raw)
	case "extensions":
		if len(raw) > 0xffff {
			return fmt.Errorf("%d bytes, more than TLS can carry", len(raw))
		}
		s.Extensions = raw
	case "signature":
		return s.setSignature(raw)
	}
	return nil
}

// jsonUint reads a whole number written without sign, fraction or exponent.
func jsonUint(value jsontext.Token) (uint64, error) {
	if value.Kind() != '0' || strings.ContainsAny(value.String(), "-.eE") || len(value.String()) > 16 {
		return 0, errors.New("not a whole number")
	}
	return value.Uint()
}
