package ctlog

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/server/internal/treelog"
)

// Config is what a log is made of.
type Config struct {
	// Prefix is the path below which the log answers, such as "/ct/2026-1": clean, without a slash at the end. Required.
	Prefix string
	// Key signs SCTs and checkpoints: ECDSA on P-256, which every client verifies. Required unless the log is frozen.
	Key crypto.Signer
	// PublicKey is that of Key. A frozen log needs it alone; otherwise nil stands for Key's.
	PublicKey crypto.PublicKey
	// Roots are the certificates that chains must end in; needed unless the log is frozen. [Server.SetRoots] exchanges them.
	Roots []*x509.Certificate
	// Tree says where the log lies, where its lock store is, who witnesses it and how often it publishes. Its Origin must be
	// set: the log's URL without scheme (static-ct-api, "Checkpoints"). New sets Layout, Signer, Verifier, Now, Log and
	// Metrics. Issuers' certificates are kept in Tree.Dir too, below issuer/.
	Tree treelog.Config
	// Now is the clock; nil is the system's.
	Now func() time.Time
	// Log gets events; nil is silent.
	Log *slog.Logger
	// Metrics is where the service registers its metrics, with the label log for the origin; nil for none.
	Metrics prometheus.Registerer
}

// New opens the log, or makes it. A log that can be read but must not be written is opened, as treelog.Open does; see
// [Server.Ready].
func New(ctx context.Context, cfg Config) (*Server, error) {
	s, err := open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("CT log %s: %w", cfg.Tree.Origin, err)
	}
	return s, nil
}

func open(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(cfg.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	s := &Server{prefix: cfg.Prefix, key: cfg.Key, id: sha256.Sum256(spki), now: cfg.Now, log: cfg.Log, recent: newRecent()}
	s.heads = newHeadSigner(cfg, s.id)
	if len(cfg.Roots) > 0 {
		if err := s.SetRoots(cfg.Roots); err != nil {
			return nil, err
		}
	}
	tree := cfg.Tree
	tree.Layout, tree.Verifier = treelog.CT, s.heads
	if cfg.Key != nil {
		tree.Signer = s.heads
		if err := s.heads.recall(ctx, tree); err != nil {
			return nil, err
		}
	}
	if s.issuers, err = openIssuers(filepath.Join(tree.Dir, "issuer")); err != nil {
		return nil, err
	}
	tree.Now, tree.Log = cfg.Now, cfg.Log
	if cfg.Metrics != nil {
		cfg.Metrics = prometheus.WrapRegistererWith(prometheus.Labels{"log": tree.Origin}, cfg.Metrics)
		tree.Metrics = cfg.Metrics
	}
	if s.metrics, err = newMetrics(cfg.Metrics); err != nil {
		return nil, err
	}
	if s.tree, err = treelog.Open(ctx, tree); err != nil {
		s.metrics.unregister()
		return nil, err
	}
	s.index = newIndex(s.tree)
	return s, nil
}

// checkpointInterval is the default of [treelog.Config].CheckpointInterval: nobody waits for the checkpoint, since an SCT is
// given when its entry is durable and in the tree, and monitors come less often.
const checkpointInterval = time.Second

// check checks what treelog does not, and fills in defaults.
func (cfg *Config) check() error {
	if p := cfg.Prefix; len(p) < 2 || len(p) > 128 || p[0] != '/' || path.Clean(p) != p || strings.ContainsAny(p, "{}?#% ") {
		return fmt.Errorf("prefix %q is not a clean path such as /ct/2026-1", p)
	}
	if cfg.PublicKey == nil && cfg.Key != nil {
		cfg.PublicKey = cfg.Key.Public()
	}
	pub, ok := cfg.PublicKey.(*ecdsa.PublicKey)
	switch {
	case cfg.Key == nil && !cfg.Tree.Frozen:
		return errors.New("no key")
	case !ok || pub.Curve != elliptic.P256():
		return fmt.Errorf("a key of type %T; it must be ECDSA on P-256, which every client verifies", cfg.PublicKey)
	case cfg.Key != nil && !pub.Equal(cfg.Key.Public()):
		return errors.New("the key and the public key do not belong together")
	case len(cfg.Roots) == 0 && !cfg.Tree.Frozen:
		return errors.New("no accepted roots")
	case !validName(cfg.Tree.Origin):
		return fmt.Errorf("origin %q is not a URL without scheme, space and plus sign", cfg.Tree.Origin)
	}
	if cfg.Tree.CheckpointInterval == 0 {
		cfg.Tree.CheckpointInterval = checkpointInterval
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// validName tells whether a name can stand in a signed note (C2SP signed-note) as the URL of a log.
func validName(name string) bool {
	return name != "" && len(name) <= 255 && !strings.ContainsAny(name, "+ \t\r\n") && !strings.Contains(name, "://") && !strings.HasSuffix(name, "/")
}
