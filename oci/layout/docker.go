package layout

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"
)

// An archive for docker load, as docker save before version 25, podman save, crane pull, kaniko and Bazel write it, has a
// configuration and layers, and no manifest. The digest of an image is its manifest's, so that one is made here, always the
// same of the same files: an OCI manifest of the configuration and the layers as they lie there, compressed or not. Who
// loads the archive from here pushes that manifest. Other programs make one of their own, with another digest.

// Media types of what such a manifest names (image-spec "config" and "layer").
const (
	typeConfig = "application/vnd.oci.image.config.v1+json"
	typeLayer  = "application/vnd.oci.image.layer.v1.tar"
)

const (
	// maxDockerImages is how many images of one archive are looked at; docker save of a whole host has some hundreds.
	maxDockerImages = 1000
	// maxDockerLayers is above what any storage driver stacks (127).
	maxDockerLayers = 1000
)

// dockerImage is one element of manifest.json.
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// dockerConfig is what a configuration says of its layers: the digests of their uncompressed bytes.
type dockerConfig struct {
	RootFS struct {
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

// dockerManifest is the manifest that is made, with its members in the order in which they are written.
type dockerManifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

// linkTarget is the name of what a link in an archive leads to; layers that several images have are linked by docker save.
func linkTarget(h *tar.Header) string {
	if h.Typeflag == tar.TypeSymlink {
		return path.Join(path.Dir(path.Clean(h.Name)), h.Linkname)
	}
	return path.Clean(h.Linkname)
}

// fromDocker makes a layout of an archive that has none: members with the names of a layout that lead to the bytes of the
// archive's own, and documents for the rest.
func (a *archive) fromDocker() error {
	data, err := readFile(a, "manifest.json")
	if err != nil {
		return err
	}
	var images []dockerImage
	if err := json.Unmarshal(data, &images); err != nil {
		return fmt.Errorf("manifest.json: %s", printable(strings.ReplaceAll(err.Error(), "json: ", "")))
	}
	if len(images) > maxDockerImages {
		return fmt.Errorf("manifest.json: more than %d images", maxDockerImages)
	}
	made := map[string]member{}
	index := indexDocument{SchemaVersion: 2, MediaType: typeIndex, Manifests: []descriptor{}}
	for i, image := range images {
		body, err := a.dockerManifest(image, made)
		if err != nil {
			return fmt.Errorf("manifest.json: image %d: %w", i, err)
		}
		d := descriptor{MediaType: typeManifest, Digest: digestLike("sha256:", body), Size: int64(len(body))}
		if len(image.RepoTags) > 0 {
			d.Annotations = map[string]string{annotationRef: image.RepoTags[0]}
		}
		made[blobName(d.Digest)] = member{size: d.Size, made: body}
		index.Manifests = append(index.Manifests, d)
	}
	list, err := json.Marshal(index, json.Deterministic(true))
	if err != nil {
		return err
	}
	made["index.json"] = member{size: int64(len(list)), made: list}
	marker := []byte(`{"imageLayoutVersion":"1.0.0"}`)
	made["oci-layout"] = member{size: int64(len(marker)), made: marker}
	a.members = made
	return nil
}

// dockerManifest makes the manifest of one image, and enters the blobs that it names.
func (a *archive) dockerManifest(image dockerImage, made map[string]member) ([]byte, error) {
	name, m, err := a.follow(image.Config)
	if err != nil {
		return nil, fmt.Errorf("the configuration: %w", err)
	}
	data, err := readFile(a, name)
	if err != nil {
		return nil, err
	}
	var config dockerConfig
	if err := json.Unmarshal(data, &config); err != nil {
		return nil, fmt.Errorf("%s: %s", printable(name), printable(strings.ReplaceAll(err.Error(), "json: ", "")))
	}
	ids := config.RootFS.DiffIDs
	if len(ids) != len(image.Layers) || len(ids) > maxDockerLayers {
		return nil, fmt.Errorf("it has %d layers, and its configuration %d; the limit is %d", len(image.Layers), len(ids), maxDockerLayers)
	}
	out := dockerManifest{
		SchemaVersion: 2, MediaType: typeManifest, Layers: []descriptor{},
		Config: descriptor{MediaType: typeConfig, Digest: digestLike("sha256:", data), Size: m.size},
	}
	made[blobName(out.Config.Digest)] = m
	for i, layer := range image.Layers {
		d, m, err := a.dockerLayer(layer, ids[i])
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
		if known, ok := made[blobName(d.Digest)]; ok && known.size != m.size {
			return nil, fmt.Errorf("layer %d: %s is there with %d bytes, and with %d", i, d.Digest, known.size, m.size)
		}
		made[blobName(d.Digest)] = m
		out.Layers = append(out.Layers, d)
	}
	return json.Marshal(out, json.Deterministic(true))
}

// dockerLayer describes a layer. An uncompressed one has the digest that the configuration states, and crane names compressed
// ones after theirs: both are compared with the bytes when those are read, see [Layout.Check]. Others are hashed.
func (a *archive) dockerLayer(name, diffID string) (d descriptor, m member, err error) {
	if err := checkDigest(diffID); err != nil {
		return d, m, fmt.Errorf("the configuration states its digest as %w", err)
	}
	if name, m, err = a.follow(name); err != nil {
		return d, m, err
	}
	d = descriptor{MediaType: typeLayer, Digest: diffID, Size: m.size}
	r, _, err := a.open(name)
	if err != nil {
		return d, m, err
	}
	defer r.Close()
	head := make([]byte, 4)
	n, err := io.ReadFull(r, head)
	if err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
		return d, m, err
	}
	switch {
	case bytes.HasPrefix(head[:n], []byte{0x1f, 0x8b}): // RFC 1952, 2.3.1
		d.MediaType += "+gzip"
	case bytes.Equal(head[:n], []byte{0x28, 0xb5, 0x2f, 0xfd}): // RFC 8878, 3.1.1
		d.MediaType += "+zstd"
	default:
		return d, m, nil
	}
	if named := hexName.FindStringSubmatch(path.Base(name)); named != nil {
		d.Digest = "sha256:" + named[1]
		return d, m, nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.MultiReader(bytes.NewReader(head[:n]), r)); err != nil {
		return d, m, err
	}
	d.Digest = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	return d, m, nil
}

// hexName is how crane, and all that is built on the same library, name a compressed layer.
var hexName = regexp.MustCompile(`^([0-9a-f]{64})\.tar\.gz$`)

// follow finds a member by the name that manifest.json has for it, through one link.
func (a *archive) follow(name string) (string, member, error) {
	clean := path.Clean(name)
	if !filepath.IsLocal(clean) {
		return "", member{}, fmt.Errorf("%q leads out of the archive", printable(name))
	}
	if to, ok := a.links[clean]; ok {
		clean = to
	}
	m, ok := a.members[clean]
	if !ok {
		return "", member{}, fmt.Errorf("%q is not in the archive", printable(name))
	}
	return clean, m, nil
}
