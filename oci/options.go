package oci

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/bulla-sign/bulla/oci/access"
	"github.com/bulla-sign/bulla/oci/cache"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// Options say how registries are reached and where evidence is kept. The zero value uses the credentials of Docker's and
// Podman's files and the system's certificate authorities. Username and Password, Token, ClientCert and ServerName are for
// every registry that a reference or Repository names, and for no other host.
type Options struct {
	Keychain           authn.Keychain     // nil: what an [access.Keychain] without options finds
	Username, Password string             // both or neither; used instead of Keychain
	Token              string             // registry bearer token; used instead of Keychain, not together with Username
	Transport          http.RoundTripper  // nil: our own, built from the TLS settings below, which must be empty otherwise
	Network            access.Network     // what our own transport goes through; nil: nothing
	AllowHTTP          bool               // try plain HTTP where HTTPS does not answer; loopback, private and .localhost names always may
	AllowInsecure      bool               // accept any TLS certificate
	CACerts            string             // PEM file of certificate authorities, in place of the system's
	ClientCert         string             // PEM file of a client certificate; with ClientKey
	ClientKey          string             // PEM file of its key
	ServerName         string             // name the registry's certificate must have, when not its host name
	CertDirs           []string           // directories in certs.d form, such as [access.CertDirs] names; nil: none
	Mirrors            *access.Registries // mirrors and prohibitions, for reading; nil: none
	UserAgent          string             // such as "bulla/1.0"; empty: "bulla"
	Repository         string             // COSIGN_REPOSITORY: where evidence is kept, when not beside the image
	TagPrefix          string             // prefix of the older tags
	Writes             bool               // evidence will be written: what is read where that is kept goes by the same contact, and token
	DockerMediaTypes   bool               // COSIGN_DOCKER_MEDIA_TYPES: Docker's media types in new .sig and .att manifests
	Limits             Limits
	Cache              *cache.Cache // what Find reads by a digest, kept; nil: nothing
	Workers            int          // how many candidates are fetched at once; 0: 4

	Settle   time.Duration                              // see AttachBundle; 0: 250 ms
	Attempts int                                        // how often a shared tag is written and read back; 0: 40
	Sleep    func(context.Context, time.Duration) error // nil: a timer
	Jitter   func(limit time.Duration) time.Duration    // nil: uniform in [0, limit)
	Log      func(format string, args ...any)           // progress for people; nil: nothing
	Now      func() time.Time                           // nil: time.Now
}

// Client talks to registries. It may be used by several goroutines at once.
type Client struct {
	options    Options
	limits     Limits
	base       http.RoundTripper
	hosts      *hosts // what base leads to; nil with a transport of the user
	keychain   authn.Keychain
	nameOpts   []name.Option
	repository *name.Repository // where evidence is kept; nil: beside the image

	etags    sync.Map // registry host -> true, once it has sent an ETag with a manifest
	noAPI    sync.Map // repository@digest -> time at which there was no referrers API, and a regular answer of the tag
	withAPI  sync.Map // repository -> true, once its referrers API has answered
	down     sync.Map // mirror repository -> true, once it could not be reached
	mu       sync.Mutex
	sessions map[string]*session
}

// New checks the options and reads the files they name. It does not touch the network.
func New(o Options) (*Client, error) {
	c := &Client{options: o, limits: o.Limits.withDefaults(), sessions: map[string]*session{}}
	if err := c.setCredentials(o); err != nil {
		return nil, err
	}
	base := o.Transport
	if base == nil {
		own, err := newHosts(o)
		if err != nil {
			return nil, err
		}
		base, c.hosts = own, own
	} else if o.AllowInsecure || o.CACerts != "" || o.ClientCert != "" || o.ClientKey != "" || o.ServerName != "" || o.CertDirs != nil {
		return nil, errors.New("registry options: TLS settings cannot be combined with a transport")
	}
	agent := o.UserAgent
	if agent == "" {
		agent = "bulla"
	}
	c.base = &agentTransport{inner: base, agent: agent, idle: idleTimeout}
	if o.AllowHTTP {
		c.nameOpts = append(c.nameOpts, name.Insecure)
	}
	if o.Repository != "" {
		repo, err := name.NewRepository(o.Repository, c.nameOpts...)
		if err == nil && strings.Contains(o.Repository, "://") { // which would be taken for the registry "https:"
			err = errors.New("leave out the scheme")
		}
		if err != nil {
			return nil, fmt.Errorf("%q is %w: %v", o.Repository, ErrRepository, err)
		}
		c.repository = &repo
	}
	c.setDefaults()
	return c, nil
}

// ErrRepository says that Options.Repository is not the name of a repository.
var ErrRepository = errors.New("not the name of a repository for signatures")

func (c *Client) setDefaults() {
	o := &c.options
	if o.Settle <= 0 {
		o.Settle = 250 * time.Millisecond
	}
	if o.Attempts <= 0 {
		o.Attempts = 40
	}
	if o.Workers <= 0 {
		o.Workers = defaultWorkers
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Jitter == nil {
		o.Jitter = func(limit time.Duration) time.Duration { return rand.N(max(limit, 1)) }
	}
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

func (c *Client) setCredentials(o Options) error {
	c.keychain = o.Keychain
	if c.keychain == nil {
		c.keychain = access.NewKeychain(access.Options{})
	}
	switch {
	case (o.Username == "") != (o.Password == ""):
		return errors.New("registry credentials: a user name and a password are needed together")
	case o.Username != "" && o.Token != "":
		return errors.New("registry credentials: give a user name and password, or a token, not both")
	case o.Username != "":
		c.keychain = fixed{authn.FromConfig(authn.AuthConfig{Username: o.Username, Password: o.Password}), "the user name and password that were given"}
	case o.Token != "":
		c.keychain = fixed{authn.FromConfig(authn.AuthConfig{RegistryToken: o.Token}), "the registry token that was given"}
	}
	return nil
}

// fixed gives the same credentials for every registry that a reference names.
type fixed struct {
	authn.Authenticator
	source string
}

func (f fixed) Resolve(authn.Resource) (authn.Authenticator, error) { return f, nil }

// String says from where the credential is, as [access.Credential.String] does.
func (f fixed) String() string { return f.source }

func tlsConfig(o Options) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: o.ServerName, InsecureSkipVerify: o.AllowInsecure}
	if o.CACerts != "" {
		pem, err := os.ReadFile(o.CACerts)
		if err != nil {
			return nil, fmt.Errorf("registry CA certificates: %w", err)
		}
		authorities, err := access.ParseAuthorities(pem)
		if err != nil {
			return nil, fmt.Errorf("registry CA certificates: %s: %w", o.CACerts, err)
		}
		config.RootCAs = x509.NewCertPool()
		for _, authority := range authorities {
			config.RootCAs.AddCert(authority)
		}
	}
	if (o.ClientCert == "") != (o.ClientKey == "") {
		return nil, errors.New("registry client certificate: a certificate and a key are needed together")
	}
	if o.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(o.ClientCert, o.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("registry client certificate %s: %w", o.ClientCert, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
