package client

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/protojson"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/tlog"
	"github.com/bulla-sign/bulla/trust"
)

// LogV2 is a transparency log with Rekor's API v2.
type LogV2 struct{ s *service }

// logV2Timeout: a log with its defaults answers once a checkpoint covers the entry, up to eleven seconds later; its own
// clients are told to wait for twenty at least.
const logV2Timeout = 30 * time.Second

// NewLogV2 returns the log at an address, the base below which api/v2/log/entries lies.
func NewLogV2(address string, o Options) (*LogV2, error) {
	s, err := newService(TransparencyLog, address, o, logV2Timeout)
	if err != nil {
		return nil, err
	}
	return &LogV2{s}, nil
}

// Log enters a signature as a hashedrekord 0.0.2: its message's digest (of an envelope, its PAE's), the signature, and the
// certificate or key. The entry that comes back is exactly that and is included in the tree of the log's checkpoint. An
// entry that the log holds already, from an attempt whose answer was lost perhaps, is as good. It implements [sign.Logger].
func (l *LogV2) Log(ctx context.Context, s *sign.Signature) (*tlog.Entry, error) {
	details := s.Algorithm.Details()
	if details == algorithm.Ed25519 {
		return nil, fmt.Errorf("transparency log %s: logs take Ed25519 in its prehashed form only (ed25519-ph)", l.s.base)
	}
	want, err := expect(s, s.Algorithm.Hash())
	if err != nil {
		return nil, err
	}
	want.signature.Details = details
	leaf, err := tlog.HashedRekordV2Body(want.digests[0], want.signature)
	if err != nil {
		return nil, err
	}
	body, err := hashedRekordRequest(want)
	if err != nil {
		return nil, err
	}
	r := &request{
		asked: "a log entry", method: http.MethodPost, url: l.s.base + "/api/v2/log/entries", contentType: "application/json",
		accept: "application/json", body: body, limit: maxLogAnswer, said: statusMessage,
		good: func(status int) bool { return created(status) || status == http.StatusConflict },
	}
	a, err := l.s.do(ctx, r)
	if err != nil {
		return nil, err
	}
	if a.status == http.StatusConflict {
		return l.duplicate(ctx, r, a, leaf)
	}
	e, err := parseEntryV2(a.body)
	if err == nil {
		err = l.check(e, leaf)
	}
	if err != nil {
		return nil, l.s.fail(r, a, err)
	}
	return e, nil
}

// hashedRekordRequest writes the message HashedRekordRequestV002 inside CreateEntryRequest.
func hashedRekordRequest(want *expected) ([]byte, error) {
	var w protojson.Writer
	w.Begin("")
	w.Begin("hashedRekordRequestV002")
	w.Bytes("digest", want.digests[0].Sum)
	w.Begin("signature")
	w.Bytes("content", want.signature.Signature)
	w.Begin("verifier")
	verifier, der := "x509Certificate", want.signature.Certificate
	if len(der) == 0 {
		verifier, der = "publicKey", want.signature.PublicKey
	}
	w.Begin(verifier)
	w.Bytes("rawBytes", der)
	w.End()
	w.String("keyDetails", want.signature.Details.String())
	for range 4 {
		w.End()
	}
	return w.Done()
}

// check holds an entry against the leaf that it must be, and the log's signature.
func (l *LogV2) check(e *tlog.Entry, leaf []byte) error {
	switch {
	case !bytes.Equal(e.Body, leaf):
		if body, err := tlog.ParseBody(e.Body); err != nil {
			return wrong("the entry: %w", err)
		} else if body.Kind != "hashedrekord" {
			return wrong("the log entered it as %s %s, which verifiers refuse today", printable(body.Kind), printable(body.Version))
		}
		return wrong("the entry is not about the signature that was sent")
	case e.Kind != "hashedrekord" || e.Version != "0.0.2":
		return wrong("the entry is stated to be %s %s, and its body is a hashedrekord 0.0.2", printable(e.Kind), printable(e.Version))
	case e.Proof != nil && e.Proof.LogIndex != e.LogIndex:
		return wrong("the entry's index is %d, and its proof's %d", e.LogIndex, e.Proof.LogIndex)
	case len(e.Promise) > 0 || e.IntegratedTime != 0:
		return wrong("a log of this version states no time, and the entry has one")
	}
	cp, err := included(e)
	if err != nil {
		return err
	}
	return under(l.s.Root, e.LogID, func(log *trust.Log) error {
		if cp.Origin != log.Name() {
			return fmt.Errorf("the checkpoint is of the log %q, not of %q", printable(cp.Origin), log.Name())
		}
		if err := signedCheckpoint(cp, log.Name(), log); err != nil {
			return err
		}
		return open(log, l.s.Now())
	})
}

