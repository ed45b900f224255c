//go:build race

package testenv

// RaceDetector says that the race detector watches.
const RaceDetector = true
