package trust

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Choosing says by what services are chosen from a signing config (the comments of SigningConfig in
// sigstore_trustroot.proto).
type Choosing struct {
	// Now is the present time. Windows include both of their ends.
	Now time.Time
	// Versions are the major API versions that the client speaks. Version 0 says that a service is not released yet, and
	// is never chosen.
	Versions []uint32
	// Pick returns a number from 0 to n-1, where any of n services will do; nil takes the first.
	Pick func(n int) int
}

// ErrNoService is wrapped by the errors of lists in which no service, or too few, can be used now.
var ErrNoService = errors.New("no service can be used")

// One chooses a certificate authority or an identity provider: of the highest version that is spoken, the service whose
// window opened last; of several, the one that is listed first.
func (c Choosing) One(list []Service) (Service, error) {
	usable, err := c.usable(list)
	if err != nil {
		return Service{}, err
	}
	return usable[0], nil
}

// Several chooses transparency logs or timestamp authorities: at most one for each operator, all of the highest version
// that is spoken, as many as the selection says. An empty list is the official way to say "none" and gives none; services
// beside a selection that says nothing are an error, and so is a selection that not enough services meet.
func (c Choosing) Several(list []Service, s Selection) ([]Service, error) {
	if len(list) == 0 {
		if s.Selector == SelectExact {
			return nil, fmt.Errorf("%w: EXACT:%d is asked for, and none is listed", ErrNoService, s.Count)
		}
		return nil, nil
	}
	if s.Selector == SelectUndefined {
		return nil, fmt.Errorf("%w: %d are listed, and the selector does not say how many of them to use", ErrNoService, len(list))
	}
	usable, err := c.usable(list)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	usable = slices.DeleteFunc(usable, func(s Service) bool {
		again := seen[s.Operator]
		seen[s.Operator] = true
		return again
	})
	want := len(usable)
	switch s.Selector {
	case SelectAny:
		want = 1
	case SelectExact:
		want = int(s.Count)
	}
	if want > len(usable) {
		return nil, fmt.Errorf("%w: EXACT:%d is asked for, and only %d of different operators can be used now", ErrNoService, s.Count, len(usable))
	}
	return c.pick(usable, want), nil
}

// usable returns the services of the highest version that is spoken and has any whose window is open, newest start first.
func (c Choosing) usable(list []Service) ([]Service, error) {
	var out []Service
	var why []string
	for _, s := range list {
		switch {
		case s.MajorAPIVersion == 0 || !slices.Contains(c.Versions, s.MajorAPIVersion):
			why = append(why, fmt.Sprintf("%s speaks version %d", s.URL, s.MajorAPIVersion))
		case !s.Window.Contains(c.Now):
			why = append(why, s.URL+" is "+s.Window.describe())
		default:
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		reason := "none is listed"
		if len(why) > 0 {
			reason = strings.Join(why[:min(len(why), 5)], ", ")
		}
		return nil, fmt.Errorf("%w for API versions %v at %s: %s", ErrNoService, c.Versions, c.Now.UTC().Format(time.RFC3339), reason)
	}
	slices.SortStableFunc(out, func(a, b Service) int {
		if a.MajorAPIVersion != b.MajorAPIVersion {
			return int(b.MajorAPIVersion) - int(a.MajorAPIVersion)
		}
		return b.Window.Start.Compare(a.Window.Start)
	})
	highest := out[0].MajorAPIVersion
	return slices.DeleteFunc(out, func(s Service) bool { return s.MajorAPIVersion != highest }), nil
}

// pick takes n of the services. All of them keep their order.
func (c Choosing) pick(from []Service, n int) []Service {
	if n == len(from) {
		return from
	}
	var out []Service
	for range n {
		i := 0
		if c.Pick != nil {
			i = c.Pick(len(from))
		}
		out = append(out, from[i])
		from = slices.Delete(from, i, i+1)
	}
	return out
}

// describe says when the window is open, for messages.
func (w Window) describe() string {
	const open = "always valid"
	start, end := w.Start.UTC().Format(time.RFC3339), w.End.UTC().Format(time.RFC3339)
	switch {
	case w.Start.IsZero() && w.End.IsZero():
		return open
	case w.End.IsZero():
		return "valid from " + start
	case w.Start.IsZero():
		return "valid until " + end
	}
	return "valid from " + start + " to " + end
}