var entryV2Fields = []protojson.Field[tlog.Entry]{
	{Name: "logIndex", Proto: "log_index", Read: func(d *protojson.Decoder, e *tlog.Entry) error { return d.Int64(&e.LogIndex) }},
	{Name: "logId", Proto: "log_id", Read: func(d *protojson.Decoder, e *tlog.Entry) error {
		return protojson.OpenObject(d, []protojson.Field[[]byte]{{Name: "keyId", Proto: "key_id", Read: readBytes}}, &e.LogID)
	}},
	{Name: "kindVersion", Proto: "kind_version", Read: func(d *protojson.Decoder, e *tlog.Entry) error {
		return protojson.OpenObject(d, kindFields, e)
	}},
	{Name: "integratedTime", Proto: "integrated_time", Read: func(d *protojson.Decoder, e *tlog.Entry) error { return d.Int64(&e.IntegratedTime) }},
	{Name: "inclusionPromise", Proto: "inclusion_promise", Read: func(d *protojson.Decoder, e *tlog.Entry) error {
		return protojson.OpenObject(d, []protojson.Field[[]byte]{{Name: "signedEntryTimestamp", Proto: "signed_entry_timestamp", Read: readBytes}}, &e.Promise)
	}},
	{Name: "inclusionProof", Proto: "inclusion_proof", Read: func(d *protojson.Decoder, e *tlog.Entry) error {
		e.Proof = &tlog.InclusionProof{}
		return protojson.OpenObject(d, proofV2Fields, e.Proof)
	}},
	{Name: "canonicalizedBody", Proto: "canonicalized_body", Read: func(d *protojson.Decoder, e *tlog.Entry) error { return d.Bytes(&e.Body) }},
}

var kindFields = []protojson.Field[tlog.Entry]{
	{Name: "kind", Read: func(d *protojson.Decoder, e *tlog.Entry) error { return d.String(&e.Kind) }},
	{Name: "version", Read: func(d *protojson.Decoder, e *tlog.Entry) error { return d.String(&e.Version) }},
}

var proofV2Fields = []protojson.Field[tlog.InclusionProof]{
	{Name: "logIndex", Proto: "log_index", Read: func(d *protojson.Decoder, p *tlog.InclusionProof) error { return d.Int64(&p.LogIndex) }},
	{Name: "rootHash", Proto: "root_hash", Read: func(d *protojson.Decoder, p *tlog.InclusionProof) error { return d.Bytes(&p.RootHash) }},
	{Name: "treeSize", Proto: "tree_size", Read: func(d *protojson.Decoder, p *tlog.InclusionProof) error { return d.Int64(&p.TreeSize) }},
	{Name: "hashes", Read: func(d *protojson.Decoder, p *tlog.InclusionProof) error {
		return protojson.List(d, &p.Hashes, maxHashes, readBytes)
	}},
	{Name: "checkpoint", Read: func(d *protojson.Decoder, p *tlog.InclusionProof) error {
		return protojson.OpenObject(d, []protojson.Field[string]{{Name: "envelope", Read: func(d *protojson.Decoder, s *string) error { return d.String(s) }}}, &p.Checkpoint)
	}},
}

func readBytes(d *protojson.Decoder, b *[]byte) error { return d.Bytes(b) }

// parseEntryV2 reads the message TransparencyLogEntry. What it does not know is ignored: it says nothing that is used.
func parseEntryV2(body []byte) (*tlog.Entry, error) {
	var e tlog.Entry
	err := protojson.Document(body, protojson.Limits{Bytes: maxLogAnswer, Depth: logDepth}, func(d *protojson.Decoder) error {
		return protojson.OpenObject(d, entryV2Fields, &e)
	})
	if err != nil {
		return nil, wrong("the answer is not a log entry: %w (it begins with %s)", err, beginning(body))
	}
	if len(e.Promise) == 0 {
		e.Promise = nil
	}
	if e.LogIndex < 0 || len(e.LogID) == 0 || len(e.Body) == 0 || len(e.Body) > tlog.MaxBodySize {
		return nil, wrong("the answer lacks the entry's index, its log or its body")
	}
	return &e, nil
}

// duplicate answers a conflict: the log has the entry, says at which index in a header, and returns nothing else. The proof
// is made from the log's tiles.
func (l *LogV2) duplicate(ctx context.Context, r *request, a *answer, leaf []byte) (*tlog.Entry, error) {
	index, err := strconv.ParseInt(a.header.Get("X-Log-Index"), 10, 64)
	if err != nil || index < 0 {
		return nil, l.s.fail(r, a, &cause{ErrRefused, fmt.Errorf("the log has this entry already and does not say where: %s", printable(statusMessage(a.body)))})
	}
	e := &tlog.Entry{LogIndex: index, Kind: "hashedrekord", Version: "0.0.2", Body: leaf}
	if err := l.prove(ctx, e); err != nil {
		return nil, err
	}
	if e.LogID, err = l.logID(e); err == nil {
		err = l.check(e, leaf)
	}
	if err != nil {
		return nil, l.s.fail(r, a, fmt.Errorf("the log says that it has this entry at index %d: %w", index, err))
	}
	return e, nil
}
