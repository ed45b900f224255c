package tufrepo

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulla-sign/bulla/tuf"
)

var ctx = context.Background()

func TestPublish(t *testing.T) {
	s := newSite(t)
	if err := s.server.Ready(ctx); err == nil {
		t.Error("ready before anything is published")
	}
	s.publish("one")
	if err := s.server.Ready(ctx); err != nil {
		t.Error(err)
	}
	c := s.client()
	if got := s.refresh(c); got.Version("targets") != 1 || len(got.Root.CAs) == 0 {
		t.Errorf("got %+v", got.Roles)
	}
	if got := s.mark(); got != "one" {
		t.Errorf("go-tuf reads %q", got)
	}
	// The same again is nothing new, even for a server that was just started.
	before := s.files()
	s.publish("one")
	s.open()
	s.publish("one")
	if after := s.files(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("publishing the same changed %v to %v", before, after)
	}
	s.publish("two")
	if got := s.refresh(c); got.Version("targets") != 2 || got.Version("snapshot") != 2 || got.Version("timestamp") != 2 {
		t.Errorf("got %+v", got.Roles)
	}
	if got := s.mark(); got != "two" {
		t.Errorf("go-tuf reads %q", got)
	}
	s.keptFiles(before)
	if err := Init(ctx, s.cfg, s.spec); !errors.Is(err, os.ErrExist) {
		t.Errorf("founded a second time: %v", err)
	}
}

