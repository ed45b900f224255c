// Package interop holds the tests that run bulla against the programs and libraries it must agree with: cosign both
// ways, a real registry, and sigstore-go as a second opinion on every bundle there is and on thousands of broken ones.
// It is a module of its own so that none of these ever enters the graph of what is shipped.
package interop
