// Package buildinfo knows which build of a program is running.
package buildinfo

import (
	"runtime"
	"runtime/debug"
)

// Stamped by the linker, as in -ldflags "-X github.com/bulla-sign/bulla/internal/cli/buildinfo.version=v1.2.3". What is
// not stamped is taken from what the go command records, which knows the version of "go install …@v1.2.3".
var version, commit, treeState, date string

// Info describes a build. The JSON names are those that scripts read from "cosign version --json".
type Info struct {
	Version   string `json:"gitVersion"` // "v1.2.3", or "devel" where nobody said
	Commit    string `json:"gitCommit"`
	TreeState string `json:"gitTreeState"` // clean, dirty or unknown
	Date      string `json:"buildDate"`    // RFC 3339: of the commit, so that builds can be repeated
	GoVersion string `json:"goVersion"`
	Compiler  string `json:"compiler"`
	Platform  string `json:"platform"` // linux/amd64
}

// Read returns what is known about the running program. Unknown fields say "unknown".
func Read() Info {
	info := Info{
		Version: version, Commit: commit, TreeState: treeState, Date: date,
		GoVersion: runtime.Version(), Compiler: runtime.Compiler, Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if recorded, ok := debug.ReadBuildInfo(); ok {
		info.complete(recorded)
	}
	if info.Version == "" {
		info.Version = "devel"
	}
	for _, field := range []*string{&info.Commit, &info.TreeState, &info.Date} {
		if *field == "" {
			*field = "unknown"
		}
	}
	return info
}

func (i *Info) complete(recorded *debug.BuildInfo) {
	settings := make(map[string]string)
	for _, s := range recorded.Settings {
		settings[s.Key] = s.Value
	}
	if i.Version == "" && recorded.Main.Version != "(devel)" {
		i.Version = recorded.Main.Version
	}
	if i.Commit == "" {
		i.Commit = settings["vcs.revision"]
	}
	if i.Date == "" {
		i.Date = settings["vcs.time"]
	}
	if i.TreeState == "" {
		i.TreeState = map[string]string{"true": "dirty", "false": "clean"}[settings["vcs.modified"]]
	}
}

// UserAgent names the program in HTTP requests, as in "bulla/v1.2.3 (linux; amd64)".
func UserAgent(program string) string {
	return program + "/" + Read().Version + " (" + runtime.GOOS + "; " + runtime.GOARCH + ")"
}
