package carry

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
)

// The limits of what is carried at once. Each is far above what honest images have.
const (
	// maxParts bounds the blobs or manifests that one manifest names: images have at most 127 layers, indexes some dozens.
	maxParts = 2000
	// maxManifests bounds one copy: a hundred platforms with a hundred pieces of evidence each.
	maxManifests = 10000
	// maxDepth bounds evidence about evidence, and indexes within indexes: a signature of an SBOM of an image is 3.
	maxDepth = 6
)

// document is a manifest or an index, as far as carrying needs it.
type document struct {
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType"`
	Config       *part             `json:"config"`
	Layers       []part            `json:"layers"`
	Manifests    []part            `json:"manifests"`
	Subject      *part             `json:"subject"`
	Annotations  map[string]string `json:"annotations"`
}

type part struct {
	MediaType string   `json:"mediaType"`
	Digest    string   `json:"digest"`
	Size      int64    `json:"size"`
	URLs      []string `json:"urls"`
	Platform  *struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
		Variant      string `json:"variant"`
	} `json:"platform"`
}

func (p *part) descriptor() Descriptor { return Descriptor{p.MediaType, p.Digest, p.Size} }

// foreign says that a layer is kept elsewhere (image-spec "descriptor", urls): registries need not have it.
func (p *part) foreign() bool {
	return len(p.URLs) > 0 || strings.Contains(p.MediaType, ".nondistributable.") || strings.Contains(p.MediaType, ".foreign.")
}

func (p *part) platform() string {
	if p.Platform == nil {
		return ""
	}
	text := p.Platform.OS + "/" + p.Platform.Architecture
	if p.Platform.Variant != "" {
		text += "/" + p.Platform.Variant
	}
	return text
}

// parse reads the parts of a manifest and refuses those that cannot be followed.
func parse(body []byte) (*document, error) {
	var d document
	if err := json.Unmarshal(body, &d); err != nil {
		return nil, fmt.Errorf("manifest: %s", strings.ReplaceAll(err.Error(), "json: ", ""))
	}
	if d.Manifests != nil && (d.Layers != nil || d.Config != nil) {
		return nil, errors.New("manifest: it is an index and an image at once")
	}
	if len(d.Layers) > maxParts || len(d.Manifests) > maxParts {
		return nil, fmt.Errorf("manifest: it names more than %d parts", maxParts)
	}
	for _, list := range [][]part{d.blobs(), d.Manifests} {
		for i := range list {
			if err := list[i].check(); err != nil {
				return nil, fmt.Errorf("manifest: %w", err)
			}
		}
	}
	return &d, nil
}

// blobs are the config and the layers.
func (d *document) blobs() []part {
	if d.Config == nil {
		return d.Layers
	}
	return append([]part{*d.Config}, d.Layers...)
}

func (p *part) check() error {
	algorithm, value, _ := strings.Cut(p.Digest, ":")
	raw, err := hex.DecodeString(value)
	want := map[string]int{"sha256": 32, "sha512": 64}[algorithm]
	if err != nil || want == 0 || len(raw) != want || strings.ToLower(value) != value {
		return fmt.Errorf("%q is not a sha256 or sha512 digest", printable(p.Digest))
	}
	if p.Size < 0 {
		return fmt.Errorf("%s has the size %d", p.Digest, p.Size)
	}
	return nil
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

// layerKeys lists the layers of a manifest: equal keys have equal digests and equal annotations.
func layerKeys(body []byte) ([]string, error) {
	var d struct {
		Layers []struct {
			Digest      string            `json:"digest"`
			Annotations map[string]string `json:"annotations"`
		} `json:"layers"`
	}
	if err := json.Unmarshal(body, &d); err != nil {
		return nil, err
	}
	keys := make([]string, len(d.Layers))
	for i := range d.Layers {
		text, err := json.Marshal(d.Layers[i].Annotations, json.Deterministic(true))
		if err != nil {
			return nil, err
		}
		keys[i] = d.Layers[i].Digest + " " + string(text)
	}
	return keys, nil
}
