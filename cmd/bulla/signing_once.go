package main

import (
	"sync"

	"github.com/bulla-sign/bulla/internal/cli"
)

// onceEach are the bundles of a run by what they are about: the same is signed once. It is safe for concurrent use.
type onceEach struct{ made sync.Map } // *onceMade

type onceMade struct {
	mu sync.Mutex
	fresh
}

// get returns the bundle about a content, by its digest: the one that the run has made already, or else what make returns.
// What could not be made is tried again for the next that has it. In cosign's place everything is signed anew.
func (o *onceEach) get(c *cli.Call, digest string, make func() (fresh, error)) (m fresh, again bool, err error) {
	if c.Cosign {
		m, err = make()
		return m, false, err
	}
	v, _ := o.made.LoadOrStore(digest, new(onceMade))
	once := v.(*onceMade)
	once.mu.Lock()
	defer once.mu.Unlock()
	if once.b != nil {
		return once.fresh, true, nil
	}
	if m, err = make(); err == nil {
		once.fresh = m
	}
	return m, false, err
}
