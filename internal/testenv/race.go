package testenv

import "testing"

// Unwatched skips a test under the race detector, which makes it some ten times slower and has nothing to see in it: one
// goroutine that computes, or other processes. "make test RACE=1" runs every package in which a test says so, or asks for
// [RaceDetector], once more without the detector.
func Unwatched(t testing.TB) {
	t.Helper()
	if RaceDetector {
		t.Skip("the race detector has nothing to see here; it runs without")
	}
}
