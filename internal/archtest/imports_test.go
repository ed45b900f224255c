package archtest

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

var (
	bottom = []string{"algorithm", "bundle", "trust", "identity", "tlog", "timestamp", "internal/protojson"}
	pure   = append(slices.Clone(bottom), "verify", "policy")

	// layers are the root module's folders from the bottom up; the longest that fits counts. A package imports its own
	// layer and those below.
	layers = [][]string{
		bottom,
		{"verify"},
		{"policy", "internal/durable", "internal/pipe", "internal/retryafter"},
		{"sign", "oci", "keys", "oidc", "client", "tuf", "predicate"},
		{"internal"}, // the plumbing of commands, unless named elsewhere
		{"cmd"},
		{"test", "internal/testenv", "internal/tools", "internal/archtest"},
	}

	// smallModules is all that the pure packages may import from outside.
	smallModules = []string{"golang.org/x/crypto", "golang.org/x/mod", "github.com/go-json-experiment/json", "filippo.io/edwards25519"}

	// places are the folders, of a module or of the whole tree, that alone may import some dependencies.
	places = []place{
		{"Kubernetes", []string{"k8s.io", "sigs.k8s.io"}, []string{"admission"}},
		{"cobra", []string{"github.com/spf13/cobra"}, []string{"cmd", "internal/cli", "internal/tools"}},
		{"a cloud's SDK", []string{
			"cloud.google.com/go", "github.com/aws/aws-sdk-go", "github.com/aws/aws-sdk-go-v2", "github.com/Azure",
			"github.com/hashicorp/vault", "github.com/openbao/openbao",
		}, []string{"server/log", "plugins"}},
		{"go-tuf", adopted, []string{"server/tufrepo"}},
		{"a policy language", []string{"github.com/open-policy-agent/opa", "cuelang.org/go", "github.com/google/cel-go"}, []string{"plugins", "policy"}},
	}

	// adopted are peers' libraries that a wing uses all the same, in one place: the repository's tests read it with go-tuf's
	// client. The root does without.
	adopted = []string{"github.com/theupdateframework/go-tuf/v2"}

	// dragged is what go-tuf is made of. It may stand in a wing's go.mod, as an indirect requirement; nothing imports it.
	dragged = []string{"github.com/secure-systems-lab/go-securesystemslib", "github.com/sigstore/sigstore", "github.com/sigstore/protobuf-specs"}

	// peers are what the project is compared with: other signing tools, and the libraries that they are made of.
	peers = []string{
		"github.com/sigstore", "github.com/digitorus", "github.com/theupdateframework", "github.com/in-toto",
		"github.com/secure-systems-lab", "github.com/notaryproject", "github.com/kyverno",
	}
)

// place says where alone some modules may be imported.
type place struct {
	what             string
	modules, folders []string
}

// layerOf returns the layer of a package of the root module, -1 when it has none. A program outside cmd, such as a
// generator that lies beside what it generates, is a tool.
func layerOf(p *pkg) int {
	if p.name == "main" && !within(p.dir, "cmd") {
		return len(layers) - 1
	}
	layer, longest := -1, ""
	for i, folders := range layers {
		for _, f := range folders {
			if within(p.dir, f) && len(f) > len(longest) {
				layer, longest = i, f
			}
		}
	}
	return layer
}

func isPure(p *pkg) bool {
	return p.mod.path == rootModule && p.name != "main" && withinAny(p.dir, pure)
}

// direction: imports go down only, the root imports no wing, nothing imports cmd.
func direction(t *tree) (out []string) {
	byPath := make(map[string]*pkg)
	for _, p := range t.packages {
		byPath[p.path] = p
	}
	for _, p := range t.packages {
		root := p.mod.path == rootModule
		if root && p.dir != "" && layerOf(p) < 0 {
			out = append(out, fmt.Sprintf("%s: this folder has no layer; give it one in archtest", p.path))
			continue
		}
		for _, f := range p.prod() {
			for _, imp := range f.imports() {
				q := byPath[imp]
				if q == nil {
					continue
				}
				switch {
				case within(q.dir, "cmd") && !within(p.dir, "cmd"):
					out = append(out, fmt.Sprintf("%s imports the command %s", f.name, imp))
				case root && q.mod != p.mod:
					out = append(out, fmt.Sprintf("%s imports the wing %s", f.name, imp))
				case root && layerOf(q) > layerOf(p):
					out = append(out, fmt.Sprintf("%s imports upwards: %s", f.name, imp))
				}
			}
		}
	}
	return out
}

// services do not import each other; they share the HTTP server.
func services(t *tree) (out []string) {
	service := func(p string) string {
		rest, ok := strings.CutPrefix(p, rootModule+"/server/")
		first, _, _ := strings.Cut(rest, "/")
		if !ok || first == "cmd" || first == "httpserver" || first == "internal" {
			return ""
		}
		return first
	}
	for _, p := range t.packages {
		from := service(p.path)
		for _, f := range p.prod() {
			for _, imp := range f.imports() {
				if to := service(imp); from != "" && to != "" && from != to {
					out = append(out, fmt.Sprintf("%s: service %s imports service %s", f.name, from, to))
				}
			}
		}
	}
	return out
}

// purity: no network, files, clock, randomness or output, no work at start-up, no module but the small ones.
func purity(t *tree) (out []string) {
	for _, p := range t.packages {
		if !isPure(p) {
			continue
		}
		for _, f := range p.prod() {
			for _, imp := range f.imports() {
				if !pureImport(imp) {
					out = append(out, fmt.Sprintf("%s imports %s", f.name, imp))
				}
			}
			out = append(out, impureCode(f)...)
		}
	}
	return out
}

