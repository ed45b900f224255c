package ctlog

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/bulla-sign/bulla/server/internal/treelog"
	"github.com/bulla-sign/bulla/tlog"
)

// noteRFC6962 is the type of the signature that a log of certificates puts under a checkpoint (static-ct-api,
// "Checkpoints").
const noteRFC6962 = 0x05

// treeHead is a signed tree head (RFC 6962 3.5) as it stands in a checkpoint.
type treeHead struct {
	size      uint64
	root      [tlog.HashSize]byte
	timestamp uint64 // milliseconds since 1970
	signature []byte // DigitallySigned
}

// headSigner signs checkpoints, and verifies them: it is a note.Signer and a note.Verifier.
type headSigner struct {
	name string
	hint uint32 // key ID
	key  crypto.Signer
	pub  *ecdsa.PublicKey
	now  func() time.Time

	mu       sync.Mutex
	lastHead uint64 // timestamp of the last head signed
	lastSCT  uint64 // the latest timestamp of an entry
}

func newHeadSigner(cfg Config, id [32]byte) *headSigner {
	pub, _ := cfg.PublicKey.(*ecdsa.PublicKey) // checked by Config.check
	sum := sha256.Sum256(append(append([]byte(cfg.Tree.Origin), '\n', noteRFC6962), id[:]...))
	return &headSigner{name: cfg.Tree.Origin, hint: binary.BigEndian.Uint32(sum[:4]), key: cfg.Key, pub: pub, now: cfg.Now}
}

// Name is the origin.
func (h *headSigner) Name() string { return h.name }

// KeyHash is the key ID of the signature's line.
func (h *headSigner) KeyHash() uint32 { return h.hint }

// Sign signs the text of a checkpoint: the signature is RFC6962NoteSignature, a timestamp and a TreeHeadSignature.
func (h *headSigner) Sign(text []byte) ([]byte, error) {
	size, root, err := h.parse(text)
	if err != nil {
		return nil, err
	}
	timestamp := h.timestamp()
	signature, err := digitallySign(h.key, headBytes(timestamp, size, root))
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint64(nil, timestamp), signature...), nil
}

// timestamp is the time for the next head: no head is older than an entry in its tree, and each is younger than the one
// before (RFC 6962 3.5), even if the clock goes back.
func (h *headSigner) timestamp() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lastHead = max(millis(h.now()), h.lastHead+1, h.lastSCT)
	return h.lastHead
}

// observe notes the timestamp of an entry before it enters the tree.
func (h *headSigner) observe(timestamp uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lastSCT = max(h.lastSCT, timestamp)
}

// recall notes the timestamps of the heads that were signed before the log was opened: of the one that is published and
// the one in the lock store. Whether these belong to this log is treelog's question.
func (h *headSigner) recall(ctx context.Context, tree treelog.Config) error {
	published, err := os.ReadFile(filepath.Join(tree.Dir, "checkpoint"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var locked []byte
	if tree.Lock != nil {
		name := tree.LockName
		if name == "" {
			name = tree.Origin
		}
		if locked, err = tree.Lock.Load(ctx, name); err != nil && !errors.Is(err, treelog.ErrNoLock) {
			return err
		}
	}
	for _, checkpoint := range [][]byte{published, locked} {
		if head, err := h.open(checkpoint); err == nil {
			h.lastHead = max(h.lastHead, head.timestamp)
		}
	}
	return nil
}

// Verify says whether sig is this log's signature of the text.
func (h *headSigner) Verify(text, sig []byte) bool {
	size, root, err := h.parse(text)
	if err != nil {
		return false
	}
	s := cryptobyte.String(sig)
	var timestamp uint64
	var hash, alg uint8
	var signature cryptobyte.String
	if !s.ReadUint64(&timestamp) || !s.ReadUint8(&hash) || !s.ReadUint8(&alg) || !s.ReadUint16LengthPrefixed(&signature) || !s.Empty() ||
		hash != tlsSHA256 || alg != tlsECDSA {
		return false
	}
	digest := sha256.Sum256(headBytes(timestamp, size, root))
	return ecdsa.VerifyASN1(h.pub, digest[:], signature)
}

// open reads a checkpoint that this log has signed.
func (h *headSigner) open(checkpoint []byte) (treeHead, error) {
	c, err := tlog.ParseCheckpoint(string(checkpoint))
	if err != nil {
		return treeHead{}, err
	}
	for _, sig := range c.Signatures {
		if sig.Name == h.name && sig.KeyHint == h.hint && h.Verify(c.Note, sig.Signature) {
			return treeHead{
				size: uint64(c.Size), root: c.Root,
				timestamp: binary.BigEndian.Uint64(sig.Signature), signature: sig.Signature[8:],
			}, nil
		}
	}
	return treeHead{}, errors.New("the checkpoint is not signed by this log")
}

// parse reads the text of a checkpoint of this log, which has no extension lines (static-ct-api, "Checkpoints").
func (h *headSigner) parse(text []byte) (size uint64, root [tlog.HashSize]byte, err error) {
	bad := func(what string) (uint64, [tlog.HashSize]byte, error) {
		return 0, root, fmt.Errorf("checkpoint of the CT log %s: %s", h.name, what)
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) != 4 || lines[0] != h.name || lines[3] != "" {
		return bad("the text is not origin, size and hash")
	}
	size, err = strconv.ParseUint(lines[1], 10, 63)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] {
		return bad("malformed size")
	}
	hash, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(hash) != len(root) || !bytes.Equal([]byte(base64.StdEncoding.EncodeToString(hash)), []byte(lines[2])) {
		return bad("malformed root hash")
	}
	return size, [tlog.HashSize]byte(hash), nil
}

// headBytes is what a TreeHeadSignature is over (RFC 6962 3.5): version v1, signature_type tree_hash, and the head.
func headBytes(timestamp, size uint64, root [tlog.HashSize]byte) []byte {
	b := append(make([]byte, 0, 2+8+8+len(root)), 0, 1)
	b = binary.BigEndian.AppendUint64(b, timestamp)
	b = binary.BigEndian.AppendUint64(b, size)
	return append(b, root[:]...)
}

// The numbers of TLS 1.2's SignatureAndHashAlgorithm (RFC 5246 7.4.1.4.1).
const (
	tlsSHA256 = 4
	tlsECDSA  = 3
)

// digitallySign returns the DigitallySigned structure over data (RFC 5246 4.7).
func digitallySign(key crypto.Signer, data []byte) ([]byte, error) {
	digest := sha256.Sum256(data)
	sig, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	var b cryptobyte.Builder
	b.AddUint8(tlsSHA256)
	b.AddUint8(tlsECDSA)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(sig) })
	return b.Bytes()
}

// millis is a time as SCTs and heads state it; times before 1970 are 0.
func millis(t time.Time) uint64 { return uint64(max(t.UnixMilli(), 0)) }
