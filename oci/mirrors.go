package oci

import (
	"context"
	"fmt"
	"strings"

	"github.com/bulla-sign/bulla/oci/access"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// A mirror may forget, and may lag behind. What it has by a digest is as good as the registry's own; that it has nothing
// means nothing. So it is asked first for content, and for what a tag stands for where the configuration says so; what is
// attached to an image is asked of the registry itself, and of a mirror only when the registry cannot be reached, in which
// case "absent" is not known.

// fromMirrors reads from the first mirror of a repository that read succeeds with; false when there is none.
func (c *Client) fromMirrors(ctx context.Context, repo name.Repository, byTag bool, read func(*session) error) bool {
	r, err := c.options.Mirrors.Find(repo.Name())
	if err != nil || r == nil || r.Blocked { // which is told by who asks the registry
		return false
	}
	for _, m := range r.Mirrors {
		if byTag && !m.Tags || !byTag && !m.Digests {
			continue
		}
		s, err := c.mirror(ctx, r, m, repo)
		if err == nil {
			err = read(s)
		}
		if err == nil {
			return true
		}
		if c.options.Log("mirror %s: %s; going on without it", m.Location, err); ctx.Err() != nil {
			return false
		}
	}
	return false
}

// mirror connects to a repository's place in a mirror. What was given on the command line is for the registries that
// references name; a mirror has only what the machine has for it.
func (c *Client) mirror(ctx context.Context, r *access.Registry, m access.Mirror, repo name.Repository) (*session, error) {
	var options []name.Option
	if m.Insecure {
		options = append(options, name.Insecure)
	}
	place, err := name.NewRepository(r.In(m, repo.Name()), options...)
	if err != nil {
		return nil, fmt.Errorf("mirror of %s in %s: %w", repo.Name(), r.Path, err)
	}
	if host, _, _ := strings.Cut(m.Location, "/"); place.RegistryStr() != host && host != "docker.io" { // it would be asked for somebody else's
		return nil, fmt.Errorf("mirror of %s in %s: %s is not taken for a host: give it a port", repo.Name(), r.Path, host)
	}
	if m.Insecure && c.hosts != nil && m.Way == nil {
		c.hosts.distrust(place.RegistryStr())
	}
	key := "mirror " + place.Name()
	if m.Way != nil {
		key += fmt.Sprintf(" %s %s for %s", m.Way.Scheme, m.Way.Root, r.Prefix) // the same place may be reached in several ways
	}
	if _, down := c.down.Load(key); down {
		return nil, fmt.Errorf("it could not be reached before")
	}
	s, err := c.established(ctx, key, &session{repo: place, scope: transport.PullScope, mirror: true, way: m.Way})
	if err != nil && ctx.Err() == nil {
		c.down.Store(key, true) // so that not everything waits for it
	}
	return s, err
}

// standIn is a mirror for the lists of a registry that cannot be reached; nil when there is none.
func (c *Client) standIn(ctx context.Context, repo name.Repository) (stand *session) {
	c.fromMirrors(ctx, repo, true, func(s *session) error {
		stand = s
		return nil
	})
	return stand
}

// permitted applies what the configuration says about a repository itself, and returns the way to it; nil when it says none.
func (c *Client) permitted(repo name.Repository) (name.Repository, *access.Way, error) {
	r, err := c.options.Mirrors.Find(repo.Name())
	switch {
	case err != nil:
		return repo, nil, misconfigured(repo, err)
	case r == nil:
		return repo, nil, nil
	case r.Blocked:
		return repo, nil, fmt.Errorf("%s is blocked: %s says so for %s", repo.Name(), r.Path, r.Prefix)
	case r.Insecure:
		if c.hosts != nil && r.Way == nil {
			c.hosts.distrust(repo.RegistryStr())
		}
		repo, err = name.NewRepository(repo.Name(), name.Insecure)
	}
	return repo, r.Way, err
}

// misconfigured is what comes of a file about a registry that cannot be used: nothing is known of what is there.
func misconfigured(repo name.Repository, err error) error {
	return &UnknownError{
		Place: "configuration of " + repo.RegistryStr(), Detail: printable(err.Error(), 4*maxDetail), Err: err, Hint: "mend the file that is named, or take it away",
	}
}

// aside is a manifest as a mirror has it; nil when none has.
func (c *Client) aside(ctx context.Context, repo name.Repository, place, reference string) (m *fetched) {
	c.fromMirrors(ctx, repo, checkDigest(reference) != nil, func(s *session) (err error) {
		m, err = c.manifest(ctx, s, place, reference)
		return err
	})
	return m
}

// mirroredImage fetches the manifest of an image, from a mirror before the registry.
func (c *Client) mirroredImage(ctx context.Context, repo name.Repository, reference string) (*fetched, error) {
	if m := c.aside(ctx, repo, "image", reference); m != nil {
		return m, nil
	}
	s, err := c.connect(ctx, repo, false)
	if err != nil {
		return nil, err
	}
	return c.manifest(ctx, s, "image", reference)
}

// mirroredManifest fetches what a list names, from a mirror before the registry.
func (c *Client) mirroredManifest(ctx context.Context, s *session, place, digest string) (*fetched, error) {
	if m := c.aside(ctx, s.repo, place, digest); m != nil {
		return m, nil
	}
	return c.manifest(ctx, s, place, digest)
}

// mirroredBlob fetches a blob, from a mirror before the registry.
func (c *Client) mirroredBlob(ctx context.Context, s *session, place string, d descriptor) (content []byte, err error) {
	if c.fromMirrors(ctx, s.repo, false, func(mirror *session) error {
		content, err = c.blob(ctx, mirror, place, d)
		return err
	}) {
		return content, nil
	}
	return c.blob(ctx, s, place, d)
}
