package timestamp_test

import (
	"testing"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/timestamp"
)

// The usual token: its leaf is trusted and the chain was checked when the trust root was read. What remains is one
// signature check (compare BenchmarkUnlinked, which checks the chain for every token).
func BenchmarkLinked(b *testing.B)   { benchmark(b, true) }
func BenchmarkUnlinked(b *testing.B) { benchmark(b, false) }

func benchmark(b *testing.B, linked bool) {
	a := testenv.NewTSA(b, testenv.TSAOptions{})
	der, err := a.Stamp(message, stamped)
	if err != nil {
		b.Fatal(err)
	}
	auth := authority(a)
	auth.Linked = linked
	b.ReportAllocs()
	for b.Loop() {
		tok, err := timestamp.Parse(der)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := tok.Verify(algorithm.Bytes(message), auth); err != nil {
			b.Fatal(err)
		}
	}
}
