package trust

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// service makes one whose window opened days before noon; until is when it closes, in days after noon, 0: never.
func service(url, operator string, version uint32, days, until int) Service {
	s := Service{URL: url, Operator: operator, MajorAPIVersion: version, Window: Window{Start: noon.AddDate(0, 0, -days)}}
	if until != 0 {
		s.Window.End = noon.AddDate(0, 0, until)
	}
	return s
}

func urls(list []Service) string {
	var out []string
	for _, s := range list {
		out = append(out, s.URL)
	}
	return strings.Join(out, " ")
}

func TestChooseSeveral(t *testing.T) {
	all := []Service{
		service("a1", "a", 1, 100, 0), service("a2", "a", 2, 50, 0), service("a2new", "a", 2, 10, 0),
		service("a2next", "a", 2, -5, 0), service("b2", "b", 2, 30, 0), service("b2over", "b", 2, 9, -1),
		service("c1", "c", 1, 1, 0), service("d3", "d", 3, 1, 0), service("e0", "e", 0, 1, 0),
	}
	both := []uint32{1, 2}
	last := func(n int) int { return n - 1 }
	for _, c := range []struct {
		name string
		list []Service
		c    Choosing
		s    Selection
		want string // "!text": an error with this text
	}{
		{"all", all, Choosing{Versions: both}, Selection{Selector: SelectAll}, "a2new b2"},
		{"any", all, Choosing{Versions: both}, Selection{Selector: SelectAny}, "a2new"},
		{"any, picked", all, Choosing{Versions: both, Pick: last}, Selection{Selector: SelectAny}, "b2"},
		{"exact", all, Choosing{Versions: both, Pick: last}, Selection{SelectExact, 2}, "a2new b2"},
		{"too few", all, Choosing{Versions: both}, Selection{SelectExact, 3}, "!EXACT:3 is asked for, and only 2 of different operators"},
		{"version 1", all, Choosing{Versions: []uint32{1}}, Selection{Selector: SelectAll}, "c1 a1"},
		{"higher version is not open", all[3:7], Choosing{Versions: []uint32{1, 2}}, Selection{Selector: SelectAll}, "b2"},
		{"falls back to the lower version", []Service{all[0], all[3]}, Choosing{Versions: both}, Selection{Selector: SelectAny}, "a1"},
		{"unknown version", all[7:8], Choosing{Versions: both}, Selection{Selector: SelectAny}, "!d3 speaks version 3"},
		{"not released", all[8:], Choosing{Versions: []uint32{0, 1}}, Selection{Selector: SelectAny}, "!e0 speaks version 0"},
		{"closed", all[5:6], Choosing{Versions: both}, Selection{Selector: SelectAny}, "!b2over is valid from"},
		{"none, and none wanted", nil, Choosing{Versions: both}, Selection{}, ""},
		{"none listed for ANY", nil, Choosing{Versions: both}, Selection{Selector: SelectAny}, ""},
		{"none listed for EXACT", nil, Choosing{Versions: both}, Selection{SelectExact, 1}, "!none is listed"},
		{"no selector", all, Choosing{Versions: both}, Selection{}, "!the selector does not say"},
	} {
		before := slices.Clone(c.list)
		c.c.Now = noon
		got, err := c.c.Several(c.list, c.s)
		wantErr, isErr := strings.CutPrefix(c.want, "!")
		switch {
		case isErr && (err == nil || !errors.Is(err, ErrNoService) || !strings.Contains(err.Error(), wantErr)):
			t.Errorf("%s: got %q, %v", c.name, urls(got), err)
		case !isErr && (err != nil || urls(got) != c.want):
			t.Errorf("%s: got %q, %v, want %q", c.name, urls(got), err, c.want)
		}
		if !slices.Equal(before, c.list) {
			t.Errorf("%s: the list was changed", c.name)
		}
	}
}

func TestChooseOne(t *testing.T) {
	list := []Service{
		service("old", "a", 1, 100, 0), service("new", "a", 1, 10, 0), service("next", "a", 1, -1, 0), service("same", "b", 1, 10, 0),
	}
	c := Choosing{Now: noon, Versions: []uint32{1}}
	if got, err := c.One(list); err != nil || got.URL != "new" {
		t.Errorf("got %v, %v", got.URL, err)
	}
	// Both ends of a window are in it.
	c.Now = list[2].Window.Start
	if got, err := c.One(list); err != nil || got.URL != "next" {
		t.Errorf("at its start: got %v, %v", got.URL, err)
	}
	ends := []Service{service("ends", "a", 1, 10, 1)}
	c.Now = ends[0].Window.End
	if _, err := c.One(ends); err != nil {
		t.Errorf("at its end: %v", err)
	}
	c.Now = c.Now.Add(time.Second)
	if _, err := c.One(ends); !errors.Is(err, ErrNoService) {
		t.Errorf("after its end: %v", err)
	}
	if _, err := c.One(nil); !errors.Is(err, ErrNoService) {
		t.Errorf("of none: %v", err)
	}
}

// The public-good instance's own two configs: version 1 of the log by default, version 2 by choice.
func TestChoosePublicGood(t *testing.T) {
	for name, want := range map[string]string{
		"signing_config.v0.2.json":          "https://rekor.sigstore.dev",
		"signing_config_rekor_v2.v0.2.json": "https://log2025-1.rekor.sigstore.dev",
	} {
		config, err := DecodeSigningConfig(testenv.ReadVector(t, "tuf", "root-signing", "targets", name))
		if err != nil {
			t.Fatal(err)
		}
		c := Choosing{Now: noon, Versions: []uint32{1, 2}}
		logs, err := c.Several(config.Logs, config.LogConfig)
		if err != nil || urls(logs) != want {
			t.Errorf("%s: got %q, %v", name, urls(logs), err)
		}
		c.Versions = []uint32{1}
		if ca, err := c.One(config.CAs); err != nil || ca.URL != "https://fulcio.sigstore.dev" {
			t.Errorf("%s: authority %q, %v", name, ca.URL, err)
		}
		if tsas, err := c.Several(config.TSAs, config.TSAConfig); err != nil || len(tsas) != 1 {
			t.Errorf("%s: timestamp authorities %q, %v", name, urls(tsas), err)
		}
	}
}
