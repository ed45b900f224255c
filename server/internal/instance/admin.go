package instance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/control"
	"github.com/bulla-sign/bulla/server/internal/founding"
	"github.com/bulla-sign/bulla/server/internal/rotation"
	"github.com/bulla-sign/bulla/server/internal/state"
)

// Paths of the commands that a running process takes over its socket (package control).
const (
	PathFollow = "/follow" // nothing -> Followed
	PathStatus = "/status" // nothing -> Status
	PathRotate = "/rotate" // Rotate -> rotation.Progress
	// PathPending gives out the TUF repository's documents that wait for signatures: nothing -> [][]byte.
	PathPending = "/tuf/pending"
	// PathImport takes one back: []byte -> nothing.
	PathImport = "/tuf/import"
)

// Nothing is the request of a command without arguments.
type Nothing struct{}

// Followed says which revision of the state a process has followed.
type Followed struct {
	Revision uint64 `json:"revision"`
}

// Rotate asks for a rotation to be begun, or carried on.
type Rotate struct {
	Kind state.Kind `json:"kind"`
	// Continue goes on with the rotation under way and begins none.
	Continue bool `json:"continue,omitempty"`
	// Hurry does not wait for clients to fetch the new trust.
	Hurry bool `json:"hurry,omitempty"`
	// Keys are references of keys to use, by role, and URL the address of the new instance where it has another one.
	Keys map[founding.Role]string `json:"keys,omitempty"`
	URL  string                   `json:"url,omitempty"`
	// Chain is the chain of the new instance's key, in PEM, below a root that is not the deployment's own.
	Chain string `json:"chain,omitempty"`
}

// upkeepInterval is how often a process looks whether a rotation can go on.
const upkeepInterval = 5 * time.Second

var errNoRepository = errors.New("this process does not run the TUF repository")

type admin struct {
	server atomic.Pointer[control.Server]
}

func (in *Instance) listenAdmin() error {
	mux := http.NewServeMux()
	control.Handle(mux, PathFollow, func(ctx context.Context, _ Nothing) (Followed, error) {
		err := in.Follow(ctx)
		return Followed{in.History().Revision}, err
	})
	control.Handle(mux, PathStatus, func(ctx context.Context, _ Nothing) (Status, error) { return in.Status(ctx) })
	control.Handle(mux, PathRotate, in.rotate)
	control.Handle(mux, PathRekey, in.rekey)
	control.Handle(mux, PathRevoke, in.revoke)
	control.Handle(mux, PathPending, func(context.Context, Nothing) ([][]byte, error) {
		s := in.repository()
		if s == nil {
			return nil, errNoRepository
		}
		return s.Pending()
	})
	control.Handle(mux, PathImport, func(ctx context.Context, document []byte) (Nothing, error) {
		s := in.repository()
		if s == nil {
			return Nothing{}, errNoRepository
		}
		return Nothing{}, s.Import(ctx, document)
	})
	server, err := control.Listen(in.Dir.Path(), mux)
	if err == nil {
		in.admin.server.Store(server)
	}
	return err
}

// rotate begins a rotation, or goes on with the one under way, as far as it can.
func (in *Instance) rotate(ctx context.Context, r Rotate) (*rotation.Progress, error) {
	if !in.File.Runs(config.ServiceTUF) {
		return nil, errors.New("this process does not publish the trusted root; the one that runs tuf rotates")
	}
	m := in.machine()
	m.Founder.Keys = r.Keys
	if r.URL != "" {
		m.Founder.URLs = map[state.Kind]string{r.Kind: r.URL}
	}
	if h, err := in.Dir.Load(); err != nil {
		return nil, err
	} else if of := h.Active(r.Kind); of != nil && of.External {
		return nil, fmt.Errorf("the issuer of this deployment is %s: its keys are rotated there", of.URL)
	}
	if r.Chain != "" {
		if h, err := in.Dir.Load(); err != nil {
			return nil, err
		} else if r.Continue || h.Rotations[r.Kind] != nil {
			return nil, fmt.Errorf("a rotation of %s is under way, which has its chain: give another one when it is done", r.Kind)
		}
		m.Founder.Chains = map[state.Kind]string{r.Kind: r.Chain}
	}
	if !r.Continue {
		if err := in.nameable(ctx, r); err != nil {
			return nil, err
		}
		if err := m.Begin(ctx, r.Kind); err != nil {
			return nil, err
		}
	}
	return m.Advance(ctx, r.Kind, r.Hurry)
}

