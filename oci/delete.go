package oci

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-containerregistry/pkg/name"
)

// Delete removes a manifest by digest, or a tag ("Deleting Manifests", "Deleting tags"); false says that it was not there.
// Where a registry deletes by digest only, what a tag holds goes with it, unless that may be something else as well: the
// manifest of an image, a referrer, or what another tag leads to. Then nothing goes, and the error says why.
func (c *Client) Delete(ctx context.Context, repo name.Repository, reference string) (bool, error) {
	s, err := c.connect(ctx, repo, true)
	if err != nil {
		return false, err
	}
	done, err := c.delete(ctx, s, reference)
	var unknown *UnknownError
	byDigest := errors.As(err, &unknown) && (unknown.Status == http.StatusBadRequest || unknown.Status == http.StatusMethodNotAllowed)
	if !byDigest || checkDigest(reference) == nil {
		return done, err
	}
	m, err := c.manifest(ctx, s, placeDelete, reference)
	if isNotFound(err) {
		return false, nil
	}
	if err == nil {
		err = c.onlyHere(ctx, s, reference, m)
	}
	if err != nil {
		return false, fmt.Errorf("the registry deletes by digest only, and %w", err)
	}
	return c.delete(ctx, s, m.digest)
}

const placeDelete = "delete"

func (c *Client) delete(ctx context.Context, s *session, reference string) (bool, error) {
	r := request{place: placeDelete, method: http.MethodDelete, path: "manifests/" + reference, limit: c.limits.Manifest}
	a, err := c.do(ctx, s, r)
	if isNotFound(err) {
		return false, nil
	}
	if err == nil && a.status != http.StatusAccepted {
		err = a.unknown(r, "want status 202")
	}
	return err == nil, err
}

// maxOtherTags is how many tags are looked at, one request each, before something is deleted together with what holds it.
const maxOtherTags = 2000

// onlyHere returns nil when what a tag holds is nothing but what cosign keeps under its older tags, and no other tag leads to
// it. Who may write a tag could have it lead to anything.
func (c *Client) onlyHere(ctx context.Context, s *session, tag string, m *fetched) error {
	parsed, err := c.parseLayers(m)
	if err != nil {
		return err
	}
	if parsed.Subject != nil {
		return errors.New("the tag leads to a referrer of an image")
	}
	if slices.ContainsFunc(parsed.Layers, isImageLayer) {
		return errors.New("the tag leads to an image")
	}
	tags, err := c.tags(ctx, s, placeDelete)
	if err != nil {
		return fmt.Errorf("which other tags lead to it is not known: %w", err)
	}
	tags = slices.DeleteFunc(tags, func(other string) bool { return other == tag })
	if len(tags) > maxOtherTags {
		return fmt.Errorf("the repository has %d tags: whether another one leads to it was not looked at", len(tags))
	}
	var mu sync.Mutex
	var failed error
	each(c.options.Workers, len(tags), func(i int) {
		digest, err := c.digestOfTag(ctx, s, tags[i])
		if err != nil {
			err = fmt.Errorf("whether the tag %s leads to it is not known: %w", printable(tags[i], maxTag), err)
		} else if digest == m.digest || digest == digestOf(m.body) {
			err = fmt.Errorf("the tag %s leads to it as well", printable(tags[i], maxTag))
		}
		mu.Lock()
		defer mu.Unlock()
		failed = cmp.Or(failed, err)
	})
	return failed
}

// digestOfTag asks for the digest of what a tag leads to; it is empty where the tag is gone, which lists of tags may name.
func (c *Client) digestOfTag(ctx context.Context, s *session, tag string) (string, error) {
	a, err := c.do(ctx, s, request{
		place: placeDelete, method: http.MethodHead, path: "manifests/" + tag, header: map[string]string{"Accept": acceptManifests},
	})
	if isNotFound(err) {
		return "", nil
	}
	if err == nil && a.status == http.StatusOK {
		if stated := a.header.Get("Docker-Content-Digest"); checkDigest(stated) == nil {
			return stated, nil
		}
	}
	m, err := c.manifest(ctx, s, placeDelete, tag) // which also tells what is wrong
	if isNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return m.digest, nil
}

// isImageLayer says whether a layer is one of a file system (image-spec "layer", and what docker calls them).
func isImageLayer(raw jsontext.Value) bool {
	d, err := parseDescriptor(raw)
	return err != nil || strings.HasPrefix(d.MediaType, "application/vnd.oci.image.layer.") ||
		strings.HasPrefix(d.MediaType, "application/vnd.docker.image.rootfs.")
}
