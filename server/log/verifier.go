package log

import (
	"crypto"

	"golang.org/x/mod/sumdb/note"
)

// Verifier verifies the checkpoints of the log with an origin and a key (C2SP tlog-checkpoint), for whoever reads a log's
// directory without opening it.
func Verifier(origin string, public crypto.PublicKey) (note.Verifier, error) {
	return newNoteKey(origin, public, nil)
}
