package interop

import (
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/bulla-sign/bulla/internal/tools/realregistry"
	"github.com/bulla-sign/bulla/internal/tools/toolcache"
)

// complete says that every command this module tests exists in cmd/bulla. While it is false a case that needs a
// missing command is skipped and says which; once true, a missing command fails the case.
const complete = true

// world is what all cases share: the programs, the two kinds of registry, keys.
type world struct {
	dir       string
	cosign    *program
	bulla     *program // nil while cmd/bulla does not build
	asCosign  *program // bulla, called by the name cosign
	why       string   // why there is no bulla
	fallback  string   // address of a real registry without the referrers API (distribution)
	referrers string   // address of a registry with it (in process)
	ending    sync.Mutex
	shutdown  []func()
	keys      keyring
}

// theWorld is set once by TestMain, before any test runs.
var theWorld *world

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "bulla-interop-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		return 1
	}
	theWorld = &world{dir: dir, keys: keyring{made: map[string]func() (keyPair, error){}}}
	defer theWorld.close()
	if err := theWorld.open(); err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		return 1
	}
	return m.Run()
}

// open starts everything. Nothing is left out where it cannot be had: a peer that is missing is an error.
func (w *world) open() error {
	exe, err := toolcache.Path("cosign", os.Stderr)
	if err != nil {
		return err
	}
	// Hundreds of calls that each live for a tenth of a second: collecting their garbage would be a fifth of their work.
	w.cosign = &program{name: "cosign", exe: exe, world: w, env: []string{"GOGC=off", "GOMEMLIMIT=512MiB"}}
	if err := w.buildBulla(); err != nil {
		return err
	}
	data := filepath.Join(w.dir, "registry")
	if err := os.Mkdir(data, 0o755); err != nil {
		return err
	}
	server, err := realregistry.Start(data, os.Stderr)
	if err != nil {
		return err
	}
	w.atEnd(server.Close)
	w.fallback = server.Addr
	memory := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))))
	w.atEnd(memory.Close)
	w.referrers = strings.TrimPrefix(memory.URL, "http://")
	for _, empty := range [][]string{
		{"signing-config", "create", "--out", w.signingConfig()},
		{"trusted-root", "create", "--out", w.trustedRoot()},
	} {
		if r := w.cosign.run(empty...); r.code != 0 {
			return fmt.Errorf("cosign %s: %s", strings.Join(empty, " "), r)
		}
	}
	return nil
}

// atEnd has f called when all tests have ended.
func (w *world) atEnd(f func()) {
	w.ending.Lock()
	defer w.ending.Unlock()
	w.shutdown = append(w.shutdown, f)
}

func (w *world) close() {
	for _, f := range w.shutdown {
		f()
	}
	_ = os.RemoveAll(w.dir) // a leftover in the temporary folder harms nobody
}

// buildBulla builds the program under test from the tree around this module, as it would be released.
func (w *world) buildBulla() error {
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(root, "cmd", "bulla")); err != nil {
		w.why = "cmd/bulla is not there yet"
		if complete {
			return err
		}
		return nil
	}
	exe := filepath.Join(w.dir, "bulla")
	cmd := exec.Command("go", "build", "-trimpath", "-o", exe, "./cmd/bulla")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		w.why = "cmd/bulla does not build: " + lastLine(string(out))
		if complete {
			return fmt.Errorf("%s: %w", w.why, err)
		}
		return nil
	}
	w.bulla = &program{name: "bulla", exe: exe, world: w}
	byName := filepath.Join(w.dir, "byname")
	if err := os.Mkdir(byName, 0o755); err != nil {
		return err
	}
	if err := os.Symlink(exe, filepath.Join(byName, "cosign")); err != nil {
		return err
	}
	w.asCosign = &program{name: "bulla-as-cosign", exe: filepath.Join(byName, "cosign"), world: w}
	return nil
}

func (w *world) signingConfig() string { return filepath.Join(w.dir, "no-services.json") }
func (w *world) trustedRoot() string   { return filepath.Join(w.dir, "no-trust.json") }
