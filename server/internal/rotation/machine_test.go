package rotation_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/server/internal/founding"
	"github.com/bulla-sign/bulla/server/internal/keyring"
	"github.com/bulla-sign/bulla/server/internal/rotation"
	"github.com/bulla-sign/bulla/server/internal/state"
)

var begin = time.Date(2026, 11, 25, 9, 30, 0, 0, time.UTC)

// bench is a deployment without services: what is applied is noted.
type bench struct {
	t       *testing.T
	now     time.Time
	ring    *keyring.Keyring
	dir     *state.Dir
	applied []*state.History
	fault   func(string) error
}

// founded is a deployment that all tests begin with; making its keys takes a while.
var founded = sync.OnceValues(func() ([]byte, *keyring.Keyring) {
	ring := keyring.Memory()
	f := &founding.Founder{Ring: ring, Now: func() time.Time { return begin }}
	h, err := f.Found(context.Background(), "example", "https://sigstore.example.com")
	if err != nil {
		panic(err)
	}
	h.Version = 1
	data, err := h.Encode()
	if err != nil {
		panic(err)
	}
	return data, ring
})

func newBench(t *testing.T) *bench {
	t.Helper()
	data, ring := founded()
	b := &bench{t: t, now: begin, ring: ring}
	h, err := state.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if b.dir, err = state.Create(filepath.Join(t.TempDir(), "state"), h); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) clock() time.Time { return b.now }

func (b *bench) machine() *rotation.Machine {
	return &rotation.Machine{
		Dir: b.dir, Founder: &founding.Founder{Ring: b.ring, Now: b.clock}, Now: b.clock,
		Propagation: 24 * time.Hour, CloseAfter: time.Hour,
		Apply: func(_ context.Context, h *state.History) error { b.applied = append(b.applied, h); return nil },
		Fault: b.fault,
	}
}

func (b *bench) load() *state.History {
	b.t.Helper()
	h, err := b.dir.Load()
	if err != nil {
		b.t.Fatal(err)
	}
	return h
}

func (b *bench) advance(kind state.Kind, want rotation.Step) {
	b.t.Helper()
	p, err := b.machine().Advance(context.Background(), kind, false)
	if err != nil {
		b.t.Fatal(err)
	}
	if p.Step != want {
		b.t.Fatalf("at %s the rotation is at %s, want %s", b.now, p.Step, want)
	}
}

func TestOrder(t *testing.T) {
	for _, kind := range state.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			b := newBench(t)
			old := b.load().Active(kind).Name
			if err := b.machine().Begin(context.Background(), kind); err != nil {
				t.Fatal(err)
			}
			if kind == state.TUF { // clients follow its own chain of roots
				b.advance(kind, rotation.Close)
				return
			}
			b.advance(kind, rotation.Switch)
			h := b.load()
			if h.Active(kind).Name != old || len(h.Instances[kind]) != 2 {
				t.Fatal("the service switched before clients could know, or the new key is not in the state")
			}
			if got := b.applied[0].Instances[kind]; len(got) != 2 || got[1].Phase != state.Next {
				t.Fatal("what was published first does not have the new key beside the old one")
			}
			b.now = b.now.Add(24*time.Hour - time.Second)
			b.advance(kind, rotation.Switch) // a second early
			b.now = b.now.Add(time.Second)
			b.advance(kind, rotation.Close)
			h = b.load()
			if h.Active(kind).Name == old || h.Find(kind, old).Phase != state.Retiring || h.Find(kind, old).End != nil {
				t.Fatal("the service did not switch, or the old window is closed already")
			}
			switched := b.now
			b.now = b.now.Add(time.Hour)
			b.advance(kind, rotation.Done)
			closed := b.load().Find(kind, old)
			if closed.Phase != state.Closed || closed.End == nil || closed.End.Before(switched.Add(time.Minute)) {
				t.Fatalf("the old window ends at %v, which is before %v and a minute", closed.End, switched)
			}
			// Until when something by the old key may come that must verify for ever.
			last := switched
			switch kind {
			case state.CA:
				last = switched.Add(10 * time.Minute) // the last certificate
			case state.CTLog:
				last = b.now // the replaced shard takes entries until it is closed
			}
			if closed.End.Before(last) {
				t.Errorf("the old window ends at %v, and what must lie in it may come until %v", closed.End, last)
			}
			if last := b.applied[len(b.applied)-1]; last.Find(kind, old).End == nil {
				t.Error("the end of the old window was not published")
			}
			if b.load().Rotations[kind] != nil {
				t.Error("the rotation is still under way")
			}
		})
	}
}

