package bundle

import (
	"encoding/hex"
	"strings"

	"github.com/bulla-sign/bulla/internal/protojson"
)

// SimpleSigningType is critical.type of cosign's image signatures.
const SimpleSigningType = "cosign container image signature"

// SimpleSigning is the payload of a classic image signature
// (containers/image, container-signature(5)).
type SimpleSigning struct {
	// DockerReference is the repository as the signer named it. cosign never
	// checks it; images are copied.
	DockerReference string
	// ManifestDigest is what was signed: "sha256:<hex>".
	ManifestDigest string
	// Type is SimpleSigningType; the first releases of cosign left it empty.
	Type string
	// Optional are the annotations, as raw JSON values by name; nil: null.
	Optional map[string][]byte
}

// critical and its parts may hold nothing unknown (container-signature(5):
// "consumers must reject"). The upper-case spellings are those of cosign's
// first releases.
var simpleFields = []protojson.Field[SimpleSigning]{
	{Name: "critical", Proto: "Critical", Read: func(d *decoder, s *SimpleSigning) error {
		return protojson.Object(d, criticalFields, s)
	}},
	{Name: "optional", Proto: "Optional", Read: func(d *decoder, s *SimpleSigning) error {
		s.Optional = map[string][]byte{}
		return readRawMembers(d, s.Optional)
	}},
}

var criticalFields = []protojson.Field[SimpleSigning]{
	{Name: "identity", Proto: "Identity", Read: func(d *decoder, s *SimpleSigning) error {
		return protojson.Object(d, simpleIdentityFields, s)
	}},
	{Name: "image", Proto: "Image", Read: func(d *decoder, s *SimpleSigning) error {
		return protojson.Object(d, simpleImageFields, s)
	}},
	{Name: "type", Proto: "Type", Read: func(d *decoder, s *SimpleSigning) error { return d.String(&s.Type) }},
}

var simpleIdentityFields = []protojson.Field[SimpleSigning]{
	{Name: "docker-reference", Proto: "Docker-reference", Read: func(d *decoder, s *SimpleSigning) error {
		return d.String(&s.DockerReference)
	}},
}

var simpleImageFields = []protojson.Field[SimpleSigning]{
	{Name: "docker-manifest-digest", Proto: "Docker-manifest-digest", Read: func(d *decoder, s *SimpleSigning) error {
		return d.String(&s.ManifestDigest)
	}},
}

// ParseSimpleSigning reads the payload of an image signature. The digest must
// be there and well formed; unknown members are refused, as the format demands.
func ParseSimpleSigning(payload []byte) (*SimpleSigning, error) {
	s := new(SimpleSigning)
	if err := protojson.Unmarshal(payload, simpleLimits, simpleFields, s); err != nil {
		return nil, formatError(err)
	}
	if err := checkDigest(s.ManifestDigest); err != nil {
		return nil, err
	}
	return s, nil
}

// simpleLimits: a payload is a digest, a name and annotations typed by a person.
var simpleLimits = protojson.Limits{Bytes: 1 << 20, Depth: maxDepth}

// checkDigest wants a digest in OCI's form (image-spec, descriptor.md) of an
// algorithm that registries use.
func checkDigest(digest string) error {
	const path = "critical.image.docker-manifest-digest"
	if digest == "" {
		return malformed(path, "missing or empty")
	}
	name, value, _ := strings.Cut(digest, ":")
	b, err := hex.DecodeString(value)
	if err != nil || value != strings.ToLower(value) || !(name == "sha256" && len(b) == 32 || name == "sha384" && len(b) == 48 || name == "sha512" && len(b) == 64) {
		return malformed(path, "is "+protojson.Quote(digest)+", want sha256:<64 digits in lower-case hexadecimal>")
	}
	return nil
}

// Encode writes the payload as cosign does, without a newline at the end: keys
// in fixed order, annotations sorted by name, "optional":null when there are
// none. An empty Type becomes SimpleSigningType.
func (s *SimpleSigning) Encode() ([]byte, error) {
	if err := checkDigest(s.ManifestDigest); err != nil {
		return nil, err
	}
	kind := s.Type
	if kind == "" {
		kind = SimpleSigningType
	}
	w := new(protojson.Writer)
	w.Begin("")
	w.Begin("critical")
	w.Begin("identity")
	w.Text("docker-reference", s.DockerReference)
	w.End()
	w.Begin("image")
	w.Text("docker-manifest-digest", s.ManifestDigest)
	w.End()
	w.Text("type", kind)
	w.End()
	if len(s.Optional) == 0 {
		w.Raw("optional", []byte("null"))
	} else if err := writeRawMembers(w, "optional", s.Optional); err != nil {
		return nil, err
	}
	w.End()
	return done(w)
}
