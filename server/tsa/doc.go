// Package tsa is a time-stamp authority: it signs, with the time of its clock, the hashes that it is sent (RFC 3161, with
// RFC 5652 for the signature and RFC 5816 for naming the signer).
//
//	POST /api/v1/timestamp             TimeStampReq in DER, or the JSON that Sigstore's authority takes → TimeStampResp
//	GET  /api/v1/timestamp/certchain   the authority's certificates, PEM, leaf first
//	GET  /ping                         "."
//
// A request that the authority does not serve is answered with an HTTP status of 400 to 415 and a JSON object
// {"code", "message"}, not with a TimeStampResp of status "rejection": that is what Sigstore's authority does, and its
// clients look at the HTTP status.
//
// # Time
//
// A token says whole seconds, the clock's reading rounded down, and an accuracy of one second. The clock is not believed
// blindly:
//
//   - Outside of the validity of any certificate of the chain no token is made: no verifier would accept it.
//   - A clock that went back by no more than the stated accuracy repeats the last time given, so that times never
//     decrease. A clock that went back further was wrong before or is wrong now, and no token is made until it has caught
//     up. If it was wrong before, tokens from the future were given out: somebody has to look, and restarts the service
//     when the clock is right, which forgets the last time.
//
// In both cases requests are answered with 503 and the reason, and [Server.Ready] says the same.
//
// Stability: new; the exported names are meant to stay.
package tsa
