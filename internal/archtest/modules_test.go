package archtest

import (
	"slices"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/internal/tools/footprint"
)

const (
	maxLinked = 4  // modules compiled into an importer of verify, besides bulla
	maxGraph  = 60 // modules that the importer's go.mod resolves, tests of dependencies included
)

// What somebody else's program costs that imports verify. Go prunes what the importer does not need of our own
// requirements, so that it is measured where it matters: in a module of its own.
func TestModulesOfAnImporter(t *testing.T) {
	testenv.Unwatched(t)
	of := func(pkg string) *footprint.Importer {
		t.Helper()
		imp, err := footprint.Import(t.TempDir(), rootModule+"/"+pkg, []string{rootModule + "@v0.0.0"}, map[string]string{rootModule: testenv.Root()})
		if err != nil {
			t.Fatal(err)
		}
		return imp
	}
	got := of("verify")
	if len(got.Linked) > maxLinked {
		t.Errorf("whoever imports verify compiles %d modules, the limit is %d: %v", len(got.Linked), maxLinked, got.Linked)
	}
	if got.Graph > maxGraph {
		t.Errorf("the importer's go list -m all has %d modules, the limit is %d", got.Graph, maxGraph)
	}
	// Whoever reads a TUF repository needs little more than that.
	if repo := of("tuf"); len(repo.Linked) > maxLinked+1 {
		t.Errorf("whoever imports tuf compiles %d modules, the limit is %d: %v", len(repo.Linked), maxLinked+1, repo.Linked)
	}
	// That the counting counts: an importer of oci compiles the registry's client and much more.
	if other := of("oci"); !slices.Contains(other.Linked, "github.com/google/go-containerregistry") || len(other.Linked) <= maxLinked || other.Graph <= got.Graph {
		t.Errorf("the modules of an importer of oci are said to be %v of %d", other.Linked, other.Graph)
	}
}
