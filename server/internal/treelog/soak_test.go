package treelog

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/bulla-sign/bulla/tlog"
)

// TestSoak adds entries from many sides at once and checks every inclusion proof, under the checkpoint that the entry was
// first published with and under the last one, and the consistency of each checkpoint with the next and with the last.
// BULLA_SOAK is the number of entries (usually 2,000).
func TestSoak(t *testing.T) {
	total := 2000
	if s := os.Getenv("BULLA_SOAK"); s != "" {
		var err error
		if total, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	l := newWorld(t).open(t)
	const sides = 64
	var mu sync.Mutex
	heads := map[uint64]Head{}
	leaves := make([][tlog.HashSize]byte, total)
	var wg sync.WaitGroup
	for side := range sides {
		wg.Go(func() {
			for i := side; i < total; i += sides {
				entry := fmt.Appendf(nil, "entry %d %s", i, make([]byte, rand.N(300)))
				index, err := l.Add(t.Context(), entry)
				if err != nil {
					t.Error(err)
					return
				}
				head, err := l.Await(t.Context(), index)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				leaves[index] = tlog.LeafHash(entry)
				heads[head.Size] = head
				mu.Unlock()
				included(t, l, index, head, tlog.LeafHash(entry))
			}
		})
	}
	wg.Wait()
	last, _ := l.Head()
	if last.Size != uint64(total) {
		t.Fatalf("the log has %d entries", last.Size)
	}
	for i, leaf := range leaves {
		included(t, l, uint64(i), last, leaf)
	}
	var before Head
	for size := uint64(1); size <= last.Size; size++ {
		h, ok := heads[size]
		if !ok {
			continue
		}
		if before.Size > 0 {
			extends(t, l, before, h)
		}
		extends(t, l, h, last)
		before = h
	}
	t.Logf("%d entries, %d checkpoints", total, len(heads))
}

func included(t *testing.T, l *Log, index uint64, head Head, leaf [tlog.HashSize]byte) {
	t.Helper()
	proof, err := l.InclusionProof(index, head.Size)
	if err == nil {
		err = tlog.VerifyInclusion(int64(index), int64(head.Size), leaf, head.Root, proof)
	}
	if err != nil {
		t.Errorf("entry %d in the tree of %d: %v", index, head.Size, err)
	}
}

func extends(t *testing.T, l *Log, a, b Head) {
	t.Helper()
	proof, err := l.ConsistencyProof(t.Context(), a.Size, b.Size)
	if err == nil {
		err = tlog.VerifyConsistency(int64(a.Size), int64(b.Size), a.Root, b.Root, proof)
	}
	if err != nil {
		t.Errorf("trees of %d and %d: %v", a.Size, b.Size, err)
	}
}
