// Package witness is a witness of one transparency log for tests and measurements: an HTTP handler that follows C2SP
// tlog-witness, cosigns what extends what it knows, and can be told to be down or to know something else.
package witness

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/bulla-sign/bulla/tlog"
)

// Name is that of every witness.
const Name = "witness.example.com"

// maxBody bounds a request: a proof has at most 63 hashes.
const maxBody = 64 << 10

// Witness cosigns the checkpoints of one log. Its fields below the first may be changed in [Witness.Set].
type Witness struct {
	key ed25519.PrivateKey
	log note.Verifier

	mu   sync.Mutex
	Size int64               // of the tree that it has cosigned last
	Root [tlog.HashSize]byte // of that tree
	Down bool                // it answers with 503
}

// New makes a witness with a new key, for the log whose checkpoints the verifier knows.
func New(log note.Verifier) (*Witness, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return &Witness{key: key, log: log}, err
}

// Set changes the witness while it answers nobody.
func (w *Witness) Set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// Key is what cosignatures verify with.
func (w *Witness) Key() ed25519.PublicKey { return w.key.Public().(ed25519.PublicKey) }

// keyID is that of a cosigner (C2SP tlog-cosignature).
func (w *Witness) keyID() []byte {
	sum := sha256.Sum256(append([]byte(Name+"\n\x04"), w.Key()...))
	return sum[:4]
}

// Policy demands the cosignature of this witness, which is reached at the URL (C2SP tlog-policy).
func (w *Witness) Policy(url string) []byte {
	vkey := fmt.Sprintf("%s+%x+%s", Name, w.keyID(), base64.StdEncoding.EncodeToString(append([]byte{4}, w.Key()...)))
	return fmt.Appendf(nil, "witness w %s %s\nquorum w\n", vkey, url)
}

// ServeHTTP implements http.Handler.
func (w *Witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.Down {
		http.Error(rw, "down", http.StatusServiceUnavailable)
		return
	}
	if r.URL.Path != "/add-checkpoint" || r.Method != http.MethodPost {
		http.NotFound(rw, r)
		return
	}
	old, cp, proof, err := parse(io.LimitReader(r.Body, maxBody))
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	if _, err := note.Open([]byte(cp.envelope), note.VerifierList(w.log)); err != nil {
		http.Error(rw, "unknown signature", http.StatusForbidden)
		return
	}
	switch {
	case old != w.Size:
		rw.Header().Set("Content-Type", "text/x.tlog.size")
		rw.WriteHeader(http.StatusConflict)
		_, _ = fmt.Fprintf(rw, "%d\n", w.Size)
		return
	case old == cp.Size && old > 0 && cp.Root != w.Root:
		http.Error(rw, "another root", http.StatusConflict)
		return
	case old > 0 && tlog.VerifyConsistency(old, cp.Size, w.Root, cp.Root, proof) != nil:
		http.Error(rw, "bad proof", http.StatusUnprocessableEntity)
		return
	}
	w.Size, w.Root = cp.Size, cp.Root
	_, _ = rw.Write(w.cosign(cp.Note))
}

type checkpoint struct {
	*tlog.Checkpoint
	envelope string
}

// parse reads the body of add-checkpoint: "old N", the hashes of a consistency proof, an empty line, the checkpoint.
func parse(r io.Reader) (old int64, cp checkpoint, proof [][]byte, err error) {
	body, err := io.ReadAll(r)
	if err != nil {
		return 0, cp, nil, err
	}
	head, envelope, _ := strings.Cut(string(body), "\n\n")
	lines := strings.Split(head, "\n")
	if old, err = strconv.ParseInt(strings.TrimPrefix(lines[0], "old "), 10, 64); err != nil {
		return 0, cp, nil, err
	}
	cp.envelope = envelope
	if cp.Checkpoint, err = tlog.ParseCheckpoint(envelope); err != nil {
		return 0, cp, nil, err
	}
	if old > cp.Size {
		return 0, cp, nil, fmt.Errorf("old size %d is beyond the checkpoint's %d", old, cp.Size)
	}
	for _, line := range lines[1:] {
		hash, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			return 0, cp, nil, err
		}
		proof = append(proof, hash)
	}
	return old, cp, proof, nil
}

func (w *Witness) cosign(text []byte) []byte {
	now := time.Now().Unix()
	sig := ed25519.Sign(w.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", now, text))
	line := binary.BigEndian.AppendUint64(bytes.Clone(w.keyID()), uint64(now))
	return fmt.Appendf(nil, "— %s %s\n", Name, base64.StdEncoding.EncodeToString(append(line, sig...)))
}