// nameable refuses a new shard of a log with witnesses that would have the name of another one. A witness knows a log by
// the name in its checkpoints, the host name: it would see a log that begins again with another key, and never cosign it.
func (in *Instance) nameable(ctx context.Context, r Rotate) error {
	h, err := in.Dir.Load()
	if err != nil || r.Kind != state.Log || h.Rotations[state.Log] != nil || h.Active(state.Log) == nil {
		return err // what is wrong is found by who begins; one that is under way has its name
	}
	if witnessed, err := in.witnessed(ctx); err != nil || !witnessed {
		return err
	}
	origin := h.Active(state.Log).Origin
	if r.URL != "" {
		u, err := url.Parse(r.URL)
		if err != nil {
			return err
		}
		origin = u.Hostname()
	}
	for i := range h.Instances[state.Log] {
		if of := &h.Instances[state.Log][i]; strings.EqualFold(of.Origin, origin) {
			return fmt.Errorf("the log has witnesses, which know shard %s by the name %s and would not cosign another log of that name: "+
				"give the new shard another host name (rotate log --url https://OTHER-NAME), or take witnesses out of the configuration and restart first",
				of.Name, of.Origin)
		}
	}
	return nil
}

// witnessed says whether the process that runs the log, this one or another, has witnesses.
func (in *Instance) witnessed(ctx context.Context) (bool, error) {
	if in.File.Runs(config.ServiceLog) && in.File.Log.Witnesses != "" {
		return true, nil
	}
	peers, err := control.Peers(in.Dir.Path())
	if err != nil {
		return false, err
	}
	for _, p := range peers {
		if p.Self(in.admin.server.Load()) {
			continue
		}
		var s Status
		if err := p.Call(ctx, PathStatus, Nothing{}, &s); err != nil {
			return false, fmt.Errorf("another process of this deployment: %w", err)
		}
		if s.Witnessed {
			return true, nil
		}
	}
	return false, nil
}

func (in *Instance) machine() *rotation.Machine {
	return &rotation.Machine{
		Dir: in.Dir, Now: in.Now, Apply: in.apply,
		Founder:     &founding.Founder{Ring: in.Ring, Now: in.Now},
		Propagation: time.Duration(in.File.Rotation.Propagation),
		CloseAfter:  time.Duration(in.File.Rotation.Close),
	}
}

// apply makes all processes of the deployment, and what clients fetch, what the history says.
func (in *Instance) apply(ctx context.Context, h *state.History) error {
	if err := in.Follow(ctx); err != nil {
		return err
	}
	peers, err := control.Peers(in.Dir.Path())
	if err != nil {
		return err
	}
	for _, p := range peers {
		if p.Self(in.admin.server.Load()) {
			continue
		}
		var got Followed
		if err := p.Call(ctx, PathFollow, Nothing{}, &got); err != nil {
			return fmt.Errorf("another process of this deployment: %w", err)
		}
		if got.Revision < h.Revision {
			return fmt.Errorf("another process of this deployment follows revision %d of the state, not %d: it has another state directory", got.Revision, h.Revision)
		}
	}
	return in.publish(ctx)
}

// keepUp carries rotations on until ctx ends.
func (in *Instance) keepUp(ctx context.Context) {
	tick := time.NewTicker(upkeepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !in.File.Runs(config.ServiceTUF) {
			continue
		}
		h, err := in.Dir.Load()
		if err != nil {
			in.Log.ErrorContext(ctx, "the state cannot be read", "error", err)
			continue
		}
		for kind := range h.Rotations {
			if _, err := in.machine().Advance(ctx, kind, false); err != nil && ctx.Err() == nil {
				in.Log.ErrorContext(ctx, "a rotation does not go on", "kind", kind, "error", err)
			}
		}
	}
}
