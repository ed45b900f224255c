package instance

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/server/internal/keyring"
	"github.com/bulla-sign/bulla/server/internal/state"
	"github.com/bulla-sign/bulla/server/tufrepo"
	"github.com/bulla-sign/bulla/tuf"
)

const tufDir = "tuf"

// tuf is the repository. It is opened anew when another key comes or goes.
func (in *Instance) tuf(h *state.History) want {
	key := "tuf"
	for _, of := range onlineKeys(h) {
		key += "/" + of.Name
	}
	key += fmt.Sprintf("/%d", len(h.TUFKeys.All()))
	return want{
		key: key, name: "tuf",
		open: func(ctx context.Context, reg prometheus.Registerer) (service, error) {
			cfg, err := tufConfig(ctx, in.Config, h)
			if err != nil {
				return nil, err
			}
			cfg.Log, cfg.Metrics = in.Log.With("service", "tuf"), reg
			return tufrepo.New(ctx, cfg)
		},
		settle: func(ctx context.Context, s service) error {
			spec, err := tufSpec(h)
			if err != nil {
				return err
			}
			// Keys that are kept offline sign later; until then the old ones serve.
			if err := s.(*tufrepo.Server).SetKeys(ctx, spec); err != nil && !errors.Is(err, tufrepo.ErrPending) {
				return err
			}
			return nil
		},
	}
}

// onlineKeys are the keys that snapshots and timestamps are signed with, now or soon.
func onlineKeys(h *state.History) (out []*state.Instance) {
	for i := range h.Instances[state.TUF] {
		if of := &h.Instances[state.TUF][i]; of.Phase != state.Closed {
			out = append(out, of)
		}
	}
	return out
}

// tufConfig has the keys that are at hand. Those of root and targets are opened when something is to be signed.
func tufConfig(ctx context.Context, from Config, h *state.History) (tufrepo.Config, error) {
	cfg := tufrepo.Config{Dir: from.Dir.Path(tufDir), Now: from.Now}
	if from.File != nil {
		cfg.Lifetimes.Timestamp = time.Duration(from.File.TUF.Expiry)
	}
	for _, of := range onlineKeys(h) {
		key, err := openSigner(ctx, from.Ring, of)
		if err != nil {
			return cfg, err
		}
		cfg.Signers = append(cfg.Signers, key)
	}
	for _, k := range h.TUFKeys.All() {
		if !from.Ring.Exists(k.Key) {
			continue
		}
		public, err := k.PublicKey()
		if err != nil {
			return cfg, fmt.Errorf("key %s: %w", k.Key, err)
		}
		cfg.Signers = append(cfg.Signers, &lateSigner{from.Ring, k.Key, public})
	}
	return cfg, nil
}

// tufSpec says which keys sign what.
func tufSpec(h *state.History) (tuf.RootSpec, error) {
	var spec tuf.RootSpec
	for _, role := range []struct {
		to   *tuf.RoleKeys
		from []state.KeyRef
	}{{&spec.Root, h.TUFKeys.Root}, {&spec.Targets, h.TUFKeys.Targets}} {
		role.to.Threshold = 1
		for _, k := range role.from {
			public, err := k.PublicKey()
			if err != nil {
				return spec, fmt.Errorf("key %s: %w", k.Key, err)
			}
			role.to.Keys = append(role.to.Keys, public)
		}
	}
	online, err := h.Active(state.TUF).PublicKey()
	if err != nil {
		return spec, err
	}
	spec.Snapshot = tuf.RoleKeys{Keys: []crypto.PublicKey{online}, Threshold: 1}
	spec.Timestamp = spec.Snapshot
	return spec, nil
}

// lateSigner opens its key when it signs: a key of the deployment's root is needed a few times in its life.
type lateSigner struct {
	ring   *keyring.Keyring
	ref    string
	public crypto.PublicKey
}

// Public implements crypto.Signer.
func (l *lateSigner) Public() crypto.PublicKey { return l.public }

// Sign implements crypto.Signer.
func (l *lateSigner) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	key, err := l.ring.Open(context.Background(), l.ref)
	if err != nil {
		return nil, err
	}
	if !l.public.(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
		return nil, fmt.Errorf("key %s is not the one that the state has", l.ref)
	}
	return key.Sign(rand, digest, opts)
}

// foundTUF makes the repository with its first contents and returns its first root.json.
func foundTUF(ctx context.Context, from Config, h *state.History) (root []byte, err error) {
	cfg, err := tufConfig(ctx, from, h)
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(cfg.Dir); err != nil { // left by somebody who did not come to the end of making the state
		return nil, err
	}
	spec, err := tufSpec(h)
	if err != nil {
		return nil, err
	}
	if err := tufrepo.Init(ctx, cfg, spec); err != nil {
		return nil, err
	}
	s, err := tufrepo.New(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	if err := publishTUF(ctx, s, from, h); err != nil {
		return nil, err
	}
	return s.Root()
}

func publishTUF(ctx context.Context, s *tufrepo.Server, from Config, h *state.History) error {
	root, err := h.TrustedRoot()
	if err != nil {
		return err
	}
	config, err := h.SigningConfig()
	if err != nil {
		return err
	}
	targets, err := tufrepo.Targets(root, config, from.Now())
	if err != nil {
		return err
	}
	revoked, err := revocations(from.Dir)
	if err != nil {
		return err
	}
	return s.Publish(ctx, append(targets, revoked...))
}

// repository returns the open TUF repository, nil if this process has none.
func (in *Instance) repository() *tufrepo.Server {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, m := range in.mounts {
		if s, ok := m.service.(*tufrepo.Server); ok {
			return s
		}
	}
	return nil
}
