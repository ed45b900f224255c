package ctlog

import "sync"

// maxRecent is how many SCTs are remembered: at a hundred certificates a second more than the two minutes in which somebody
// tries again what was lost on the way; some 4 MiB.
const maxRecent = 16384

// recent remembers the SCTs that were given last, so that a submission that is repeated does not make the log grow
// (RFC 6962 3.1 lets a log answer with the SCT that it gave before).
type recent struct {
	mu   sync.Mutex
	scts map[[32]byte]*sct // by the certificate's fingerprint
	ring [][32]byte        // in the order in which they came; next is the place of the oldest once it is full
	next int
}

func newRecent() *recent { return &recent{scts: make(map[[32]byte]*sct)} }

func (r *recent) get(fingerprint [32]byte) *sct {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.scts[fingerprint]
}

func (r *recent) put(fingerprint [32]byte, s *sct) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.scts[fingerprint] != nil {
		return // the same certificate came twice at once
	}
	if len(r.ring) < maxRecent {
		r.ring = append(r.ring, fingerprint)
	} else {
		delete(r.scts, r.ring[r.next])
		r.ring[r.next] = fingerprint
		r.next = (r.next + 1) % maxRecent
	}
	r.scts[fingerprint] = s
}
