package treelog

import (
	"context"
	"encoding/binary"
	"sync/atomic"
	"testing"
)

// BenchmarkAddAndProve is what a caller waits for: an entry added, published and proven, with so many in flight.
func BenchmarkAddAndProve(b *testing.B) {
	for _, flight := range []struct {
		name string
		n    int
	}{{"1", 1}, {"64", 32}, {"512", 256}} {
		b.Run(flight.name, func(b *testing.B) {
			l := newWorld(b).open(b)
			var n atomic.Uint64
			b.SetParallelism(flight.n)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					entry := binary.BigEndian.AppendUint64(make([]byte, 1000), n.Add(1))
					index, err := l.Add(context.Background(), entry)
					if err != nil {
						b.Error(err)
						return
					}
					head, err := l.Await(context.Background(), index)
					if err != nil {
						b.Error(err)
						return
					}
					if _, err := l.InclusionProof(index, head.Size); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}
