//go:build !race

package verify_test

// slowdown is how much longer the hostile inputs may take; see race_test.go.
const slowdown = 1
