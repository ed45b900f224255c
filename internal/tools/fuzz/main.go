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
	ran := 0
	for _, t := range targets {
		if !filter.MatchString(t.dir + "/" + t.name) {
			continue
		}
		fmt.Printf("--- fuzz %s in %s for %s\n", t.name, t.dir, span)
		if err := t.fuzz(span); err != nil {
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

// tries is how often a target is run whose only complaint is that its time was up: the fuzzer of Go reports that as a
// failure when the end comes at the wrong moment. A failing input is written to a file and named, and never tried again.
const tries = 3

func (t target) fuzz(span time.Duration) error {
	var err error
	for range tries {
		var out bytes.Buffer
		// Shortening interesting inputs is not what the time is for: a large seed would use up all of it.
		cmd := exec.Command("go", "test", "-run=^$", "-fuzz=^"+t.name+"$", "-fuzztime="+span.String(), "-fuzzminimizetime=10x", ".")
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
