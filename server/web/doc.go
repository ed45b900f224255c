// Package web is what a browser sees of an instance: a page that says which services there are and how clients are pointed
// at them, and pages to look into the transparency log.
//
//	GET /               the instance
//	GET /ui/log         the newest entries, or those that a search finds
//	GET /ui/log/INDEX   one entry, with its certificate in words and its proof
//
// Both take ?shard=NAME: a log that was in use before, and is frozen.
//
// The log is read through its public endpoints (/checkpoint, /tile/…, /api/v2/search), over HTTP or, in one process,
// through its handler, and is believed as little as any log: an entry's page fetches the checkpoint, checks its signature
// with the log's key, computes the proof from the tiles and checks it, and says what came of that. Lists are not proved
// entry by entry. No page says that a signature is valid: that depends on what a reader trusts, and is the business of a
// verifier.
//
// All text that comes from entries was written by strangers. It is escaped for HTML, and characters that change the
// direction of writing or cannot be seen are spelled out.
package web
