// Package tufrepo is the TUF repository through which clients learn whom to trust: the trusted root and the signing config,
// and the single files that older clients read.
//
// The repository is a directory, laid out as it is served:
//
//	N.root.json                 every root that ever was, so that a client can begin at any of them
//	N.targets.json              the files and their digests, by version
//	N.snapshot.json             which of these is current
//	timestamp.json              which snapshot is current
//	targets/SHA256.NAME         the files
//	pending/root.json           and targets.json: what waits for signatures of keys that are kept offline
//
// Nothing is ever overwritten but timestamp.json. What is published is written in the order in which clients do not look
// at it: files, targets, snapshot, timestamp; each is on the disk, its directory too, before the next begins. Whoever dies
// in between leaves what was published before. A file of a version that never was announced may stay behind; its number is
// not used again.
//
// # Who signs what, and for how long
//
// Snapshots hold for 30 days and timestamps for 7, unless [Lifetimes] says otherwise. Their keys are at hand, and they are
// signed anew in the background: timestamps daily, snapshots when half of their time is over. If the server stands still
// for less than six days clients notice nothing. Roots and targets hold for ten years, since their keys may lie in a safe;
// what protects clients from being shown old ones is the timestamp. Where their keys are at hand they are signed anew too.
//
// A document that needs keys that are not at hand becomes pending: [Server.Pending] gives it out, [Sign] adds signatures
// wherever the keys are, and [Server.Import] takes it back and publishes it once it has enough.
package tufrepo
