// Package state is the memory of a deployment: which keys, certificates and addresses every service ever had, and from
// when until when each may be trusted. The trusted root and the signing config are generated from it, and nothing is ever
// deleted from it: what was signed under an old key verifies for as long as the file exists.
//
// It lives in one file, state.json, in the state directory, and is written whole and synced ([Dir.Update]), so that a
// process that dies leaves the old contents or the new. A lock file keeps two processes from changing it at once.
// Private keys are not in it, only references to them (package keyring).
package state
