package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

const rootModule = "github.com/bulla-sign/bulla"

// tree is the sources of the root module and of every wing.
type tree struct {
	fset     *token.FileSet
	modules  []*module
	packages []*pkg
}

// module is a go.mod. Its dir is relative to the project's root, "." for the root module.
type module struct {
	dir, path string
	file      *modfile.File
}

// shipped says that the module's programs or packages reach users; those below test/ do not.
func (m *module) shipped() bool { return m.dir != "test" && !strings.HasPrefix(m.dir, "test/") }

// pkg is one package of one folder, its external test package included.
type pkg struct {
	mod   *module
	dir   string // relative to the module
	path  string
	name  string
	files []*source
}

// source is a Go file. Its name is relative to the project's root.
type source struct {
	*ast.File
	name  string
	test  bool
	lines int
	fset  *token.FileSet
}

// prod returns the files that are neither tests nor generated.
func (p *pkg) prod() []*source {
	return slices.DeleteFunc(slices.Clone(p.files), func(f *source) bool { return f.test || ast.IsGenerated(f.File) })
}

// at is the position of a node, for a message.
func (f *source) at(pos token.Pos) string {
	return fmt.Sprintf("%s:%d", f.name, f.fset.Position(pos).Line)
}

// imports returns the paths that the file imports.
func (f *source) imports() []string {
	var out []string
	for _, spec := range f.Imports {
		out = append(out, strings.Trim(spec.Path.Value, `"`))
	}
	return out
}

// load reads every go.mod and every Go file below root, whatever its build constraints.
func load(root string) (*tree, error) {
	t := &tree{fset: token.NewFileSet()}
	byDir := make(map[string]*pkg)
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel != "." && (strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") || d.Name() == "testdata" || d.Name() == "vendor") {
				return fs.SkipDir
			}
			return t.addModule(file, rel)
		}
		if strings.HasSuffix(rel, ".go") {
			return t.addFile(byDir, file, rel)
		}
		return nil
	})
	return t, err
}

func (t *tree) addModule(dir, rel string) error {
	name := filepath.Join(dir, "go.mod")
	data, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	mod, err := modfile.Parse(name, data, nil)
	if err != nil {
		return err
	}
	if mod.Module == nil {
		return fmt.Errorf("%s: no module line", name)
	}
	t.modules = append(t.modules, &module{dir: rel, path: mod.Module.Mod.Path, file: mod})
	return nil
}

// owner returns the module that a folder belongs to: the one whose folder is the longest prefix.
func (t *tree) owner(dir string) *module {
	var best *module
	for _, m := range t.modules {
		if (m.dir == "." || within(dir, m.dir)) && (best == nil || best.dir == "." || len(m.dir) > len(best.dir)) {
			best = m
		}
	}
	return best
}

func (t *tree) addFile(byDir map[string]*pkg, file, rel string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	parsed, err := parser.ParseFile(t.fset, file, data, parser.ParseComments)
	if err != nil {
		return err
	}
	dir := path.Dir(rel)
	mod := t.owner(dir)
	if mod == nil {
		return fmt.Errorf("%s belongs to no module", rel)
	}
	p := byDir[dir]
	if p == nil {
		inner := strings.TrimPrefix(strings.TrimPrefix(dir, mod.dir), "/")
		p = &pkg{mod: mod, dir: inner, path: path.Join(mod.path, inner)}
		byDir[dir] = p
		t.packages = append(t.packages, p)
	}
	src := &source{File: parsed, name: rel, test: strings.HasSuffix(rel, "_test.go"), lines: bytes.Count(data, []byte("\n")), fset: t.fset}
	if !src.test || p.name == "" {
		p.name = strings.TrimSuffix(parsed.Name.Name, "_test")
	}
	p.files = append(p.files, src)
	return nil
}

// within says that a slash-separated path is the folder or lies below it.
func within(p, folder string) bool {
	return p == folder || strings.HasPrefix(p, folder+"/")
}

// withinAny is within for several folders.
func withinAny(p string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return within(p, f) })
}
