package mint

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/tlog"
)

// Log is a transparency log: of Rekor's first generation (signed entry timestamps, checkpoints whose origin ends in a
// tree's number) or of its second (checkpoints only).
type Log struct {
	Key       crypto.Signer // v1: ECDSA; v2: Ed25519 or ECDSA
	Host      string        // signer's name in checkpoints, host name of URL
	URL       string
	Witnesses []Witness // cosign every checkpoint

	v2     bool
	treeID int64    // v1
	offset int64    // v1: entries of earlier shards
	leaves [][]byte // leaf hashes

	growing sync.Mutex // held to append to leaves, and by who looks from outside
}

// Witness cosigns checkpoints (C2SP tlog-cosignature).
type Witness struct {
	Name string
	Key  ed25519.PrivateKey
}

// LogOptions describe a log. The zero value is the usual one.
type LogOptions struct {
	Host      string        // rekor.bulla.test (v1), log2026-1.rekor.bulla.test (v2)
	Key       crypto.Signer // ECDSA P-256 (v1), Ed25519 (v2)
	Witnesses int           // number of witnesses
}

// fillers is the number of foreign entries in a new log, so that proofs are not trivial.
const fillers = 11

// NewLogV1 makes a log like Rekor v1: a shard of a larger log.
func NewLogV1(t testing.TB, opts LogOptions) *Log {
	t.Helper()
	if opts.Key == nil {
		opts.Key = newECDSA(t, elliptic.P256())
	}
	if opts.Host == "" {
		opts.Host = "rekor.bulla.test"
	}
	l := newLog(t, opts)
	l.treeID, l.offset = 2605736670972794746, 4_163_431
	return l
}

// NewLogV2 makes a log like Rekor v2.
func NewLogV2(t testing.TB, opts LogOptions) *Log {
	t.Helper()
	if opts.Key == nil {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		opts.Key = key
	}
	if opts.Host == "" {
		opts.Host = "log2026-1.rekor.bulla.test"
	}
	l := newLog(t, opts)
	l.v2 = true
	return l
}

func newLog(t testing.TB, opts LogOptions) *Log {
	t.Helper()
	l := &Log{Key: opts.Key, Host: opts.Host, URL: "https://" + opts.Host}
	for i := range fillers {
		l.leaves = append(l.leaves, leafHash([]byte(fmt.Sprintf("entry %d of somebody else", i))))
	}
	for i := range opts.Witnesses {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		l.Witnesses = append(l.Witnesses, Witness{fmt.Sprintf("witness%d.bulla.test", i), key})
	}
	return l
}

// ID returns logId.keyId: of v1 the SHA-256 of the public key; of v2 the C2SP key ID, which depends on the origin when
// the key is Ed25519.
func (l *Log) ID(t testing.TB) []byte {
	t.Helper()
	if key, ok := l.Key.Public().(ed25519.PublicKey); ok {
		return Sum(crypto.SHA256, append([]byte(l.Host+"\n\x01"), key...))
	}
	return Sum(crypto.SHA256, SPKI(t, l.Key.Public()))
}

// Origin returns the first line of the log's checkpoints.
func (l *Log) Origin() string {
	if l.v2 {
		return l.Host
	}
	return fmt.Sprintf("%s - %d", l.Host, l.treeID)
}

// Add appends an entry at the given time and returns it with everything the log says about it: of v1 the integrated
// time, signed entry timestamp and inclusion proof, of v2 the inclusion proof. kind is "kind/version".
func (l *Log) Add(t testing.TB, kind string, body []byte, at time.Time) tlog.Entry {
	t.Helper()
	name, version, ok := strings.Cut(kind, "/")
	if !ok {
		t.Fatalf("%q is not a kind and a version", kind)
	}
	index := int64(len(l.leaves))
	l.growing.Lock()
	l.leaves = append(l.leaves, leafHash(body))
	l.growing.Unlock()
	entry := tlog.Entry{
		LogIndex: index + l.offset, LogID: l.ID(t), Kind: name, Version: version,
		Proof: l.Prove(t, index, at), Body: body,
	}
	if !l.v2 {
		entry.IntegratedTime = at.Unix()
		entry.Promise = l.SignEntry(t, &entry)
	}
	return entry
}

