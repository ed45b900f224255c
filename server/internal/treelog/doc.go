// Package treelog is an append-only Merkle tree log in a directory: Tessera's POSIX driver, and around it what makes its
// promises hold. Both logs of the server stand on it.
//
// # Promises
//
//   - [Log.Add] returns an index once the entry, and every file and directory that leads to it, is on the disk.
//   - No checkpoint is signed that does not extend the last one signed: the gate in front of the key computes the root from
//     the tiles, verifies a consistency proof from the checkpoint in the lock store, and gives the signature away once the
//     lock store has it. What a witness or a client ever saw is therefore in the lock store.
//   - A directory that is older than the lock store, or than a witness, is read from and not written to.
//   - After a failed write or sync nothing is acknowledged any more ([ErrFailed]). The kernel reports a failed write-back
//     once and may then drop the data, so that a second attempt that succeeds proves nothing. A full disk that refuses a
//     write is different: nothing was renamed into place, and the log goes on when there is room ([ErrFull]).
//
// # What Tessera syncs, and what it does not
//
// As read in v1.0.4, storage/posix. A batch is one call of sequenceBatch, which runs alone. It writes, in this order, the
// bundles of entries, the hash tiles, and .state/treeState, the size and root that the next batch starts from. Each is
// written whole to a temporary name with O_SYNC, so that the data is on the disk when write returns; renamed; and the
// directory it is in is synced, with the error handled. A directory that has to be made is made and its parent synced,
// before anything is put into it. Only then are the batch's indices given out. A crash thus leaves either the old
// treeState, and files that no tree needs yet and that the next batch overwrites, or the new one with all below it.
//
// The gaps, and what closes them here:
//
//   - A directory that exists is taken to be durable. Killed between mkdir and the sync of its parent, a process leaves one
//     that is not. [Open] syncs every directory of the log, and all above it, before anything is written.
//   - After a failed sync Tessera goes on, with the next batch on top. Here the first such error ends writing.
//   - Tessera's publisher reads treeState without the lock of the batch, so that it can see a treeState that is renamed and
//     not yet synced, and sign a tree that a power cut takes away: a fork. It is switched off. The publisher here signs
//     sizes that a finished batch has reported, and nothing else has access to the key.
//   - Tessera tells the age of a checkpoint from the file's modification time: after a step of the clock backwards it
//     publishes nothing until the clock has caught up. The publisher here uses the monotonic clock.
//   - Nothing in Tessera compares the directory with what was signed before. The gate does.
//   - A partial tile that a killed batch left may have other content than the tree. Reads here take the one file that the
//     published tree rests on, and cut it to the width asked for.
//
// Two things stay as they are. Tessera panics, and with it the process ends, when it cannot open the lock file in .state,
// for instance for want of file descriptors: nothing is acknowledged then, and the server bounds its connections. And where
// a file system ignores O_SYNC or fsync, nobody can promise anything.
//
// # Latency
//
// While a batch is being written the next one gathers (see [Config.BatchMaxAge]), and everybody in it shares its dozen
// synchronous writes. Whoever waits in [Log.Await] is woken when a checkpoint is published; nothing polls.
package treelog
