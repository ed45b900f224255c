package verify_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/verify"
	"github.com/bulla-sign/bulla/verify/reason"
)

// What is found piece by piece is judged as if it had been there at once, good and bad together, at every step.
func TestSeries(t *testing.T) {
	sc := newScene(t)
	all := shapes()
	for i := range all {
		e := all[i].make(t, sc, sc.w, all[i].spec)
		req := e.request(t, sc.root)
		if all[i].demand != nil {
			all[i].demand(&req.Policy)
		}
		good := req.Candidates
		empty := verify.Candidate{Name: "empty", Bundle: &bundle.Bundle{}}
		req.Candidates = slices.Concat([]verify.Candidate{{Name: "none"}, empty}, good, good, []verify.Candidate{empty})
		all, series := req.Candidates, verify.NewSeries(req)
		for n := range len(all) + 1 {
			req.Candidates = all[:n]
			want, got := verify.Verify(req), series.Add(all[max(n-1, 0):n]...)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("after %d: got %+v, want %+v", n, got, want)
			}
			if n == len(all) && !got.Verified || n == 2 && got.Verified {
				t.Errorf("after %d: verified %t: %s", n, got.Verified, got.Reason)
			}
		}
	}
}

// A series has the limit of one request, and the policy that it began with.
func TestSeriesLimits(t *testing.T) {
	sc := newScene(t)
	first := shapes()[0]
	req := first.make(t, sc, sc.w, first.spec).request(t, sc.root)
	series := verify.NewSeries(req)
	bad := make([]verify.Candidate, verify.MaxCandidates-1)
	if r := series.Add(bad...); r.Verified || len(r.Candidates) != len(bad) {
		t.Errorf("%d candidates, verified %t", len(r.Candidates), r.Verified)
	}
	if r := series.Add(bad[:2]...); r.Verified || r.Code != reason.Malformed || len(r.Candidates) != 0 {
		t.Errorf("over the limit: verified %t, %q, %d candidates", r.Verified, r.Code, len(r.Candidates))
	}
	if r := series.Add(req.Candidates[0]); !r.Verified || len(r.Candidates) != verify.MaxCandidates {
		t.Errorf("at the limit: verified %t: %s", r.Verified, r.Reason)
	}
	none := *req
	none.Policy = verify.Policy{}
	if r := verify.NewSeries(&none).Add(req.Candidates...); r.Verified || r.Code != reason.EmptyPolicy {
		t.Errorf("without a policy: verified %t, %q", r.Verified, r.Code)
	}
}
