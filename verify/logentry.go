package verify

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/tlog"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify/reason"
)

const logSpec = "client specification, transparency log entry"

// logEntries checks every entry of the bundle. Each entry of a log that the root knows must verify and must be of this
// very signature, or the candidate is refused; entries of other logs are not counted. Distinct logs are counted, never
// entries. What a verified signed entry timestamp says of the time is kept.
func (e *evaluation) logEntries() {
	var vouching []*trust.Log
	var facts []Fact
	var unknown []string
	for i := range e.b.Material.Entries {
		entry := &e.b.Material.Entries[i]
		logs := e.logsOf(entry)
		if len(logs) == 0 {
			unknown = append(unknown, fmt.Sprintf("%x", entry.LogID))
			continue
		}
		log, err := e.entryInLog(entry, logs)
		if err != nil {
			e.fail(CheckLog, codeOf(err, reason.LogEntry), logSpec, "log entry %d: %v", entry.LogIndex, err)
			return
		}
		vouching = append(vouching, log)
		facts = append(facts, Fact{"entry", fmt.Sprintf("%s %s/%s at index %d", log.BaseURL, entry.Kind, entry.Version, entry.LogIndex)})
	}
	need, have := e.policy.logs(), len(distinct(vouching, sameLog))
	switch {
	case have >= need && have > 0:
		e.pass(CheckLog, logSpec, facts...)
	case need == 0:
		e.notRequired(CheckLog, "not logged, or not in a log that is trusted; the policy demands no log entry")
	case len(e.b.Material.Entries) == 0:
		e.fail(CheckLog, reason.NoLog, logSpec, "there is no transparency log entry; if there is none by design, say so with --insecure-ignore-tlog (or --log=none)")
	case have == 0 && e.root == nil:
		e.fail(CheckLog, reason.NoTrust, logSpec, "no trusted root was given to check the log entry with")
	case have == 0:
		e.fail(CheckLog, reason.NoLog, logSpec, "no trusted log holds an entry: the trusted root does not know the log %s", unknown[0])
	default:
		e.fail(CheckLog, reason.NoLog, logSpec, "%d distinct logs are demanded and %d verified", need, have)
	}
	for _, id := range unknown {
		e.warn("an entry of the log %s was not counted: the trusted root does not know it", id)
	}
}

// codedError is an error that knows its code.
type codedError struct {
	code reason.Code
	err  error
}

func (c *codedError) Error() string { return c.err.Error() }

func coded(code reason.Code, format string, args ...any) error {
	return &codedError{code, fmt.Errorf(format, args...)}
}

func codeOf(err error, otherwise reason.Code) reason.Code {
	var c *codedError
	if errors.As(err, &c) {
		return c.code
	}
	return otherwise
}

// logsOf returns the root's logs with the entry's ID: usually one.
func (e *evaluation) logsOf(entry *tlog.Entry) []*trust.Log {
	if e.root == nil || len(entry.LogID) == 0 {
		return nil
	}
	var out []*trust.Log
	for i := range e.root.Logs {
		if bytes.Equal(e.root.Logs[i].ID, entry.LogID) {
			out = append(out, &e.root.Logs[i])
		}
	}
	return out
}

// entryInLog verifies one entry under one of the logs that share its ID, and binds it to this signature. On success the
// log's word on algorithm and time is recorded.
func (e *evaluation) entryInLog(entry *tlog.Entry, logs []*trust.Log) (*trust.Log, error) {
	body, err := tlog.ParseBody(entry.Body)
	if err != nil {
		return nil, err
	}
	if entry.Kind != body.Kind || entry.Version != body.Version {
		return nil, fmt.Errorf("stated to be %s/%s, but its body is %s/%s", entry.Kind, entry.Version, body.Kind, body.Version)
	}
	var first error
	for _, log := range logs {
		proof, err := e.vouchedBy(entry, body, log)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		if err := e.bind(entry, body); err != nil {
			return nil, err
		}
		e.recordEntry(entry, body, log, proof)
		return log, nil
	}
	return nil, first
}

