package tsa_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/server/tsa"
	"github.com/bulla-sign/bulla/timestamp"
)

func TestClockSteps(t *testing.T) {
	var now atomic.Pointer[time.Time]
	set := func(at time.Time) { now.Store(&at) }
	set(present)
	s, c := service(t, func(cfg *tsa.Config) { cfg.Now = func() time.Time { return *now.Load() } })
	_, der := query(t, nil)
	leaf := c.Certificates[0]
	whole := present.Truncate(time.Second)
	for _, step := range []struct {
		name   string
		at     time.Time
		want   time.Time // of the token; zero: refused
		reason string
	}{
		{"before the certificates", leaf.NotBefore.Add(-time.Nanosecond), time.Time{}, "valid from"},
		{"at their first moment", leaf.NotBefore, leaf.NotBefore, ""},
		{"the present", present, whole, ""},
		{"the same second", whole, whole, ""},
		{"a second back", whole.Add(-time.Second), whole, ""},
		{"more than a second back", whole.Add(-time.Second - time.Nanosecond), time.Time{}, "went back"},
		{"back to the certificates' start", leaf.NotBefore, time.Time{}, "went back"},
		{"caught up", whole.Add(-time.Second), whole, ""},
		{"an hour on", whole.Add(time.Hour), whole.Add(time.Hour), ""},
		{"and back", whole, time.Time{}, "went back"},
		{"the last moment", leaf.NotAfter.Add(999 * time.Millisecond), leaf.NotAfter, ""},
		{"after it", leaf.NotAfter.Add(time.Second), time.Time{}, "valid until"},
	} {
		set(step.at)
		rw := post(s, derType, der)
		ready := s.Ready(context.Background())
		if step.want.IsZero() {
			if rw.Code != http.StatusServiceUnavailable || !strings.Contains(errorOf(t, rw), step.reason) {
				t.Errorf("%s: status %d: %s", step.name, rw.Code, rw.Body)
			}
			if ready == nil || !strings.Contains(ready.Error(), step.reason) {
				t.Errorf("%s: ready: %v", step.name, ready)
			}
			continue
		}
		if got := granted(t, rw, c).ClaimedTime; !got.Equal(step.want) || ready != nil {
			t.Errorf("%s: %v, want %v; ready: %v", step.name, got, step.want, ready)
		}
	}
}

// Requests at the same time while the clock runs: no token is refused, none is before one that was given before it was
// asked for.
func TestConcurrent(t *testing.T) {
	var ticks atomic.Int64
	s, c := service(t, func(cfg *tsa.Config) {
		cfg.Now = func() time.Time { return present.Add(time.Duration(ticks.Add(1)) * 100 * time.Millisecond) }
	})
	_, der := query(t, nil)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var last time.Time
			for range 50 {
				rw := post(s, derType, der)
				if rw.Code != http.StatusOK {
					t.Errorf("status %d: %s", rw.Code, rw.Body)
					return
				}
				tok, err := timestamp.Parse(rw.Body.Bytes())
				if err != nil || tok.ClaimedTime.Before(last) {
					t.Errorf("%v after %v: %v", tok, last, err)
					return
				}
				last = tok.ClaimedTime
			}
		})
	}
	wg.Wait()
	granted(t, post(s, derType, der), c)
}

// From 2050 on signingTime is a GeneralizedTime (RFC 5652 11.3).
func TestAfter2050(t *testing.T) {
	future := time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC)
	c := chain(t, func(s *tsa.ChainSpec) { s.Now = future })
	s, _ := service(t, func(cfg *tsa.Config) { cfg.Chain, cfg.Key, cfg.Now = c.Certificates, c.Leaf, at(future) })
	_, der := query(t, nil)
	rw := post(s, derType, der)
	granted(t, rw, c)
	if strings.Count(rw.Body.String(), "20500101000000Z") != 2 {
		t.Error("genTime and signingTime are not both GeneralizedTime")
	}
}
