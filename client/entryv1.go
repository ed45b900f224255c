package client

import (
	"bytes"
	"encoding/hex"
	"regexp"

	"github.com/bulla-sign/bulla/internal/protojson"
	"github.com/bulla-sign/bulla/tlog"
)

// entryV1 is an entry as the API v1 returns it (LogEntry of its OpenAPI document).
type entryV1 struct {
	uuid string
	tlog.Entry
}

var entryV1Fields = []protojson.Field[entryV1]{
	{Name: "body", Read: func(d *protojson.Decoder, e *entryV1) error {
		var text string
		if err := d.String(&text); err != nil {
			return err
		}
		body, err := decodeB64(text)
		e.Body = body
		if err != nil {
			return protojson.Fail("is not base64")
		}
		return nil
	}},
	{Name: "integratedTime", Read: func(d *protojson.Decoder, e *entryV1) error { return d.Int64(&e.IntegratedTime) }},
	{Name: "logID", Read: func(d *protojson.Decoder, e *entryV1) error { return readHex(d, &e.LogID) }},
	{Name: "logIndex", Read: func(d *protojson.Decoder, e *entryV1) error { return d.Int64(&e.LogIndex) }},
	{Name: "verification", Read: func(d *protojson.Decoder, e *entryV1) error {
		return protojson.OpenObject(d, verificationFields, e)
	}},
}

var verificationFields = []protojson.Field[entryV1]{
	{Name: "signedEntryTimestamp", Read: func(d *protojson.Decoder, e *entryV1) error { return d.Bytes(&e.Promise) }},
	{Name: "inclusionProof", Read: func(d *protojson.Decoder, e *entryV1) error {
		e.Proof = &tlog.InclusionProof{}
		return protojson.OpenObject(d, proofV1Fields, e.Proof)
	}},
}

// The index here is the one within the shard; the entry's own counts over all shards.
var proofV1Fields = []protojson.Field[tlog.InclusionProof]{
	{Name: "checkpoint", Read: func(d *protojson.Decoder, p *tlog.InclusionProof) error { return d.String(&p.Checkpoint) }},
	{Name: "hashes", Read: func(d *protojson.Decoder, p *tlog.InclusionProof) error {
		return protojson.List(d, &p.Hashes, maxHashes, readHex)
	}},
	{Name: "logIndex", Read: func(d *protojson.Decoder, p *tlog.InclusionProof) error { return d.Int64(&p.LogIndex) }},
	{Name: "rootHash", Read: func(d *protojson.Decoder, p *tlog.InclusionProof) error { return readHex(d, &p.RootHash) }},
	{Name: "treeSize", Read: func(d *protojson.Decoder, p *tlog.InclusionProof) error { return d.Int64(&p.TreeSize) }},
}

func readHex(d *protojson.Decoder, dst *[]byte) error {
	var text string
	if err := d.String(&text); err != nil {
		return err
	}
	raw, err := hex.DecodeString(text)
	if err != nil {
		return protojson.Fail("is not hexadecimal")
	}
	*dst = raw
	return nil
}

// parseEntryV1 reads one entry under its name, or a list of one such object, which is what a search by content returns.
func parseEntryV1(body []byte) (*tlog.Entry, string, error) {
	var e entryV1
	seen := 0
	member := func(d *protojson.Decoder) error {
		return d.Members(1, func(name string) error {
			seen++
			e.uuid = name
			return protojson.OpenObject(d, entryV1Fields, &e)
		})
	}
	err := protojson.Document(body, protojson.Limits{Bytes: maxLogAnswer, Depth: logDepth}, func(d *protojson.Decoder) error {
		if text := bytes.TrimSpace(body); len(text) > 0 && text[0] == '[' {
			var none []struct{}
			return protojson.List(d, &none, 1, func(d *protojson.Decoder, _ *struct{}) error { return member(d) })
		}
		return member(d)
	})
	if err != nil {
		return nil, "", wrong("the answer is not a log entry: %w (it begins with %s)", err, beginning(body))
	}
	if seen != 1 {
		return nil, "", wrong("the answer holds %d log entries, not one", seen)
	}
	if err := e.check(); err != nil {
		return nil, "", err
	}
	return &e.Entry, e.uuid, nil
}

// check holds an entry against its name.
func (e *entryV1) check() error {
	if ok, err := regexp.MatchString(uuidPattern, e.uuid); err != nil || !ok {
		return wrong("the entry's name is %s, which is none", protojson.Quote(e.uuid))
	}
	if leaf := tlog.LeafHash(e.Body); e.uuid[len(e.uuid)-2*tlog.HashSize:] != hex.EncodeToString(leaf[:]) {
		return wrong("the entry's name is not the hash of its body")
	}
	if e.LogIndex < 0 || len(e.LogID) != tlog.HashSize || len(e.Body) > tlog.MaxBodySize {
		return wrong("the answer lacks the entry's index or its log")
	}
	return nil
}

// parseFoundV1 reads what a search returns: a list of entries, each under its name.
func parseFoundV1(body []byte) ([]entryV1, error) {
	var found []entryV1
	err := protojson.Document(body, protojson.Limits{Bytes: maxLogAnswer, Depth: logDepth}, func(d *protojson.Decoder) error {
		return protojson.List(d, &found, maxFound, func(d *protojson.Decoder, e *entryV1) error {
			return d.Members(1, func(name string) error {
				e.uuid = name
				return protojson.OpenObject(d, entryV1Fields, e)
			})
		})
	})
	if err != nil {
		return nil, wrong("the answer is not a list of log entries: %w (it begins with %s)", err, beginning(body))
	}
	for i := range found {
		if err := found[i].check(); err != nil {
			return nil, err
		}
	}
	return found, nil
}
