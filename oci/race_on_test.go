//go:build race

package oci

// raceDetector says that the race detector watches.
const raceDetector = true
