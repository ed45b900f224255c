package client

import (
	"bytes"
	"crypto"
	"errors"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/tlog"
	"github.com/bulla-sign/bulla/trust"
)

// Limits of what logs answer.
const (
	// maxHashes bounds an audit path: a tree of 2^63 leaves has no longer one.
	maxHashes = 63
	// maxLogAnswer bounds an answer in bytes: a body of some KiB, a path, a checkpoint with its cosignatures.
	maxLogAnswer = 4 << 20
	logDepth     = 8 // nested objects; the real answers have four
)

// expected is what an entry must say to be the one that was asked for.
type expected struct {
	digests   []tlog.Digest // the entry's digest must be one of these
	subject   tlog.Subject
	signature tlog.BodySignature
}

// expect says what an entry about a signature must say.
func expect(s *sign.Signature, hashes ...crypto.Hash) (*expected, error) {
	want := &expected{subject: tlog.Artifact, signature: tlog.BodySignature{Signature: s.Bytes, Certificate: s.Certificate}}
	if len(s.Certificate) == 0 {
		spki, err := algorithm.MarshalPublicKey(s.Public)
		if err != nil {
			return nil, err
		}
		want.signature.PublicKey = spki
	}
	for _, h := range hashes {
		sum, err := s.Message.Digest(h, nil)
		if err != nil {
			return nil, err
		}
		want.digests = append(want.digests, tlog.Digest{Hash: h, Sum: sum})
	}
	return want, nil
}

// match holds an entry's body against what was asked for.
func (w *expected) match(body *tlog.Body) error {
	switch {
	case body.Subject != w.subject || len(body.Digests) != 1 || !w.hasDigest(body.Digests[0]):
		return wrong("the entry is about other content than what was sent")
	case len(body.Signatures) != 1 || !bytes.Equal(body.Signatures[0].Signature, w.signature.Signature):
		return wrong("the entry holds another signature than the one that was sent")
	case !bytes.Equal(body.Signatures[0].Certificate, w.signature.Certificate), !bytes.Equal(body.Signatures[0].PublicKey, w.signature.PublicKey):
		return wrong("the entry names another signer than the one that was sent")
	}
	return nil
}

func (w *expected) hasDigest(d tlog.Digest) bool {
	for _, want := range w.digests {
		if want.Hash == d.Hash && bytes.Equal(want.Sum, d.Sum) {
			return true
		}
	}
	return false
}

// included checks that the entry's body is in the tree that its proof speaks of, and that the checkpoint is of that tree
// (RFC 6962 2.1.1, C2SP tlog-checkpoint).
func included(e *tlog.Entry) (*tlog.Checkpoint, error) {
	p := e.Proof
	if p == nil || p.Checkpoint == "" {
		return nil, wrong("the entry has no inclusion proof with a checkpoint")
	}
	if err := p.Verify(tlog.LeafHash(e.Body)); err != nil {
		return nil, wrong("the entry's inclusion proof: %w", err)
	}
	cp, err := tlog.ParseCheckpoint(p.Checkpoint)
	if err != nil {
		return nil, wrong("the entry's checkpoint: %w", err)
	}
	if err := cp.VerifyHead(p.TreeSize, p.RootHash); err != nil {
		return nil, wrong("the checkpoint is of another tree than the inclusion proof: %w", err)
	}
	return cp, nil
}

// under looks for the log of an entry in the root and lets check judge what it signed.
func under(root *trust.Root, logID []byte, check func(*trust.Log) error) error {
	if root == nil {
		return nil
	}
	logs := root.Log(logID)
	if len(logs) == 0 {
		return wrong("the entry is of the log %x, which the trusted root does not know", logID)
	}
	var first error
	for _, log := range logs {
		err := log.Usable()
		if err == nil {
			err = check(log)
		}
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return wrong("%w", first)
}

// signedCheckpoint checks that the log signed the checkpoint. name is the signer's, empty where nobody states it.
func signedCheckpoint(cp *tlog.Checkpoint, name string, log *trust.Log) error {
	id := log.CheckpointID
	if len(id) == 0 {
		id = log.ID
	}
	return cp.VerifySignature(name, id, log.Key)
}

// open checks that the log's key signs at this time.
func open(log *trust.Log, at time.Time) error {
	if !log.Window.Contains(at) {
		return errors.New("the key of the log " + log.BaseURL + " is not valid at " + stamp(at))
	}
	return nil
}

// payloadDigest is what a log of the first generation states of an envelope: the SHA-256 of its payload.
func payloadDigest(env *bundle.Envelope) (tlog.Digest, error) {
	sum, err := algorithm.Bytes(env.Payload).Digest(crypto.SHA256, nil)
	return tlog.Digest{Hash: crypto.SHA256, Sum: sum}, err
}
