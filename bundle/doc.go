// Package bundle turns the formats in which signatures travel into one model,
// and back. A [Bundle] is a signature with everything needed to check it
// offline: the certificate or a hint at the key, log entries, timestamps.
//
// [Decode] and [Bundle.Encode] handle Sigstore bundles v0.1 to v0.3
// (sigstore/protobuf-specs, sigstore_bundle.proto), [Envelope] is DSSE,
// [Statement] in-toto, [SimpleSigning] the payload of classic image signatures.
// cosign's older formats are converted into the same model.
//
// Nothing in this package verifies a signature or decides on trust: a decoded
// bundle is well formed, no more. Everything in it comes from whoever wrote it.
//
// The package is pure: bytes in, values out. Decoded values keep no reference
// to their input. All errors about input are *[FormatError].
package bundle
