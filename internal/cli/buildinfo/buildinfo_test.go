package buildinfo

import (
	"runtime/debug"
	"strings"
	"testing"
)

func TestComplete(t *testing.T) {
	recorded := &debug.BuildInfo{
		Main: debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}, {Key: "vcs.modified", Value: "true"},
		},
	}
	var got Info
	got.complete(recorded)
	if want := (Info{Version: "v1.2.3", Commit: "abc", Date: "2026-01-02T03:04:05Z", TreeState: "dirty"}); got != want {
		t.Errorf("got %+v", got)
	}
	got = Info{Version: "v9", Commit: "c", TreeState: "clean", Date: "d"}
	stamped := got
	if got.complete(recorded); got != stamped {
		t.Errorf("what was stamped must stay, got %+v", got)
	}
	got = Info{}
	if got.complete(&debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}); got != (Info{}) {
		t.Errorf("nothing is known, got %+v", got)
	}
}

func TestReadLeavesNothingEmpty(t *testing.T) {
	info := Read()
	for name, v := range map[string]string{
		"version": info.Version, "commit": info.Commit, "tree": info.TreeState, "date": info.Date,
		"go": info.GoVersion, "compiler": info.Compiler, "platform": info.Platform,
	} {
		if v == "" {
			t.Errorf("%s is empty", name)
		}
	}
	if ua := UserAgent("bulla"); !strings.HasPrefix(ua, "bulla/"+info.Version+" (") {
		t.Errorf("user agent %q", ua)
	}
}
