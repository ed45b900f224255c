package oci

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
)

// LayerOptions is a signature or an attestation to attach in cosign's older form.
type LayerOptions struct {
	Suffix      string // "sig" or "att"
	Payload     []byte // the layer
	MediaType   string // of the layer
	Annotations map[string]string
	// ReplacePredicate takes out the attestations that state the same predicate type and were there when we looked first.
	ReplacePredicate bool
	AllowMissing     bool // attach although the image is not in the registry
	// Created is written into the config; zero writes the fixed time that cosign writes, so that equal contents are equal
	// images.
	Created time.Time
}

// AttachLayer adds a layer to cosign's older tag for signatures or attestations and returns the layer's digest. The tag is
// shared with other writers and treated as [Client.AttachBundle] treats the referrers tag. A layer with the same payload and
// the same annotations is added once.
func (c *Client) AttachLayer(ctx context.Context, img *Image, o LayerOptions) (string, error) {
	if err := c.checkLayer(&o); err != nil {
		return "", err
	}
	if err := c.layerSubject(ctx, img, o.AllowMissing); err != nil {
		return "", err
	}
	tag := c.legacyTag(img, o.Suffix)
	if len(tag) > maxTag {
		return "", fmt.Errorf("attach: %s is too long for a tag", tag)
	}
	s, err := c.connect(ctx, c.evidenceRepository(img), true)
	if err != nil {
		return "", err
	}
	layer := descriptor{MediaType: o.MediaType, Size: int64(len(o.Payload)), Digest: digestOf(o.Payload), Annotations: o.Annotations}
	known, err := c.hasBlob(ctx, s, layer.Digest)
	if err == nil && known != Present {
		err = c.pushBlob(ctx, s, o.Payload)
	}
	if err != nil {
		return "", err
	}
	raw, err := json.Marshal(layer, json.Deterministic(true))
	if err != nil {
		return "", fmt.Errorf("attach: %w", err)
	}
	u := &update{
		client: c, session: s, place: legacyPlace(o.Suffix), tag: tag, list: &layerList{client: c, session: s, created: configTime(o.Created)},
		add: entry{key: layerKey(layer), raw: raw},
	}
	if o.ReplacePredicate {
		u.replace = func(e entry) bool {
			old, err := parseDescriptor(e.raw)
			return err == nil && old.Annotations[annotationLegacy] == o.Annotations[annotationLegacy]
		}
	}
	return layer.Digest, u.run(ctx)
}

func (c *Client) checkLayer(o *LayerOptions) error {
	switch {
	case o.Suffix != "sig" && o.Suffix != "att":
		return fmt.Errorf("attach: unknown suffix %q", o.Suffix)
	case int64(len(o.Payload)) > c.limits.Attachment:
		return fmt.Errorf("attach: the layer has %d bytes, the limit is %d", len(o.Payload), c.limits.Attachment)
	case o.MediaType == "":
		return errors.New("attach: the layer has no media type")
	case o.ReplacePredicate && (o.Suffix != "att" || o.Annotations[annotationLegacy] == ""):
		return errors.New("attach: only attestations with a predicate type can be replaced")
	}
	return nil
}

func (c *Client) layerSubject(ctx context.Context, img *Image, allowMissing bool) error {
	if img.Digest != "" && allowMissing {
		return nil
	}
	return c.resolve(ctx, img)
}

// layerKey is equal for equal payloads with equal annotations.
func layerKey(d descriptor) string {
	text, err := json.Marshal(d.Annotations, json.Deterministic(true))
	if err != nil {
		return d.Digest + " ?"
	}
	return d.Digest + " " + digestOf(text)
}

// layerList is the manifest behind one of cosign's older tags.
type layerList struct {
	client  *Client
	session *session
	created string
}

func (l *layerList) read(_ context.Context, m *fetched) ([]entry, error) {
	parsed, err := l.client.parseLayers(m)
	if err != nil {
		return nil, err
	}
	entries := make([]entry, 0, len(parsed.Layers))
	for i, raw := range parsed.Layers {
		d, err := parseDescriptor(raw)
		if err != nil {
			return nil, fmt.Errorf("layers[%d]: %w", i, err)
		}
		entries = append(entries, entry{key: layerKey(d), raw: raw})
	}
	return entries, nil
}

// zeroTime is what cosign writes in place of all times in its configs.
const zeroTime = "0001-01-01T00:00:00Z"

func configTime(t time.Time) string {
	if t.IsZero() {
		return zeroTime
	}
	return t.UTC().Format(time.RFC3339)
}

// layerConfig is the image config that goes with the layers.
type layerConfig struct {
	Architecture string         `json:"architecture"`
	Created      string         `json:"created"`
	History      []layerHistory `json:"history"`
	OS           string         `json:"os"`
	RootFS       layerRootFS    `json:"rootfs"`
	Config       struct{}       `json:"config"`
}

type layerHistory struct {
	Created string `json:"created"`
}

type layerRootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

// write makes a config for the layers, stores it, and puts it and the layers into the manifest.
func (l *layerList) write(ctx context.Context, base *fetched, entries []entry) ([]byte, string, error) {
	if len(entries) > l.client.limits.Layers {
		return nil, "", fmt.Errorf("the tag would have %d layers, the limit is %d", len(entries), l.client.limits.Layers)
	}
	config := layerConfig{Created: l.created, RootFS: layerRootFS{Type: "layers", DiffIDs: []string{}}}
	for _, e := range entries {
		d, err := parseDescriptor(e.raw)
		if err != nil {
			return nil, "", err
		}
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, d.Digest)
		config.History = append(config.History, layerHistory{zeroTime})
	}
	data, err := json.Marshal(config)
	if err != nil {
		return nil, "", fmt.Errorf("attach: %w", err)
	}
	if err := l.client.pushBlob(ctx, l.session, data); err != nil {
		return nil, "", err
	}
	mediaType, configType := typeOCIManifest, typeOCIConfig
	if l.client.options.DockerMediaTypes {
		mediaType, configType = typeDockerManifest, typeDockerConfig
	}
	body := []byte(`{"schemaVersion":2,"mediaType":"` + mediaType + `","config":{},"layers":[]}`)
	if base != nil {
		body, mediaType = base.body, base.mediaType
		if old, err := parseManifest(base.body, base.mediaType); err == nil {
			configType = old.Config.MediaType
		}
	}
	descriptor, err := json.Marshal(descriptor{MediaType: configType, Size: int64(len(data)), Digest: digestOf(data)})
	if err != nil {
		return nil, "", fmt.Errorf("attach: %w", err)
	}
	body, err = rewrite(body, member{"config", descriptor}, member{"layers", joinEntries(entries)})
	return body, mediaType, err
}
