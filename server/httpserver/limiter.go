package httpserver

import (
	"fmt"
	"hash/maphash"
	"math"
	"sync"
	"time"
)

// LimiterConfig describes a [Limiter].
type LimiterConfig struct {
	// Rate is how often a key may come in the long run, per second; above 0.
	Rate float64
	// Burst is how often it may come at once; at least 1.
	Burst int
	// Keys is the number of keys that are remembered at least; at least 1. Twice as many are at most, of some 20 bytes.
	Keys int
	// Now is the clock. Nil: the system's.
	Now func() time.Time
}

// Limiter is a token bucket for each key, in bounded memory: identities, or addresses. It may be used by several
// goroutines. A nil Limiter allows everything.
//
// What it remembers of a key is one number, the time at which its bucket is full again. Keys come in two generations:
// when the younger one holds Keys of them it becomes the older one, and what was in that is forgotten. Who can come under
// more than Keys names can thus have a full bucket again; he has that many buckets anyway.
type Limiter struct {
	now   func() time.Time
	start time.Time
	every time.Duration // between two requests in the long run
	depth time.Duration // what an empty bucket takes to fill
	keys  int
	seed  maphash.Seed

	mu         sync.Mutex
	young, old map[uint64]time.Duration // when the bucket is full, counted from start
	born       time.Duration            // when the younger generation began
}

// maxRefill bounds the time in which an empty bucket fills: longer is a quota, which must not be kept in memory.
const maxRefill = 24 * time.Hour

// NewLimiter makes a limiter in which all buckets are full.
func NewLimiter(cfg LimiterConfig) (*Limiter, error) {
	switch {
	case !(cfg.Rate > 0) || math.IsInf(cfg.Rate, 0):
		return nil, fmt.Errorf("limiter: rate %v: must be above 0", cfg.Rate)
	case cfg.Burst < 1:
		return nil, fmt.Errorf("limiter: burst %d: must be at least 1", cfg.Burst)
	case cfg.Keys < 1:
		return nil, fmt.Errorf("limiter: %d keys: must be at least 1", cfg.Keys)
	case float64(cfg.Burst)/cfg.Rate > maxRefill.Seconds():
		return nil, fmt.Errorf("limiter: a burst of %d at %v per second takes more than %v to refill", cfg.Burst, cfg.Rate, maxRefill)
	}
	l := &Limiter{now: cfg.Now, keys: cfg.Keys, seed: maphash.MakeSeed()}
	if l.now == nil {
		l.now = time.Now
	}
	l.every = max(time.Duration(float64(time.Second)/cfg.Rate), 1)
	l.depth = l.every * time.Duration(cfg.Burst)
	l.start = l.now()
	l.young = make(map[uint64]time.Duration)
	return l, nil
}

// Allow takes a token from the key's bucket. Without one left it says how long the key must wait for it, and takes
// nothing: who asks in vain is not punished further.
func (l *Limiter) Allow(key string) (ok bool, retryAfter time.Duration) {
	if l == nil {
		return true, 0
	}
	// Two keys with the same hash share a bucket. The seed is secret, so that nobody can look for another's.
	hash := maphash.String(l.seed, key)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now().Sub(l.start)
	full, known := l.young[hash]
	if !known {
		full = l.old[hash] // or zero: that is past, unless the clock was set back
	}
	// No bucket can be emptier than empty: what says so is from before the clock was set back.
	full = min(max(full, now), now+l.depth) + l.every
	if wait := full - l.depth - now; wait > 0 {
		return false, wait
	}
	if !known {
		l.grow(now)
	}
	l.young[hash] = full
	return true, 0
}

// grow makes room for one more key in the younger generation. Nothing is lost when that is as old as a bucket takes to
// fill: the older one then holds full buckets only.
func (l *Limiter) grow(now time.Duration) {
	if len(l.young) >= l.keys || now-l.born > l.depth {
		l.old, l.young, l.born = l.young, make(map[uint64]time.Duration), now
	}
}
