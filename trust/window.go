package trust

import (
	"errors"
	"time"
)

// Window is a span of time that includes both of its ends (TimeRange of protobuf-specs). A zero Start or End leaves that
// side open; the zero Window is always open.
type Window struct {
	Start, End time.Time
}

// Contains reports whether t lies in the window.
func (w Window) Contains(t time.Time) bool {
	return (w.Start.IsZero() || !t.Before(w.Start)) && (w.End.IsZero() || !t.After(w.End))
}

// check refuses a window that contains no time: it is always a mistake.
func (w Window) check() error {
	if !w.Start.IsZero() && !w.End.IsZero() && w.End.Before(w.Start) {
		return errors.New("ends before it starts")
	}
	return nil
}
