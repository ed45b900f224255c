// Command fuzz runs every fuzz target of every module in the tree, each for a while, one after the other. Targets are
// found, not listed. It stops at the first that fails; go test has then written the input below testdata/fuzz.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
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
	binaries, err := os.MkdirTemp("", "bulla-fuzz-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(binaries) }() // temporary
	ran, built := 0, map[string]string{}
	for _, t := range targets {
		if !filter.MatchString(t.dir + "/" + t.name) {
			continue
		}
		if built[t.dir] == "" { // the targets of a package share their program: linking takes longer than many a run
			exe := filepath.Join(binaries, fmt.Sprintf("%d.test", len(built)))
			if err := t.build(exe); err != nil {
				return err
			}
			built[t.dir] = exe
		}
		fmt.Printf("--- fuzz %s in %s for %s\n", t.name, t.dir, span)
		if err := t.fuzz(built[t.dir], span); err != nil {
			return fmt.Errorf("%s in %s: %w", t.name, t.dir, err)
		}
		ran++
	}
	fmt.Printf("%d fuzz targets, %s each\n", ran, span)
	if ran == 0 {
		return fmt.Errorf("no fuzz target found, so nothing was proved")
	}
	return nil
}

// build compiles the test program of the target's package, with the instructions that guide the fuzzer.
func (t target) build(exe string) error {
	cmd := exec.Command("go", "test", "-c", "-fuzz=.", "-o", exe, ".")
	cmd.Dir, cmd.Stdout, cmd.Stderr = t.dir, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "GOWORK=off")
	return cmd.Run()
}

// corpus is where go test keeps interesting inputs of the target's package from run to run.
func (t target) corpus() (string, error) {
	cmd := exec.Command("go", "list", "-f", "{{.ImportPath}}", ".")
	cmd.Dir = t.dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	path, err := cmd.Output()
	if err != nil {
		return "", err
	}
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		return "", err
	}
	return filepath.Join(strings.TrimSpace(string(cache)), "fuzz", filepath.FromSlash(strings.TrimSpace(string(path)))), nil
}

// tries is how often a target is run whose only complaint is that its time was up: the fuzzer of Go reports that as a
// failure when the end comes at the wrong moment. A failing input is written to a file and named, and never tried again.
const tries = 3

func (t target) fuzz(exe string, span time.Duration) error {
	corpus, err := t.corpus()
	if err != nil {
		return err
	}
	for range tries {
		var out bytes.Buffer
		// Shortening interesting inputs is not what the time is for: a large seed would use up all of it.
		cmd := exec.Command(exe, "-test.run=^$", "-test.fuzz=^"+t.name+"$", "-test.fuzztime="+span.String(),
			"-test.fuzzminimizetime=10x", "-test.fuzzcachedir="+corpus)
		cmd.Dir, cmd.Stdout, cmd.Stderr = t.dir, io.MultiWriter(os.Stdout, &out), os.Stderr
		cmd.Env = append(os.Environ(), "GOWORK=off")
		err = cmd.Run()
		if err == nil || bytes.Contains(out.Bytes(), []byte("Failing input written to")) || !bytes.Contains(out.Bytes(), []byte("context deadline exceeded")) {
			return err
		}
		fmt.Printf("%s: only its time was up; once more\n", t.name)
	}
	return err
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
