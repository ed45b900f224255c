// Package differential compares bulla's verdicts with sigstore-go's, on every bundle among the test vectors and on
// thousands of broken ones made from them. Its tests state where the two may differ, and by which rule.
package differential
