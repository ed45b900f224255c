package instance_test

import (
	"context"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/founding"
	"github.com/bulla-sign/bulla/server/internal/rotation"
	"github.com/bulla-sign/bulla/server/internal/state"
)

// Whoever asked for a rotation may have left when services are replaced: those that were are closed all the same.
func TestFollowForSomebodyWhoHasLeft(t *testing.T) {
	d := newDeployment(t)
	p := d.start(d.file(d.port, config.ServiceTSA))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	m := &rotation.Machine{
		Dir: d.dir, Founder: &founding.Founder{Ring: d.ring, Now: time.Now}, Now: time.Now,
		Apply: func(context.Context, *state.History) error { return p.Follow(gone) },
	}
	for range 6 {
		if err := m.Begin(t.Context(), state.TSA); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Advance(t.Context(), state.TSA, true); err != nil {
			t.Fatal(err)
		}
	}
}
