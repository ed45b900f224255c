// Package toolcache builds the pinned programs that tests and CI run beside bulla (cosign, a registry, linters) and
// keeps them outside the tree, one folder a version, so that each is built once on a machine.
//
// The programs come from their Go modules by `go install PACKAGE@VERSION`, with the environment's own module proxy.
// They are never part of a module that is shipped: no go.mod of ours names them. Only tests and tools import this
// package.
package toolcache

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"time"
)

// Tool is one pinned program.
type Tool struct {
	Name    string // what it is asked for by, and the file name of the program
	Package string // import path of its main package
	Version string // module version, exact
	Why     string // what the project needs it for
	Built   string // what go install calls the program, where that is not Name
	CGO     bool   // whether it is built with cgo; none of them needs it today
	// Module is set where the module's version can be had, but not the list of its versions, which go install asks for: the
	// path of the module.
	Module string
}

// tools is the one table of pinned versions. A version is raised here and nowhere else.
func tools() []Tool {
	return []Tool{
		{
			Name: "cosign", Package: "github.com/sigstore/cosign/v3/cmd/cosign", Version: "v3.1.3",
			Why: "the peer of the interop tests and of the bench",
		},
		{
			Name: "registry", Package: "github.com/distribution/distribution/v3/cmd/registry", Version: "v3.1.2",
			Why: "a real registry without the referrers API, for the demo and the interop tests",
		},
		{
			Name: "crane", Package: "github.com/google/go-containerregistry/cmd/crane", Version: "v0.22.1",
			Why: "looks at registries from outside",
		},
		{
			Name: "fulcio", Package: "github.com/sigstore/fulcio", Version: "v1.8.8",
			Why: "the real certificate authority: our client signs with it, ours is measured beside it",
		},
		{
			Name: "rekor-tiles", Package: "github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix", Version: "v2.3.0", Built: "posix",
			Why: "the real transparency log, version 2, on files",
		},
		{
			Name: "timestamp-server", Package: "github.com/sigstore/timestamp-authority/v2/cmd/timestamp-server", Version: "v2.1.3",
			Why: "the real timestamp authority",
		},
		{
			Name: "rekor-server", Package: "github.com/sigstore/rekor/cmd/rekor-server", Version: "v1.5.4",
			Why: "the real transparency log, version 1: what the public instance runs",
		},
		{
			Name: "trillian-log-server", Package: "github.com/google/trillian/cmd/trillian_log_server", Version: "v1.7.3", Built: "trillian_log_server",
			Why: "what that log keeps its entries with; the version that it requires",
		},
		{
			Name: "trillian-log-signer", Package: "github.com/google/trillian/cmd/trillian_log_signer", Version: "v1.7.3", Built: "trillian_log_signer",
			Why: "puts those entries into the tree",
		},
		{
			Name: "litewitness", Package: "filippo.io/torchwood/cmd/litewitness", Version: "v0.8.0", Module: "filippo.io/torchwood",
			Why: "a real witness of logs",
		},
		{
			Name: "zitadel-oidc", Package: "github.com/zitadel/oidc/v3/example/server", Version: "v3.45.0", Built: "server",
			Why: "an identity provider by others, which stands in the place of ours",
		},
		{
			Name: "cosign2", Package: "github.com/sigstore/cosign/v2/cmd/cosign", Version: "v2.6.5", Built: "cosign",
			Why: "the last cosign of version 2, which reads the older targets of a TUF repository",
		},
		{
			Name: "staticcheck", Package: "honnef.co/go/tools/cmd/staticcheck", Version: "v0.8.2",
			Why: "the linter",
		},
		{
			Name: "errcheck", Package: "github.com/kisielk/errcheck", Version: "v1.30.0",
			Why: "finds errors that nobody looks at",
		},
		{
			Name: "gofumpt", Package: "mvdan.cc/gofumpt", Version: "v0.12.0",
			Why: "the formatter",
		},
		{
			Name: "govulncheck", Package: "golang.org/x/vuln/cmd/govulncheck", Version: "v1.8.0",
			Why: "known holes in what is linked; v1.9.0 needs a module that the proxy refuses",
		},
	}
}

// Names lists the known tools in alphabetical order.
func Names() []string {
	var names []string
	for _, t := range tools() {
		names = append(names, t.Name)
	}
	sort.Strings(names)
	return names
}

// Lookup finds a tool by its name.
func Lookup(name string) (Tool, error) {
	for _, t := range tools() {
		if t.Name == name {
			return t, nil
		}
	}
	return Tool{}, fmt.Errorf("no tool %q; known are %s", name, strings.Join(Names(), ", "))
}

