// Package log is a transparency log with Rekor's API v2: it takes signatures, checks them, and answers with a proof that
// they are in an append-only Merkle tree.
//
//	POST /api/v2/log/entries           hashedRekordRequestV002 or dsseRequestV002 → 201 and a TransparencyLogEntry
//	GET  /api/v2/log/entries/{index}   the entry with a fresh proof
//	GET  /api/v2/search                entries by digest, e-mail address, subject or public key
//	GET  /checkpoint, /tile/…          the tree itself (C2SP tlog-tiles); the same below /api/v2/
//
// # Where it differs from Rekor
//
// Clients of Rekor v2 work unchanged. Three answers are better ones:
//
//   - A signature that is in the log already is answered with 201 and its entry, not with 409 and nothing: a client that
//     did not get the first answer gets it now.
//   - A dsseRequestV002 of an older client is logged as a hashedrekord over the envelope's PAE, which is the only form that
//     current verifiers accept for an envelope.
//   - There is a search, which Rekor v2 has not. Its index is made from the tree, after the answer to the client has left,
//     and can be thrown away.
//
// # What is checked
//
// The signature verifies over the digest with the key or the certificate's key, and the algorithm is the one that verifiers
// assume for that type of key: they compute the leaf again and could never find one that states another. Whether a
// certificate is valid, and who issued it, is the verifier's question; a log takes it as it is.
//
// Stability: new; the exported names are meant to stay.
package log
