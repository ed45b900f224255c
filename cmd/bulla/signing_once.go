package main

import (
	"sync"
	"sync/atomic"

	"github.com/bulla-sign/bulla/internal/cli"
)

// maxOnce bounds the bundles that a run keeps, each of some KiB: a list may have a hundred thousand entries, and equal ones are
// near each other, if there are any. What comes after is signed as often as it is listed.
const maxOnce = 10_000

// onceEach are the bundles of a run by what they are about: the same is signed once. It is safe for concurrent use.
type onceEach struct {
	made sync.Map // *onceMade
	kept atomic.Int64
}

type onceMade struct {
	mu sync.Mutex
	fresh
}

// get returns the bundle about a content, by its digest: the one that the run has made already, or else what make returns.
// What could not be made is tried again for the next that has it. In cosign's place everything is signed anew.
func (o *onceEach) get(c *cli.Call, digest string, make func() (fresh, error)) (fresh, error) {
	v, known := o.made.Load(digest)
	if c.Cosign || !known && o.kept.Load() >= maxOnce {
		return make()
	}
	if !known {
		if v, known = o.made.LoadOrStore(digest, new(onceMade)); !known {
			o.kept.Add(1)
		}
	}
	once := v.(*onceMade)
	once.mu.Lock()
	defer once.mu.Unlock()
	if once.b != nil {
		return once.fresh, nil
	}
	m, err := make()
	if err == nil {
		once.fresh = m
	}
	return m, err
}
