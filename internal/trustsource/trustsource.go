// Package trustsource finds what is trusted where no flag says so: the TUF repository that `bulla initialize`, `cosign
// initialize` or the variables of either have set up, or else that of the public-good instance, refreshed if the network
// allows it. The public-good instance as it was when the program was built stands in until its repository was reached once.
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

// revocations is the target by which repositories revoke, see package tuf.
const revocations = "revocations.v1.json"

// maxRootFile bounds a root.json: the public instance's has 6 kB.
const maxRootFile = 256 << 10

// Source answers for one command. What it found it keeps, so that a command asks the mirror once.
type Source struct {
	// LookupEnv finds TUF_ROOT, TUF_MIRROR, TUF_ROOT_JSON, and the home directory.
	LookupEnv func(string) (string, bool)
	// Offline keeps it from the network: what is kept must do.
	Offline bool
	// Instance names one of [Instances], [Default] or [BuiltInName]; empty: the default.
	Instance string
	// File stands in for everything else.
	File *portable.Trust
	// HTTP asks the mirror; nil: a client of its own. UserAgent names the program.
	HTTP      *http.Client
	UserAgent string
	Now       func() time.Time
	// Ahead is how long before its expiry trust is to be warned of; 0: never.
	Ahead time.Duration

	told    sync.Once
	once    sync.Once
	found   *tuf.Trust
	err     error
	unheard error
}

// Trust returns what the repository says, nil if what is built in stands in for it, see [Source.Unheard]. An error means
// that there is a repository and nothing valid is known of it: nothing else stands in for it, neither for one that was set
// up nor for the public-good instance once it was reached. It wraps [tuf.ErrNoAnswer] if the mirror was not heard.
func (s *Source) Trust(ctx context.Context) (*tuf.Trust, error) {
	s.once.Do(func() { s.found, s.err = s.load(ctx) })
	return s.found, s.err
}

// Assumed says that the public-good instance is trusted without that anybody has initialized it. It asks nobody.
func (s *Source) Assumed() bool {
	if s.File != nil {
		return false
	}
	config, err := s.config()
	return err == nil && config.assumed
}

// HasRevoked says that the cache holds a list of revocations of the repository, valid still or not.
func (s *Source) HasRevoked() bool {
	config, err := s.config()
	return err == nil && isKept(config.Config, filepath.Join("targets", revocations))
}

// Unheard says why the public-good instance was asked and what is built in stands in for it all the same; nil if that is
// not so. It is known after [Source.Trust].
func (s *Source) Unheard() error { return s.unheard }

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
	c, err := tuf.New(config.Config)
	if err != nil {
		return nil, err
	}
	switch {
	case config.assumed:
		return s.assume(ctx, c, config.Config)
	case s.Offline:
		return c.Cached()
	}
	return c.Load(ctx)
}

// repository is what is to be trusted, and whether nobody has set it up.
type repository struct {
	tuf.Config
	assumed bool
}

// config finds the repository by cosign's rules: TUF_MIRROR comes before what was initialized, which comes before the
// public-good instance, and TUF_ROOT_JSON before the root that is kept. The mirror is empty if what is built in is named.
func (s *Source) config() (repository, error) {
	config := repository{Config: tuf.Config{Home: tuf.Home(s.LookupEnv), HTTP: s.HTTP, UserAgent: s.UserAgent, Now: s.Now}}
	switch s.Instance {
	case "", Default:
	case BuiltInName:
		config.assumed = true
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
		config.assumed = true
		config.Mirror, config.Timeout = PublicMirror, askTime
		if !isRoot(keptFile(config.Config, "root.json")) { // what is broken nobody would initialize again
			config.Root = BuiltIn(PublicMirror)
		}
		return config, nil
	}
	if file, _ := s.LookupEnv("TUF_ROOT_JSON"); file != "" {
		data, err := readFile(file)
		if err != nil {
			return config, fmt.Errorf("TUF_ROOT_JSON: %w", err)
		}
		config.Root = data
		return config, nil
	}
	if _, err := tuf.CacheName(config.Mirror); err != nil {
		return config, err
	}
	if !isKept(config.Config, "root.json") {
		config.Root = BuiltIn(config.Mirror)
		if config.Root == nil {
			return config, fmt.Errorf("%s was not initialized here, or what was kept of it is gone: initialize it, or name its root.json in TUF_ROOT_JSON", config.Mirror)
		}
	}
	return config, nil
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

func readFile(name string) ([]byte, error) {
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
