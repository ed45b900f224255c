package client

import (
	"context"
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/tlog"
	"github.com/bulla-sign/bulla/trust"
)

// LogV1 is a transparency log with Rekor's API v1, which the public instance runs.
type LogV1 struct{ s *service }

// logV1Timeout: the public log answers within seconds, and under load within a minute.
const logV1Timeout = 60 * time.Second

const entriesV1 = "/api/v1/log/entries"

// NewLogV1 returns the log at an address, the base below which api/v1/log/entries lies.
func NewLogV1(address string, o Options) (*LogV1, error) {
	s, err := newService(TransparencyLog, address, o, logV1Timeout)
	if err != nil {
		return nil, err
	}
	return &LogV1{s}, nil
}

// StatesTime says that entries carry the time at which the log took them, signed.
func (l *LogV1) StatesTime() bool { return true }

// Log enters a signature: of a message as a hashedrekord 0.0.1, of an envelope as a dsse 0.0.1. The entry that comes back is
// about exactly that, carries the log's signed entry timestamp, and is included in the tree of its checkpoint. Where the log
// says that it has the entry already (409), from an attempt whose answer was lost perhaps, that entry is fetched and used.
// It implements [sign.Logger].
func (l *LogV1) Log(ctx context.Context, s *sign.Signature) (*tlog.Entry, error) {
	proposal, want, err := propose(s)
	if err != nil {
		return nil, fmt.Errorf("transparency log %s: %w", l.s.base, err)
	}
	r := &request{
		asked: "a log entry", method: http.MethodPost, url: l.s.base + entriesV1, contentType: "application/json",
		accept: "application/json", body: proposal, limit: maxLogAnswer, said: statusMessage,
		good: func(status int) bool { return created(status) || status == http.StatusConflict },
	}
	a, err := l.s.do(ctx, r)
	if err != nil {
		return nil, err
	}
	if a.status == http.StatusConflict {
		if r, err = l.existing(r, a, proposal); err != nil {
			return nil, err
		}
		if a, err = l.s.do(ctx, r); err != nil {
			return nil, err
		}
	}
	e, uuid, err := parseEntryV1(a.body)
	if err == nil && e.Proof == nil {
		// An older log proves the inclusion only to who reads the entry.
		r = &request{asked: "the entry's inclusion proof", method: http.MethodGet, url: l.s.base + entriesV1 + "/" + uuid, accept: "application/json", limit: maxLogAnswer, said: statusMessage}
		if a, err = l.s.do(ctx, r); err != nil {
			return nil, err
		}
		e, _, err = parseEntryV1(a.body)
	}
	if err == nil {
		err = l.check(e, want)
	}
	if err != nil {
		return nil, l.s.fail(r, a, err)
	}
	return e, nil
}

// propose makes the proposed entry for a signature, and says what the entry must hold.
func propose(s *sign.Signature) ([]byte, *expected, error) {
	verifier := s.Certificate
	block := "CERTIFICATE"
	if len(verifier) == 0 {
		spki, err := algorithm.MarshalPublicKey(s.Public)
		if err != nil {
			return nil, nil, err
		}
		block, verifier = "PUBLIC KEY", spki
	}
	text := pem.EncodeToMemory(&pem.Block{Type: block, Bytes: verifier})
	type object = map[string]any
	if s.Envelope != nil {
		want, err := expect(s)
		if err != nil {
			return nil, nil, err
		}
		digest, err := payloadDigest(s.Envelope)
		if err != nil {
			return nil, nil, err
		}
		want.subject, want.digests = tlog.Payload, []tlog.Digest{digest}
		// The log hashes this text as it is, so it is what the older format stores (bundle.Layer).
		envelope, err := s.Envelope.Encode()
		if err != nil {
			return nil, nil, err
		}
		body, err := json.Marshal(object{"apiVersion": "0.0.1", "kind": "dsse", "spec": object{
			"proposedContent": object{"envelope": string(envelope), "verifiers": [][]byte{text}},
		}})
		return body, want, err
	}
	if s.Algorithm.Details() == algorithm.Ed25519 {
		return nil, nil, errors.New("logs take Ed25519 in its prehashed form only (ed25519-ph)")
	}
	h := s.Algorithm.Hash()
	if h != crypto.SHA256 && h != crypto.SHA384 && h != crypto.SHA512 {
		return nil, nil, fmt.Errorf("it takes no signatures with the hash %s", algorithm.HashName(h))
	}
	want, err := expect(s, h)
	if err != nil {
		return nil, nil, err
	}
	body, err := json.Marshal(object{"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": object{
		"data":      object{"hash": object{"algorithm": algorithm.HashName(h), "value": hex.EncodeToString(want.digests[0].Sum)}},
		"signature": object{"content": s.Bytes, "publicKey": object{"content": text}},
	}})
	return body, want, err
}

