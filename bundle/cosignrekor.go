package bundle

import (
	"encoding/hex"
	"strconv"

	"github.com/bulla-sign/bulla/internal/protojson"
	"github.com/bulla-sign/bulla/tlog"
)

// rekorBundleLimits: an entry body of the largest size, in base64.
var rekorBundleLimits = protojson.Limits{Bytes: 2 * tlog.MaxBodySize, Depth: 8}

// timestampLimits: a timestamp in base64.
var timestampLimits = protojson.Limits{Bytes: 2 * maxItem, Depth: 4}

// rekorBundleFields are cosign's RekorBundle, with the upper-case names that
// come of Go structs without tags.
var rekorBundleFields = []protojson.Field[tlog.Entry]{
	{Name: "SignedEntryTimestamp", Read: func(d *decoder, e *tlog.Entry) error { return item(d, &e.Promise) }},
	{Name: "Payload", Read: func(d *decoder, e *tlog.Entry) error {
		return protojson.Object(d, rekorPayloadFields, e)
	}},
}

var rekorPayloadFields = []protojson.Field[tlog.Entry]{
	{Name: "body", Read: func(d *decoder, e *tlog.Entry) error { return d.Bytes(&e.Body) }},
	{Name: "integratedTime", Read: func(d *decoder, e *tlog.Entry) error { return d.Int64(&e.IntegratedTime) }},
	{Name: "logIndex", Read: func(d *decoder, e *tlog.Entry) error { return d.Int64(&e.LogIndex) }},
	{Name: "logID", Read: func(d *decoder, e *tlog.Entry) error {
		var s string
		if err := d.String(&s); err != nil {
			return err
		}
		id, err := hex.DecodeString(s)
		if err != nil || len(id) != hashBytes || hex.EncodeToString(id) != s {
			return protojson.Fail("is not 64 lower-case hexadecimal digits")
		}
		e.LogID = id
		return nil
	}},
}

// parseRekorBundle reads a log entry of Rekor v1 with its signed entry
// timestamp. The kind is taken from the body, as nothing else states it.
func parseRekorBundle(data []byte) (*tlog.Entry, error) {
	e := new(tlog.Entry)
	if err := protojson.Unmarshal(data, rekorBundleLimits, rekorBundleFields, e); err != nil {
		return nil, formatError(err)
	}
	switch {
	case len(e.Promise) == 0:
		return nil, malformed("SignedEntryTimestamp", "missing or empty")
	case len(e.Body) == 0:
		return nil, malformed("Payload.body", "missing or empty")
	case len(e.LogID) == 0:
		return nil, malformed("Payload.logID", "missing or empty")
	case e.IntegratedTime <= 0:
		return nil, malformed("Payload.integratedTime", "missing or not positive")
	case e.LogIndex < 0:
		return nil, malformed("Payload.logIndex", "negative")
	}
	var err error
	if e.Kind, e.Version, err = tlog.EntryKind(e.Body); err != nil {
		return nil, malformed("Payload.body", err.Error())
	}
	return e, nil
}

// writeRekorBundle writes the only log entry, if there is one.
func (m *Material) writeRekorBundle(w *protojson.Writer, name string) error {
	const path = "verificationMaterial.tlogEntries"
	switch {
	case len(m.Entries) == 0:
		return nil
	case len(m.Entries) > 1:
		return malformed(path, strconv.Itoa(len(m.Entries))+" log entries, cosign's older formats have a place for one")
	}
	e := &m.Entries[0]
	switch {
	case len(e.Promise) == 0:
		return malformed(path+"[0].inclusionPromise", "missing: without a signed entry timestamp (Rekor v1) cosign's older formats cannot hold the entry")
	case len(e.Body) == 0 || len(e.LogID) == 0:
		return malformed(path+"[0]", "has no body or no log ID")
	}
	w.Begin(name)
	w.Bytes("SignedEntryTimestamp", e.Promise)
	w.Begin("Payload")
	w.Bytes("body", e.Body)
	w.Raw("integratedTime", strconv.AppendInt(nil, e.IntegratedTime, 10))
	w.Raw("logIndex", strconv.AppendInt(nil, e.LogIndex, 10))
	w.String("logID", hex.EncodeToString(e.LogID))
	w.End()
	w.End()
	return nil
}

var cosignTimestampFields = []protojson.Field[[]byte]{
	{Name: "SignedRFC3161Timestamp", Read: item},
}

// parseTimestamp reads a timestamp as DER or as cosign's JSON around it.
func parseTimestamp(data []byte) ([]byte, error) {
	der := data
	if isJSONObject(data) {
		der = nil
		if err := protojson.Unmarshal(data, timestampLimits, cosignTimestampFields, &der); err != nil {
			return nil, formatError(err)
		}
		if len(der) == 0 {
			return nil, malformed("SignedRFC3161Timestamp", "missing or empty")
		}
	}
	if err := size("", der); err != nil {
		return nil, err
	}
	if der[0] != 0x30 {
		return nil, malformed("", "is neither DER nor {\"SignedRFC3161Timestamp\"}")
	}
	return append([]byte{}, der...), nil
}
