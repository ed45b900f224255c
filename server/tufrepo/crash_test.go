package tufrepo

import (
	"crypto"
	"errors"
	"fmt"
	"testing"

	"github.com/bulla-sign/bulla/tuf"
)

var errKilled = errors.New("killed")

// killAt makes a fault that ends the work at its nth step, and every step after it: a process that is dead does nothing.
func killAt(n int) (fault func(string) error, steps *[]string) {
	steps = new([]string)
	return func(point string) error {
		*steps = append(*steps, point)
		if len(*steps) >= n {
			return errKilled
		}
		return nil
	}, steps
}

// Whatever a server is doing, and wherever it dies, clients go on, old and new ones; and the next server finishes the work.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	fresh := func(t *testing.T) crypto.Signer { return edKey(t) }
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, s *site, server *Server) error
		ends func(got *tuf.Trust) bool
	}{
		{"first publication", func(t *testing.T, _ *site, server *Server) error { return server.Publish(ctx, content(t, "one")) }, nil},
		{"publication", func(t *testing.T, _ *site, server *Server) error { return server.Publish(ctx, content(t, "two")) }, nil},
		{"renewal of the timestamp", func(_ *testing.T, s *site, server *Server) error {
			s.clock.add(2 * day)
			return server.Renew(ctx)
		}, nil},
		{"renewal of the snapshot", func(_ *testing.T, s *site, server *Server) error {
			s.clock.add(20 * day)
			return server.Renew(ctx)
		}, nil},
		{"new keys for all roles", func(_ *testing.T, s *site, server *Server) error { return server.SetKeys(ctx, s.spec) }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			total := 1
			for n := 1; n <= total; n++ {
				s := newSite(t)
				if tt.name != "first publication" {
					s.publish("one")
				}
				if tt.name == "new keys for all roles" {
					a, b, c := fresh(t), fresh(t), fresh(t)
					s.spec = tuf.RootSpec{Root: keys(1, a), Targets: keys(1, b), Snapshot: keys(1, c), Timestamp: keys(1, c)}
					s.cfg.Signers = append(s.cfg.Signers, a, b, c)
				}
				before := s.files()
				seen := s.client()
				if tt.name != "first publication" {
					s.refresh(seen)
				}
				dying := s.cfg
				var steps *[]string
				dying.fault, steps = killAt(n)
				server, err := New(ctx, dying)
				if err != nil {
					t.Fatal(err)
				}
				err = tt.do(t, s, server)
				server.Close(ctx)
				if err != nil && !errors.Is(err, errKilled) {
					t.Fatalf("killed at %d: %v", n, err)
				}
				if err != nil {
					total = n + 1
				}
				s.keptFiles(before)
				s.checkAfterDeath(tt.name, fmt.Sprint(*steps), seen)
				if err := tt.do(t, s, s.open()); err != nil {
					t.Fatalf("after death at %v: %v", *steps, err)
				}
				s.refresh(seen)
				s.refresh(s.client())
				s.keptFiles(before)
			}
			if total < 3 {
				t.Errorf("there were only %d steps to die at", total-1)
			}
		})
	}
}

// checkAfterDeath wants clients to be served as before. Those whose time has run out wait for the next server.
func (s *site) checkAfterDeath(name, steps string, seen *tuf.Client) {
	s.t.Helper()
	if name == "first publication" || name == "renewal of the snapshot" {
		return
	}
	for which, c := range map[string]*tuf.Client{"a client from before": seen, "a new client": s.client()} {
		if _, err := c.Refresh(ctx); err != nil {
			s.t.Errorf("%s, killed after %s: %v", which, steps, err)
		}
	}
}
