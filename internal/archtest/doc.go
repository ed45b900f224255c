// Package archtest holds the tests that keep the tree in shape: who may import whom, which packages stay pure, how big
// things may grow. Every rule stands in the table in rules_test.go together with sources that break it, so that a rule
// that has stopped working fails as well. The package itself is empty.
package archtest
