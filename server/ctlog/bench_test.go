package ctlog

import (
	"crypto/x509"
	"net/http"
	"testing"

	"github.com/bulla-sign/bulla/tlog"
)

// BenchmarkCheck is what a submission costs before it is logged: the signature of the precertificate, mostly.
func BenchmarkCheck(b *testing.B) {
	w := newWorld(b)
	a, err := newAcceptor([]*x509.Certificate{w.root.cert})
	if err != nil {
		b.Fatal(err)
	}
	precert, _ := w.ca.precert(b)
	chain := w.ca.chain(precert)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.check(chain, precertificate, present); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAddPreChain is a submission to the SCT, with 16 at once: the disk, mostly.
func BenchmarkAddPreChain(b *testing.B) {
	w := newWorld(b)
	s := w.open(b, func(c *Config) { c.Tree.CheckpointInterval, c.Tree.BatchMaxAge = 0, 0 }) // the defaults
	chains := make(chan [][]byte, 64)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			precert, _ := w.ca.precert(b)
			select {
			case chains <- w.ca.chain(precert):
			case <-done:
				return
			}
		}
	}()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, _, err := s.AddPreChain(b.Context(), <-chains); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkGetEntries is what somebody can ask for without having given anything.
func BenchmarkGetEntries(b *testing.B) {
	w := newWorld(b)
	s := w.open(b)
	w.fill(b, s, tlog.TileWidth)
	b.ReportAllocs()
	for b.Loop() {
		if rw := get(s, "/ct/v1/get-entries?start=0&end=255"); rw.Code != http.StatusOK {
			b.Fatal(rw.Code)
		}
	}
}
