package httpserver

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"
)

// clock is a clock that stands still until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newTestLimiter(t testing.TB, cfg LimiterConfig) *Limiter {
	t.Helper()
	l, err := NewLimiter(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLimiter(t *testing.T) {
	c := newClock()
	l := newTestLimiter(t, LimiterConfig{Rate: 2, Burst: 3, Keys: 10, Now: c.now})
	allowed := func(key string) (n int) {
		for {
			ok, _ := l.Allow(key)
			if !ok {
				return n
			}
			n++
		}
	}
	if n := allowed("a"); n != 3 {
		t.Errorf("a full bucket has %d", n)
	}
	if ok, wait := l.Allow("a"); ok || wait != 500*time.Millisecond {
		t.Errorf("empty: %v, wait %v", ok, wait)
	}
	if n := allowed("b"); n != 3 {
		t.Errorf("another key has %d", n)
	}
	c.move(499 * time.Millisecond)
	if ok, wait := l.Allow("a"); ok || wait != time.Millisecond {
		t.Errorf("just before: %v, wait %v", ok, wait)
	}
	c.move(time.Millisecond)
	if n := allowed("a"); n != 1 {
		t.Errorf("after one interval %d, having asked in vain meanwhile", n)
	}
	c.move(time.Hour)
	if n := allowed("a"); n != 3 {
		t.Errorf("after an hour %d: the bucket is no deeper than the burst", n)
	}
	// A clock that is set back must neither lock the key out for that long nor give it more.
	c.move(-2 * time.Hour)
	for _, key := range []string{"a", "new"} {
		if _, wait := l.Allow(key); wait > 500*time.Millisecond {
			t.Errorf("clock set back: %s must wait %v", key, wait)
		}
	}
	var none *Limiter
	if ok, wait := none.Allow("a"); !ok || wait != 0 {
		t.Errorf("a nil limiter says %v, %v", ok, wait)
	}
}

// However many keys come, memory is bounded; and of those within the bound, none is forgotten.
func TestLimiterMemory(t *testing.T) {
	c := newClock()
	const keys = 1000
	l := newTestLimiter(t, LimiterConfig{Rate: 1, Burst: 1, Keys: keys, Now: c.now})
	for i := range keys {
		if ok, _ := l.Allow(fmt.Sprint("first ", i)); !ok {
			t.Fatalf("key %d must wait", i)
		}
	}
	for i := range keys {
		if ok, _ := l.Allow(fmt.Sprint("first ", i)); ok {
			t.Fatalf("key %d was forgotten", i)
		}
	}
	for i := range 50 * keys {
		l.Allow(fmt.Sprint("flood ", i))
		if n := len(l.young) + len(l.old); n > 2*keys {
			t.Fatalf("%d keys are remembered", n)
		}
	}
	// After some time of calm the memory is given back, and nobody has gained by it.
	c.move(time.Minute)
	l.Allow("x")
	c.move(time.Minute)
	l.Allow("y")
	if n := len(l.young) + len(l.old); n != 2 {
		t.Errorf("%d keys are remembered after a while", n)
	}
}

func TestLimiterTogether(t *testing.T) {
	c := newClock()
	l := newTestLimiter(t, LimiterConfig{Rate: 1, Burst: 100, Keys: 10, Now: c.now})
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if ok, _ := l.Allow("k"); ok {
					mu.Lock()
					total++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if total != 100 {
		t.Errorf("%d were allowed, the burst is 100", total)
	}
}

func TestLimiterRefused(t *testing.T) {
	for _, cfg := range []LimiterConfig{
		{},
		{Rate: -1, Burst: 1, Keys: 1},
		{Rate: math.NaN(), Burst: 1, Keys: 1},
		{Rate: math.Inf(1), Burst: 1, Keys: 1},
		{Rate: 1, Keys: 1},
		{Rate: 1, Burst: 1},
		{Rate: 0.001, Burst: 100, Keys: 1},
	} {
		if _, err := NewLimiter(cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
}

func BenchmarkLimiter(b *testing.B) {
	l := newTestLimiter(b, LimiterConfig{Rate: 1000, Burst: 1000, Keys: 1 << 16})
	for i := 0; b.Loop(); i++ {
		l.Allow("2001:db8::/64")
	}
}
