package verify_test

import (
	"sync"
	"testing"

	"github.com/bulla-sign/bulla/verify"
)

// Servers verify for many at once, with one trusted root and perhaps the same bundle: nothing that is handed over is
// changed, and nothing is remembered in between. The race detector is the judge.
func TestTogether(t *testing.T) {
	sc := newScene(t)
	var group sync.WaitGroup
	all := shapes()
	for i := range all {
		e := all[i].make(t, sc, sc.w, all[i].spec)
		req := e.request(t, sc.root)
		if all[i].demand != nil {
			all[i].demand(&req.Policy)
		}
		for range 2 {
			group.Go(func() {
				verify.Needs(req.Candidates, &req.Policy)
				if r := verify.Verify(req); !r.Verified {
					t.Errorf("%s: %s", all[i].name, r.Reason)
				}
			})
		}
	}
	group.Wait()
}
