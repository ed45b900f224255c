package monitor

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// After a restart reading goes on where it was.
func TestRestart(t *testing.T) {
	l := newTreeLog(t, Rekor)
	l.fill(1000)
	b := watchLog(t, l)
	b.want()
	l.requests()
	b.reopen()
	b.wantRead(1000)
	b.want()
	if n := l.requests(); n != 0 {
		t.Errorf("%d bundles were read again", n)
	}
	l.set(func() { l.fill(1025) })
	b.want()
	if n := l.requests(); n != 2 {
		t.Errorf("%d bundles were read, two are new", n)
	}
}

// A state file that somebody or something has changed is not used, and nothing begins anew in its place.
func TestStateRefused(t *testing.T) {
	l := newTreeLog(t, Rekor)
	l.fill(300)
	b := watchLog(t, l)
	b.want()
	good, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	edit := func(change func(*state)) []byte {
		var s state
		if err := json.Unmarshal(good, &s); err != nil {
			t.Fatal(err)
		}
		change(&s)
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, data := range map[string][]byte{
		"empty":             {},
		"half":              good[:len(good)/2],
		"two":               append(bytes.Clone(good), good...),
		"unknown field":     bytes.Replace(good, []byte(`"read"`), []byte(`"raed"`), 1),
		"another version":   edit(func(s *state) { s.Version = 2 }),
		"another origin":    edit(func(s *state) { s.Origin = "x" }),
		"another key":       edit(func(s *state) { s.Key = strings.Repeat("0", 64) }),
		"head changed":      edit(func(s *state) { s.Head = strings.Replace(s.Head, "\n300\n", "\n301\n", 1) }),
		"head gone":         edit(func(s *state) { s.Head = "" }),
		"more read":         edit(func(s *state) { s.Read = 301 }),
		"negative":          edit(func(s *state) { s.Read = -1 }),
		"frontier too long": edit(func(s *state) { s.Frontier = append(s.Frontier, s.Frontier[0]) }),
		"frontier changed":  edit(func(s *state) { s.Frontier[0] = strings.Repeat("0", 64) }),
		"frontier no hash":  edit(func(s *state) { s.Frontier[0] = "zz" }),
		"findings":          edit(func(s *state) { s.Found = make([]Finding, maxFindings+1) }),
		"huge":              append(bytes.Clone(good), bytes.Repeat([]byte(" "), maxState)...),
	} {
		if err := os.WriteFile(b.path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := b.tryReopen(); err == nil {
			t.Errorf("%s: used", name)
		}
	}
	if err := os.WriteFile(b.path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	b.reopen()
	b.want()
}

// When its state cannot be kept, the monitor says so and does not go on as if it were.
func TestStateCannotBeKept(t *testing.T) {
	l := newTreeLog(t, Rekor)
	l.fill(10)
	b := watchLog(t, l)
	b.want()
	path := b.path
	b.follower.path = path + "/there/is/no/such/folder"
	l.set(func() { l.fill(20) })
	b.want(Storage)
	b.wantRead(10)
	b.follower.path = path
	b.want()
	b.wantRead(20)
}
