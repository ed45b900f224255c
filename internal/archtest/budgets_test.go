package archtest

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

// The budgets of docs and design: what the best code bases of the field keep to.
const (
	maxFile     = 500 // lines
	maxFunction = 120 // lines, never more
	usualFunc   = 60  // lines, for 95 of 100 functions of a module
	maxParams   = 5   // then a struct
	maxExported = 50  // names of a package, methods included
)

// names: a package is called after what it is about.
func names(t *tree) (out []string) {
	empty := []string{"util", "utils", "common", "helper", "helpers", "base", "shared", "types", "misc"}
	for _, p := range t.packages {
		if slices.Contains(empty, p.name) || slices.Contains(empty, path.Base(p.dir)) {
			out = append(out, p.path+": the name says nothing")
		}
	}
	return out
}

func fileSize(t *tree) (out []string) {
	for _, p := range t.packages {
		for _, f := range p.prod() {
			if f.lines > maxFile {
				out = append(out, fmt.Sprintf("%s has %d lines, the limit is %d", f.name, f.lines, maxFile))
			}
		}
	}
	return out
}

func functionSize(t *tree) (out []string) {
	total, long := make(map[*module]int), make(map[*module][]string)
	eachFunction(t, func(p *pkg, f *source, fn *ast.FuncDecl) {
		lines := f.fset.Position(fn.End()).Line - f.fset.Position(fn.Pos()).Line + 1
		total[p.mod]++
		what := fmt.Sprintf("%s: %s has %d lines", f.at(fn.Pos()), fn.Name.Name, lines)
		if lines > maxFunction {
			out = append(out, fmt.Sprintf("%s, the limit is %d", what, maxFunction))
		}
		if lines > usualFunc {
			long[p.mod] = append(long[p.mod], what)
		}
	})
	for mod, whats := range long {
		if 20*len(whats) > total[mod] {
			out = append(out, fmt.Sprintf("module %s: %d of %d functions have more than %d lines:\n\t%s",
				mod.path, len(whats), total[mod], usualFunc, strings.Join(whats, "\n\t")))
		}
	}
	return out
}

func parameters(t *tree) (out []string) {
	eachFunction(t, func(_ *pkg, f *source, fn *ast.FuncDecl) {
		if n := fn.Type.Params.NumFields(); n > maxParams {
			out = append(out, fmt.Sprintf("%s: %s has %d parameters, the limit is %d", f.at(fn.Pos()), fn.Name.Name, n, maxParams))
		}
	})
	return out
}

func eachFunction(t *tree, visit func(*pkg, *source, *ast.FuncDecl)) {
	for _, p := range t.packages {
		for _, f := range p.prod() {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok {
					visit(p, f, fn)
				}
			}
		}
	}
}

// name is an exported name of a package. Its comment is its own, its group's, or one in its group that names it.
type name struct {
	id    *ast.Ident
	owner string // the type, for a method
	doc   bool
}

// exported lists the names that a file gives to importers.
func exported(f *source) (out []name) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if n := (name{id: d.Name, owner: receiver(d), doc: d.Doc != nil}); d.Name.IsExported() && (n.owner == "" || ast.IsExported(n.owner)) {
				out = append(out, n)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() {
						out = append(out, name{id: s.Name, doc: d.Doc != nil || s.Doc != nil})
					}
				case *ast.ValueSpec:
					for _, id := range s.Names {
						if id.IsExported() {
							out = append(out, name{id: id, doc: d.Doc != nil || s.Doc != nil || s.Comment != nil || namedInGroup(d, id.Name)})
						}
					}
				}
			}
		}
	}
	return out
}

func namedInGroup(d *ast.GenDecl, id string) bool {
	return slices.ContainsFunc(d.Specs, func(spec ast.Spec) bool {
		s, ok := spec.(*ast.ValueSpec)
		return ok && slices.Contains(strings.Fields(s.Doc.Text()), id)
	})
}

func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return ""
	}
	typ := fn.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.Ident:
			return x.Name
		default:
			return "?"
		}
	}
}

func exportedCount(t *tree) (out []string) {
	for _, p := range t.packages {
		n := 0
		for _, f := range p.prod() {
			n += len(exported(f))
		}
		if n > maxExported && p.name != "main" {
			out = append(out, fmt.Sprintf("%s exports %d names, the limit is %d", p.path, n, maxExported))
		}
	}
	return out
}

func docs(t *tree) (out []string) {
	for _, p := range t.packages {
		files := p.prod()
		if len(files) > 0 && !slices.ContainsFunc(files, func(f *source) bool { return f.Doc != nil }) {
			out = append(out, p.path+": no package comment")
		}
		for _, f := range files {
			for _, n := range exported(f) {
				if !n.doc {
					out = append(out, fmt.Sprintf("%s: %s has no comment", f.at(n.id.Pos()), n.id.Name))
				}
			}
		}
	}
	return out
}

// suppressions: whoever silences a linter says which rule, and why.
func suppressions(t *tree) (out []string) {
	directive := regexp.MustCompile(`^//\s*(nolint|lint:ignore|lint:file-ignore|#nosec)`)
	reasoned := regexp.MustCompile(`^//(nolint:[\w,-]+ // \S.{9,}|lint:(file-)?ignore [A-Z]+\d+(,[A-Z]+\d+)* \S.{9,}|#nosec G\d+ -- \S.{9,})`)
	for _, p := range t.packages {
		for _, f := range p.files {
			for _, group := range f.Comments {
				for _, c := range group.List {
					if directive.MatchString(c.Text) && !reasoned.MatchString(c.Text) {
						out = append(out, fmt.Sprintf("%s: %q names no rule or no reason", f.at(c.Pos()), c.Text))
					}
				}
			}
		}
	}
	return out
}

// fuzzed: packages that parse bytes from outside have a fuzz target.
func fuzzed(t *tree) (out []string) {
	for _, p := range t.packages {
		if p.mod.path != rootModule || !slices.Contains(bottom, p.dir) || len(p.prod()) == 0 {
			continue
		}
		if !slices.ContainsFunc(p.files, func(f *source) bool {
			return f.test && slices.ContainsFunc(f.Decls, func(d ast.Decl) bool {
				fn, ok := d.(*ast.FuncDecl)
				return ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Fuzz")
			})
		}) {
			out = append(out, p.path+": no fuzz target")
		}
	}
	return out
}
