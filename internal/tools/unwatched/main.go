// Command unwatched finds the tests that leave something out, or do less of it, where the race detector watches, so that
// `make test RACE=1` can run them, and no others, a second time without it. For the module in a folder it prints the
// arguments of go test, or nothing where there is no such test:
//
//	go run ./internal/tools/unwatched DIR [WITHOUT...]
//
// Packages that are named, as ./internal/archtest, are left out: they are tested without the detector elsewhere.
//
// Such a test mentions testenv.Unwatched, testenv.RaceDetector or a raceDetector of its own, or something in the test files
// of its package that does; only names are compared, so that there may be one too many, and never one too few. Where TestMain
// does, it is all tests of the package. The names of all packages make one expression, and one run: packages wait for each
// other less. A test of the same name in another of these packages runs too.
package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: unwatched DIR [WITHOUT...]")
		os.Exit(2)
	}
	args, err := arguments(os.Args[1], os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "unwatched:", err)
		os.Exit(1)
	}
	fmt.Println(strings.Join(args, " "))
}

// arguments are those of go test, for the module in dir, without some of its packages.
func arguments(dir string, without []string) ([]string, error) {
	list := exec.Command("go", "list", "-find", "-f", "{{.Dir}}", "./...")
	list.Dir = dir
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list in %s: %w", dir, err)
	}
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	var packages []string
	for _, line := range bytes.Fields(out) {
		found, err := tests(string(line))
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			continue
		}
		rel, err := filepath.Rel(root, string(line))
		if err != nil {
			return nil, err
		}
		name := "./" + filepath.ToSlash(rel)
		if slices.Contains(without, name) {
			continue
		}
		packages = append(packages, name)
		for _, name := range found {
			names[name] = true
		}
	}
	if len(packages) == 0 {
		return nil, nil
	}
	return append([]string{"-run", "^(" + strings.Join(slices.Sorted(maps.Keys(names)), "|") + ")$"}, packages...), nil
}

// marks are the names by which tests ask for the race detector.
var marks = map[string]bool{"Unwatched": true, "RaceDetector": true, "raceDetector": true}

// test matches what go test runs, but for benchmarks.
var test = regexp.MustCompile(`^(Test|Fuzz|Example)($|[^a-z])`)

// tests are the names of those in the test files of one folder that come to a mark. Files for other systems count too.
func tests(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return nil, err
	}
	mentions := map[string]map[string]bool{} // by a name that is declared: the names in it
	fset := token.NewFileSet()
	for _, path := range files {
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range file.Decls {
			collect(mentions, d)
		}
	}
	marked := closure(mentions)
	var found []string
	for _, name := range slices.Sorted(maps.Keys(mentions)) {
		if test.MatchString(name) && name != "TestMain" && (marked[name] || marked["TestMain"]) {
			found = append(found, name)
		}
	}
	return found, nil
}

// collect enters a declaration under every name that it declares: a function, a method by its name behind a dot, variables,
// types. What stands behind a dot there is entered as a method, and as what it is behind the name of a package, unless that
// would be a test: nobody calls those so.
func collect(mentions map[string]map[string]bool, d ast.Decl) {
	enter := func(name string, n ast.Node) {
		if mentions[name] == nil {
			mentions[name] = map[string]bool{}
		}
		var note func(n ast.Node) bool
		note = func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				mentions[name]["."+n.Sel.Name] = true
				if test.MatchString(n.Sel.Name) { // something of another package, as the type testscript.TestScript, and no test
					ast.Inspect(n.X, note)
					return false
				}
			case *ast.Ident:
				mentions[name][n.Name] = true
			}
			return true
		}
		ast.Inspect(n, note)
	}
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv != nil {
			enter("."+d.Name.Name, d)
			return
		}
		enter(d.Name.Name, d.Type)
		if d.Body != nil {
			enter(d.Name.Name, d.Body)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.ValueSpec:
				for _, name := range s.Names {
					enter(name.Name, s)
				}
			case *ast.TypeSpec:
				enter(s.Name.Name, s)
			}
		}
	}
}

// closure are the names that come to a mark, directly or through others.
func closure(mentions map[string]map[string]bool) map[string]bool {
	marked := maps.Clone(marks)
	for grown := true; grown; {
		grown = false
		for name, in := range mentions {
			if marked[name] {
				continue
			}
			for other := range in {
				if marked[other] {
					marked[name], grown = true, true
					break
				}
			}
		}
	}
	return marked
}
