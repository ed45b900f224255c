// Package tlog reads what transparency logs hand out: log entries and their bodies, Merkle proofs (RFC 6962, RFC 9162), signed
// checkpoints (C2SP signed-note and tlog-checkpoint), signed entry timestamps of Rekor v1, and hash tiles (C2SP tlog-tiles).
//
// The package is pure: bytes in, values out. It opens nothing, knows no clock and decides nothing about trust: the caller
// brings the log's key and judges the result. Every count and size that comes from outside is bounded by a constant of this
// package; input beyond it is an error, never an allocation.
package tlog
