package testenv

import (
	"os"
	"testing"
)

// Unwatched skips a test under the race detector, which makes it some ten times slower and has nothing to see in it: one
// goroutine that computes, or other processes. "make test RACE=1" runs every test that says so, or asks for
// [RaceDetector], a second time without the detector.
func Unwatched(t testing.TB) {
	t.Helper()
	if RaceDetector {
		t.Skip("the race detector has nothing to see here; it runs without")
	}
}

// Watched skips a test in that second run (the variable BULLA_UNWATCHED is set), when the first has run all of it.
func Watched(t testing.TB) {
	t.Helper()
	if os.Getenv("BULLA_UNWATCHED") != "" && !RaceDetector {
		t.Skip("it has run under the race detector")
	}
}
