package instance

import (
	"fmt"
	"time"

	"github.com/bulla-sign/bulla/server/internal/state"
)

// registerExpiry shows when the certificates in use end, and the repository's metadata. It asks the state each time, since
// a rotation replaces them.
func (in *Instance) registerExpiry() error {
	for _, kind := range []state.Kind{state.CA, state.TSA} {
		if err := in.expiry.Register(string(kind)+" chain", func() time.Time { return in.chainEnd(kind) }); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	for _, role := range []string{"root", "targets", "snapshot", "timestamp"} {
		err := in.expiry.Register("tuf "+role, func() time.Time {
			s := in.repository()
			if s == nil {
				return time.Time{}
			}
			return s.Expires(role)
		})
		if err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	return nil
}

// chainEnd is when the first certificate of the active chain ends, zero if there is none.
func (in *Instance) chainEnd(kind state.Kind) time.Time {
	h := in.History()
	if h == nil || h.Active(kind) == nil {
		return time.Time{}
	}
	if end := describe(kind, h.Active(kind)).Expires; end != nil {
		return *end
	}
	return time.Time{}
}
