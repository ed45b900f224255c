// Package world is a whole signing world for tests: an authority, logs and a timestamp authority made by package mint
// and testenv, the trusted root that names them, and complete bundles made with them.
//
// It imports bundle and trust, so tests inside those packages cannot use it; their external tests (package x_test) can.
// Times are arguments, counted from mint.Epoch.
package world
