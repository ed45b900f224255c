package trust

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/protojson"
	"github.com/bulla-sign/bulla/tlog"
)

func hashNumber(name string) (int32, bool) {
	for n := int32(1); ; n++ {
		h, ok := algorithm.BundleHashNumber(n)
		if !ok {
			return 0, name == "HASH_ALGORITHM_UNSPECIFIED"
		}
		if bundleName, _ := algorithm.BundleHashName(h); bundleName == name {
			return n, true
		}
	}
}

func readURL(d *protojson.Decoder, dst *string) error {
	if err := d.String(dst); err != nil {
		return err
	}
	if len(*dst) > maxURL {
		return protojson.Fail(fmt.Sprintf("has %d bytes, more than %d", len(*dst), maxURL))
	}
	return nil
}

func readWindow(d *protojson.Decoder, w *Window) error {
	if err := protojson.Object(d, windowFields, w); err != nil {
		return err
	}
	if err := w.check(); err != nil {
		return protojson.Fail(err.Error())
	}
	return nil
}

// readTime refuses the one instant that Go's zero time, our "open end", would swallow.
func readTime(d *protojson.Decoder, t *time.Time) error {
	if err := d.Timestamp(t); err != nil {
		return err
	}
	if t.IsZero() {
		return protojson.Fail("is the first second of the year 1, which cannot be meant")
	}
	return nil
}

func readLog(d *protojson.Decoder, l *Log) error   { return readAnyLog(d, l, false) }
func readCTLog(d *protojson.Decoder, l *Log) error { return readAnyLog(d, l, true) }

func readAnyLog(d *protojson.Decoder, l *Log, ct bool) error {
	var m logMessage
	if err := protojson.Object(d, logFields, &m); err != nil {
		return err
	}
	*l = Log{
		BaseURL: m.baseURL, Operator: m.operator, Window: m.key.window, Details: algorithm.Details(m.key.details.number),
		rawKey: m.key.raw, detailsName: m.key.details.name,
	}
	if err := l.setIDs(&m); err != nil {
		return err
	}
	l.setHash(m.hash)
	return l.setKey(ct)
}

func (l *Log) setIDs(m *logMessage) error {
	if n := len(m.id); n > 0 {
		if n != logIDSize {
			return protojson.At("logId", protojson.Fail(fmt.Sprintf("keyId has %d bytes, not %d", n, logIDSize)))
		}
		l.ID = m.id
	}
	if n := len(m.checkpointID); n > 0 {
		if n < hintSize || n > logIDSize {
			return protojson.At("checkpointKeyId", protojson.Fail(fmt.Sprintf("keyId has %d bytes, not %d to %d", n, hintSize, logIDSize)))
		}
		l.CheckpointID = m.checkpointID
	}
	return nil
}

func (l *Log) setHash(hash openEnum) {
	h, ok := algorithm.BundleHashNumber(hash.number)
	if ok {
		l.Hash = h
	} else {
		l.treeHash = hash
	}
	if h != crypto.SHA256 { // RFC 9162 allows others; no log of Sigstore's has one, and proofs here are SHA-256
		what := protojson.Quote(hash.name)
		switch {
		case ok:
			what = h.String()
		case hash.name == "" && hash.number == 0:
			what = "that is not stated"
		case hash.name == "":
			what = fmt.Sprintf("with number %d", hash.number)
		}
		l.unusable = "unsupported tree hash " + what
	}
}

// setKey parses the key. An algorithm that is not known makes the log unusable; a key that does not fit a known one is
// a mistake in the root.
func (l *Log) setKey(ct bool) error {
	if _, err := algorithm.ForDetails(l.Details); err != nil { // an unknown name reads as Unspecified
		if l.detailsName != "" {
			l.unusable = "unsupported algorithm " + protojson.Quote(l.detailsName)
		} else {
			l.unusable = err.Error()
		}
		return nil
	}
	pub, _, err := algorithm.ParseKey(l.Details, l.rawKey)
	if err != nil {
		return protojson.At("publicKey", protojson.Fail(err.Error()))
	}
	l.Key = pub
	if l.ID != nil {
		return nil
	}
	l.ID, err = tlog.KeyIDv1(pub)
	if _, ok := pub.(ed25519.PublicKey); ok && !ct && l.Name() != "" {
		l.ID, err = tlog.KeyIDv2(l.Name(), pub) // Ed25519 logs of Sigstore's are v2
	}
	if err != nil {
		return protojson.At("logId", protojson.Fail("is missing and cannot be computed: "+err.Error()))
	}
	return nil
}

func readCA(d *protojson.Decoder, a *Authority) error  { return readAuthority(d, a, false) }
func readTSA(d *protojson.Decoder, a *Authority) error { return readAuthority(d, a, true) }

func readAuthority(d *protojson.Decoder, a *Authority, timestamps bool) error {
	var m authorityMessage
	if err := protojson.Object(d, authorityFields, &m); err != nil {
		return err
	}
	*a = m.authority
	a.Chain = m.chain
	if err := a.link(timestamps); err != nil {
		return protojson.At("certChain", protojson.Fail(err.Error()))
	}
	return nil
}

// DecodeRoot reads a trusted root: the message TrustedRoot in ProtoJSON with one of its media types. Unknown fields, keys
// that do not fit their details, chains that do not link and everything else that is not right is an error with the path
// to the place; the exception is a log with an unknown algorithm, see [Log.Usable]. A missing logId is computed from the
// key; a missing validFor is an open window.
// Source.SHA256 is set, the rest of Source is the caller's to fill.
func DecodeRoot(data []byte) (*Root, error) {
	var m rootMessage
	if err := protojson.Unmarshal(data, protojson.Limits{Bytes: maxDocument, Depth: maxDepth}, rootFields, &m); err != nil {
		return nil, fmt.Errorf("trusted root: %w", err)
	}
	switch m.mediaType {
	case RootMediaType, rootMediaTypeV01, rootMediaTypeV02:
	case "":
		return nil, errors.New("trusted root: mediaType is missing")
	default:
		return nil, fmt.Errorf("trusted root: mediaType is %s, want %q", protojson.Quote(m.mediaType), RootMediaType)
	}
	m.root.Source.SHA256 = sha256.Sum256(data)
	return &m.root, nil
}
