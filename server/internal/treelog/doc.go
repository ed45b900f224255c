// Package treelog is an append-only Merkle tree log in a directory: Tessera's POSIX driver, and around it what makes its
// promises hold. Both logs of the server stand on it.
package treelog
