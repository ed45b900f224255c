// Package rotation replaces the key of a service in the only order that breaks nobody: the new key is made and published
// in the trusted root; everybody is given time to fetch it; then the service switches, and only then does the signing
// config say so; later, when nothing that the old key signed can still be on its way, the old key's window is closed.
//
// Where a rotation is stands in the state, synced after every step. Each step may be repeated, so a process that dies
// anywhere is followed by one that goes on from there ([Machine.Advance]).
package rotation

import (
	"context"
	"fmt"
	"time"

	"github.com/bulla-sign/bulla/server/internal/authority"
	"github.com/bulla-sign/bulla/server/internal/founding"
	"github.com/bulla-sign/bulla/server/internal/state"
)

// Machine carries rotations on.
type Machine struct {
	Dir     *state.Dir
	Founder *founding.Founder
	// Apply makes running services, and the trusted root and signing config that clients fetch, what the history says, and
	// returns when they are. It is called again for the same history after a failure.
	Apply func(ctx context.Context, h *state.History) error
	Now   func() time.Time
	// Propagation is how long a new key is published before it is used.
	Propagation time.Duration
	// CloseAfter is how long after the switch the old window is given an end.
	CloseAfter time.Duration
	// Fault is called between any two effects and ends the advance where it fails; nil for never. Tests die there.
	Fault func(point string) error
}

// Step is what a rotation does next, or is waiting for.
type Step string

// The steps, in their order.
const (
	Make     Step = "make"     // a new key, and its place in the history
	Publish  Step = "publish"  // the trusted root has it
	Switch   Step = "switch"   // the service uses it
	Announce Step = "announce" // the signing config says so
	Close    Step = "close"    // the old window has an end
	Done     Step = "done"
)

// Progress is where a rotation is.
type Progress struct {
	Kind state.Kind `json:"kind"`
	Next string     `json:"instance"` // the new one; when it is done, the one in use
	Step Step       `json:"step"`     // what comes next
	// NotBefore is when it comes; zero if nothing is waited for.
	NotBefore *time.Time `json:"notBefore,omitempty"`
}

// Of returns where the rotation of a kind is, nil if there is none under way.
func Of(h *state.History, kind state.Kind) *Progress {
	r := h.Rotations[kind]
	if r == nil {
		return nil
	}
	p := &Progress{Kind: kind, Next: r.Next}
	switch {
	case r.Published == nil:
		p.Step = Publish
	case r.Switched == nil:
		p.Step, p.NotBefore = Switch, r.SwitchAt
	case r.Announced == nil:
		p.Step = Announce
	default:
		p.Step, p.NotBefore = Close, r.CloseAt
	}
	return p
}

// Begin starts the rotation of a kind: it makes the new key and notes it. It does not publish anything yet; [Machine.Advance]
// does. When a rotation of the kind is under way already, Begin changes nothing.
func (m *Machine) Begin(ctx context.Context, kind state.Kind) error {
	_, err := m.Dir.Update(func(h *state.History) error {
		if h.Rotations[kind] != nil {
			return nil
		}
		if h.Active(kind) == nil {
			return fmt.Errorf("this deployment has no %s", kind)
		}
		in, err := m.Founder.Instance(ctx, h, kind)
		if err != nil {
			return err
		}
		if err := m.fault("make: key made"); err != nil {
			return err
		}
		h.Instances[kind] = append(h.Instances[kind], in)
		if h.Rotations == nil {
			h.Rotations = make(map[state.Kind]*state.Rotation)
		}
		h.Rotations[kind] = &state.Rotation{Next: in.Name, Made: state.Stamp(m.Now())}
		return nil
	})
	if err != nil {
		return err
	}
	return m.fault("make: noted")
}