func TestConcurrentPublications(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.publish("start")
	other, err := New(ctx, s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(ctx)
	var wg sync.WaitGroup
	for i := range 10 {
		for _, server := range []*Server{s.server, other} {
			wg.Go(func() {
				if err := server.Publish(ctx, content(t, fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
			})
		}
	}
	c := s.client()
	for range 10 {
		s.refresh(c)
	}
	wg.Wait()
	s.refresh(c)
	s.refresh(s.client())
}

// A year passes, an hour at a time: there is never a moment when a client cannot refresh.
func TestRenewal(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.publish("one")
	c := s.client()
	for hour := range 24 * 100 {
		s.clock.add(time.Hour)
		if err := s.server.Renew(ctx); err != nil {
			t.Fatal(err)
		}
		if hour%12 == 0 {
			s.refresh(c)
		}
		if at := s.server.Expires("timestamp"); at.Sub(s.clock.now()) < 6*day-time.Hour {
			t.Fatalf("after %d hours the timestamp has %v left", hour, at.Sub(s.clock.now()))
		}
		if at := s.server.Expires("snapshot"); at.Sub(s.clock.now()) < 15*day-time.Hour {
			t.Fatalf("after %d hours the snapshot has %v left", hour, at.Sub(s.clock.now()))
		}
	}
	got := s.refresh(c)
	if ts, sn := got.Version("timestamp"), got.Version("snapshot"); ts < 95 || ts > 110 || sn < 6 || sn > 8 || got.Version("targets") != 1 {
		t.Errorf("after 100 days the versions are %+v", got.Roles)
	}
	// Root and targets, whose keys are here, are signed anew when half of their time is over.
	s.clock.add(2000 * day)
	if err := s.server.Renew(ctx); err != nil {
		t.Fatal(err)
	}
	if got := s.refresh(s.client()); got.Version("root") != 2 || got.Version("targets") != 2 {
		t.Errorf("after six years the versions are %+v", got.Roles)
	}
}

// A server that slept for too long signs anew when it starts; one without keys says that it cannot.
func TestExpiredAtStart(t *testing.T) {
	s := newSite(t)
	s.publish("one")
	c := s.client()
	s.refresh(c)
	s.clock.add(60 * day)
	if _, err := c.Refresh(ctx); !errors.Is(err, tuf.ErrExpired) {
		t.Errorf("refreshed: %v", err)
	}
	if err := s.server.Ready(ctx); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("ready: %v", err)
	}
	keyless := s.cfg
	keyless.Signers = nil
	sleeping, err := New(ctx, keyless)
	if err != nil {
		t.Fatal(err)
	}
	defer sleeping.Close(ctx)
	if err := sleeping.Ready(ctx); err == nil {
		t.Error("ready without keys")
	}
	if err := sleeping.Renew(ctx); err == nil || !strings.Contains(err.Error(), "do not suffice") {
		t.Errorf("renewed without keys: %v", err)
	}
	s.open()
	if got := s.refresh(c); got.Version("snapshot") != 2 || got.Version("timestamp") != 2 {
		t.Errorf("versions %+v", got.Roles)
	}
}

// The clock is set back: versions go on, and nothing expires earlier than what was published before.
func TestClockSetBack(t *testing.T) {
	s := newSite(t)
	s.publish("one")
	expires := s.server.Expires("timestamp")
	s.clock.add(-20 * day)
	if err := s.server.Renew(ctx); err != nil {
		t.Fatal(err)
	}
	s.publish("two")
	if got := s.server.Expires("timestamp"); got.Before(expires) {
		t.Errorf("the timestamp now expires at %v, before that at %v", got, expires)
	}
	if got := s.refresh(s.client()); got.Version("timestamp") != 2 {
		t.Errorf("versions %+v", got.Roles)
	}
	s.clock.add(20 * day)
	if got := s.refresh(s.client()); got.Version("timestamp") != 2 {
		t.Errorf("versions %+v", got.Roles)
	}
}

// rotations replaces keys, one role after the other, as a rotation does: first both, then the new one.
func TestOnlineKeyRotation(t *testing.T) {
	s := newSite(t)
	s.publish("one")
	c, first := s.client(), s.client()
	s.refresh(c)
	old, fresh := s.online, edKey(t)
	both := s.spec
	both.Snapshot, both.Timestamp = keys(1, old, fresh), keys(1, old, fresh)
	if err := s.server.SetKeys(ctx, both); err != nil {
		t.Fatal(err)
	}
	s.refresh(c)
	s.cfg.Signers = []crypto.Signer{s.root, s.targets, fresh}
	s.open()
	only := s.spec
	only.Snapshot, only.Timestamp = keys(1, fresh), keys(1, fresh)
	// Without the old key at hand what it signed must be replaced first, which the two roots allow.
	if err := s.server.SetKeys(ctx, only); err != nil {
		t.Fatal(err)
	}
	if got := s.refresh(c); got.Version("root") != 3 {
		t.Errorf("versions %+v", got.Roles)
	}
	if got := s.refresh(first); got.Version("root") != 3 {
		t.Errorf("from the first root: %+v", got.Roles)
	}
	if got := s.mark(); got != "one" {
		t.Errorf("go-tuf reads %q", got)
	}
	before := s.files()
	if err := s.server.SetKeys(ctx, only); err != nil || fmt.Sprint(s.files()) != fmt.Sprint(before) {
		t.Errorf("setting the same keys changed something: %v", err)
	}
	// What the old key signs counts no more.
	evil, err := tuf.NewTimestamp(99, s.clock.now().Add(day), s.server.current.snapshot)
	if err == nil {
		err = evil.Sign(old)
	}
	data, err2 := evil.Encode()
	if err = errors.Join(err, err2, os.WriteFile(filepath.Join(s.cfg.Dir, "timestamp.json"), data, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Refresh(ctx); err == nil {
		t.Error("a timestamp by the key that was replaced is accepted")
	}
}

// A key was stolen: it is replaced in one step.
func TestCompromise(t *testing.T) {
	s := newSite(t)
	s.publish("one")
	c := s.client()
	s.refresh(c)
	next := s.spec
	newRoot, newTargets, newOnline := edKey(t), ecKey(t), ecKey(t)
	next.Root, next.Targets, next.Snapshot, next.Timestamp = keys(1, newRoot), keys(1, newTargets), keys(1, newOnline), keys(1, newOnline)
	s.cfg.Signers = append(s.cfg.Signers, newRoot, newTargets, newOnline)
	s.open()
	if err := s.server.SetKeys(ctx, next); err != nil {
		t.Fatal(err)
	}
	s.refresh(c)
	s.cfg.Signers = []crypto.Signer{newRoot, newTargets, newOnline}
	s.open()
	s.publish("two")
	if got := s.refresh(c); got.Version("root") != 2 || got.Version("targets") != 3 {
		t.Errorf("versions %+v", got.Roles)
	}
	s.refresh(s.client())
	if got := s.mark(); got != "two" {
		t.Errorf("go-tuf reads %q", got)
	}
}

func TestBrokenRepositories(t *testing.T) {
	for _, tt := range []struct {
		name, words string
		do          func(t *testing.T, dir string)
	}{
		{"no root", "no root", func(_ *testing.T, dir string) { os.Remove(dir + "/1.root.json"); os.Remove(dir + "/2.root.json") }},
		{"first root missing", "1.root.json is missing", func(_ *testing.T, dir string) { os.Remove(dir + "/1.root.json") }},
		{"timestamp missing", "timestamp.json is missing", func(_ *testing.T, dir string) { os.Remove(dir + "/timestamp.json") }},
		{"snapshot missing", "2.snapshot.json", func(_ *testing.T, dir string) { os.Remove(dir + "/2.snapshot.json") }},
		{"targets missing", "2.targets.json", func(_ *testing.T, dir string) { os.Remove(dir + "/2.targets.json") }},
		{"root of another version", "should be 1.root.json", func(_ *testing.T, dir string) { copyFile(t, dir+"/1.root.json", dir+"/2.root.json") }},
		{"timestamp changed", "not signed as demanded", func(t *testing.T, dir string) {
			data, err := os.ReadFile(dir + "/timestamp.json")
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.Replace(string(data), `"_type": "timestamp",`, `"_type": "timestamp", "more": "x",`, 1)
			if err := os.WriteFile(dir+"/timestamp.json", []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"no JSON", "not valid JSON", func(t *testing.T, dir string) {
			if err := os.WriteFile(dir+"/timestamp.json", []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.publish("one")
			s.publish("two")
			next := s.spec
			next.Root = keys(1, s.root, s.targets)
			if err := s.server.SetKeys(ctx, next); err != nil {
				t.Fatal(err)
			}
			tt.do(t, s.cfg.Dir)
			if _, err := New(ctx, s.cfg); err == nil || !strings.Contains(err.Error(), tt.words) {
				t.Errorf("error %v, want one with %q", err, tt.words)
			}
		})
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestConfigs(t *testing.T) {
	for _, change := range []func(*Config){
		func(c *Config) { c.Dir = "" },
		func(c *Config) { c.Prefix = "tuf" },
		func(c *Config) { c.Prefix = "/tuf/" },
		func(c *Config) { c.Prefix = "/{x}" },
		func(c *Config) { c.Lifetimes.Timestamp = time.Second },
		func(c *Config) { c.Lifetimes.Root = 100 * 365 * day },
		func(c *Config) { c.Lifetimes.Snapshot = -time.Hour },
	} {
		s := newSite(t)
		cfg := s.cfg
		change(&cfg)
		if _, err := New(ctx, cfg); err == nil {
			t.Errorf("a server of %+v", cfg)
		}
		if err := Init(ctx, cfg, s.spec); err == nil || errors.Is(err, os.ErrExist) {
			t.Errorf("founded with %+v: %v", cfg, err)
		}
	}
}

func TestMetrics(t *testing.T) {
	s := newSite(t)
	reg := prometheus.NewRegistry()
	s.cfg.Metrics = reg
	s.open()
	s.publish("one")
	s.clock.add(day / 2)
	for role, want := range map[string]float64{"timestamp": 6.5, "snapshot": 29.5} {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == "bulla_tuf_expires_in_seconds" && m.GetLabel()[0].GetValue() == role {
					found = true
					if got := m.GetGauge().GetValue() / day.Seconds(); got < want-0.01 || got > want+0.01 {
						t.Errorf("%s expires in %v days, want %v", role, got, want)
					}
				}
			}
		}
		if !found {
			t.Errorf("no gauge for %s", role)
		}
	}
}
