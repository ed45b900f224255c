package verify_test

import (
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/internal/testenv/world"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
	"github.com/bulla-sign/bulla/verify/reason"
)

// timeSource is who says when a signature was made: first and last are the earliest and the latest time said.
type timeSource struct {
	name        string
	first, last time.Time
	add         func(t *testing.T, sc *scene, e *evidence, req *verify.Request)
}

// timeSources are the ways to learn a time, alone and together, with a log and without.
func timeSources() []timeSource {
	early := world.SigningTime
	late := early.Add(7 * time.Minute)
	logged := func(t *testing.T, log *mint.Log, kind string, e *evidence, req *verify.Request, at time.Time) {
		e.spec.Time = at
		e.logAgain(t, log, kind)
		req.Policy.IgnoreLog, req.Policy.CurrentTime = false, false
		req.Now = late
	}
	stamped := func(t *testing.T, w *world.World, e *evidence, req *verify.Request, at time.Time) {
		e.stampAgain(t, w, at)
		req.Policy.Timestamps, req.Policy.CurrentTime = 1, false
		req.Now = late
	}
	return []timeSource{
		{"current time, not logged", early, early, func(*testing.T, *scene, *evidence, *verify.Request) {}},
		{"current time, v2 log", early, early, func(t *testing.T, sc *scene, e *evidence, req *verify.Request) {
			logged(t, sc.w.V2, mint.HashedRekordV2, e, req, early)
			req.Policy.CurrentTime, req.Now = true, early
		}},
		{"timestamp, not logged", early, early, func(t *testing.T, sc *scene, e *evidence, req *verify.Request) {
			stamped(t, sc.w, e, req, early)
		}},
		{"timestamp, v2 log", early, early, func(t *testing.T, sc *scene, e *evidence, req *verify.Request) {
			logged(t, sc.w.V2, mint.HashedRekordV2, e, req, early)
			stamped(t, sc.w, e, req, early)
		}},
		{"v1 log", early, early, func(t *testing.T, sc *scene, e *evidence, req *verify.Request) {
			logged(t, sc.w.V1, mint.HashedRekordV1, e, req, early)
		}},
		{"timestamp, then v1 log", early, late, func(t *testing.T, sc *scene, e *evidence, req *verify.Request) {
			logged(t, sc.w.V1, mint.HashedRekordV1, e, req, late)
			stamped(t, sc.w, e, req, early)
		}},
		{"v1 log, then timestamp", early, late, func(t *testing.T, sc *scene, e *evidence, req *verify.Request) {
			logged(t, sc.w.V1, mint.HashedRekordV1, e, req, early)
			stamped(t, sc.w, e, req, late)
		}},
		{"v1 log whose demand is waived, then timestamp", early, late, func(t *testing.T, sc *scene, e *evidence, req *verify.Request) {
			logged(t, sc.w.V1, mint.HashedRekordV1, e, req, early)
			stamped(t, sc.w, e, req, late)
			req.Policy.IgnoreLog = true
		}},
		{"two timestamps", early, late, func(t *testing.T, sc *scene, e *evidence, req *verify.Request) {
			stamped(t, sc.w, e, req, early)
			stamped(t, sc.other, e, req, late)
		}},
		{"two timestamps, the later first", early, late, func(t *testing.T, sc *scene, e *evidence, req *verify.Request) {
			stamped(t, sc.w, e, req, late)
			stamped(t, sc.other, e, req, early)
		}},
	}
}

// TestChainTime holds every window of a path against every source of time, at its edges and a second beyond: a window is
// inclusive, and must hold at every time (GHSA-wfqv-66vq-46rm: an expired intermediate passed where the log was skipped).
func TestChainTime(t *testing.T) {
	sc := newScene(t)
	const authorityWindow = "authority's window"
	for _, src := range timeSources() {
		for _, where := range []string{roleLeaf, roleIntermediate, roleRoot, authorityWindow} {
			for _, edge := range []struct {
				name     string
				from, to time.Time
				ok       bool
			}{
				{"exactly both edges", src.first, src.last, true},
				{"wide", src.first.Add(-time.Hour), src.last.Add(time.Hour), true},
				{"not yet valid", src.first.Add(time.Second), src.last.Add(time.Hour), false},
				{"expired", src.first.Add(-time.Hour), src.last.Add(-time.Second), false},
				{"over", src.first.Add(-time.Hour), src.first.Add(-time.Second), false},
				{"yet to come", src.last.Add(time.Second), src.last.Add(time.Hour), false},
			} {
				t.Run(src.name+"/"+where+"/"+edge.name, func(t *testing.T) {
					p := newPKI(t, editing(where, validity(edge.from, edge.to)))
					e, req := p.signed(t, sc, roleIntermediate)
					if where == authorityWindow {
						req.Root.CAs[0] = p.authority(t, trust.Window{Start: edge.from, End: edge.to}, roleIntermediate, roleRoot)
					}
					src.add(t, sc, e, req)
					if edge.ok {
						accepted(t, req)
					} else {
						refused(t, req, verify.CheckPath, reason.CertificateTime)
					}
				})
			}
		}
	}
}