// vouchedBy checks what the log signed: the signed entry timestamp, and the inclusion proof up to the signed checkpoint.
// Whatever of the two is present must verify; at least one must be.
func (e *evaluation) vouchedBy(entry *tlog.Entry, body *tlog.Body, log *trust.Log) (string, error) {
	if err := log.Usable(); err != nil {
		return "", coded(reason.UnsupportedKey, "the key of log %s cannot be used: %s", log.BaseURL, err)
	}
	var proof string
	if len(entry.Promise) > 0 {
		if err := tlog.VerifySET(entry, log.Key); err != nil {
			return "", err
		}
		at := time.Unix(entry.IntegratedTime, 0)
		if !log.Window.Contains(at) {
			return "", fmt.Errorf("integrated at %s, when the key of log %s was not valid", stamp(at), log.BaseURL)
		}
		proof = "signed entry timestamp"
	}
	if entry.Proof == nil {
		if isV2(body) {
			return "", errors.New("an entry of a v2 log needs an inclusion proof")
		}
		if proof == "" {
			return "", errors.New("neither an inclusion proof nor a signed entry timestamp")
		}
		return proof, nil
	}
	if err := inclusion(entry, body, log); err != nil {
		return "", err
	}
	if proof != "" {
		return proof + " and inclusion proof", nil
	}
	// Nothing the log signed tells the entry's time, so the timestamps over the signature stand for it. Without any, all
	// that is known is that the entry is there by now.
	if start := log.Window.Start; len(e.times) == 0 && start.After(e.req.Now) {
		return "", fmt.Errorf("the key of log %s is not valid before %s", log.BaseURL, stamp(start))
	}
	for _, t := range e.times {
		if !log.Window.Contains(t.Time) {
			return "", fmt.Errorf("signed at %s, when the key of log %s was not valid", stamp(t.Time), log.BaseURL)
		}
	}
	return "inclusion proof", nil
}

// inclusion checks leaf → root → checkpoint → log key (RFC 6962 2.1.1, C2SP tlog-checkpoint).
func inclusion(entry *tlog.Entry, body *tlog.Body, log *trust.Log) error {
	p := entry.Proof
	if len(p.RootHash) != sha256.Size {
		return fmt.Errorf("the inclusion proof's root hash has %d bytes, not %d", len(p.RootHash), sha256.Size)
	}
	root := [sha256.Size]byte(p.RootHash)
	if err := tlog.VerifyInclusion(p.LogIndex, p.TreeSize, tlog.LeafHash(entry.Body), root, p.Hashes); err != nil {
		return err
	}
	cp, err := tlog.ParseCheckpoint(p.Checkpoint)
	if err != nil {
		return err
	}
	if cp.Size != p.TreeSize || cp.Root != root {
		return errors.New("the checkpoint is of another tree than the inclusion proof")
	}
	name := ""
	if isV2(body) {
		name = log.Name()
		if cp.Origin != name {
			return fmt.Errorf("the checkpoint is of log %q, not %q", cp.Origin, name)
		}
		if entry.LogIndex != p.LogIndex {
			return fmt.Errorf("the entry's index %d is not the proof's %d", entry.LogIndex, p.LogIndex)
		}
	} else if !tlog.IsV1Origin(cp.Origin) {
		return fmt.Errorf("a v1 entry with the checkpoint of %q, which is no v1 log", cp.Origin)
	}
	if err := cp.VerifySignature(name, checkpointKeyID(log), log.Key); err != nil {
		return err
	}
	return nil
}

// isV2 says whether an entry is of a kind that only v2 logs hold.
func isV2(body *tlog.Body) bool {
	return body.Version == "0.0.2" && (body.Kind == "hashedrekord" || body.Kind == "dsse")
}

func checkpointKeyID(l *trust.Log) []byte {
	if len(l.CheckpointID) > 0 {
		return l.CheckpointID
	}
	return l.ID
}

// bind holds the entry against the evidence: the same signature, by the same certificate or key, of the same content.
func (e *evaluation) bind(entry *tlog.Entry, body *tlog.Body) error {
	if e.pae == nil {
		return e.bindMessage(body)
	}
	return e.bindEnvelope(body)
}

func (e *evaluation) bindMessage(body *tlog.Body) error {
	if body.Subject != tlog.Artifact {
		return coded(reason.LogMismatch, "an entry of kind %s/%s is of an attestation, not of a signature over an artifact", body.Kind, body.Version)
	}
	if err := e.bindSignature(body); err != nil {
		return err
	}
	return bindDigests(body, e.message)
}

func (e *evaluation) bindEnvelope(body *tlog.Body) error {
	env := e.b.Envelope
	switch {
	case body.Subject == tlog.Artifact && isV2(body):
		// A v2 log holds an attestation as a hashedrekord over the digest of the PAE (Rekor v2, since 2026-06).
		if err := e.bindSignature(body); err != nil {
			return err
		}
		return bindDigests(body, algorithm.Bytes(e.pae))
	case body.Subject != tlog.Payload:
		return coded(reason.LogMismatch, "an entry of kind %s/%s is of a signature over an artifact, not of an attestation", body.Kind, body.Version)
	case isV2(body) && !e.policy.AcceptLogDSSE:
		return coded(reason.LogEntry, "entries of kind %s/%s were withdrawn from v2 logs and are accepted only on demand", body.Kind, body.Version)
	}
	if body.Signatures[0].Signature == nil {
		return e.bindEnvelopeHash(body)
	}
	if err := e.bindSignature(body); err != nil {
		return err
	}
	return bindDigests(body, algorithm.Bytes(env.Payload))
}

