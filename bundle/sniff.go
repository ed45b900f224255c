package bundle

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/bulla-sign/bulla/internal/protojson"
)

// Format says in words what a file holds, for people and for choosing a reader:
//
//	"sigstore bundle"            [Decode]
//	"cosign blob bundle"         [DecodeCosignBlob]
//	"dsse envelope"              [ParseEnvelope]; also in base64
//	"in-toto statement"          [ParseStatement]
//	"simple signing payload"     [ParseSimpleSigning]
//	"rekor bundle"               [Detached].RekorBundle
//	"cosign timestamp"           [Detached].Timestamp, the JSON form
//	"timestamp response"         [Detached].Timestamp; DER, RFC 3161 2.4.2
//	"timestamp token"            the bare ContentInfo of one
//	"signature"                  [Detached].Signature: base64, or ECDSA in DER
//	"certificate"                PEM, base64 of PEM, or DER
//	"public key", "private key"  PEM, or DER of a public key
//	"trusted root", "signing config", "client trust config", "oci manifest", "tuf metadata"
//	"json lines"                 several JSON objects, one a line
//	""                           none of these
type Format string

// The formats, as Sniff returns them.
const (
	sniffBundle        Format = "sigstore bundle"
	sniffBlob          Format = "cosign blob bundle"
	sniffEnvelope      Format = "dsse envelope"
	sniffStatement     Format = "in-toto statement"
	sniffSimpleSigning Format = "simple signing payload"
	sniffRekorBundle   Format = "rekor bundle"
	sniffTimestampJSON Format = "cosign timestamp"
	sniffTimestamp     Format = "timestamp response"
	sniffToken         Format = "timestamp token"
	sniffSignature     Format = "signature"
	sniffCertificate   Format = "certificate"
	sniffPublicKey     Format = "public key"
	sniffPrivateKey    Format = "private key"
	sniffTrustedRoot   Format = "trusted root"
	sniffSigningConfig Format = "signing config"
	sniffTrustConfig   Format = "client trust config"
	sniffManifest      Format = "oci manifest"
	sniffTUF           Format = "tuf metadata"
	sniffLines         Format = "json lines"
)

// Sniff recognises a format by its content alone. It looks at what sets formats
// apart, not at whether the content is valid: the reader of the format says what
// is wrong with it.
func Sniff(data []byte) Format {
	text := bytes.TrimSpace(data)
	switch {
	case len(text) == 0 || len(data) > MaxBytes:
		return ""
	case text[0] == '{':
		return sniffJSON(text)
	case bytes.Contains(text, []byte("-----BEGIN ")):
		return sniffPEM(text)
	}
	if f := sniffDER(data); f != "" {
		return f
	}
	decoded, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
	switch {
	case err != nil || len(decoded) < minSignature:
		return ""
	case decoded[0] == '{':
		if f := sniffJSON(decoded); f == sniffEnvelope {
			return f
		}
	case bytes.HasPrefix(decoded, []byte("-----BEGIN ")):
		return sniffPEM(decoded)
	}
	return sniffSignature
}

// minSignature is the size of the smallest signature, Ed25519 (RFC 8032 5.1.6);
// an ECDSA signature in DER may be a few bytes shorter. It keeps words that
// happen to be base64 from being called signatures.
const minSignature = 60

// sniffMembers are top-level members that set a JSON document apart; the first
// one that is met decides.
var sniffMembers = [...]struct {
	name string
	Format
}{
	{"verificationMaterial", sniffBundle},
	{"verification_material", sniffBundle},
	{"dsseEnvelope", sniffBundle},
	{"messageSignature", sniffBundle},
	{"base64Signature", sniffBlob},
	{"payloadType", sniffEnvelope},
	{"predicateType", sniffStatement},
	{"critical", sniffSimpleSigning},
	{"Critical", sniffSimpleSigning},
	{"SignedEntryTimestamp", sniffRekorBundle},
	{"SignedRFC3161Timestamp", sniffTimestampJSON},
	{"certificateAuthorities", sniffTrustedRoot},
	{"rekorTlogUrls", sniffSigningConfig},
	{"rekorTlogConfig", sniffSigningConfig},
	{"schemaVersion", sniffManifest},
	{"signed", sniffTUF},
}

