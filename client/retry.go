package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// maxVain is after how many calls in a row without an answer a service is taken to be away, see [ErrDown]: more than the
// calls that a burst of failures meets at the same time.
const maxVain = 8

// do calls the service until it answers, it is pointless to go on, or patience ends. Patience that was in vain is not had
// again: until the service answers once more, each call is a single attempt, so that a long list of things to sign does not
// wait as often as it is long.
func (s *service) do(ctx context.Context, r *request) (*answer, error) {
	a, err := s.patiently(ctx, r)
	switch {
	case err == nil || !errors.Is(err, ErrUnavailable):
		s.vain.Store(0)
	case ctx.Err() != nil: // that the caller went away says nothing of the service
	case s.vain.Add(1) >= maxVain:
		err = &cause{ErrDown, err}
	}
	return a, err
}

func (s *service) patiently(ctx context.Context, r *request) (*answer, error) {
	start, patience := time.Now(), s.Patience
	if s.vain.Load() > 0 {
		patience = -1
	}
	for attempt, last := 1, false; ; attempt++ {
		a, wait, again, err := s.once(ctx, r)
		if err == nil {
			return a, nil
		}
		fail := &Error{Service: s.kind, URL: withoutSecrets(r.url), Asked: r.asked, Attempts: attempt, Took: time.Since(start), Err: err}
		if a != nil {
			fail.Status = a.status
		}
		if ctx.Err() != nil {
			fail.Err = ended(ctx, err)
			return nil, fail
		}
		left := patience - time.Since(start)
		if !again || last || left <= 0 {
			return nil, fail
		}
		pause := s.pause(attempt)
		if wait > 0 {
			pause = wait
		}
		if deadline, ok := ctx.Deadline(); ok && pause > time.Until(deadline) {
			left = min(left, time.Until(deadline)/2) // the other half is for the answer
		}
		if pause > left {
			if wait > 0 {
				fail.Err = &cause{ErrUnavailable, fmt.Errorf("%w; it asks to come back in %s, which is too late", err, wait.Round(time.Second))}
				return nil, fail
			}
			pause, last = left, true
		}
		if s.Notify != nil {
			s.Notify(Retry{Service: s.kind, URL: fail.URL, Err: fail, Pause: pause})
		}
		if err := sleep(ctx, pause); err != nil {
			fail.Err = ended(ctx, fail.Err)
			return nil, fail
		}
	}
}

// ended is the error of a call whose caller's context ended.
func ended(ctx context.Context, err error) error {
	why := "interrupted"
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		why = "and time is up"
	}
	return &cause{ctx.Err(), fmt.Errorf("%w; %s", err, why)}
}

// pause returns how long to wait after so many attempts: a random part, at least half, of a time that doubles. The
// randomness keeps clients that failed together from coming back together.
func (s *service) pause(attempts int) time.Duration {
	most := s.Pause << min(attempts-1, 16)
	if most <= 0 || most > maxPause {
		most = maxPause
	}
	return most/2 + rand.N(most/2+1)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fail makes an [Error] of what is wrong with an answer that came.
func (s *service) fail(r *request, a *answer, err error) error {
	e := &Error{Service: s.kind, URL: withoutSecrets(r.url), Asked: r.asked, Attempts: 1, Err: err}
	if a != nil && !created(a.status) {
		e.Status = a.status
	}
	return e
}
