package differential

import "regexp"

// exception is a rule by which the two verifiers may differ. The tests fail on a difference that no rule covers, and
// the long run on a rule that nothing needs any more.
type exception struct {
	name string
	// looser: bulla accepts what sigstore-go refuses. Otherwise bulla refuses what sigstore-go accepts.
	looser bool
	// code is bulla's code of the refusal; bulla matches its reason. For a looser rule oracle matches sigstore-go's words.
	code   string
	bulla  *regexp.Regexp
	oracle *regexp.Regexp
	// rule says why the difference is right, clause where that is written.
	rule, clause string
}

// difference is one finding.
type difference struct {
	vector string
	how    string // "" for the vector itself
	bulla  verdict
	oracle verdict
	data   []byte
}

func (x *exception) covers(d *difference) bool {
	if x.looser != d.bulla.accepted {
		return false
	}
	if x.looser {
		return x.oracle.MatchString(d.oracle.why)
	}
	return x.code == d.bulla.code && x.bulla.MatchString(d.bulla.why)
}

func re(s string) *regexp.Regexp { return regexp.MustCompile(s) }

func exceptions() []exception {
	return []exception{}
}
