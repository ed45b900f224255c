// Command fuzz runs every fuzz target of every module in the tree, each for a while, as many at once as there are
// processors, each with one worker: so their starts and links take no time from anybody. Targets are found, not listed. It
// stops when one has failed; go test has then written the input below testdata/fuzz.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type target struct{ dir, name string }

func main() {
	span := flag.Duration("time", 10*time.Second, "how long each target runs")
	only := flag.String("only", "", "regular expression on DIR/NAME; empty for all")
	flag.Parse()
	if err := run(*span, *only); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

func run(span time.Duration, only string) error {
	filter, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	targets, err := find(".")
	if err != nil {
		return err
	}
	targets = slices.DeleteFunc(targets, func(t target) bool { return !filter.MatchString(t.dir + "/" + t.name) })
	if len(targets) == 0 {
		return fmt.Errorf("no fuzz target found, so nothing was proved")
	}
	binaries, err := os.MkdirTemp("", "bulla-fuzz-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(binaries) }() // temporary
	if err := all(targets, span, binaries); err != nil {
		return err
	}
	fmt.Printf("%d fuzz targets, %s each\n", len(targets), span)
	return nil
}

// all fuzzes the targets, and returns what failed. After a failure none is begun.
func all(targets []target, span time.Duration, binaries string) error {
	// The targets of a package share their program: linking takes longer than many a run.
	programs := map[string]func() (string, error){}
	for _, t := range targets {
		if programs[t.dir] == nil {
			exe := filepath.Join(binaries, fmt.Sprintf("%d.test", len(programs)))
			programs[t.dir] = sync.OnceValues(func() (string, error) { return exe, t.build(exe) })
		}
	}
	corpus, err := corpora(targets)
	if err != nil {
		return err
	}
	queue := make(chan target, len(targets))
	for _, t := range targets {
		queue <- t
	}
	close(queue)
	var failed atomic.Bool
	var group sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for range runtime.NumCPU() {
		group.Go(func() {
			for t := range queue {
				if failed.Load() {
					return
				}
				out, err := t.run(programs[t.dir], corpus[t.dir], span)
				mu.Lock()
				fmt.Printf("--- fuzz %s in %s for %s\n%s", t.name, t.dir, span, out)
				if err != nil {
					failed.Store(true)
					errs = append(errs, fmt.Errorf("%s in %s: %w", t.name, t.dir, err))
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// run builds the program if nobody has, and fuzzes the target.
func (t target) run(program func() (string, error), corpus string, span time.Duration) ([]byte, error) {
	exe, err := program()
	if err != nil {
		return nil, err
	}
	return t.fuzz(exe, corpus, span)
}

// build compiles the test program of the target's package, with the instructions that guide the fuzzer and nothing for
// debuggers.
func (t target) build(exe string) error {
	cmd := exec.Command("go", "test", "-vet=off", "-c", "-fuzz=.", "-ldflags=-s -w", "-o", exe, ".")
	cmd.Dir = t.dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// corpora returns where go test keeps interesting inputs of a target's package from run to run, for every folder. The go
// command is asked once a module: for each target it would take as long as the fuzzing does in CI.
func corpora(targets []target) (map[string]string, error) {
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		return nil, err
	}
	home := filepath.Join(strings.TrimSpace(string(cache)), "fuzz")
	modules := map[string][]string{}
	for _, t := range targets {
		m, err := moduleOf(t.dir)
		if err != nil {
			return nil, err
		}
		in, err := filepath.Rel(m, t.dir)
		if err != nil {
			return nil, err
		}
		if dir := "./" + filepath.ToSlash(in); !slices.Contains(modules[m], dir) {
			modules[m] = append(modules[m], dir)
		}
	}
	found := map[string]string{}
	for m, dirs := range modules {
		cmd := exec.Command("go", append([]string{"list", "-find", "-f", "{{.ImportPath}}"}, dirs...)...)
		cmd.Dir = m
		cmd.Env = append(os.Environ(), "GOWORK=off")
		out, err := cmd.Output()
		paths := strings.Fields(string(out))
		if err != nil || len(paths) != len(dirs) {
			return nil, fmt.Errorf("go list in %s found %d of %d packages: %w", m, len(paths), len(dirs), err)
		}
		for i, dir := range dirs {
			found[filepath.Join(m, dir)] = filepath.Join(home, filepath.FromSlash(paths[i]))
		}
	}
	return found, nil
}

// moduleOf is the nearest folder above a package that has a go.mod.
func moduleOf(dir string) (string, error) {
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == "." {
			return "", errors.New("no go.mod: run it in the root of the tree")
		}
	}
}

// tries is how often a target is run whose only complaint is that its time was up: the fuzzer of Go reports that as a
// failure when the end comes at the wrong moment. A failing input is written to a file and named, and never tried again.
const tries = 3

// fuzz returns what the fuzzer said.
func (t target) fuzz(exe, corpus string, span time.Duration) ([]byte, error) {
	var said []byte
	var err error
	for range tries {
		// Shortening interesting inputs is not what the time is for: a large seed would use up all of it.
		cmd := exec.Command(exe, "-test.run=^$", "-test.fuzz=^"+t.name+"$", "-test.fuzztime="+span.String(), "-test.parallel=1",
			"-test.fuzzminimizetime=10x", "-test.fuzzcachedir="+corpus)
		cmd.Dir = t.dir
		cmd.Env = append(os.Environ(), "GOWORK=off")
		out, failure := cmd.CombinedOutput()
		said, err = append(said, out...), failure
		if err == nil || bytes.Contains(out, []byte("Failing input written to")) || !bytes.Contains(out, []byte("context deadline exceeded")) {
			break
		}
		said = fmt.Appendf(said, "%s: only its time was up; once more\n", t.name)
	}
	return said, err
}

// find lists the fuzz targets below root in the order of their folders.
func find(root string) ([]target, error) {
	decl := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(\w+ \*testing\.F\)`)
	var found []target
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range decl.FindAllSubmatch(src, -1) {
			found = append(found, target{filepath.Dir(path), string(m[1])})
		}
		return nil
	})
	return found, err
}
