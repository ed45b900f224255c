package main

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/buildinfo"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/oci/access"
	"github.com/bulla-sign/bulla/oci/cache"
	"github.com/bulla-sign/bulla/oci/layout"
)

// registryClient makes the client for the registry flags and the variables that go with them.
func registryClient(c *cli.Call, r *flags.Registry) (*oci.Client, error) {
	o, err := registryOptions(c, r)
	if err != nil {
		return nil, err
	}
	return newRegistryClient(o)
}

// registryClientOf is registryClient for commands that verify: it fetches so many things at the same time (0 leaves it to
// package oci), keeps what it read, when there is a place for it, and knows mirrors.
func registryClientOf(c *cli.Call, r *flags.Registry, workers int) (*oci.Client, error) {
	o, err := registryOptions(c, r)
	if err != nil {
		return nil, err
	}
	o.Workers = workers
	if o.Cache, err = registryCache(c); err != nil {
		return nil, err
	}
	if o.Mirrors, err = registryMirrors(c); err != nil {
		return nil, err
	}
	return newRegistryClient(o)
}

// The variables that name files about mirrors.
const (
	registriesVariable = "CONTAINERS_REGISTRIES_CONF"
	hostsVariable      = "BULLA_REGISTRY_HOSTS"
)

// registryMirrors reads the file about mirrors, if one is named.
func registryMirrors(c *cli.Call) (*access.Registries, error) {
	conf, _ := c.LookupEnv(registriesVariable)
	hosts, _ := c.LookupEnv(hostsVariable)
	switch {
	case conf != "" && hosts != "":
		return nil, cli.Usagef("%s and %s cannot be set together: both are about mirrors", registriesVariable, hostsVariable)
	case hosts != "":
		found, err := access.LoadHosts(hosts, true)
		return found, inputError(err)
	case conf != "":
		found, err := access.LoadRegistries(conf)
		return found, inputError(err)
	}
	return nil, nil
}

func newRegistryClient(o oci.Options) (*oci.Client, error) {
	client, err := oci.New(o)
	if errors.Is(err, oci.ErrRepository) {
		return nil, cli.Usagef("COSIGN_REPOSITORY: %w", err)
	}
	return client, inputError(err)
}

// defaultCacheSize has room for some ten thousand bundles.
const defaultCacheSize = 256 << 20

// registryCache opens the cache that BULLA_REGISTRY_CACHE names; nil without it.
func registryCache(c *cli.Call) (*cache.Cache, error) {
	dir, _ := c.LookupEnv("BULLA_REGISTRY_CACHE")
	if dir == "" {
		return nil, nil
	}
	size := int64(defaultCacheSize)
	if text, _ := c.LookupEnv("BULLA_REGISTRY_CACHE_SIZE"); text != "" {
		var err error
		if size, err = oci.ParseSize(text); err != nil {
			return nil, cli.Usagef("BULLA_REGISTRY_CACHE_SIZE: %w", err)
		}
	}
	kept, err := cache.Open(dir, size)
	if err != nil {
		return nil, fmt.Errorf("BULLA_REGISTRY_CACHE: %w", err)
	}
	return kept, nil
}

func registryOptions(c *cli.Call, r *flags.Registry) (o oci.Options, err error) {
	if err := checkRegistryFlags(r); err != nil {
		return o, err
	}
	env := func(name string) string {
		v, _ := c.LookupEnv(name)
		return v
	}
	machine := access.Options{
		LookupEnv: c.LookupEnv, Home: env("HOME"), Clouds: r.CloudKeychains,
		Transport: c.Net.Guard(&http.Transport{}), // no proxy: a cloud's metadata service is beside the machine
	}
	o = oci.Options{
		AllowHTTP: r.AllowHTTP, AllowInsecure: r.AllowInsecure, Username: r.Username, Password: r.Password, Token: r.Token,
		CACerts: r.CACert, ClientCert: r.ClientCert, ClientKey: r.ClientKey, ServerName: r.ServerName,
		TagPrefix: r.AttachmentTagPrefix, Repository: env("COSIGN_REPOSITORY"),
		Network:   c.Net.Registries(c.Cosign),
		UserAgent: buildinfo.UserAgent("bulla"), Now: c.Now, Log: c.Debugf,
		Keychain: access.NewKeychain(machine), CertDirs: access.CertDirs(machine),
	}
	if hosts := env(hostsVariable); hosts != "" { // the way to registries themselves; who verifies learns of mirrors too
		if o.Mirrors, err = access.LoadHosts(hosts, false); err != nil {
			return o, inputError(err)
		}
	}
	if text := env("COSIGN_DOCKER_MEDIA_TYPES"); text != "" {
		if o.DockerMediaTypes, err = strconv.ParseBool(text); err != nil {
			return o, cli.Usagef("COSIGN_DOCKER_MEDIA_TYPES is %q; it may be 1 or 0", text)
		}
	}
	if size := env("COSIGN_MAX_ATTACHMENT_SIZE"); size != "" {
		n, err := oci.ParseSize(size)
		if err != nil {
			return o, cli.Usagef("COSIGN_MAX_ATTACHMENT_SIZE: %w", err)
		}
		o.Limits.Attachment = n
	}
	return o, nil
}

// checkRegistryFlags refuses halves, which would otherwise be ignored.
func checkRegistryFlags(r *flags.Registry) error {
	switch {
	case (r.Username == "") != (r.Password == ""):
		return cli.Usagef("--registry-username and --registry-password go together")
	case r.Username != "" && r.Token != "":
		return cli.Usagef("--registry-token and --registry-username cannot be given together")
	case r.CloudKeychains && r.Username+r.Token != "":
		return cli.Usagef("--k8s-keychain looks for credentials, and cannot be given together with --registry-username or --registry-token")
	case (r.ClientCert == "") != (r.ClientKey == ""):
		return cli.Usagef("--registry-client-cert and --registry-client-key go together")
	}
	return nil
}

// registryError gives an error of package oci its exit status.
func registryError(err error) error {
	var unknown *oci.UnknownError
	var lost *oci.LostError
	var coded *cli.Error
	switch {
	case err == nil || errors.As(err, &coded):
		return err
	case errors.Is(err, oci.ErrImageNotFound):
		return &cli.Error{Code: cli.ExitImageNotFound, Err: err}
	case errors.As(err, &unknown) && strings.HasPrefix(unknown.URL, "https://"+strings.Split(layout.Repository, "/")[0]+"/"):
		// No registry was asked: files are damaged, and asking again does not help.
		return cli.Errorf(cli.ExitInput, "the layout is damaged: %s", unknown.Detail).WithHint("save the image again")
	case errors.As(err, &unknown), errors.As(err, &lost):
		return &cli.Error{Code: cli.ExitUnknown, Err: err}
	}
	return err
}
