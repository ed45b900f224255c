// Package trust holds what a user trusts: transparency logs, CT logs, certificate and timestamp authorities, managed keys,
// each with the time it may be used in; and the addresses of the services that a signer calls. It reads and writes
// Sigstore's trusted root and signing config (sigstore_trustroot.proto of sigstore's protobuf-specs, in its JSON form).
//
// Everything about the material that does not depend on a signature is checked once, when it is decoded: keys are parsed
// and fit their stated algorithm, certificates are parsed and each is signed by the next. A log with an algorithm that
// this program does not know is kept and marked (see [Log.Usable]), so that one future log does not make the root of a
// whole deployment unreadable; nothing verifies under it.
//
// The package is pure: it reads no clock, no file, no network, and prints nothing.
package trust
