//go:build linux

package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// calls are the system calls that change what is on the disk, by what they do.
var calls = map[string]string{
	"sync":   "fsync,fdatasync",
	"rename": "rename,renameat,renameat2",
	"write":  "write,pwrite64",
}

// needStrace skips where there is no strace, and fails in CI.
func needStrace(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		if ci {
			t.Fatal("strace is needed and is not here")
		}
		t.Skip("skipped: strace is not here")
	}
	return path
}

// inject is the command that runs the server with a fault at the n-th call of a kind in each of its threads (strace
// counts them by thread). Its filter in the kernel, --seccomp-bpf, is not for this: strace 6.1 then counts no further
// than one.
func inject(strace, kind, fault string, n int) []string {
	return []string{
		strace, "-f", "-qqq", "-o", "/dev/null", "-e", "trace=" + calls[kind], "-e", "signal=none",
		"-e", fmt.Sprintf("inject=%s:%s:when=%d", calls[kind], fault, n),
	}
}

// points are those numbers n that a suite tries; it ends at the first that nothing reaches any more.
func points(t *testing.T) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for n := 1; ; n += max(1, step(n)) {
			if t.Failed() || !yield(n) {
				return
			}
		}
	}
}

// fewest is how many points there are at least, in the sample that CI takes.
const fewest = 5

// step leaves out more the further one gets, unless all points are to be tried.
func step(n int) int {
	if soak {
		return 1
	}
	return n
}

// TestKilledAtEveryCall kills the server at its n-th sync, rename and write, at start-up and under load, starts it again
// and asks for everything that was acknowledged.
func TestKilledAtEveryCall(t *testing.T) {
	t.Parallel()
	strace := needStrace(t)
	for kind := range calls {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			var died, promised int
			for n := range points(t) {
				reached, count := killAt(t, p, inject(strace, kind, "signal=KILL", n))
				promised += count
				if !reached {
					break
				}
				died++
			}
			t.Logf("it died at %d points; %d promises, all kept", died, promised)
			if promised == 0 || died < fewest {
				t.Error("too few points or promises: little was tested")
			}
		})
	}
}

// killAt runs one case. reached says that the server died of it.
func killAt(t *testing.T, p *place, wrap []string) (reached bool, promises int) {
	t.Helper()
	ctx := t.Context()
	dir := p.state(t)
	ledger := newLedger(p)
	s, err := p.launch(dir, wrap...)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.await(); err == nil {
		ledger.work(ctx, t, 2, 12, 4)
	} else if !s.gone() {
		t.Fatal(err)
	}
	reached = s.gone() || ledger.lost != nil // strace may not have told of the death yet
	s.kill()
	comeBack(t, ledger, dir, wrap)
	entries, certificates, _ := ledger.counts()
	return reached, entries + certificates
}

// comeBack starts the server on what a crash left, asks for everything, and sees that it still works.
func comeBack(t *testing.T, l *ledger, dir string, how []string) {
	t.Helper()
	ctx := context.Background()
	s, err := l.at.start(dir)
	if err != nil {
		t.Fatalf("after %s: %v", strings.Join(how, " "), err)
	}
	defer s.kill()
	if err := l.audit(ctx, dir); err != nil {
		t.Fatalf("after %s: %v\n%s", strings.Join(how, " "), err, s.words())
	}
	before, certificates, _ := l.counts()
	if err := l.log(ctx); err != nil {
		t.Fatal(err)
	}
	if err := l.certify(ctx); err != nil {
		t.Fatal(err)
	}
	if after, more, _ := l.counts(); after != before+1 || more != certificates+1 {
		t.Fatalf("after %s the server answers, and takes nothing: %s", strings.Join(how, " "), s.words())
	}
	if err := l.audit(ctx, dir); err != nil {
		t.Fatal(err)
	}
}

// TestKilledUnderLoad kills the server again and again, at any moment, on one state.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	rounds := 5
	if soak {
		rounds = 200
	}
	dir := p.state(t)
	ledger := newLedger(p)
	for round := range rounds {
		s, err := p.start(dir)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := ledger.audit(t.Context(), dir); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		killer := time.AfterFunc(time.Duration(rand.N(700))*time.Millisecond, s.kill)
		ledger.work(t.Context(), t, 8, 1000, 1000)
		killer.Stop()
		s.kill()
	}
	comeBack(t, ledger, dir, []string{"kill -9"})
	entries, certificates, _ := ledger.counts()
	t.Logf("killed %d times; %d entries and %d certificates, all there", rounds, entries, certificates)
	if entries == 0 || certificates == 0 {
		t.Error("nothing was acknowledged")
	}
}
