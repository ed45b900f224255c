// Package world is a whole signing world in memory for tests: a certificate authority, a CT log, transparency logs of
// both generations, a timestamp authority, the trusted root that names them, and complete bundles made with them.
//
// It lies apart from testenv because it imports the packages that it feeds: tests inside those packages may use testenv
// but not this package (their external tests, package x_test, may).
//
// The formats are written here anew, with encoding/json and encoding/asn1, and not with the code under test, so that a
// mistake there is not repeated here. Keys are fresh in every world; times are arguments, counted from [Epoch].
package world

import "time"

// Epoch is the time at which things happen in a world unless a test says otherwise.
var Epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
