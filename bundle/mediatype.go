package bundle

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/bulla-sign/bulla/internal/protojson"
)

// MediaType is what Encode writes for new bundles, and the artifact type of
// bundles in a registry.
const MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// The two spellings of a bundle's media type: …bundle+json;version=0.2 and
// …bundle.v0.3+json.
const (
	mediaTypePrefix = "application/vnd.dev.sigstore.bundle"
	versionInfix    = "+json;version="
)

// newest is the newest version that Decode reads.
const newest = V03

// ParseMediaType returns the version that a bundle's media type states. Both
// spellings are accepted for every version, as well as a patch number
// (….v0.3.1+json). The *[FormatError] wraps ErrNotBundle or
// ErrUnsupportedVersion.
func ParseMediaType(mediaType string) (Version, error) {
	rest, ok := strings.CutPrefix(mediaType, mediaTypePrefix)
	if !ok {
		return 0, notBundle(mediaType)
	}
	version, ok := strings.CutPrefix(rest, versionInfix)
	if !ok {
		dotted, isDotted := strings.CutPrefix(rest, ".v")
		if version, ok = strings.CutSuffix(dotted, "+json"); !ok || !isDotted {
			return 0, notBundle(mediaType)
		}
	}
	switch version {
	case "0.1":
		return V01, nil
	case "0.2":
		return V02, nil
	case "0.3":
		return V03, nil
	}
	return parseVersion(mediaType, version)
}

// parseVersion handles versions other than the plain known ones.
func parseVersion(mediaType, version string) (Version, error) {
	parts := strings.Split(version, ".")
	if len(parts) < 2 || len(parts) > 3 {
		return 0, notBundle(mediaType)
	}
	var n [3]int
	for i, p := range parts {
		v, err := strconv.Atoi(p)
		if err != nil || strconv.Itoa(v) != p || v < 0 {
			return 0, notBundle(mediaType)
		}
		n[i] = v
	}
	if n[0] == 0 && n[1] >= int(V01) && n[1] <= int(newest) {
		return Version(n[1]), nil
	}
	reason := "bundle version " + version + " is newer than " + newest.String()[1:] + ", the newest known here: a newer program is needed to read it"
	if n[0] == 0 && n[1] == 0 {
		reason = "bundle version " + version + " was never published"
	}
	return 0, &FormatError{Path: "mediaType", Reason: reason, kind: ErrUnsupportedVersion}
}

func notBundle(mediaType string) error {
	if mediaType == "" {
		return &FormatError{Path: "mediaType", Reason: "missing or empty, want " + MediaType, kind: ErrNotBundle}
	}
	reason := protojson.Quote(mediaType) + " is not the media type of a sigstore bundle, want " + MediaType
	if what := describeMediaType(mediaType); what != "" {
		reason += ": this is " + what
	}
	return &FormatError{Path: "mediaType", Reason: reason, kind: ErrNotBundle}
}

func describeMediaType(mediaType string) string {
	for _, m := range [...]struct{ prefix, what string }{
		{"application/vnd.dev.sigstore.trustedroot", "a trusted root, which belongs to --trusted-root"},
		{"application/vnd.dev.sigstore.signingconfig", "a signing config"},
		{"application/vnd.dev.sigstore.clienttrustconfig", "a client trust config"},
		{"application/vnd.oci.image.", "an OCI manifest"},
		{"application/vnd.docker.distribution.manifest", "a Docker manifest"},
	} {
		if strings.HasPrefix(mediaType, m.prefix) {
			return m.what
		}
	}
	return ""
}

// telltales are members that give away what a JSON document is which is not a
// bundle.
var telltales = [...]struct{ name, what string }{
	{"base64Signature", "this is a bundle in cosign's older format (base64Signature), which has a reader of its own"},
	{"payloadType", "this is a bare dsse envelope, without what is needed to verify it"},
	{"SignedEntryTimestamp", "this is a rekor bundle (SignedEntryTimestamp), which accompanies a detached signature"},
	{"SignedRFC3161Timestamp", "this is a timestamp that accompanies a detached signature"},
	{"critical", "this is the payload of an image signature, without the signature"},
	{"predicateType", "this is an in-toto statement, without a signature"},
	{"schemaVersion", "this is an OCI manifest or index"},
}

// maxGlance bounds the members that glance looks at: everything that it knows
// has fewer.
const maxGlance = 100

// glance reads the top-level members of a JSON object as far as it is valid.
// mediaType is nil when there is none; what describes a document that is
// recognised; material tells that it looks like a bundle.
func glance(data []byte) (mediaType *string, what string, material bool) {
	// The error is that of the real decoding, which the caller has.
	_ = protojson.Document(data, protojson.Limits{Bytes: MaxBytes, Depth: maxDepth}, func(d *protojson.Decoder) error {
		return d.Members(maxGlance, func(name string) error {
			switch name {
			case "mediaType", "media_type":
				mediaType = new(string)
				return d.String(mediaType)
			case "verificationMaterial", "verification_material":
				material = true
			}
			for _, t := range telltales {
				if t.name == name {
					what = t.what
				}
			}
			return d.Skip()
		})
	})
	return mediaType, what, material
}

// explain replaces a decoding error by a better one when the input is not a
// bundle of a known version in the first place. It returns cause otherwise.
func explain(data []byte, cause error) error {
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	if len(trimmed) == 0 {
		return &FormatError{Reason: "empty input, want a sigstore bundle", kind: ErrNotBundle}
	}
	if trimmed[0] != '{' {
		return &FormatError{Reason: "not JSON, want a sigstore bundle: this " + describeBytes(trimmed), kind: ErrNotBundle}
	}
	mediaType, what, material := glance(data)
	switch {
	case mediaType != nil:
		if _, err := ParseMediaType(*mediaType); err != nil {
			return err
		}
		return cause
	case material:
		return cause // more useful: what is wrong in what is likely a bundle
	case what == "" && strings.HasPrefix(cause.Error(), "not valid JSON"):
		return cause
	case what == "":
		what = "a bundle's is " + MediaType
	}
	return &FormatError{Reason: "no mediaType, so not a sigstore bundle: " + what, kind: ErrNotBundle}
}

// describeBytes says what input is that does not start like a JSON object.
func describeBytes(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte("-----BEGIN ")):
		return "is PEM (a certificate or key)"
	case b[0] == '[':
		return "is a JSON list"
	case b[0] == '<':
		return "looks like HTML or XML, perhaps the error page of a download"
	case b[0] == 0x30:
		return "looks like DER (a certificate, signature or timestamp)"
	case b[0] == 0x1f, b[0] == 'P':
		return "looks like an archive"
	}
	return "may be a bare signature"
}