// bindEnvelopeHash covers intoto/0.0.1, whose body names the key and the hash of the envelope, not the signature. Only
// the bytes that were logged can be held against it.
func (e *evaluation) bindEnvelopeHash(body *tlog.Body) error {
	env := e.b.Envelope
	if body.EnvelopeHash == nil || env.Raw == nil {
		return coded(reason.LogMismatch, "an entry of kind %s/%s names no signature, and the envelope's original bytes are not at hand", body.Kind, body.Version)
	}
	sum, err := algorithm.Bytes(env.Raw).Digest(body.EnvelopeHash.Hash, nil)
	if err != nil {
		return err
	}
	if !bytes.Equal(sum, body.EnvelopeHash.Sum) {
		return coded(reason.LogMismatch, "the entry is of another envelope")
	}
	// The hash is of Raw alone: what is verified is the envelope, so the two must say the same.
	logged, err := bundle.ParseEnvelope(env.Raw)
	if err != nil {
		return fmt.Errorf("the envelope's original bytes: %w", err)
	}
	if logged.PayloadType != env.PayloadType || !bytes.Equal(logged.Payload, env.Payload) ||
		!slices.ContainsFunc(logged.Signatures, func(s bundle.EnvelopeSignature) bool { return bytes.Equal(s.Sig, e.signature) }) {
		return coded(reason.LogMismatch, "the envelope's original bytes, of which the entry is, are of another envelope")
	}
	if !e.sameVerifier(&body.Signatures[0]) {
		return coded(reason.LogMismatch, "the entry was made with another certificate or key")
	}
	return nil
}

// bindSignature demands that the entry is of exactly this signature and this certificate or key.
func (e *evaluation) bindSignature(body *tlog.Body) error {
	sameSignature := false
	for i := range body.Signatures {
		s := &body.Signatures[i]
		if !bytes.Equal(s.Signature, e.signature) {
			continue
		}
		sameSignature = true
		if e.sameVerifier(s) {
			return nil
		}
	}
	if sameSignature {
		return coded(reason.LogMismatch, "the entry was made with another certificate or key")
	}
	return coded(reason.LogMismatch, "the entry is of another signature")
}

// sameVerifier compares the certificate by its exact bytes, the key by its PKIX form. A key that signs beside a
// certificate (cosign's older formats) may be logged as either.
func (e *evaluation) sameVerifier(s *tlog.BodySignature) bool {
	if e.leaf != nil {
		return len(s.Certificate) > 0 && bytes.Equal(s.Certificate, e.leaf.X509.Raw)
	}
	if len(s.Certificate) > 0 {
		certs := e.b.Material.Certificates
		return len(certs) > 0 && bytes.Equal(s.Certificate, certs[0])
	}
	return len(s.PublicKey) > 0 && bytes.Equal(s.PublicKey, e.pubDER)
}

// bindDigests demands that every digest of the entry is the content's.
func bindDigests(body *tlog.Body, content algorithm.Message) error {
	if len(body.Digests) == 0 {
		return coded(reason.LogMismatch, "the entry names no digest")
	}
	for _, d := range body.Digests {
		got, err := content.Digest(d.Hash, nil)
		if errors.Is(err, algorithm.ErrDigestUnavailable) {
			return coded(reason.DigestUnknown, "%w; give the artifact itself instead of a digest", err)
		}
		if err != nil {
			return err
		}
		if !bytes.Equal(got, d.Sum) {
			return coded(reason.LogMismatch, "the entry is of other content: it was logged as %s, this is %s", describeDigest(d.Hash, d.Sum), describeDigest(d.Hash, got))
		}
	}
	return nil
}

// recordEntry keeps what a verified entry says: the time, where a signed entry timestamp vouches for it, and the algorithm.
func (e *evaluation) recordEntry(entry *tlog.Entry, body *tlog.Body, log *trust.Log, proof string) {
	e.out.Logs = append(e.out.Logs, LoggedAt{Log: log.BaseURL, Index: entry.LogIndex, Kind: entry.Kind + "/" + entry.Version, Proof: proof})
	if len(entry.Promise) > 0 && !e.policy.SignedTimestampsOnly {
		e.times = append(e.times, VerifiedTime{Time: time.Unix(entry.IntegratedTime, 0).UTC(), Source: "transparency log", By: log.BaseURL})
	}
	for i := range body.Signatures {
		if s := &body.Signatures[i]; bytes.Equal(s.Signature, e.signature) && e.stated == algorithm.Unspecified {
			e.stated = s.Details
		}
	}
	if body.Kind == "hashedrekord" && e.hash == 0 {
		// A hashedrekord was verified by its log with the hash that it names. A rekord names just some hash of the artifact.
		e.hash = body.Digests[0].Hash
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