// Advance does the steps of a kind's rotation that can be done now, and says where it is then. With hurry it does not wait
// for clients: what is signed after the switch may then not verify for somebody who fetched the trusted root before.
func (m *Machine) Advance(ctx context.Context, kind state.Kind, hurry bool) (*Progress, error) {
	for applied := false; ; applied = true {
		h, err := m.Dir.Load()
		if err != nil {
			return nil, err
		}
		if h.Active(kind) == nil {
			return nil, fmt.Errorf("this deployment has no %s", kind)
		}
		p := Of(h, kind)
		if p == nil && !applied { // whoever noted the last step may have died before it applied it
			err = m.Apply(ctx, h)
		}
		if p == nil {
			return &Progress{Kind: kind, Next: h.Active(kind).Name, Step: Done}, err
		}
		if p.NotBefore != nil && m.Now().Before(*p.NotBefore) && !hurry {
			return p, nil
		}
		if err := m.step(ctx, h, p); err != nil {
			return p, fmt.Errorf("rotation of %s to %s, step %s: %w", kind, p.Next, p.Step, err)
		}
	}
}

// step does one step. Those whose effect lies outside of the state are applied first and noted then; the switch and the
// closing are decided in the state and applied then, by what comes after them.
func (m *Machine) step(ctx context.Context, h *state.History, p *Progress) error {
	note := func(change func(h *state.History, r *state.Rotation, now time.Time)) error {
		updated, err := m.Dir.Update(func(h *state.History) error {
			r := h.Rotations[p.Kind]
			if now := Of(h, p.Kind); now == nil || now.Step != p.Step || now.Next != p.Next {
				return nil // somebody else did it meanwhile
			}
			change(h, r, state.Stamp(m.Now()))
			return nil
		})
		if err != nil {
			return err
		}
		h = updated
		return m.fault(string(p.Step) + ": noted")
	}
	apply := func() error {
		if err := m.Apply(ctx, h); err != nil {
			return err
		}
		return m.fault(string(p.Step) + ": applied")
	}
	switch p.Step {
	case Publish:
		if err := apply(); err != nil {
			return err
		}
		return note(func(_ *state.History, r *state.Rotation, now time.Time) {
			at := now.Add(m.Propagation)
			if p.Kind == state.TUF {
				at = now // clients follow TUF's own chain of roots, so that nothing has to reach them first
			}
			r.Published, r.SwitchAt = &now, &at
		})
	case Switch:
		if err := note(switchTo(p)); err != nil {
			return err
		}
		return apply()
	case Announce:
		if err := apply(); err != nil {
			return err
		}
		return note(func(_ *state.History, r *state.Rotation, now time.Time) {
			at := now.Add(m.CloseAfter)
			r.Announced, r.CloseAt = &now, &at
		})
	default:
		if err := note(closeOld(p)); err != nil {
			return err
		}
		return apply()
	}
}

func switchTo(p *Progress) func(*state.History, *state.Rotation, time.Time) {
	return func(h *state.History, r *state.Rotation, now time.Time) {
		old := h.Active(p.Kind)
		old.Phase = state.Retiring
		next := h.Find(p.Kind, p.Next)
		next.Phase, next.Switched = state.Active, &now
		r.Switched = &now
	}
}

// grace is how long after the last signature by an old key something that rests on it may be timestamped or logged: the
// life of a certificate for an authority's key, and for the others the drift of clocks.
func grace(kind state.Kind) time.Duration {
	if kind == state.CA {
		return 15 * time.Minute // certificates live ten minutes
	}
	return time.Minute
}

// closeOld ends the windows of all retiring instances. The end is counted from when the last service had switched; that of a
// CT log from now, since it takes certificates until it is closed, of authorities that have not heard of the switch.
func closeOld(p *Progress) func(*state.History, *state.Rotation, time.Time) {
	return func(h *state.History, r *state.Rotation, now time.Time) {
		end := r.Announced.Add(grace(p.Kind))
		if p.Kind == state.CTLog {
			end = now.Add(grace(p.Kind))
		}
		for i := range h.Instances[p.Kind] {
			in := &h.Instances[p.Kind][i]
			if in.Phase != state.Retiring {
				continue
			}
			in.Phase, in.End = state.Closed, &end
			if in.End.Before(in.Start) {
				at := in.Start.Add(authority.Backdate)
				in.End = &at
			}
		}
		delete(h.Rotations, p.Kind)
	}
}

func (m *Machine) fault(point string) error {
	if m.Fault == nil {
		return nil
	}
	return m.Fault(point)
}