// SignEntry returns the signed entry timestamp of v1 for the entry as it stands: ECDSA over the JSON (RFC 8785) of
// body, integratedTime, logID and logIndex.
func (l *Log) SignEntry(t testing.TB, e *tlog.Entry) []byte {
	t.Helper()
	payload := fmt.Sprintf(`{"body":"%s","integratedTime":%d,"logID":"%x","logIndex":%d}`,
		base64.StdEncoding.EncodeToString(e.Body), e.IntegratedTime, e.LogID, e.LogIndex)
	return l.sign(t, []byte(payload))
}

// Prove returns an inclusion proof of the leaf in the tree as it is now, with a checkpoint.
func (l *Log) Prove(t testing.TB, index int64, at time.Time) *tlog.InclusionProof {
	t.Helper()
	return &tlog.InclusionProof{
		LogIndex: index, TreeSize: int64(len(l.leaves)), RootHash: treeHash(l.leaves),
		Hashes: auditPath(l.leaves, int(index)), Checkpoint: l.Checkpoint(t, at),
	}
}

// Checkpoint returns the signed tree head of the tree as it is now. at is the time of the cosignatures; the log itself
// states no time.
func (l *Log) Checkpoint(t testing.TB, at time.Time) string {
	t.Helper()
	root := base64.StdEncoding.EncodeToString(treeHash(l.leaves))
	return l.SignCheckpoint(t, fmt.Sprintf("%s\n%d\n%s\n", l.Origin(), len(l.leaves), root), at)
}

// SignCheckpoint signs any text, which ends with a line end, as this log and its witnesses would sign a checkpoint.
func (l *Log) SignCheckpoint(t testing.TB, text string, at time.Time) string {
	t.Helper()
	note := text + "\n" + noteLine(l.Host, l.ID(t), l.sign(t, []byte(text)))
	for _, w := range l.Witnesses {
		id := Sum(crypto.SHA256, append([]byte(w.Name+"\n\x04"), w.Key.Public().(ed25519.PublicKey)...))
		message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", at.Unix(), text)
		stamped := binary.BigEndian.AppendUint64(nil, uint64(at.Unix()))
		note += noteLine(w.Name, id, append(stamped, ed25519.Sign(w.Key, []byte(message))...))
	}
	return note
}

func noteLine(name string, id, signature []byte) string {
	raw := append(bytes.Clone(id[:4]), signature...)
	return "— " + name + " " + base64.StdEncoding.EncodeToString(raw) + "\n"
}

// sign signs as logs do: Ed25519 over the message, everything else over its SHA-256.
func (l *Log) sign(t testing.TB, message []byte) []byte {
	t.Helper()
	opts := crypto.SHA256
	if _, ok := l.Key.(ed25519.PrivateKey); ok {
		opts = crypto.Hash(0)
	} else {
		message = Sum(crypto.SHA256, message)
	}
	signature, err := l.Key.Sign(rand.Reader, message, opts)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

func leafHash(body []byte) []byte {
	h := sha256.Sum256(append([]byte{0}, body...))
	return h[:]
}

func nodeHash(left, right []byte) []byte {
	return Sum(crypto.SHA256, append(append([]byte{1}, left...), right...))
}

// split is the largest power of two smaller than n (RFC 6962 2.1).
func split(n int) int {
	k := 1
	for k*2 < n {
		k *= 2
	}
	return k
}

// treeHash and auditPath are the recursive definitions of RFC 6962 2.1 and 2.1.1.
func treeHash(leaves [][]byte) []byte {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := split(len(leaves))
	return nodeHash(treeHash(leaves[:k]), treeHash(leaves[k:]))
}

func auditPath(leaves [][]byte, index int) [][]byte {
	if len(leaves) == 1 {
		return nil
	}
	k := split(len(leaves))
	if index < k {
		return append(auditPath(leaves[:k], index), treeHash(leaves[k:]))
	}
	return append(auditPath(leaves[k:], index-k), treeHash(leaves[:k]))
}

// Leaves returns the leaf hashes, from the first on.
func (l *Log) Leaves() [][]byte {
	l.growing.Lock()
	defer l.growing.Unlock()
	return l.leaves
}

// UUID returns the name that a log of Rekor's first generation gives to an entry: the tree's number and the leaf hash.
func (l *Log) UUID(body []byte) string { return fmt.Sprintf("%016x%x", l.treeID, leafHash(body)) }
