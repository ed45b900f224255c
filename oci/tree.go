package oci

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-containerregistry/pkg/name"
)

// Node is something attached to an image.
type Node struct {
	Place        string   // PlaceReferrers, PlaceFallback, PlaceSignatures, PlaceAttestations or PlaceSBOMs, and their continuations
	Ref          string   // the manifest: by tag for the older tags, else by digest
	Digest       string   // of the manifest
	ArtifactType string   // as the manifest states it, or its config's media type
	Kind         string   // the predicate type of a bundle's annotations, else the artifact type; empty for the older tags
	Layers       []string // digests of the layers
	// Before are the continuations of the older tag that this one follows. It holds all that they hold.
	Before []string
	// LayerAnnotations are those of the layers: below the older tags they hold the signatures.
	LayerAnnotations []map[string]string
	Annotations      map[string]string
	Err              error // why it could not be read
}

// Tree lists everything attached to an image, evidence or not: its referrers and the older tags. The places say where was
// looked and what came of it; an unknown place makes the list incomplete, and is not an error of the call.
func (c *Client) Tree(ctx context.Context, img *Image) ([]Node, []Place, error) {
	if err := c.resolve(ctx, img); err != nil {
		return nil, nil, err
	}
	s, err := c.connect(ctx, c.evidenceRepository(img), false)
	if err != nil {
		return nil, nil, err
	}
	var nodes []Node
	var places []Place
	for _, suffix := range []string{"sig", "att", "sbom"} {
		place := Place{Name: legacyPlace(suffix), Ref: s.repo.Name() + ":" + c.legacyTag(img, suffix), Outcome: Absent}
		if node, err := c.legacyNode(ctx, s, img, place, c.legacyTag(img, suffix)); err != nil {
			place.Outcome, place.Err = Unknown, err
		} else if node != nil {
			place.Outcome, place.Count = Present, 1
			nodes = append(nodes, *node)
		}
		places = append(places, place)
		if place.Outcome == Present {
			node, place := c.continuedNode(ctx, s, chain{base: c.legacyTag(img, suffix), place: place.Name})
			nodes, places = append(nodes, node...), append(places, place...)
		}
	}
	l, err := c.referrers(ctx, s, img)
	found, place := c.referrerNodes(ctx, s, img, l, err)
	nodes, places = append(nodes, found...), append(places, place)
	// What was attached before the registry got the API may be listed by the tag only, see [finder.referrers].
	if err == nil && l.api {
		old, err := c.fallback(ctx, s, img)
		old.entries = slices.DeleteFunc(old.entries, func(raw jsontext.Value) bool {
			d, err := parseDescriptor(raw)
			return err == nil && l.has(d.Digest)
		})
		if len(old.entries) > 0 || err != nil {
			found, place = c.referrerNodes(ctx, s, img, old, err)
			nodes, places = append(nodes, found...), append(places, place)
		}
	} else if err == nil && l.tag != nil {
		places = append(places, c.continuedReferrers(ctx, s, img, l, &nodes)...)
	}
	return nodes, places, nil
}

// continuedNode is the last continuation of an older tag.
func (c *Client) continuedNode(ctx context.Context, s *session, of chain) ([]Node, []Place) {
	n, m, err := c.lastOf(ctx, s, placeContinued, of.base, 0)
	place := Place{Name: placeContinued, Ref: s.repo.Name() + ":" + continuation(of.base, max(n, 1)), Outcome: Present, Count: 1}
	if err == nil && m == nil {
		return nil, nil
	}
	var parsed *manifest
	if err == nil {
		parsed, err = c.parseLayers(m)
	}
	if err != nil {
		place.Outcome, place.Err, place.Count = Unknown, err, 0
		return nil, []Place{place}
	}
	node := Node{Place: of.place, Ref: place.Ref, Digest: m.digest}
	for i := n - 1; i > 0; i-- {
		node.Before = append(node.Before, s.repo.Name()+":"+continuation(of.base, i))
	}
	node.describe(parsed)
	return []Node{node}, []Place{place}
}

// continuedReferrers are those that only the continuation of the referrers tag lists. Of those that only the tag lists, the
// ones that are gone from the registry were taken out of the list: they are removed from nodes.
func (c *Client) continuedReferrers(ctx context.Context, s *session, img *Image, l *listing, nodes *[]Node) []Place {
	more, err := c.continuedList(ctx, s, img)
	if more == nil {
		return nil
	}
	if err == nil {
		*nodes = slices.DeleteFunc(*nodes, func(n Node) bool { return isGone(n.Err) && !more.has(n.Digest) })
	}
	more.entries = slices.DeleteFunc(more.entries, func(raw jsontext.Value) bool {
		d, err := parseDescriptor(raw)
		return err == nil && l.has(d.Digest)
	})
	found, place := c.referrerNodes(ctx, s, img, more, err)
	*nodes = append(*nodes, found...)
	return []Place{place}
}

