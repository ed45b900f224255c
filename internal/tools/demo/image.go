package main

import (
	"context"
	"encoding/json"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	emptyType  = "application/vnd.oci.empty.v1+json"
)

// attachBundle does what an attacker with access to the registry could do: it hangs a signature on an image.
func attachBundle(ctx context.Context, image string, bundle []byte) error {
	ref, err := name.NewDigest(image)
	if err != nil {
		return err
	}
	subject, err := remote.Head(ref, remote.WithContext(ctx))
	if err != nil {
		return err
	}
	m := manifest{Schema: 2, Type: string(types.OCIManifestSchema1), Artifact: bundleType, Subject: subject}
	for _, part := range []struct {
		layer v1.Layer
		into  func(v1.Descriptor)
	}{
		{static.NewLayer([]byte("{}"), emptyType), func(d v1.Descriptor) { m.Config = d }},
		{static.NewLayer(bundle, bundleType), func(d v1.Descriptor) { m.Layers = append(m.Layers, d) }},
	} {
		if err := remote.WriteLayer(ref.Context(), part.layer, remote.WithContext(ctx)); err != nil {
			return err
		}
		d, err := describe(part.layer)
		if err != nil {
			return err
		}
		part.into(d)
	}
	digest, err := m.digest()
	if err != nil {
		return err
	}
	return remote.Put(ref.Context().Digest(digest), m, remote.WithContext(ctx))
}

func describe(layer v1.Layer) (v1.Descriptor, error) {
	digest, err := layer.Digest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	size, err := layer.Size()
	if err != nil {
		return v1.Descriptor{}, err
	}
	media, err := layer.MediaType()
	return v1.Descriptor{MediaType: media, Size: size, Digest: digest}, err
}

// manifest is an OCI 1.1 manifest that refers to a subject; it can be pushed as it is.
type manifest struct {
	Schema   int             `json:"schemaVersion"`
	Type     string          `json:"mediaType"`
	Artifact string          `json:"artifactType"`
	Config   v1.Descriptor   `json:"config"`
	Layers   []v1.Descriptor `json:"layers"`
	Subject  *v1.Descriptor  `json:"subject"`
}

// RawManifest returns the bytes to push.
func (m manifest) RawManifest() ([]byte, error) { return json.Marshal(m) }

// MediaType returns the type to push them under.
func (m manifest) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

func (m manifest) digest() (string, error) {
	raw, err := m.RawManifest()
	if err != nil {
		return "", err
	}
	sum := static.NewLayer(raw, types.OCIManifestSchema1)
	d, err := sum.Digest()
	return d.String(), err
}
