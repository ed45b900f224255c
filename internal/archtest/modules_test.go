package archtest

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
)

const (
	maxLinked = 4  // modules compiled into an importer of verify, besides bulla
	maxGraph  = 60 // modules of the whole graph, tests of dependencies included
)

// linked lists the modules that a package is compiled from, besides its own.
func linked(t *testing.T, dir, pkg string) []string {
	t.Helper()
	out := goList(t, dir, "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", pkg)
	slices.Sort(out)
	return slices.Compact(out)
}

// goList runs go list as releases do: without a workspace, which would lift the versions.
func goList(t *testing.T, dir string, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.Fields(string(out))
}

func TestModulesOfAnImporter(t *testing.T) {
	root := testenv.Root()
	if got := linked(t, root, "./verify"); len(got) > maxLinked {
		t.Errorf("whoever imports verify compiles %d modules, the limit is %d: %v", len(got), maxLinked, got)
	}
	all := goList(t, root, "-m", "-f", "{{if not .Main}}{{.Path}}{{end}}", "all")
	if len(all) > maxGraph {
		t.Errorf("go list -m all: %d modules, the limit is %d: %v", len(all), maxGraph, all)
	}
	// That the counting counts: this test is compiled from x/mod.
	if got := goList(t, root, "-deps", "-test", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", "./internal/archtest"); !slices.Contains(got, "golang.org/x/mod") {
		t.Errorf("the modules of this test are said to be %v", got)
	}
}
