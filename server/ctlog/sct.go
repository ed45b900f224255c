package ctlog

import (
	"encoding/binary"
	"encoding/json"

	"golang.org/x/crypto/cryptobyte"
)

// sct is a Signed Certificate Timestamp (RFC 6962 3.2).
type sct struct {
	logID      [32]byte
	timestamp  uint64 // milliseconds since 1970
	extensions []byte // without their length
	signature  []byte // DigitallySigned
	signed     []byte // what the signature is over; nil in one that was remembered
}

// leafIndex is the extensions of an SCT and of its entry: leaf_index alone (static-ct-api, "SCT Extension").
func leafIndex(index uint64) []byte {
	var uint40 [8]byte
	binary.BigEndian.PutUint64(uint40[:], index)
	return append([]byte{0, 0, 5}, uint40[3:]...)
}

// tls returns the SCT in TLS encoding, as certificates embed it.
func (s *sct) tls() ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, 128))
	b.AddUint8(0) // version v1
	b.AddBytes(s.logID[:])
	b.AddUint64(s.timestamp)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(s.extensions) })
	b.AddBytes(s.signature)
	return b.Bytes()
}

// json returns the answer to add-chain and add-pre-chain (RFC 6962 4.1).
func (s *sct) json() ([]byte, error) {
	return json.Marshal(struct {
		Version    int    `json:"sct_version"`
		ID         []byte `json:"id"`
		Timestamp  uint64 `json:"timestamp"`
		Extensions []byte `json:"extensions"`
		Signature  []byte `json:"signature"`
	}{0, s.logID[:], s.timestamp, s.extensions, s.signature})
}
