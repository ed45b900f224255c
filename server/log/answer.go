package log

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/bulla-sign/bulla/server/internal/treelog"
)

// entryAnswer is dev.sigstore.rekor.v1.TransparencyLogEntry as Rekor v2 writes it: with the fields that it never fills.
type entryAnswer struct {
	LogIndex          string      `json:"logIndex"`
	LogID             logID       `json:"logId"`
	KindVersion       kindVersion `json:"kindVersion"`
	IntegratedTime    string      `json:"integratedTime"`   // "0": a v2 log states no time
	InclusionPromise  *struct{}   `json:"inclusionPromise"` // null: nor a promise
	InclusionProof    proofAnswer `json:"inclusionProof"`
	CanonicalizedBody []byte      `json:"canonicalizedBody"`
}

type logID struct {
	KeyID []byte `json:"keyId"`
}

type kindVersion struct {
	Kind    string `json:"kind"`
	Version string `json:"version"`
}

type proofAnswer struct {
	LogIndex   string     `json:"logIndex"`
	RootHash   []byte     `json:"rootHash"`
	TreeSize   string     `json:"treeSize"`
	Hashes     [][]byte   `json:"hashes"`
	Checkpoint checkpoint `json:"checkpoint"`
}

type checkpoint struct {
	Envelope string `json:"envelope"`
}

// answer makes the answer for an entry that head covers.
func (l *Log) answer(index uint64, body []byte, head treelog.Head) ([]byte, error) {
	hashes, err := l.tree.InclusionProof(index, head.Size)
	if err != nil {
		return nil, err
	}
	if hashes == nil {
		hashes = [][]byte{}
	}
	position := strconv.FormatUint(index, 10)
	return encode(&entryAnswer{
		LogIndex: position, LogID: logID{l.key.id}, KindVersion: kindVersion{"hashedrekord", "0.0.2"}, IntegratedTime: "0",
		InclusionProof: proofAnswer{
			LogIndex: position, RootHash: head.Root[:], TreeSize: strconv.FormatUint(head.Size, 10), Hashes: hashes,
			Checkpoint: checkpoint{string(head.Checkpoint)},
		},
		CanonicalizedBody: body,
	})
}

func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return buf.Bytes(), err
}
