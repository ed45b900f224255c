package tsa

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

// accuracy is what tokens state, in seconds: rounding down loses up to one, and a clock that NTP disciplines is off by far
// less than the rest.
const accuracy = 1

// errClock is wrapped by every error that is the clock's fault.
var errClock = errors.New("no token can be made now")

// clock gives the times of tokens: whole seconds, never decreasing, and always inside of the window in which every
// certificate of the chain is valid.
type clock struct {
	now        func() time.Time
	start, end int64 // seconds since 1970, both included
	last       atomic.Int64
}

func newClock(now func() time.Time, chain []*x509.Certificate) (*clock, error) {
	c := &clock{now: now, start: math.MinInt64, end: math.MaxInt64}
	for _, cert := range chain {
		c.start = max(c.start, cert.NotBefore.Unix())
		c.end = min(c.end, cert.NotAfter.Unix())
	}
	if c.start > c.end {
		return nil, errors.New("at no time are all certificates of the chain valid")
	}
	c.last.Store(c.start)
	return c, nil
}

// next returns the time for a token.
func (c *clock) next() (time.Time, error) {
	sec, err := c.read()
	if err != nil {
		return time.Time{}, err
	}
	for {
		last := c.last.Load()
		if sec <= last {
			// It went back by less than the accuracy, or another request was given this second or a later one since.
			return time.Unix(last, 0).UTC(), nil
		}
		if c.last.CompareAndSwap(last, sec) {
			return time.Unix(sec, 0).UTC(), nil
		}
	}
}

// read returns the clock's reading in whole seconds, rounded down, if a token may be made at it.
func (c *clock) read() (int64, error) {
	// The last time is read first: a request that overtakes this one must not look like a step of the clock.
	last := c.last.Load()
	now := c.now()
	sec := now.Unix()
	switch {
	case sec < c.start:
		return 0, fmt.Errorf("%w: the clock says %s, and the authority's certificates are valid from %s on", errClock, text(sec), text(c.start))
	case sec > c.end:
		return 0, fmt.Errorf("%w: the clock says %s, and the authority's certificates were valid until %s", errClock, text(sec), text(c.end))
	case sec < last-accuracy:
		return 0, fmt.Errorf("%w: the clock went back: it says %s, and the last token %s", errClock, text(sec), text(last))
	}
	return sec, nil
}

func text(sec int64) string { return time.Unix(sec, 0).UTC().Format(time.RFC3339) }