// maxLocation bounds the Location of an entry: an address with 80 hexadecimal digits at its end.
const maxLocation = 2048

// uuidPattern is an entry's name: the leaf hash in hexadecimal, the tree's ID before it or not.
const uuidPattern = `^[0-9a-f]{64}([0-9a-f]{16})?$`

// existing makes the request for an entry that the log says it has already: by the name at the end of Location, below the
// log's own address whatever host Location names; where that says nothing, by the content.
func (l *LogV1) existing(r *request, a *answer, proposal []byte) (*request, error) {
	get := &request{asked: "the log entry that it has already", accept: "application/json", limit: maxLogAnswer, said: statusMessage}
	location := a.header.Get("Location")
	if location == "" {
		var body strings.Builder
		fmt.Fprintf(&body, `{"entries":[%s]}`, proposal)
		get.method, get.url, get.contentType, get.body = http.MethodPost, l.s.base+entriesV1+"/retrieve", "application/json", []byte(body.String())
		return get, nil
	}
	u, err := url.Parse(location)
	if err != nil || len(location) > maxLocation {
		return nil, l.s.fail(r, a, wrong("the log has this entry already, at %s, which is no address", printable(location)))
	}
	name := u.Path[strings.LastIndex(u.Path, "/")+1:]
	if ok, err := regexp.MatchString(uuidPattern, name); err != nil || !ok {
		return nil, l.s.fail(r, a, wrong("the log has this entry already, at %s, which does not name an entry", printable(withoutSecrets(location))))
	}
	get.method, get.url = http.MethodGet, l.s.base+entriesV1+"/"+name
	return get, nil
}

// check holds an entry against what was sent, and the log's signatures.
func (l *LogV1) check(e *tlog.Entry, want *expected) error {
	body, err := tlog.ParseBody(e.Body)
	if err != nil {
		return wrong("the entry: %w", err)
	}
	if body.Version != "0.0.1" || body.Kind != "hashedrekord" && body.Kind != "dsse" {
		return wrong("the entry is of kind %s %s, which was not asked for", printable(body.Kind), printable(body.Version))
	}
	return l.vouches(e, body, want)
}

// vouches holds what an entry says against what it must say, and the log's signatures.
func (l *LogV1) vouches(e *tlog.Entry, body *tlog.Body, want *expected) error {
	e.Kind, e.Version = body.Kind, body.Version
	if err := want.match(body); err != nil {
		return err
	}
	if len(e.Promise) == 0 || e.IntegratedTime <= 0 {
		return wrong("the entry has no signed entry timestamp")
	}
	cp, err := included(e)
	if err != nil {
		return err
	}
	if !tlog.IsV1Origin(cp.Origin) {
		return wrong("the checkpoint is of %q, which is no log of this version", printable(cp.Origin))
	}
	return under(l.s.Root, e.LogID, func(log *trust.Log) error {
		if err := tlog.VerifySET(e, log.Key); err != nil {
			return err
		}
		if err := open(log, time.Unix(e.IntegratedTime, 0)); err != nil {
			return err
		}
		return signedCheckpoint(cp, "", log)
	})
}

// decodeB64 reads standard base64.
func decodeB64(text string) ([]byte, error) { return base64.StdEncoding.DecodeString(text) }
