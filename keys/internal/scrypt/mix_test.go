package scrypt

import (
	"math/rand/v2"
	"testing"
)

// What is written for this processor says what is written for any.
func TestMix(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	fill := func(x *block) {
		for i := range x {
			for j := range x[i] {
				x[i][j] = random.Uint32()
			}
		}
	}
	for i := range 1000 {
		var a, b, want, got block
		fill(&a)
		if i > 0 {
			fill(&b)
		}
		keptA, keptB := a, b
		mix(&want, &a, &b)
		blockMix(&got, &a, &b)
		if got != want {
			t.Fatalf("round %d: another result", i)
		}
		if a != keptA || b != keptB {
			t.Fatalf("round %d: an input is changed", i)
		}
	}
}
