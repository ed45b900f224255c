// Package algorithm knows the signature algorithms of Sigstore: their names and numbers (the enum PublicKeyDetails of
// sigstore's protobuf-specs and the algorithm registry of its architecture documents), which keys they take, which hash
// they feed, and how a signature is checked.
//
// A message need not be in memory. Every algorithm here can be checked from one digest of the message, pure Ed25519
// included, so a file of any size is read once:
//
//	h, prefix := alg.DigestNeeded(pub, sig) // then: hash prefix and the file with h
//	err := alg.Verify(pub, message, sig)    // message.Digest(h, prefix) returns that digest
//
// The package is pure: it reads no clock, no file, no randomness, and prints nothing.
package algorithm
