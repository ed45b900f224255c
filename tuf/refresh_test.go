package tuf_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bulla-sign/bulla/tuf"
	keeping "github.com/bulla-sign/bulla/tuf/refresh"
)

// line is a network without sockets that can be cut.
type line struct {
	inMemory
	mu    sync.Mutex
	cut   bool
	asked []time.Time // for timestamps
}

func (l *line) RoundTrip(req *http.Request) (*http.Response, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.HasSuffix(req.URL.Path, "timestamp.json") {
		l.asked = append(l.asked, time.Now())
	}
	if l.cut {
		return nil, errors.New("no route to host")
	}
	return l.inMemory.RoundTrip(req)
}

func (l *line) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
}

// times returns when the timestamp was asked for since the last call.
func (l *line) times() []time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.asked
	l.asked = nil
	return out
}

// background runs a refresher in a bubble in which time passes as fast as everybody sleeps.
func background(t *testing.T, config keeping.Config, test func(t *testing.T, r *repository, l *line, f *keeping.Refresher)) {
	t.Helper()
	r := newRepository(t) // its server is not of the bubble, and is not asked
	synctest.Test(t, func(t *testing.T) {
		r.t, r.clock.now = t, time.Now()
		r.rotateRoot(nil)
		r.publish(publicTargets(t)...)
		l := &line{inMemory: inMemory{r}}
		c, err := tuf.New(tuf.Config{Mirror: "http://mirror.test/repo", Root: r.get("2.root.json"), HTTP: &http.Client{Transport: l}})
		if err != nil {
			t.Fatal(err)
		}
		f := keeping.New(c, config)
		if _, err := f.Trust(); err == nil {
			t.Error("something is trusted before anybody was asked")
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		synctest.Wait()
		test(t, r, l, f)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}

func holds(t *testing.T, f *keeping.Refresher) *tuf.Trust {
	t.Helper()
	got, err := f.Trust()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// It asks every so often, never twice after the same time, and finds what is new.
func TestRefresher(t *testing.T) {
	background(t, keeping.Config{Every: time.Hour}, func(t *testing.T, r *repository, l *line, f *keeping.Refresher) {
		if got := holds(t, f); got.Version("timestamp") != 2 || got.Problem != nil {
			t.Errorf("got %+v", got)
		}
		r.restamp()
		time.Sleep(90 * time.Minute)
		if got := holds(t, f); got.Version("timestamp") != 3 {
			t.Errorf("got %+v", got)
		}
		time.Sleep(48 * time.Hour)
		times := l.times()
		different := make(map[time.Duration]bool)
		for i, at := range times[1:] {
			d := at.Sub(times[i])
			if different[d] = true; d < 48*time.Minute || d > 72*time.Minute {
				t.Errorf("asked after %s", d)
			}
		}
		if len(times) < 41 || len(different) < 20 {
			t.Errorf("asked %d times, after %d different times", len(times), len(different))
		}
		if age := time.Since(holds(t, f).Checked); age > 72*time.Minute {
			t.Errorf("age %s", age)
		}
	})
}

// While the network is away it asks ever more rarely, and the last good trust holds until it expires; then it is taken up
// again.
func TestRefresherWithoutNetwork(t *testing.T) {
	var mu sync.Mutex
	var problems int
	told := func(got *tuf.Trust, problem error) {
		mu.Lock()
		defer mu.Unlock()
		if problem != nil {
			problems++
		}
		if got == nil {
			t.Error("told of nothing")
		}
	}
	background(t, keeping.Config{Every: 4 * time.Hour, Told: told}, func(t *testing.T, r *repository, l *line, f *keeping.Refresher) {
		l.set(true)
		l.times()
		time.Sleep(6 * 24 * time.Hour)
		got := holds(t, f)
		if age := time.Since(got.Checked); age < 5*24*time.Hour || !errors.Is(got.Problem, tuf.ErrNoAnswer) {
			t.Errorf("age %s, problem %v", age, got.Problem)
		}
		mu.Lock()
		if problems < 20 || problems > 60 {
			t.Errorf("it failed %d times in six days", problems)
		}
		mu.Unlock()
		time.Sleep(25 * time.Hour)
		if got, err := f.Trust(); !errors.Is(err, tuf.ErrExpired) || !errors.Is(err, tuf.ErrNoAnswer) {
			t.Errorf("got %+v, %v", got, err)
		}
		r.clock.add(time.Since(r.clock.Now()))
		r.publish(publicTargets(t)...)
		l.set(false)
		time.Sleep(5 * time.Hour)
		if got := holds(t, f); got.Problem != nil || got.Version("targets") != 3 {
			t.Errorf("got %+v, problem %v", got, got.Problem)
		}
	})
}

// Trust that expires soon is refreshed before.
func TestRefresherIsThereBeforeTheExpiry(t *testing.T) {
	background(t, keeping.Config{Every: 30 * 24 * time.Hour}, func(t *testing.T, r *repository, _ *line, f *keeping.Refresher) {
		for range 20 {
			time.Sleep(24 * time.Hour)
			holds(t, f)
			r.clock.add(time.Since(r.clock.Now()))
			r.restamp()
		}
	})
}

// A mirror that lies takes nothing away.
func TestRefresherKeepsWhatIsGood(t *testing.T) {
	background(t, keeping.Config{Every: time.Hour, Retry: time.Minute}, func(t *testing.T, r *repository, _ *line, f *keeping.Refresher) {
		good := r.get("timestamp.json")
		r.put("timestamp.json", []byte("<html>"))
		time.Sleep(2 * time.Hour)
		if got := holds(t, f); got.Problem == nil || !strings.Contains(got.Problem.Error(), "not valid JSON") || len(got.Root.Logs) == 0 {
			t.Errorf("got %+v, problem %v", got, got.Problem)
		}
		r.put("timestamp.json", good)
		time.Sleep(2 * time.Hour)
		if got := holds(t, f); got.Problem != nil {
			t.Errorf("problem %v", got.Problem)
		}
	})
}
