package layout

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"

	"github.com/go-json-experiment/json"
)

// Media types of manifests (image-spec "media-types", and Docker's).
const (
	typeManifest       = "application/vnd.oci.image.manifest.v1+json"
	typeIndex          = "application/vnd.oci.image.index.v1+json"
	typeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	typeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// Annotations of the descriptors in index.json.
const (
	annotationRef  = "org.opencontainers.image.ref.name"
	annotationKind = "kind" // cosign's
	kindImage      = "dev.cosignproject.cosign/image"
	kindIndex      = "dev.cosignproject.cosign/imageIndex"
	kindSignatures = "dev.cosignproject.cosign/sigs"
	kindAttested   = "dev.cosignproject.cosign/atts"
)

// descriptor is image-spec "descriptor", as far as a layout needs it.
type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType,omitzero"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	URLs         []string          `json:"urls,omitempty"` // of a layer that is kept elsewhere; never asked
}

// indexDocument is index.json.
type indexDocument struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType,omitzero"`
	Manifests     []descriptor `json:"manifests"`
}

// parseIndex reads index.json.
func parseIndex(data []byte) ([]descriptor, error) {
	var doc indexDocument
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("index.json: %s", printable(strings.ReplaceAll(err.Error(), "json: ", "")))
	}
	if doc.SchemaVersion != 2 || doc.MediaType != "" && doc.MediaType != typeIndex {
		return nil, errors.New("index.json: not an image index")
	}
	for i := range doc.Manifests {
		if err := checkDigest(doc.Manifests[i].Digest); err != nil {
			return nil, fmt.Errorf("index.json: manifests[%d]: %w", i, err)
		}
	}
	return doc.Manifests, nil
}

// checkLayout reads the file oci-layout.
func checkLayout(data []byte) error {
	var doc struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("oci-layout: %s", printable(strings.ReplaceAll(err.Error(), "json: ", "")))
	}
	if !strings.HasPrefix(doc.Version, "1.") {
		return fmt.Errorf("oci-layout: version %q, want 1.0.0", printable(doc.Version))
	}
	return nil
}

// outline is what a manifest says of itself.
type outline struct {
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType"`
	Config       *descriptor       `json:"config"`
	Manifests    []descriptor      `json:"manifests"`
	Layers       []descriptor      `json:"layers"`
	Subject      *descriptor       `json:"subject"`
	Annotations  map[string]string `json:"annotations"`
}

// outlineOf reads a manifest; false when the bytes are none.
func outlineOf(data []byte) (*outline, bool) {
	var o outline
	if len(data) == 0 || data[0] != '{' && data[0] != ' ' && data[0] != '\n' || json.Unmarshal(data, &o) != nil {
		return nil, false
	}
	if o.MediaType == "" { // optional in OCI manifests
		switch {
		case o.Config != nil && o.Layers != nil:
			o.MediaType = typeManifest
		case o.Manifests != nil:
			o.MediaType = typeIndex
		}
	}
	if o.ArtifactType == "" && o.Config != nil {
		o.ArtifactType = o.Config.MediaType
	}
	return &o, isManifest(o.MediaType)
}

func isManifest(mediaType string) bool {
	switch mediaType {
	case typeManifest, typeIndex, typeDockerManifest, typeDockerList:
		return true
	}
	return false
}

// legacyTag is the name of cosign's older tag for a manifest.
func legacyTag(digest, suffix string) string {
	return strings.Replace(digest, ":", "-", 1) + "." + suffix
}

// isLegacyTag recognises one.
func isLegacyTag(tag string) bool {
	stem, suffix, _ := strings.Cut(tag, ".")
	return (suffix == "sig" || suffix == "att" || suffix == "sbom") && checkDigest(strings.Replace(stem, "-", ":", 1)) == nil
}

func checkDigest(digest string) error {
	algorithm, value, _ := strings.Cut(digest, ":")
	raw, err := hex.DecodeString(value)
	want := map[string]int{"sha256": sha256.Size, "sha512": sha512.Size}[algorithm]
	if err != nil || want == 0 || len(raw) != want || strings.ToLower(value) != value {
		return fmt.Errorf("%q is not a sha256 or sha512 digest", printable(digest))
	}
	return nil
}

// blobName is where a blob lies.
func blobName(digest string) string { return "blobs/" + strings.Replace(digest, ":", "/", 1) }

func hashFor(digest string) hash.Hash {
	if strings.HasPrefix(digest, "sha512:") {
		return sha512.New()
	}
	return sha256.New()
}

func digestLike(digest string, data []byte) string {
	h := hashFor(digest)
	h.Write(data) // never fails
	algorithm, _, _ := strings.Cut(digest, ":")
	return algorithm + ":" + hex.EncodeToString(h.Sum(nil))
}

// printable keeps text of others from controlling a terminal or flooding a log.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || (r >= 0x7f && r < 0xa0) || r == '\u2028' || r == '\u2029' || (r >= 0x202a && r <= 0x202e) {
			return ' '
		}
		return r
	}, s)
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "..."
	}
	return s
}
