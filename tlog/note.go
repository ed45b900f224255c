package tlog

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of signed notes. C2SP signed-note asks for at least 16 signatures of up to 5 kB; these leave room for every witness
// of a large quorum and still bound the work that a hostile note can cause.
const (
	MaxCheckpointSize = 1 << 20 // bytes of the whole note
	MaxNoteSignatures = 100     // signature lines
)

// noteSignaturePrefix starts every signature line: an em dash and a space.
const noteSignaturePrefix = "\u2014 "

// NoteSignature is one signature line of a signed note (C2SP signed-note). Nothing in it is verified.
type NoteSignature struct {
	// Name is the key's name as the line states it: not empty, without spaces and plus signs.
	Name string
	// KeyHint is the key ID: four bytes, big endian.
	KeyHint uint32
	// Signature is what follows the key ID, at least one byte.
	Signature []byte
}

// splitNote takes a signed note apart: the signed text with its final newline, and the signatures. The text is separated
// from the signatures by the last empty line.
func splitNote(note string) (text string, signatures []NoteSignature, err error) {
	if len(note) > MaxCheckpointSize {
		return "", nil, fmt.Errorf("has %d bytes, more than %d", len(note), MaxCheckpointSize)
	}
	if !utf8.ValidString(note) {
		return "", nil, errors.New("is not valid UTF-8")
	}
	for i := range len(note) {
		if c := note[i]; c < 0x20 && c != '\n' {
			return "", nil, fmt.Errorf("has the control character %#x at byte %d", c, i)
		}
	}
	end := strings.LastIndex(note, "\n\n")
	if end < 0 {
		return "", nil, errors.New("has no empty line between text and signatures")
	}
	text, lines := note[:end+1], note[end+2:]
	if lines == "" {
		return "", nil, errors.New("has no signature")
	}
	if !strings.HasSuffix(lines, "\n") {
		return "", nil, errors.New("has no newline after the last signature")
	}
	if n := strings.Count(lines, "\n"); n > MaxNoteSignatures {
		return "", nil, fmt.Errorf("has %d signatures, more than %d", n, MaxNoteSignatures)
	}
	for line := range strings.Lines(lines) {
		s, err := parseNoteSignature(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return "", nil, fmt.Errorf("signature line %d: %w", len(signatures)+1, err)
		}
		signatures = append(signatures, s)
	}
	return text, signatures, nil
}

func parseNoteSignature(line string) (NoteSignature, error) {
	rest, ok := strings.CutPrefix(line, noteSignaturePrefix)
	if !ok {
		return NoteSignature{}, errors.New("does not start with an em dash and a space")
	}
	name, encoded, ok := strings.Cut(rest, " ")
	if !ok {
		return NoteSignature{}, errors.New("has no space between key name and signature")
	}
	if !validKeyName(name) {
		return NoteSignature{}, fmt.Errorf("key name %q is empty or has a space or a plus sign", name)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return NoteSignature{}, errors.New("signature is not standard base64")
	}
	if len(raw) < 5 {
		return NoteSignature{}, fmt.Errorf("signature has %d bytes, want four of key ID and at least one more", len(raw))
	}
	return NoteSignature{Name: name, KeyHint: binary.BigEndian.Uint32(raw), Signature: raw[4:]}, nil
}

// validKeyName tells whether a name may name a key of signed notes (C2SP signed-note, "Format").
func validKeyName(name string) bool {
	return name != "" && utf8.ValidString(name) && !strings.Contains(name, "+") && strings.IndexFunc(name, unicode.IsSpace) < 0
}
