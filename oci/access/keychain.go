package access

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
)

// Options say where credentials are looked for. The zero value reads the process's environment, and asks no cloud.
type Options struct {
	LookupEnv func(name string) (value string, ok bool) // nil: os.LookupEnv
	Home      string                                    // the home directory; empty: the process's
	Clouds    bool                                      // --k8s-keychain: ask the clouds that a registry belongs to, too
	Transport http.RoundTripper                         // the way to the clouds; nil: one without a proxy
}

// Keychain finds credentials. It looks, for each repository, into these, and takes the first that has one:
//
//  1. the variable DOCKER_AUTH_CONFIG, which holds the content of such a file;
//  2. config.json, or .dockerconfigjson of a mounted secret, in $DOCKER_CONFIG, else ~/.docker/config.json;
//  3. the file $REGISTRY_AUTH_FILE;
//  4. $XDG_RUNTIME_DIR/containers/auth.json;
//  5. containers/auth.json in $XDG_CONFIG_HOME, else in ~/.config;
//  6. with Options.Clouds, the cloud that the registry belongs to, see cloud.go.
//
// In a file the most specific entry counts (host/namespace/repository before host), and for one scope a program of
// credHelpers before the program credsStore before what is in auths. It may be used by several goroutines at once.
type Keychain struct {
	options Options
	mu      sync.Mutex
	known   map[string]*Credential
}

// NewKeychain returns a keychain. It reads nothing before it is asked.
func NewKeychain(o Options) *Keychain {
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	if o.Home == "" {
		o.Home, _ = os.UserHomeDir() // none: the places below it do not exist
	}
	if o.Transport == nil {
		o.Transport = &http.Transport{} // no proxy: the metadata of a machine is beside it
	}
	return &Keychain{options: o, known: map[string]*Credential{}}
}

// Credential is what a keychain has for a repository. It never prints its secret.
type Credential struct {
	config authn.AuthConfig
	source string
}

// Authorization implements [authn.Authenticator].
func (c *Credential) Authorization() (*authn.AuthConfig, error) {
	config := c.config
	return &config, nil
}

// Source says from where the credential is, for people: "entry ghcr.io/acme of /home/me/.docker/config.json". Without a
// credential it says where there was none.
func (c *Credential) Source() string { return c.source }

// Anonymous says that there is no credential.
func (c *Credential) Anonymous() bool { return c.config == authn.AuthConfig{} }

// Kind says what kind of credential it is: "user name and password", "identity token", "registry token" or "none".
func (c *Credential) Kind() string { return KindOf(&c.config) }

// KindOf is [Credential.Kind] of what any authenticator gives.
func KindOf(c *authn.AuthConfig) string {
	switch {
	case c == nil || *c == authn.AuthConfig{}:
		return "none"
	case c.RegistryToken != "":
		return "registry token"
	case c.IdentityToken != "":
		return "identity token"
	}
	return "user name and password"
}

// String is the kind and the source.
func (c *Credential) String() string {
	if c.Anonymous() {
		return c.source
	}
	return c.Kind() + " from " + c.source
}

// GoString keeps the secret out of %#v.
func (c *Credential) GoString() string { return "access.Credential{" + c.String() + "}" }

// Resolve implements [authn.Keychain].
func (k *Keychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	return k.ResolveContext(context.Background(), target)
}

// ResolveContext implements [authn.ContextKeychain]. What it returns is a [*Credential], which is anonymous when nothing has
// one. A file that is there and cannot be read or understood, and a program that fails, are errors.
func (k *Keychain) ResolveContext(ctx context.Context, target authn.Resource) (authn.Authenticator, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	name := target.String()
	if known, ok := k.known[name]; ok {
		return known, nil
	}
	found, err := k.find(ctx, name)
	if err != nil {
		return nil, err
	}
	k.known[name] = found
	return found, nil
}

func (k *Keychain) find(ctx context.Context, repository string) (*Credential, error) {
	var looked []string
	for _, source := range k.sources() {
		c, err := source.read()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", source.name, err)
		}
		if c == nil {
			continue
		}
		looked = append(looked, source.name)
		found, err := c.find(ctx, repository)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", source.name, err)
		}
		if found != nil {
			found.source += " of " + source.name
			return found, nil
		}
	}
	if k.options.Clouds {
		found, tried := k.cloud(ctx, canonical(repository))
		if found != nil {
			return found, nil
		}
		looked = append(looked, tried...)
	}
	if len(looked) == 0 {
		return &Credential{source: "no credential: there is no file of credentials"}, nil
	}
	return &Credential{source: "no credential: none in " + strings.Join(looked, ", ")}, nil
}

// find looks for the most specific credential.
func (c *config) find(ctx context.Context, repository string) (*Credential, error) {
	for _, scope := range scopes(repository) {
		host := !strings.Contains(scope, "/")
		program := c.Store
		if key, name, ok := lookup(c.Helpers, scope); ok {
			if program = name; !host {
				scope = key
			}
		} else if !host {
			program = ""
		}
		if program != "" {
			server := scope
			if scope == hub {
				server = index
			}
			found, err := askHelper(ctx, program, server)
			switch {
			case err == nil:
				return &Credential{found, "the program docker-credential-" + program}, nil
			case !errors.Is(err, errNoCredential):
				return nil, fmt.Errorf("docker-credential-%s: %w", program, err)
			}
		}
		if key, e, ok := lookup(c.Auths, scope); ok {
			found, some, err := e.credential()
			if err != nil {
				return nil, fmt.Errorf("entry %s: %w", plainText(key), err)
			}
			if some {
				return &Credential{found, "entry " + plainText(key)}, nil
			}
		}
	}
	return nil, nil
}

// source is one place that may hold a file of credentials.
type source struct {
	name string
	data string // instead of a file
	path string
}

// sources are the places in the order of [Keychain].
func (k *Keychain) sources() []source {
	env := func(name string) string { v, _ := k.options.LookupEnv(name); return v }
	var list []source
	file := func(parts ...string) {
		list = append(list, source{name: filepath.Join(parts...), path: filepath.Join(parts...)})
	}
	if text := env("DOCKER_AUTH_CONFIG"); text != "" {
		list = append(list, source{name: "the variable DOCKER_AUTH_CONFIG", data: text})
	}
	switch dir := env("DOCKER_CONFIG"); {
	case dir != "":
		file(dir, "config.json")
		file(dir, ".dockerconfigjson")
	case k.options.Home != "":
		file(k.options.Home, ".docker", "config.json")
	}
	if path := env("REGISTRY_AUTH_FILE"); path != "" {
		file(path)
	}
	if dir := env("XDG_RUNTIME_DIR"); dir != "" {
		file(dir, "containers", "auth.json")
	}
	if dir := env("XDG_CONFIG_HOME"); dir != "" {
		file(dir, "containers", "auth.json")
	} else if k.options.Home != "" {
		file(k.options.Home, ".config", "containers", "auth.json")
	}
	return list
}

// read returns nil when there is no such file.
func (s *source) read() (*config, error) {
	data := []byte(s.data)
	if s.path != "" {
		var err error
		if data, err = readFile(s.path, maxConfig); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
	}
	if strings.TrimSpace(string(data)) == "" {
		return nil, nil // an empty file is what some programs make before they write it
	}
	return parseConfig(data)
}

// readFile reads a file that may have so many bytes. Its errors do not repeat the path.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, withoutPath(err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("it has more than %d bytes", limit)
	}
	return data, nil
}

func withoutPath(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
