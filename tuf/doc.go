// Package tuf distributes trust: it fetches a trusted root and a signing config from a repository by the rules of The
// Update Framework (TUF specification 1.0, https://theupdateframework.github.io/specification/), and builds the metadata
// of such repositories.
//
// A [Client] starts from a root.json that the user has reason to trust and ends with a [Trust]: what the repository says
// now, verified, with the time until which it holds. It works in memory; with a directory it also keeps what it verified,
// in the layout that cosign and sigstore-go use, so that each finds what the other has initialized. Nothing that a mirror
// sends is used, or kept, before it was verified, and a refresh that fails changes nothing.
//
// The other half makes repositories: a [Document] is one metadata file with the signatures that it has so far, made by
// [NewRoot], [NewTargets], [NewSnapshot] and [NewTimestamp], signed by any [crypto.Signer] at any place, and checked with
// [Document.Verify]. It writes no files; when to publish what is the business of a server.
//
// Metadata is read by this package's own rules, which are the specification's with limits: integers of at most 15 digits, no
// null, no name twice, sizes, counts and depth bounded. A signature is over the canonical form of what was read, members
// that are not known included. Keys are Ed25519, ECDSA on P-256 and P-384 and RSA-PSS; keys of other types count for nothing.
package tuf
