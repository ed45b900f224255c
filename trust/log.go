package trust

import (
	"crypto"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/tlog"
)

// Log is a transparency log or CT log (TransparencyLogInstance). Its fields may be set directly; [NewLog] and [DecodeRoot]
// check them.
type Log struct {
	BaseURL      string            // address that identifies the log; may lack the scheme
	Operator     string            // scheme-less URI of who runs it, "sigstore.dev"; may be empty
	ID           []byte            // logId.keyId, 32 bytes: SHA-256 of the key's DER, or the full C2SP key ID of a v2 log
	CheckpointID []byte            // checkpointKeyId, 4 to 32 bytes: the key ID in signed notes; nil: ID serves
	Key          crypto.PublicKey  // nil when the log is not usable
	Details      algorithm.Details // key type and signature algorithm
	Window       Window            // when the key signs
	Hash         crypto.Hash       // of the Merkle tree; only SHA-256 is usable

	rawKey      []byte   // rawBytes as read: needed where Key is nil, and where it is PKCS #1
	detailsName string   // keyDetails as read, where the name is unknown
	treeHash    openEnum // hashAlgorithm as read, where Hash cannot say it
	unusable    string
}

// Usable returns nil if signatures of the log can be checked, or an error that says why not: an algorithm or a tree hash
// that this program does not know. Whoever looks a log up must ask before relying on it.
func (l *Log) Usable() error {
	if l.unusable != "" {
		return errors.New(l.unusable)
	}
	if l.Key == nil {
		return errors.New("no public key given")
	}
	return nil
}

// Name returns the key name that the log signs its checkpoints under: the host name of BaseURL, without port and path
// (C2SP signed-note, "Signatures"; Rekor v2). It is empty if BaseURL has none.
func (l *Log) Name() string {
	s := l.BaseURL
	if !strings.Contains(s, "://") {
		s = "//" + s
	}
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// Hint returns the key ID that stands before the log's signatures in signed notes: the first four bytes of CheckpointID
// or, where that is absent, of ID.
func (l *Log) Hint() (hint uint32, ok bool) {
	id := l.CheckpointID
	if len(id) == 0 {
		id = l.ID
	}
	if len(id) < hintSize {
		return 0, false
	}
	return binary.BigEndian.Uint32(id), true
}

// Algorithm returns the algorithm that the log signs with, or the error of [Log.Usable].
func (l *Log) Algorithm() (algorithm.Algorithm, error) {
	if err := l.Usable(); err != nil {
		return algorithm.Algorithm{}, err
	}
	return algorithm.ForDetails(l.Details)
}

// LogSpec is what an operator knows about a log.
type LogSpec struct {
	URL      string
	Key      crypto.PublicKey // ECDSA, RSA or Ed25519
	Window   Window           // Start is required: other clients refuse a log without
	Origin   string           // key name in checkpoints, for logs with tiles (Rekor v2, static CT); empty for the others
	Operator string
}

// NewLog makes a transparency log of its parts. Without Origin, ID is SHA-256 of the key's DER as with Rekor v1; with it,
// the C2SP key ID, which for Ed25519 and RSA keys depends on the origin.
func NewLog(spec LogSpec) (Log, error) {
	return newLog(spec, false)
}

// NewCTLog makes a CT log of its parts. ID is always SHA-256 of the key's DER, since that is what SCTs carry (RFC 6962,
// 3.2); the key ID that follows from Origin goes to CheckpointID.
func NewCTLog(spec LogSpec) (Log, error) {
	return newLog(spec, true)
}

func newLog(spec LogSpec, ct bool) (Log, error) {
	l := Log{BaseURL: spec.URL, Operator: spec.Operator, Key: spec.Key, Window: spec.Window, Hash: crypto.SHA256}
	if l.Name() == "" {
		return Log{}, fmt.Errorf("log address %q has no host name", spec.URL)
	}
	if spec.Window.Start.IsZero() {
		return Log{}, errors.New("log has no start time")
	}
	if err := spec.Window.check(); err != nil {
		return Log{}, fmt.Errorf("log's window %w", err)
	}
	alg, err := algorithm.Default(spec.Key)
	if err != nil {
		return Log{}, fmt.Errorf("log key: %w", err)
	}
	l.Details = alg.Details()
	if _, ok := spec.Key.(ed25519.PublicKey); ok {
		l.Details = algorithm.Ed25519 // logs sign notes and heads, which are short: never prehashed
	}
	if l.Details == algorithm.Unspecified {
		return Log{}, fmt.Errorf("log key: a trusted root has no name for %s", alg.Name())
	}
	if l.rawKey, err = algorithm.MarshalPublicKey(spec.Key); err != nil {
		return Log{}, err
	}
	if l.ID, err = tlog.KeyIDv1(spec.Key); err != nil {
		return Log{}, err
	}
	if spec.Origin == "" {
		return l, nil
	}
	id, err := tlog.KeyIDv2(spec.Origin, spec.Key)
	if err != nil {
		return Log{}, err
	}
	if ct {
		l.CheckpointID = id
	} else {
		l.ID = id
	}
	return l, nil
}
