//go:build race

package verify_test

// slowdown is how much longer the hostile inputs may take under the race detector, which makes memory accesses some ten
// times slower.
const slowdown = 20