// TestChainTimeSub does the same for an intermediate that comes with the bundle.
func TestChainTimeSub(t *testing.T) {
	sc := newScene(t)
	for _, src := range timeSources() {
		for _, tt := range []struct {
			name     string
			from, to time.Time
			ok       bool
		}{
			{"exactly both edges", src.first, src.last, true},
			{"not yet valid", src.first.Add(time.Second), src.last.Add(time.Hour), false},
			{"expired", src.first.Add(-time.Hour), src.last.Add(-time.Second), false},
		} {
			t.Run(src.name+"/"+tt.name, func(t *testing.T) {
				p := newPKI(t, editing(roleSub, validity(tt.from, tt.to)))
				e, req := p.signed(t, sc, roleSub, roleSub)
				req.Policy.AllowCertificateChain = true
				src.add(t, sc, e, req)
				if tt.ok {
					accepted(t, req)
					return
				}
				r := verify.Verify(req)
				wellRefused(t, r)
				// Path building alone names the time only where the path holds at the first of several.
				if r.Verified || (r.Code != reason.CertificateTime && r.Code != reason.Certificate) {
					t.Errorf("verified %v: %s: %s", r.Verified, r.Code, r.Reason)
				}
			})
		}
	}
}

// TestUntrustedTime checks that a time nobody trusted vouches for is not used, however convenient.
func TestUntrustedTime(t *testing.T) {
	sc := newScene(t)
	stranger := world.New(t)
	p := newPKI(t, nil)
	tests := []struct {
		name  string
		add   func(e *evidence, req *verify.Request)
		check verify.CheckName
		code  reason.Code
	}{
		{"nothing", func(*evidence, *verify.Request) {}, verify.CheckTime, reason.NoTime},
		{"timestamp of a stranger", func(e *evidence, _ *verify.Request) { e.stampAgain(t, stranger, e.spec.Time) }, verify.CheckTime, reason.NoTime},
		{"entry of a stranger's log", func(e *evidence, _ *verify.Request) {
			e.logAgain(t, stranger.V1, mint.HashedRekordV1)
		}, verify.CheckTime, reason.NoTime},
		{"integrated time without promise", func(e *evidence, _ *verify.Request) {
			e.logAgain(t, sc.w.V1, mint.HashedRekordV1)
			e.bundle.Material.Entries[0].Promise = nil
		}, verify.CheckTime, reason.NoTime},
		{"integrated time on a v2 entry", func(e *evidence, _ *verify.Request) {
			e.logAgain(t, sc.w.V2, mint.HashedRekordV2)
			e.bundle.Material.Entries[0].IntegratedTime = e.spec.Time.Unix()
		}, verify.CheckTime, reason.NoTime},
		{"log's time, and only signed timestamps count", func(e *evidence, req *verify.Request) {
			e.logAgain(t, sc.w.V1, mint.HashedRekordV1)
			req.Policy.SignedTimestampsOnly = true
		}, verify.CheckTime, reason.NoTime},
		{"time in the future", func(e *evidence, req *verify.Request) {
			e.stampAgain(t, sc.w, e.spec.Time)
			req.Now = e.spec.Time.Add(-11 * time.Minute)
		}, verify.CheckTime, reason.NoTime},
		{"log's window over", func(e *evidence, req *verify.Request) {
			e.logAgain(t, sc.w.V1, mint.HashedRekordV1)
			req.Root.Logs = append([]trust.Log(nil), req.Root.Logs...)
			for i := range req.Root.Logs {
				req.Root.Logs[i].Window.End = e.spec.Time.Add(-time.Second)
			}
		}, verify.CheckLog, reason.LogEntry},
		{"authority's window over", func(e *evidence, req *verify.Request) {
			e.stampAgain(t, sc.w, e.spec.Time)
			req.Root.TSAs = append([]trust.Authority(nil), req.Root.TSAs...)
			for i := range req.Root.TSAs {
				req.Root.TSAs[i].Window.End = e.spec.Time.Add(-time.Second)
			}
		}, verify.CheckTimestamp, reason.Timestamp},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, req := p.signed(t, sc, roleIntermediate)
			req.Policy.CurrentTime = false
			tt.add(e, req)
			refused(t, req, tt.check, tt.code)
		})
	}
}
