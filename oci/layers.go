package oci

import (
	"context"
	"fmt"
	"strings"

	"github.com/bulla-sign/bulla/bundle"
)

// legacyTag is cosign's tag for an image and a suffix: [prefix]sha256-<hex>.<suffix>.
func (c *Client) legacyTag(img *Image, suffix string) string {
	return c.options.TagPrefix + strings.Replace(img.Digest, ":", "-", 1) + "." + suffix
}

// maxTag is the longest tag there is (distribution-spec "Pulling manifests").
const maxTag = 128

func legacyPlace(suffix string) string {
	switch suffix {
	case "sig":
		return PlaceSignatures
	case "att":
		return PlaceAttestations
	}
	return PlaceSBOMs
}

// layers looks at one of the older tags.
func (f *finder) layers(ctx context.Context, suffix string) {
	tag := f.client.legacyTag(f.img, suffix)
	f.found.Places = append(f.found.Places, Place{Name: legacyPlace(suffix), Ref: f.session.repo.Name() + ":" + tag, Outcome: Absent})
	place := &f.found.Places[len(f.found.Places)-1]
	if len(tag) > maxTag {
		place.Note = "this digest is too long for such a tag"
		return
	}
	m, note, err := f.client.legacyManifest(ctx, f.session, place.Name, tag)
	place.Note = note
	if err != nil {
		place.Outcome, place.Err = Unknown, err
		return
	}
	if m == nil {
		return
	}
	f.chains = append(f.chains, chain{base: tag, place: legacyPlace(suffix)})
	f.take(place, f.layersOf(ctx, place.Name, m))
	f.took()
}

// legacyManifest reads the manifest behind one of the older tags; nil when there is none.
func (c *Client) legacyManifest(ctx context.Context, s *session, place, tag string) (*manifest, string, error) {
	body, err := c.manifest(ctx, s, place, tag)
	if isNotFound(err) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	m, err := c.parseLayers(body)
	if err != nil {
		return nil, "", &UnknownError{
			Place: place, Method: "GET", URL: s.repo.Name() + ":" + tag, Detail: err.Error(),
			Hint: "see what this tag holds, and remove it if it is not cosign's",
		}
	}
	note := ""
	if len(m.Layers) == 0 {
		note = "the tag is there and holds no layers"
	}
	return m, note, nil
}

func (c *Client) parseLayers(body *fetched) (*manifest, error) {
	if !isManifest(body.mediaType) {
		return nil, fmt.Errorf("the tag holds %s, want an image manifest", body.mediaType)
	}
	m, err := parseManifest(body.body, body.mediaType)
	if err != nil {
		return nil, err
	}
	if len(m.Layers) > c.limits.Layers {
		return nil, fmt.Errorf("the manifest has %d layers, the limit is %d", len(m.Layers), c.limits.Layers)
	}
	return m, nil
}

// layersOf fetches every layer of a manifest in cosign's older format. No layer is left out: what cannot be read is returned
// with the reason.
func (f *finder) layersOf(ctx context.Context, place string, m *manifest) []*Item {
	layers := m.Layers[:min(len(m.Layers), f.client.limits.Layers)]
	items := make([]*Item, len(layers))
	each(f.client.options.Workers, len(layers), func(i int) {
		item := &Item{Place: place, Legacy: true}
		items[i] = item
		d, err := parseDescriptor(layers[i])
		if err == nil {
			item.Digest, item.MediaType, item.Annotations = printable(d.Digest, 150), d.MediaType, d.Annotations
			item.PredicateType = d.Annotations[annotationLegacy]
			err = f.layer(ctx, item, d)
		}
		if err != nil {
			item.Err = fmt.Errorf("%s: layers[%d]: %w", place, i, err)
		}
	})
	return items
}

func (f *finder) layer(ctx context.Context, item *Item, d descriptor) error {
	if err := d.check(f.client.limits.Attachment); err != nil {
		return err
	}
	raw, err := f.blob(ctx, item.Place, d)
	if err != nil {
		return err
	}
	item.Raw = raw
	item.Bundle, err = bundle.FromLayer(raw, d.MediaType, d.Annotations)
	return err
}
