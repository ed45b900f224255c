package instance

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/server/ca"
	"github.com/bulla-sign/bulla/server/ctlog"
	"github.com/bulla-sign/bulla/server/internal/config"
	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/server/internal/treelog"
)

// ctlogs are all shards, each at the path that it always had.
func (in *Instance) ctlogs(h *state.History) (out []want) {
	for i := range h.Instances[state.CTLog] {
		of := &h.Instances[state.CTLog][i]
		if of.Phase == state.Next {
			continue
		}
		w := want{key: "ctlog/" + of.Name, name: "ctlog " + of.Name, open: func(ctx context.Context, reg prometheus.Registerer) (service, error) {
			return in.openCTLog(ctx, h, of, reg)
		}}
		w.settle = func(ctx context.Context, s service) error {
			if of.Phase == state.Closed {
				return s.(*ctlog.Server).Freeze(ctx)
			}
			// A shard that was just replaced still takes entries: an authority in another process may not have followed yet.
			roots, err := caRoots(h)
			if err != nil {
				return err
			}
			return s.(*ctlog.Server).SetRoots(roots)
		}
		out = append(out, w)
	}
	return out
}

func (in *Instance) openCTLog(ctx context.Context, h *state.History, of *state.Instance, reg prometheus.Registerer) (service, error) {
	u, err := url.Parse(of.URL)
	if err != nil {
		return nil, err
	}
	frozen, err := in.frozen(state.CTLog, of.Name)
	if err != nil {
		return nil, err
	}
	public, err := of.PublicKey()
	if err != nil {
		return nil, err
	}
	lock, err := lockStore(in.File.CTLog.Lock, in.Dir, state.CTLog, of.Name)
	if err != nil {
		return nil, err
	}
	cfg := ctlog.Config{
		Prefix: u.Path, PublicKey: public, Now: in.Now, Log: in.Log.With("service", "ctlog"), Metrics: reg,
		Tree: treelog.Config{
			Dir: in.Dir.Path(LogDir(state.CTLog, of.Name)), Lock: lock, AdoptLock: in.File.CTLog.AdoptLock, Frozen: frozen,
			Origin:             ctOrigin(of.URL),
			CheckpointInterval: time.Duration(in.File.CTLog.CheckpointInterval),
		},
	}
	if !frozen {
		if cfg.Key, err = in.signer(ctx, of); err != nil {
			return nil, err
		}
	}
	if cfg.Roots, err = caRoots(h); err != nil {
		return nil, err
	}
	return ctlog.New(ctx, cfg)
}

// ctOrigin is a log's name in its checkpoints: its URL without the scheme (C2SP static-ct-api).
func ctOrigin(address string) string {
	_, rest, _ := strings.Cut(address, "://")
	return rest
}

// caRoots are the certificates that chains in the CT log must end in: the roots of all authorities that there ever were.
func caRoots(h *state.History) (out []*x509.Certificate, err error) {
	for i := range h.Instances[state.CA] {
		chain, err := h.Instances[state.CA][i].Certificates()
		if err != nil {
			return nil, err
		}
		if len(chain) == 0 {
			return nil, fmt.Errorf("ca %s has no chain", h.Instances[state.CA][i].Name)
		}
		root, known := chain[len(chain)-1], false
		for _, r := range out {
			known = known || r.Equal(root)
		}
		if !known {
			out = append(out, root)
		}
	}
	return out, nil
}

// transparency returns what the authority logs its certificates in: the log in this process, or one elsewhere.
func (in *Instance) transparency(of *state.Instance) (ca.CT, error) {
	if in.File.Runs(config.ServiceCTLog) {
		return &localCT{in: in, key: "ctlog/" + of.Name}, nil
	}
	base := of.URL
	if at := in.File.Elsewhere.CTLog; at != "" {
		base = strings.TrimSuffix(at, "/") + "/ct/" + of.Name
	}
	return ca.NewLogClient(base, outgoing())
}

// localCT is a CT log in this process. It asks the mount each time, so that a log that ends is not used meanwhile.
type localCT struct {
	in  *Instance
	key string
}

// AddPreChain implements ca.CT. The authority in this process is the only caller.
func (l *localCT) AddPreChain(ctx context.Context, chain [][]byte) (timestamp, signed []byte, err error) {
	m := l.in.mounted(l.key)
	if m == nil || !m.enter() {
		return nil, nil, fmt.Errorf("%s is not open", l.key)
	}
	defer m.leave()
	return m.service.(*ctlog.Server).AddIssued(ctx, chain)
}

// Ready says whether the log takes entries.
func (l *localCT) Ready(ctx context.Context) error {
	m := l.in.mounted(l.key)
	if m == nil {
		return fmt.Errorf("%s is not open", l.key)
	}
	return m.check(ctx)
}
