package verify

import (
	"crypto"

	"github.com/bulla-sign/bulla/algorithm"
)

// remembered is a message of which each digest is computed once. A statement may name an artifact a thousand times, in
// eight algorithms, and each of a thousand candidates asks again.
type remembered struct {
	message algorithm.Message
	sums    map[crypto.Hash][]byte
}

// remember returns the message; nil stays nil.
func remember(m algorithm.Message) algorithm.Message {
	if m == nil {
		return nil
	}
	return &remembered{message: m, sums: map[crypto.Hash][]byte{}}
}

// Digest is the message's. Digests with a prefix are of one signature and not kept. The result must not be changed.
func (r *remembered) Digest(h crypto.Hash, prefix []byte) ([]byte, error) {
	if len(prefix) > 0 {
		return r.message.Digest(h, prefix)
	}
	if sum, ok := r.sums[h]; ok {
		return sum, nil
	}
	sum, err := r.message.Digest(h, nil)
	if err == nil {
		r.sums[h] = sum
	}
	return sum, err
}
