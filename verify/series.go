package verify

import (
	"fmt"

	"github.com/bulla-sign/bulla/verify/reason"
)

// Series is the verification of candidates that are found one after the other: each is verified once, however often the
// report is asked for meanwhile. It is for one goroutine at a time.
type Series struct {
	req     Request // without candidates
	reports []CandidateReport
}

// NewSeries begins with what a request says of artifact, trust, policy and time; its candidates are left to [Series.Add]. The
// request is copied, and what it points to must not change any more.
func NewSeries(req *Request) *Series {
	s := &Series{req: *req}
	s.req.Candidates, s.req.Artifact.Message = nil, remember(req.Artifact.Message)
	return s
}

// Add holds further candidates against the artifact and returns the report of all that were added so far, which is what
// [Verify] says of a request that has all of them. It never returns nil.
func (s *Series) Add(more ...Candidate) *Report {
	req, n := &s.req, len(s.reports)+len(more)
	r := &Report{Artifact: req.Artifact.Name, Nearest: -1, Candidates: make([]CandidateReport, 0, min(n, MaxCandidates))}
	r.describe(req)
	if err := req.Policy.check(); err != nil {
		r.Code, r.Reason = reason.EmptyPolicy, err.Error()
		return r
	}
	if n > MaxCandidates {
		r.Code = reason.Malformed
		r.Reason = fmt.Sprintf("there are %d candidates; at most %d are looked at", n, MaxCandidates)
		return r
	}
	for i := range more {
		s.reports = append(s.reports, verifyCandidate(req, &more[i]))
	}
	r.Candidates = append(r.Candidates, s.reports...)
	r.decide(req)
	return r
}