var errKilled = errors.New("killed")

// Whoever dies at any point is followed by somebody who calls the same commands again, and comes to the same end.
func TestKilled(t *testing.T) {
	var points []string
	b := newBench(t)
	b.fault = func(point string) error { points = append(points, point); return nil }
	rotateAll(t, b, state.Log)
	if len(points) < 8 {
		t.Fatalf("only %d points: %v", len(points), points)
	}
	for i, point := range points {
		t.Run(fmt.Sprintf("%d %s", i, point), func(t *testing.T) {
			b := newBench(t)
			n := 0
			b.fault = func(string) error {
				if n++; n == i+1 {
					return errKilled
				}
				return nil
			}
			rotateAll(t, b, state.Log)
			h := b.load()
			all := h.Instances[state.Log]
			if len(all) != 2 || all[0].Phase != state.Closed || all[1].Phase != state.Active {
				t.Errorf("after the rotation there are %d instances: %+v", len(all), all)
			}
			if h.Rotations[state.Log] != nil {
				t.Error("the rotation is not over")
			}
			checkOrder(t, b)
		})
	}
}

// rotateAll calls for a rotation, again after every death, until it is over.
func rotateAll(t *testing.T, b *bench, kind state.Kind) {
	t.Helper()
	for range 20 {
		m := b.machine()
		if len(b.load().Instances[kind]) < 2 {
			if err := m.Begin(context.Background(), kind); err != nil && !errors.Is(err, errKilled) {
				t.Fatal(err)
			} else if err != nil {
				continue
			}
		}
		p, err := m.Advance(context.Background(), kind, true)
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		if err == nil && p.Step == rotation.Done {
			return
		}
	}
	t.Fatal("the rotation does not end")
}

// checkOrder: in what was applied, nothing is active that was not published before, and nothing ever disappears.
func checkOrder(t *testing.T, b *bench) {
	t.Helper()
	known := []string{"2026-1"}
	for _, h := range b.applied {
		active := h.Active(state.Log).Name
		if !slices.Contains(known, active) {
			t.Errorf("%s is used before it was published", active)
		}
		for _, name := range known {
			if h.Find(state.Log, name) == nil {
				t.Errorf("%s is no longer trusted", name)
			}
		}
		known = nil
		for _, in := range h.Instances[state.Log] {
			known = append(known, in.Name)
		}
	}
	if last := b.applied[len(b.applied)-1]; last.Instances[state.Log][0].Phase != state.Closed {
		t.Error("the last that was applied does not have the end of the old window")
	}
}

func TestApplyFails(t *testing.T) {
	b := newBench(t)
	m := b.machine()
	m.Apply = func(context.Context, *state.History) error { return errors.New("the disk is full") }
	if err := m.Begin(context.Background(), state.CA); err != nil {
		t.Fatal(err)
	}
	p, err := m.Advance(context.Background(), state.CA, true)
	if err == nil || p.Step != rotation.Publish {
		t.Fatalf("an unpublished key goes on to %v, %v", p, err)
	}
	if b.load().Active(state.CA).Name != "2026-1" {
		t.Error("the service switched to an unpublished key")
	}
}

func TestTwice(t *testing.T) {
	b := newBench(t)
	for range 2 {
		rotateOnce(t, b)
	}
	h := b.load()
	if got := len(h.Instances[state.Log]); got != 3 {
		t.Fatalf("%d instances after two rotations", got)
	}
	root, err := h.TrustedRoot()
	if err != nil || len(root.Logs) != 3 {
		t.Fatalf("the trusted root has not all shards: %v", err)
	}
}

func rotateOnce(t *testing.T, b *bench) {
	t.Helper()
	m := b.machine()
	if err := m.Begin(context.Background(), state.Log); err != nil {
		t.Fatal(err)
	}
	if err := m.Begin(context.Background(), state.Log); err != nil { // while one is under way it is the same one
		t.Fatal(err)
	}
	if p, err := m.Advance(context.Background(), state.Log, true); err != nil || p.Step != rotation.Done {
		t.Fatal(p, err)
	}
}