func pureImport(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	if strings.Contains(first, ".") {
		return within(imp, rootModule) || withinAny(imp, smallModules)
	}
	if imp == "net/netip" || imp == "net/url" {
		return true
	}
	return !withinAny(imp, []string{"net", "os", "log", "syscall", "crypto/rand", "math/rand", "testing", "plugin", "C"})
}

func impureCode(f *source) (out []string) {
	banned := map[string][]string{
		"time":   {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"},
		"fmt":    {"Print", "Printf", "Println"},
		"x509":   {"SystemCertPool"},
		"regexp": nil, // at package level only
	}
	ast.Inspect(f.File, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && slices.Contains(banned[x.Name], n.Sel.Name) {
				out = append(out, fmt.Sprintf("%s: %s.%s", f.at(n.Pos()), x.Name, n.Sel.Name))
			}
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "print" || id.Name == "println") {
				out = append(out, fmt.Sprintf("%s: %s", f.at(n.Pos()), id.Name))
			}
		case *ast.FuncDecl:
			if n.Recv == nil && n.Name.Name == "init" {
				out = append(out, f.at(n.Pos())+": init function")
			}
		}
		return true
	})
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok && mentions(g, "regexp", "MustCompile") {
			out = append(out, f.at(g.Pos())+": regular expression compiled at start-up")
		}
	}
	return out
}

// mentions says that pkg.name occurs below a node.
func mentions(n ast.Node, pkgName, name string) (found bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == name {
			x, ok := s.X.(*ast.Ident)
			found = found || ok && x.Name == pkgName
		}
		return !found
	})
	return found
}

// confined: some dependencies have one place.
func confined(t *tree) (out []string) {
	for _, p := range t.packages {
		if !p.mod.shipped() {
			continue
		}
		for _, f := range p.files {
			for _, imp := range f.imports() {
				for _, pl := range places {
					if withinAny(imp, pl.modules) && !withinAny(p.dir, pl.folders) && !withinAny(path.Dir(f.name), pl.folders) {
						out = append(out, fmt.Sprintf("%s imports %s: %s is for %s", f.name, imp, pl.what, strings.Join(pl.folders, ", ")))
					}
				}
			}
		}
	}
	return out
}

// noPeers: no oracle or peer in the go.mod of what is shipped, nor imported by it, but for what was adopted.
func noPeers(t *tree) (out []string) {
	for _, m := range t.modules {
		if !m.shipped() {
			continue
		}
		for _, r := range m.file.Require {
			allowed := m.path != rootModule && (slices.Contains(adopted, r.Mod.Path) || slices.Contains(dragged, r.Mod.Path))
			if withinAny(r.Mod.Path, peers) && !allowed {
				out = append(out, fmt.Sprintf("%s/go.mod requires %s", m.dir, r.Mod.Path))
			}
		}
	}
	for _, p := range t.packages {
		for _, f := range p.files {
			for _, imp := range f.imports() {
				if p.mod.shipped() && withinAny(imp, peers) && !withinAny(imp, adopted) {
					out = append(out, fmt.Sprintf("%s imports %s", f.name, imp))
				}
			}
		}
	}
	return out
}

// noReplace: the root can be imported by others only as it stands.
func noReplace(t *tree) (out []string) {
	for _, m := range t.modules {
		if m.path == rootModule && len(m.file.Replace) > 0 {
			out = append(out, "the root's go.mod replaces a module")
		}
	}
	return out
}

// verifyOptions: every x509.VerifyOptions sets Roots and CurrentTime, so that neither the machine's roots nor its clock
// ever decide.
func verifyOptions(t *tree) (out []string) {
	for _, p := range t.packages {
		for _, f := range p.prod() {
			ast.Inspect(f.File, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CompositeLit:
					if isVerifyOptions(n.Type) && !hasFields(n, "Roots", "CurrentTime") {
						out = append(out, f.at(n.Pos())+": x509.VerifyOptions without Roots and CurrentTime")
					}
				case *ast.ValueSpec: // var opts x509.VerifyOptions
					if isVerifyOptions(n.Type) {
						out = append(out, f.at(n.Pos())+": x509.VerifyOptions that starts empty")
					}
				case *ast.CallExpr: // new(x509.VerifyOptions)
					if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "new" && len(n.Args) == 1 && isVerifyOptions(n.Args[0]) {
						out = append(out, f.at(n.Pos())+": x509.VerifyOptions that starts empty")
					}
				case *ast.ImportSpec:
					if n.Path.Value == `"crypto/x509"` && n.Name != nil {
						out = append(out, f.at(n.Pos())+": crypto/x509 under another name hides its uses from this rule")
					}
				}
				return true
			})
		}
	}
	return out
}

func isVerifyOptions(e ast.Expr) bool {
	return e != nil && mentions(e, "x509", "VerifyOptions")
}

func hasFields(lit *ast.CompositeLit, names ...string) bool {
	for _, name := range names {
		if !slices.ContainsFunc(lit.Elts, func(e ast.Expr) bool {
			kv, ok := e.(*ast.KeyValueExpr)
			if !ok {
				return false
			}
			key, ok := kv.Key.(*ast.Ident)
			return ok && key.Name == name
		}) {
			return false
		}
	}
	return true
}
