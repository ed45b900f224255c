package tuf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// vet looks at metadata before go-tuf does, which panics at a null where it expects an object, reads numbers as floats and
// lets the last of two equal names win. None of that occurs in honest metadata: canonical JSON, in which it is signed, has
// no fractions, and names are unique.
func vet(data []byte, limit int) error {
	if len(data) > limit {
		return fmt.Errorf("has more than %d bytes", limit)
	}
	dec := jsontext.NewDecoder(bytes.NewReader(data)) // refuses names that occur twice, and invalid UTF-8
	for {
		token, err := dec.ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("is not valid JSON: %w", err)
		case dec.StackDepth() > maxDepth:
			return fmt.Errorf("is nested more than %d deep", maxDepth)
		}
		switch token.Kind() {
		case 'n':
			return fmt.Errorf("has null at %q", dec.StackPointer())
		case '0':
			if number := token.String(); strings.ContainsAny(number, ".eE") || len(number) > 15 { // 2^53 has 16 digits
				return fmt.Errorf("has the number %q at %q, which is no integer of at most 15 digits", number, dec.StackPointer())
			}
		}
	}
}

// guarded calls go-tuf. It panics at some malformed input that vet cannot know, such as an Ed25519 key of the wrong length.
func guarded(call func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed metadata: %v", r)
		}
	}()
	return call()
}
