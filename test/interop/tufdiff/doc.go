// Package tufdiff compares bulla's TUF client with go-tuf's: on repositories that go-tuf's own API made, and on thousands
// that were spoiled in one place and signed again, both must say the same. Where they may differ the rule is named.
package tufdiff
