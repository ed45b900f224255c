package log

import (
	"context"
	"crypto/sha256"
	"sync"

	"github.com/bulla-sign/bulla/tlog"
)

// maxRecent bounds what is remembered of entries that the index does not have yet, 100 bytes each. The index is seldom
// behind by more than some hundred; if it is behind by more than this, a repeated upload may become a second entry.
const maxRecent = 1 << 20

// maxTerms bounds how many of them have their terms remembered, half a kilobyte each: a second's entries at the highest
// rate. Those of others are read from their bodies.
const maxTerms = 1 << 13

// submitter adds entries, equal ones once.
type submitter struct {
	log *Log

	mu      sync.Mutex
	flights map[[sha256.Size]byte]*flight
	recent  map[[sha256.Size]byte]added
}

// added is an entry that the index does not have yet.
type added struct {
	index uint64
	terms []string // nil: not remembered
}

// flight is an entry that is being added.
type flight struct {
	done  chan struct{} // closed when index and err are set
	index uint64
	err   error
}

func newSubmitter(l *Log) *submitter {
	return &submitter{log: l, flights: map[[sha256.Size]byte]*flight{}, recent: map[[sha256.Size]byte]added{}}
}

// submit returns the index of the entry, which it adds if the log does not have it. The entry is added also
// when the context ends meanwhile: somebody else may wait for it.
func (s *submitter) submit(ctx context.Context, e *accepted) (uint64, error) {
	leaf := tlog.LeafHash(e.body)
	s.mu.Lock()
	if before, ok := s.recent[leaf]; ok {
		s.mu.Unlock()
		s.log.metrics.repeated.Inc()
		return before.index, nil
	}
	f, flying := s.flights[leaf]
	if !flying {
		f = &flight{done: make(chan struct{})}
		s.flights[leaf] = f
		go s.fly(context.WithoutCancel(ctx), leaf, f, e)
	}
	s.mu.Unlock()
	if flying {
		s.log.metrics.repeated.Inc()
	}
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-f.done:
		return f.index, f.err
	}
}

func (s *submitter) fly(ctx context.Context, leaf [sha256.Size]byte, f *flight, e *accepted) {
	known := false
	if f.index, known = s.find(leaf); known {
		s.log.metrics.repeated.Inc()
	} else if f.index, f.err = s.log.tree.Add(ctx, e.body); f.err == nil {
		s.log.metrics.entries.Inc()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.flights, leaf)
	if f.err == nil && !known && len(s.recent) < maxRecent {
		now := added{index: f.index}
		if len(s.recent) < maxTerms {
			now.terms = e.terms
		}
		s.recent[leaf] = now
	}
	close(f.done)
}

// find asks the index, and believes it only as far as the tree says the same.
func (s *submitter) find(leaf [sha256.Size]byte) (uint64, bool) {
	index, ok, err := s.log.index.lookup(leaf)
	if err != nil {
		s.log.cfg.Log.Error("the search index cannot be read", "error", err)
	}
	if err != nil || !ok {
		return 0, false
	}
	there, err := s.log.tree.LeafHash(index)
	return index, err == nil && there == leaf
}

// terms returns those of an entry that was added just now, or nil if they are not remembered.
func (s *submitter) terms(leaf [sha256.Size]byte) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recent[leaf].terms
}

// forget is called when the index has the entries before next.
func (s *submitter) forget(next uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for leaf, a := range s.recent {
		if a.index < next {
			delete(s.recent, leaf)
		}
	}
}
