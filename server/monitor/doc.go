// Package monitor watches transparency logs from outside, as anybody can: that each only ever grows, and for whom
// something is entered in it.
//
// A log is read over HTTP (C2SP tlog-tiles, or static-ct-api for CT logs), whoever runs it. Nothing that it serves is
// believed but its signed checkpoints, and of those only that the log's key made them:
//
//   - A new checkpoint must be of a tree that contains the tree of the one before as its beginning; the proof is computed
//     from hash tiles, which must lead to the new root themselves.
//   - Every entry is read and hashed. What results must be what the checkpoint says: an entry that was shown to this
//     monitor is the one that is in the tree.
//   - Names, keys and certificates in entries are compared with the watch list.
//
// A log that breaks one of the first two raises an alarm. A fork, two checkpoints of which neither continues the other,
// is kept with both notes in the state file, since they prove it to everybody; that alarm ends only when a person removes
// it. Results are metrics, log lines and the JSON document that [Monitor.ServeHTTP] answers with.
//
// Memory does not grow with the log: a bundle of 256 entries, a few tiles and the last findings are held. After a restart
// reading goes on where it was; an entry may then be reported twice, never not at all.
//
// What a finding means: somebody entered it. A log of signatures does not check who issued a certificate (Rekor v2), so
// an entry with a certificate that names somebody may come from anybody; in a CT log, the authorities that the log
// accepts have signed it.
//
// Stability: new; the exported names are meant to stay.
package monitor
