// Package trustsource finds what is trusted where no flag says so: the TUF repository that `bulla initialize`, `cosign
// initialize` or the variables of either have set up, refreshed if the network allows it, or else the public-good instance
// as it was when the program was built.
package trustsource

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/trust/portable"
	"github.com/bulla-sign/bulla/trust/publicgood"
	"github.com/bulla-sign/bulla/tuf"
)

// Addresses of Sigstore's own repositories.
const (
	// PublicMirror is the public-good instance.
	PublicMirror = "https://tuf-repo-cdn.sigstore.dev"
	// StagingMirror is the instance on which Sigstore tries things out.
	StagingMirror = "https://tuf-repo-cdn.sigstage.dev"
)

//go:embed staging_root.json
var stagingRoot string

// maxRootFile bounds a root.json: the public instance's has 6 kB.
const maxRootFile = 256 << 10

// Source answers for one command. What it found it keeps, so that a command asks the mirror once.
type Source struct {
	// LookupEnv finds TUF_ROOT, TUF_MIRROR, TUF_ROOT_JSON, and the home directory.
	LookupEnv func(string) (string, bool)
	// Offline keeps it from the network: what is kept must do.
	Offline bool
	// Instance names one of [Instances], [Default] or [BuiltInName]; empty: the default if there is one, or else what is built in.
	Instance string
	// File stands in for everything else.
	File *portable.Trust
	// HTTP asks the mirror; nil: a client of its own. UserAgent names the program.
	HTTP      *http.Client
	UserAgent string
	Now       func() time.Time
	// Ahead is how long before its expiry trust is to be warned of; 0: never.
	Ahead time.Duration

	told  sync.Once
	once  sync.Once
	found *tuf.Trust
	err   error
}

// Trust returns what the repository says that is set up, nil if none is. An error means that one is set up and nothing
// valid is known of it: nothing else stands in for it. It wraps [tuf.ErrNoAnswer] if the mirror was not heard.
func (s *Source) Trust(ctx context.Context) (*tuf.Trust, error) {
	s.once.Do(func() { s.found, s.err = s.load(ctx) })
	return s.found, s.err
}

// TellOnce calls a function that tells the user about the trust, the first time alone: a command takes several things from it.
func (s *Source) TellOnce(tell func()) { s.told.Do(tell) }

// Root returns the trusted root of the repository that is set up, or the built-in one.
func (s *Source) Root(ctx context.Context) (*trust.Root, error) {
	t, err := s.Trust(ctx)
	switch {
	case err != nil:
		return nil, err
	case s.File != nil:
		return s.File.Root, nil
	case t == nil:
		return publicgood.Root()
	}
	return t.Root, nil
}

// SigningConfig returns the signing config of the repository that is set up, or the built-in one, which names the services
// of the public-good instance.
func (s *Source) SigningConfig(ctx context.Context) (*trust.SigningConfig, error) {
	t, err := s.Trust(ctx)
	switch {
	case err != nil:
		return nil, err
	case s.File != nil && s.File.SigningConfig == nil:
		return nil, fmt.Errorf("the trust file has no signing config")
	case s.File != nil:
		return s.File.SigningConfig, nil
	case t == nil:
		return publicgood.SigningConfig()
	}
	return t.SigningConfig()
}

func (s *Source) load(ctx context.Context) (*tuf.Trust, error) {
	if s.File != nil {
		return nil, nil
	}
	config, err := s.config()
	if err != nil || config.Mirror == "" {
		return nil, err
	}
	c, err := tuf.New(config)
	if err != nil {
		return nil, err
	}
	if s.Offline {
		return c.Cached()
	}
	return c.Load(ctx)
}

// config finds the repository by cosign's rules: TUF_MIRROR comes before what was initialized, and TUF_ROOT_JSON before
// the root that is kept. The mirror is empty if there is none.
func (s *Source) config() (tuf.Config, error) {
	config := tuf.Config{Home: tuf.Home(s.LookupEnv), HTTP: s.HTTP, UserAgent: s.UserAgent, Now: s.Now}
	switch s.Instance {
	case "", Default:
	case BuiltInName:
		return config, nil
	default:
		var err error
		if config.Home, err = (Instances{config.Home}).HomeOf(s.Instance); err == nil {
			config.Mirror, err = tuf.Initialized(config.Home)
		}
		return config, err
	}
	config.Mirror, _ = s.LookupEnv("TUF_MIRROR")
	if config.Mirror == "" && config.Home != "" {
		var err error
		if config.Mirror, err = tuf.Initialized(config.Home); err != nil {
			return config, err
		}
	}
	if config.Mirror == "" {
		if s.Instance == Default {
			return config, errors.New("nothing was initialized here, so there is no default instance")
		}
		return config, nil
	}
	if file, _ := s.LookupEnv("TUF_ROOT_JSON"); file != "" {
		data, err := readRoot(file)
		if err != nil {
			return config, fmt.Errorf("TUF_ROOT_JSON: %w", err)
		}
		config.Root = data
		return config, nil
	}
	kept, err := isKept(config)
	if err == nil && !kept {
		config.Root = BuiltIn(config.Mirror)
		if config.Root == nil {
			err = fmt.Errorf("%s was not initialized here, and TUF_ROOT_JSON names no root.json to begin with", config.Mirror)
		}
	}
	return config, err
}

// isKept says whether the cache has a root of the mirror.
func isKept(config tuf.Config) (bool, error) {
	name, err := tuf.CacheName(config.Mirror)
	if err != nil || config.Home == "" {
		return false, err
	}
	_, err = os.Stat(filepath.Join(config.Home, name, "root.json"))
	return err == nil, nil
}

// BuiltIn returns the root.json of Sigstore's own repositories, nil for others.
func BuiltIn(mirror string) []byte {
	switch mirror {
	case PublicMirror:
		return publicgood.TUFRoot()
	case StagingMirror:
		return []byte(stagingRoot)
	}
	return nil
}

func readRoot(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRootFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) == 0:
		return nil, fmt.Errorf("%s: %w", name, errors.New("the file is empty"))
	case len(data) > maxRootFile:
		return nil, fmt.Errorf("%s has more than %d bytes", name, maxRootFile)
	}
	return data, nil
}
