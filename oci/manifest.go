package oci

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Media types of manifests, indexes and their parts (image-spec "media-types", and Docker's).
const (
	typeOCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	typeOCIIndex       = "application/vnd.oci.image.index.v1+json"
	typeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	typeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	typeOCIConfig      = "application/vnd.oci.image.config.v1+json"
	typeDockerConfig   = "application/vnd.docker.container.image.v1+json"
	typeEmpty          = "application/vnd.oci.empty.v1+json"
	typeBundle         = "application/vnd.dev.sigstore.bundle.v0.3+json"
	typeBundlePrefix   = "application/vnd.dev.sigstore.bundle"
	typeSignature      = "application/vnd.dev.cosign.artifact.sig.v1+json"
)

// acceptManifests is what a manifest may be; schema 1 is not among it.
var acceptManifests = strings.Join([]string{typeOCIManifest, typeOCIIndex, typeDockerManifest, typeDockerList}, ", ")

func isIndex(mediaType string) bool { return mediaType == typeOCIIndex || mediaType == typeDockerList }

func isManifest(mediaType string) bool {
	return mediaType == typeOCIManifest || mediaType == typeDockerManifest
}

// descriptor points at content (image-spec "descriptor").
type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Size         int64             `json:"size"`
	Digest       string            `json:"digest"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	Platform     *platform         `json:"platform,omitzero"`
	ArtifactType string            `json:"artifactType,omitzero"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitzero"`
}

func (p *platform) String() string {
	if p == nil {
		return ""
	}
	text := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		text += "/" + p.Variant
	}
	return printable(text, 100)
}

// check refuses a descriptor that cannot be followed.
func (d *descriptor) check(limit int64) error {
	if err := checkDigest(d.Digest); err != nil {
		return err
	}
	if d.MediaType == "" {
		return fmt.Errorf("descriptor %s has no media type", d.Digest)
	}
	if d.Size < 0 || d.Size > limit {
		return fmt.Errorf("descriptor %s states %d bytes, the limit is %d", d.Digest, d.Size, limit)
	}
	return nil
}

// manifest is an image manifest or an image index, as far as evidence needs it. Descriptors of lists are kept as they are
// written, so that a list can be extended without changing what others put there.
type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType,omitzero"`
	ArtifactType  string            `json:"artifactType,omitzero"`
	Config        *descriptor       `json:"config,omitzero"`
	Layers        []jsontext.Value  `json:"layers,omitzero"`
	Manifests     []jsontext.Value  `json:"manifests,omitzero"`
	Subject       *descriptor       `json:"subject,omitzero"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// parseManifest reads a manifest or an index served as mediaType (image-spec "manifest" and "image-index"). It refuses
// members given twice, names in another case, invalid UTF-8, and content that contradicts mediaType.
func parseManifest(body []byte, mediaType string) (*manifest, error) {
	var m manifest
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("manifest: %s", printable(strings.ReplaceAll(err.Error(), "json: ", ""), maxDetail))
	}
	if m.SchemaVersion != 2 {
		return nil, fmt.Errorf("manifest: schemaVersion is %d, want 2", m.SchemaVersion)
	}
	if m.MediaType != "" && m.MediaType != mediaType {
		return nil, fmt.Errorf("manifest: served as %q, but says that it is %q", printable(mediaType, 100), printable(m.MediaType, 100))
	}
	switch {
	case isIndex(mediaType):
		// The confusion of a manifest with an index is CVE-2021-41190.
		if m.Manifests == nil || m.Layers != nil || m.Config != nil {
			return nil, errors.New("manifest: not an image index: it must have manifests, and neither config nor layers")
		}
	case isManifest(mediaType):
		if m.Manifests != nil || m.Layers == nil || m.Config == nil {
			return nil, errors.New("manifest: not an image manifest: it must have config and layers, and no manifests")
		}
	default:
		return nil, fmt.Errorf("manifest: media type %q is neither an image manifest nor an image index", printable(mediaType, 100))
	}
	return &m, nil
}

// parseDescriptor reads one entry of a list.
func parseDescriptor(raw jsontext.Value) (descriptor, error) {
	var d descriptor
	if err := json.Unmarshal(raw, &d); err != nil {
		return d, fmt.Errorf("descriptor: %s", printable(strings.ReplaceAll(err.Error(), "json: ", ""), maxDetail))
	}
	return d, nil
}

// checkDigest accepts the two registered algorithms of image-spec "digests".
func checkDigest(digest string) error {
	algorithm, encoded, ok := strings.Cut(digest, ":")
	want := 0
	switch algorithm {
	case "sha256":
		want = 2 * sha256.Size
	case "sha512":
		want = 2 * sha512.Size
	}
	if !ok || want == 0 || len(encoded) != want || strings.Trim(encoded, "0123456789abcdef") != "" {
		return fmt.Errorf("%q is not a sha256 or sha512 digest", printable(digest, 150))
	}
	return nil
}

// digestLike hashes with the algorithm of another digest.
func digestLike(digest string, body []byte) string {
	if strings.HasPrefix(digest, "sha512:") {
		sum := sha512.Sum512(body)
		return "sha512:" + hex.EncodeToString(sum[:])
	}
	return digestOf(body)
}

func digestOf(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// referrersTag is the tag that lists referrers of a digest where the API is missing (distribution-spec "Referrers Tag
// Schema": the algorithm cut to 32 characters, the value to 64).
func referrersTag(digest string) string {
	algorithm, encoded, _ := strings.Cut(digest, ":")
	return algorithm[:min(len(algorithm), 32)] + "-" + encoded[:min(len(encoded), 64)]
}