// Dir is where the tools are kept: $BULLA_TOOLS, or bulla-tools below the user's cache directory.
func Dir() (string, error) {
	if dir := os.Getenv("BULLA_TOOLS"); dir != "" {
		return filepath.Abs(dir)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory for tools, set BULLA_TOOLS: %w", err)
	}
	return filepath.Join(cache, "bulla-tools"), nil
}

// Path returns the path of the named tool and builds it first where it is missing. Any number of processes may ask at
// once: one builds, the others wait for it. Progress and the compiler's words go to log.
func Path(name string, log io.Writer) (string, error) {
	tool, err := Lookup(name)
	if err != nil {
		return "", err
	}
	dir, err := Dir()
	if err != nil {
		return "", err
	}
	return tool.path(dir, log)
}

func (t Tool) path(dir string, log io.Writer) (string, error) {
	goVersion, err := goVersion()
	if err != nil {
		return "", err
	}
	home := filepath.Join(dir, t.Name+"-"+t.Version+"-"+goVersion)
	exe := filepath.Join(home, t.file())
	if isFile(exe) {
		return exe, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(home + ".lock")
	if err != nil {
		return "", fmt.Errorf("waiting for another build of %s: %w", t.Name, err)
	}
	defer unlock()
	if isFile(exe) { // another process built it while this one waited
		return exe, nil
	}
	_, _ = fmt.Fprintf(log, "building %s %s (once)\n", t.Name, t.Version)
	began := time.Now()
	if err := t.build(home, log); err != nil {
		return "", err
	}
	_, _ = fmt.Fprintf(log, "built %s in %s\n", t.Name, time.Since(began).Round(time.Second))
	return exe, nil
}

// build installs into a temporary folder beside home and renames that, so that home is there whole or not at all.
func (t Tool) build(home string, log io.Writer) error {
	tmp, err := os.MkdirTemp(filepath.Dir(home), "building-"+t.Name+"-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }() // nothing is left there once it was renamed
	cmd := exec.Command("go", "install", "-trimpath", "-ldflags=-s -w", t.Package+"@"+t.Version)
	if t.Module != "" {
		if err := t.require(tmp); err != nil {
			return err
		}
		cmd = exec.Command("go", "install", "-mod=mod", "-trimpath", "-ldflags=-s -w", t.Package)
	}
	cmd.Dir = tmp // no go.mod of ours may have a say
	cgo := "0"
	if t.CGO {
		cgo = "1"
	}
	cmd.Env = append(os.Environ(), "GOBIN="+tmp, "GOWORK=off", "CGO_ENABLED="+cgo, "GOOS=", "GOARCH=")
	var out bytes.Buffer
	words := io.MultiWriter(&out, log)
	cmd.Stdout, cmd.Stderr = words, words // the same for both, so that they are not written at once
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go install %s@%s: %w\n%s", t.Package, t.Version, err, tail(out.String()))
	}
	if err := t.rename(tmp); err != nil {
		return err
	}
	if err := os.RemoveAll(home); err != nil {
		return err
	}
	return os.Rename(tmp, home)
}

// require makes dir a module of its own that needs nothing but the tool.
func (t Tool) require(dir string) error {
	text := "module tool\n\ngo 1.26\n\nrequire " + t.Module + " " + t.Version + "\n"
	return os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o600)
}

// rename gives the program that go install left in dir the tool's own name.
func (t Tool) rename(dir string) error {
	built := t.file()
	if t.Built != "" {
		built = program(t.Built)
	}
	if !isFile(filepath.Join(dir, built)) {
		return fmt.Errorf("go install %s@%s left no program called %s", t.Package, t.Version, built)
	}
	return os.Rename(filepath.Join(dir, built), filepath.Join(dir, t.file()))
}

func (t Tool) file() string { return program(t.Name) }

func program(name string) string {
	if runtime.GOOS == "windows" {
		return name + ".exe"
	}
	return name
}

// goVersion asks the go command rather than this program's runtime: that command is what builds the tool.
func goVersion() (string, error) {
	out, err := exec.Command("go", "env", "GOVERSION").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOVERSION: %w", err)
	}
	v := strings.TrimSpace(string(out))
	if v == "" {
		return "", errors.New("go env GOVERSION says nothing")
	}
	return strings.ReplaceAll(v, " ", "-"), nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// tail keeps the last lines of a compiler's output, where the error is.
func tail(s string) string {
	const lines = 20
	all := strings.Split(strings.TrimSpace(s), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}
