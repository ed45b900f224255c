// Command fuzz runs every fuzz target of every module in the tree, each for a while, one after the other. Targets are
// found, not listed. It stops at the first that fails; go test has then written the input below testdata/fuzz.
package main

import (
	"flag"
	"fmt"
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
		cmd := exec.Command("go", "test", "-run=^$", "-fuzz=^"+t.name+"$", "-fuzztime="+span.String(), ".")
		cmd.Dir, cmd.Stdout, cmd.Stderr = t.dir, os.Stdout, os.Stderr
		cmd.Env = append(os.Environ(), "GOWORK=off")
		if err := cmd.Run(); err != nil {
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