// sniffMediaTypes are prefixes of the member mediaType, which decides before
// any other member.
var sniffMediaTypes = [...]struct {
	prefix string
	Format
}{
	{mediaTypePrefix, sniffBundle},
	{"application/vnd.dev.sigstore.trustedroot", sniffTrustedRoot},
	{"application/vnd.dev.sigstore.signingconfig", sniffSigningConfig},
	{"application/vnd.dev.sigstore.clienttrustconfig", sniffTrustConfig},
	{"application/vnd.oci.image.", sniffManifest},
	{"application/vnd.docker.distribution.manifest", sniffManifest},
}

func sniffJSON(text []byte) Format {
	if f, ok := sniffObject(text); ok {
		return f
	}
	// Not one document. Are there several?
	first, rest, _ := bytes.Cut(text, []byte("\n"))
	if rest = bytes.TrimSpace(rest); len(rest) == 0 || rest[0] != '{' {
		return ""
	}
	if _, ok := sniffObject(first); ok {
		return sniffLines
	}
	return ""
}

// sniffObject looks at the members of one JSON object. ok is false when text is
// something else than one valid JSON document.
func sniffObject(text []byte) (f Format, ok bool) {
	var byMediaType Format
	err := protojson.Document(text, decodeLimits, func(d *decoder) error {
		return d.Members(0, func(name string) error {
			if name == "mediaType" || name == "media_type" {
				var raw []byte
				err := d.Raw(&raw)
				byMediaType = sniffMediaType(strings.Trim(string(raw), `"`))
				return err
			}
			for _, m := range sniffMembers {
				if f == "" && m.name == name {
					f = m.Format
				}
			}
			return d.Skip()
		})
	})
	if byMediaType != "" {
		f = byMediaType
	}
	return f, err == nil
}

func sniffMediaType(mediaType string) Format {
	for _, m := range sniffMediaTypes {
		if strings.HasPrefix(mediaType, m.prefix) {
			return m.Format
		}
	}
	return ""
}

// sniffPEM goes by the first block; text may stand before it.
func sniffPEM(text []byte) Format {
	block, _ := pem.Decode(text)
	switch {
	case block == nil:
		return ""
	case block.Type == "CERTIFICATE":
		return sniffCertificate
	case block.Type == "PUBLIC KEY", block.Type == "RSA PUBLIC KEY":
		return sniffPublicKey
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return sniffPrivateKey
	}
	return ""
}

// sniffDER tells the DER formats apart by the types of their first elements.
func sniffDER(data []byte) Format {
	in, outer := cryptobyte.String(data), cryptobyte.String(nil)
	if !in.ReadASN1(&outer, asn1.SEQUENCE) || !in.Empty() {
		return ""
	}
	var first, second cryptobyte.String
	var firstTag, secondTag asn1.Tag
	if !outer.ReadAnyASN1(&first, &firstTag) {
		return ""
	}
	more := !outer.Empty() && outer.ReadAnyASN1(&second, &secondTag)
	switch {
	case firstTag == asn1.OBJECT_IDENTIFIER && more:
		return sniffToken // ContentInfo: contentType, [0] content
	case firstTag == asn1.INTEGER && more && secondTag == asn1.INTEGER && outer.Empty():
		return sniffSignature // Ecdsa-Sig-Value: r, s
	case firstTag != asn1.SEQUENCE:
		return ""
	case first.PeekASN1Tag(asn1.INTEGER) && (!more || secondTag == asn1.SEQUENCE && second.PeekASN1Tag(asn1.OBJECT_IDENTIFIER)) && outer.Empty():
		return sniffTimestamp // TimeStampResp: PKIStatusInfo, ContentInfo
	case first.PeekASN1Tag(asn1.OBJECT_IDENTIFIER) && more && secondTag == asn1.BIT_STRING:
		return sniffPublicKey // SubjectPublicKeyInfo: AlgorithmIdentifier, key
	case more && secondTag == asn1.SEQUENCE && outer.PeekASN1Tag(asn1.BIT_STRING):
		return sniffCertificate // TBSCertificate, AlgorithmIdentifier, signature
	}
	return ""
}
