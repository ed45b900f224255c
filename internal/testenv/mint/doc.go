// Package mint makes the evidence that tests need, in memory: certificates as Fulcio issues them, certificate
// timestamps, transparency log entries of both generations of Rekor with everything the logs say about them.
//
// The formats are written here anew, with encoding/json and encoding/asn1, and not with the code under test, so that a
// mistake there is not repeated here. Keys are fresh; times are arguments, counted from [Epoch].
//
// It lies apart from testenv because it imports packages whose own tests use testenv: algorithm, identity and tlog.
// Their tests may use mint from package x_test only. Package world puts its parts together.
package mint

import "time"

// Epoch is the time at which things happen unless a test says otherwise.
var Epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Who a certificate is for unless a test says otherwise.
const (
	Email  = "alice@bulla.test"
	Issuer = "https://issuer.bulla.test"
)