func (c *Client) legacyNode(ctx context.Context, s *session, img *Image, place Place, tag string) (*Node, error) {
	if len(tag) > maxTag {
		return nil, nil
	}
	body, err := c.manifest(ctx, s, place.Name, tag)
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if digestLike(img.Digest, body.body) == img.Digest {
		return nil, nil // some registries lead from any such tag to the image, and anybody who may write a tag can
	}
	m, err := c.parseLayers(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", place.Ref, err)
	}
	node := &Node{Place: place.Name, Ref: place.Ref, Digest: body.digest}
	node.describe(m)
	return node, nil
}

// referrerNodes fetches what a list names; err is why there is no list.
func (c *Client) referrerNodes(ctx context.Context, s *session, img *Image, l *listing, err error) ([]Node, Place) {
	place := Place{Name: l.place, Ref: l.ref, Outcome: Absent, Note: l.note}
	if l.cut != nil {
		place.Err = tooMuch(l.place, l.cut.Error())
	}
	if err != nil {
		place.Outcome, place.Err = Unknown, err
		return nil, place
	}
	nodes := make([]Node, min(len(l.entries), c.limits.Candidates))
	if place.Count = len(nodes); place.Count > 0 {
		place.Outcome = Present
	}
	if len(nodes) < len(l.entries) {
		place.Err = tooMuch(l.place, fmt.Sprintf("the list has more than %d entries", len(nodes)))
	}
	each(c.options.Workers, len(nodes), func(i int) {
		node := &nodes[i]
		node.Place = l.place
		d, err := parseDescriptor(l.entries[i])
		if err == nil {
			err = d.check(c.limits.Manifest)
		}
		if err != nil {
			node.Err = err
			return
		}
		node.Digest, node.Ref, node.ArtifactType = d.Digest, s.repo.Name()+"@"+d.Digest, d.ArtifactType
		m, err := c.referrer(ctx, s, img, l.place, d)
		if err != nil {
			node.Err = err
			return
		}
		node.describe(m)
		if node.Kind = m.Annotations[annotationPredicate]; node.Kind == "" {
			node.Kind = node.ArtifactType
		}
	})
	return nodes, place
}

// artifactType follows image-spec "guidelines for artifact usage": the manifest's own, else its config's media type.
func artifactType(m *manifest) string {
	if m.ArtifactType == "" && m.Config != nil {
		return m.Config.MediaType
	}
	return m.ArtifactType
}

// describe takes over what a manifest says of itself.
func (n *Node) describe(m *manifest) {
	n.ArtifactType, n.Annotations = artifactType(m), m.Annotations
	for _, raw := range m.Layers {
		if d, err := parseDescriptor(raw); err == nil && checkDigest(d.Digest) == nil {
			n.Layers, n.LayerAnnotations = append(n.Layers, d.Digest), append(n.LayerAnnotations, d.Annotations)
		}
	}
}

// Triangulate returns the reference of one of cosign's older tags for an image: kind is "signature", "attestation" or
// "sbom"; "digest" returns the image's own name by digest.
func (c *Client) Triangulate(ctx context.Context, img *Image, kind string) (string, error) {
	suffix, ok := map[string]string{"signature": "sig", "attestation": "att", "sbom": "sbom", "digest": ""}[kind]
	if !ok {
		return "", fmt.Errorf("triangulate: unknown type %q: want signature, attestation, sbom or digest", kind)
	}
	if img.Digest == "" {
		if err := c.resolve(ctx, img); err != nil {
			return "", err
		}
	}
	if suffix == "" {
		return img.Name(), nil
	}
	return c.evidenceRepository(img).Name() + ":" + c.legacyTag(img, suffix), nil
}

// Layer is the content of one layer.
type Layer struct {
	MediaType   string
	Digest      string
	Annotations map[string]string
	Data        []byte
}

// Layers downloads the layers of a manifest, such as those of cosign's tag for an SBOM. reference is a tag or a digest in
// the repository. The error wraps [ErrImageNotFound] when there is no such manifest.
func (c *Client) Layers(ctx context.Context, repo name.Repository, reference string) ([]Layer, error) {
	s, err := c.connect(ctx, repo, false)
	if err != nil {
		return nil, err
	}
	where := repo.Name() + " " + reference
	body, err := c.manifest(ctx, s, "download", reference)
	if isNotFound(err) {
		return nil, fmt.Errorf("%s: %w", where, ErrImageNotFound)
	}
	if err != nil {
		return nil, err
	}
	m, err := c.parseLayers(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	f := &finder{client: c, session: s, left: c.limits.Total, blobs: map[string]*lazyBlob{}}
	layers := make([]Layer, 0, len(m.Layers))
	for i, raw := range m.Layers {
		d, err := parseDescriptor(raw)
		if err == nil {
			err = d.check(c.limits.Attachment)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: layers[%d]: %w", where, i, err)
		}
		data, err := f.blob(ctx, "download", d)
		if err != nil {
			return nil, err
		}
		layers = append(layers, Layer{MediaType: d.MediaType, Digest: d.Digest, Annotations: d.Annotations, Data: data})
	}
	return layers, nil
}
