package bundle

import (
	"crypto"

	"github.com/bulla-sign/bulla/tlog"
)

// Version is the version of a Sigstore bundle, or Cosign.
type Version int

// The versions, oldest first. Their rules are those of [Bundle.Validate].
const (
	// V01 is bundle v0.1: log entries carry an inclusion promise.
	V01 Version = iota + 1
	// V02 is bundle v0.2: log entries carry an inclusion proof with a checkpoint.
	V02
	// V03 is bundle v0.3: as V02, and the leaf certificate stands alone.
	V03
	// Cosign marks a bundle that was converted from one of cosign's own older
	// formats. It cannot be encoded as a Sigstore bundle; see [Bundle.Upgrade].
	Cosign
)

// String returns "v0.1", "v0.2", "v0.3" or "cosign".
func (v Version) String() string {
	switch v {
	case V01:
		return "v0.1"
	case V02:
		return "v0.2"
	case V03:
		return "v0.3"
	case Cosign:
		return "cosign"
	}
	return "unknown version"
}

// Bundle is one signature over one thing with its evidence.
type Bundle struct {
	// MediaType as it was read; Encode writes it again if it fits Version.
	MediaType string
	Version   Version
	Material  Material
	// Message or Envelope: exactly one is set.
	Message  *MessageSignature
	Envelope *Envelope
}

// Material is what a verifier needs beside the signature
// (dev.sigstore.bundle.v1.VerificationMaterial). All of it is untrusted.
type Material struct {
	// KeyHint is set when the signature is made with a key that the verifier
	// already has. It may be empty, is unauthenticated and selects nothing by
	// itself.
	KeyHint *string
	// Certificates are DER, the signing certificate first. Up to v0.2 the others
	// must be ignored when building a path (sigstore_bundle.proto tells verifiers
	// to do so); from v0.3 on they are intermediates.
	Certificates [][]byte
	// Chain says that Certificates were spelled as x509CertificateChain, not as
	// a single certificate. Certificates may then be empty.
	Chain bool
	// NoKey says that the material names no key at all; only in Cosign bundles.
	NoKey bool
	// Entries are the log entries, at most 32.
	Entries []tlog.Entry
	// Timestamps are DER TimeStampResp (RFC 3161 2.4.2) over the signature, at
	// most 32.
	Timestamps [][]byte
	// SCT is a detached signed certificate timestamp; only in Cosign bundles.
	SCT []byte
}

// MessageSignature is a signature over the bytes of an artifact.
type MessageSignature struct {
	// Hash and Digest identify the artifact. They are not authenticated: what
	// was signed is the artifact itself. Hash 0 and Digest nil: absent.
	Hash   crypto.Hash
	Digest []byte
	// Signature as the algorithm returns it (ECDSA: ASN.1 DER).
	Signature []byte
	// Payload holds the signed bytes when they travel with the signature (simple
	// signing, in Cosign bundles). nil: the artifact itself was signed.
	Payload []byte
}

// Envelope is a DSSE envelope (secure-systems-lab/dsse, envelope.md).
type Envelope struct {
	// Payload are the exact bytes that PAE covers.
	Payload     []byte
	PayloadType string
	// Signatures hold exactly one element in a valid bundle.
	Signatures []EnvelopeSignature
	// Raw is the envelope's JSON exactly as it was found, set only in Cosign
	// bundles: old log entries (intoto 0.0.1) name nothing but its hash.
	Raw []byte
}

// EnvelopeSignature is one signature over the PAE of an envelope.
type EnvelopeSignature struct {
	// KeyID is unauthenticated and optional.
	KeyID string
	Sig   []byte
}
