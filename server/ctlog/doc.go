// Package ctlog is a Certificate Transparency log for the certificates of a code-signing authority: static-ct-api tiles
// (C2SP) with the requests of RFC 6962 around them. It stands on treelog, which knows what durable means.
//
// Below a prefix such as /ct/2026-1:
//
//	POST ct/v1/add-chain, ct/v1/add-pre-chain          a chain in, a Signed Certificate Timestamp out (RFC 6962 4.1, 4.2)
//	GET  ct/v1/get-roots                               where chains must end (4.7)
//	GET  checkpoint, tile/…, issuer/FINGERPRINT        the log itself (static-ct-api)
//	GET  ct/v1/get-sth, get-sth-consistency,           the same for monitors that know RFC 6962 alone (4.3 to 4.6, 4.8)
//	     get-proof-by-hash, get-entries, get-entry-and-proof
//
// # What an SCT promises
//
// It is signed only when the entry has its index in the tree and is on the disk, together with every certificate of its
// chain; the index is in its extensions (static-ct-api, "SCT Extension"). It does not wait for a checkpoint, which
// follows within treelog's interval: the merge delay is that interval.
//
// # What is accepted
//
// End-entity certificates for code signing whose chain, in the order that was sent, leads to an accepted root, and that
// have not expired: an authority submits what it issues at once, and what is public already could otherwise be sent in
// over and over to make the log grow. Precertificates are signed by the authority's own certificate, not by a
// Precertificate Signing Certificate (static-ct-api leaves that open). A chain that was logged a short while ago gets
// the same SCT again.
//
// Stability: new; the exported names are meant to stay.
package ctlog
