package differential

import "testing"

// TestOracleKnowsTheVectors makes sure that the oracle is set up rightly: it accepts most of the vectors and refuses
// nearly every mutant; an oracle that refuses all would agree with anything.
func TestOracleKnowsTheVectors(t *testing.T) {
	o := newOracle()
	var donors []any
	vectors := corpus(t)
	accepted := 0
	for i := range vectors {
		v := &vectors[i]
		o.load(t, v)
		if got := o.judge(v, v.bundle); got.accepted {
			accepted++
		}
		if doc, err := parse(v.bundle); err == nil {
			donors = append(donors, doc)
		}
	}
	t.Logf("sigstore-go accepts %d of %d vectors", accepted, len(vectors))
	if accepted < 110 {
		t.Errorf("sigstore-go accepts only %d of %d vectors", accepted, len(vectors))
	}
	m := newMutator(1, donors)
	mutants, survivors := 0, 0
	for i := range vectors {
		v := &vectors[i]
		doc, err := parse(v.bundle)
		if err != nil || !o.judge(v, v.bundle).accepted {
			continue
		}
		for range 10 {
			mutants++
			if o.judge(v, m.mutate(doc).data).accepted {
				survivors++
			}
		}
	}
	t.Logf("sigstore-go accepts %d of %d mutants", survivors, mutants)
	if survivors > mutants/3 {
		t.Errorf("%d of %d mutants survive: the mutator hardly changes anything", survivors, mutants)
	}
}
