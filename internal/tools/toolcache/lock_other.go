//go:build !unix

package toolcache

// lock does nothing where there is no flock: two processes may then build the same tool, and the one that renames
// last wins, which is harmless.
func lock(string) (unlock func(), err error) { return func() {}, nil }
