package report

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/verify"
)

// section returns the part of docs/report.md below a heading.
func section(t *testing.T, title string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(data), "\n## "+title+"\n")
	if !ok {
		t.Fatalf("docs/report.md has no section %q", title)
	}
	text, _, _ := strings.Cut(rest, "\n## ")
	return text
}

var word = regexp.MustCompile("`([^`]+)`")

// firstColumn lists what stands in backquotes in the first cells of a section's table rows.
func firstColumn(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		cells := strings.SplitN(line, "|", 3)
		if len(cells) < 3 || cells[0] != "" {
			continue
		}
		for _, m := range word.FindAllStringSubmatch(cells[1], -1) {
			out = append(out, m[1])
		}
	}
	return out
}

// constants lists the string constants of a type of package verify, in their order.
func constants(t *testing.T, typeName string) []string {
	t.Helper()
	source := filepath.Join("verify", "report.go")
	if typeName == "Code" {
		source = filepath.Join("verify", "reason", "reason.go")
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(testenv.Root(), source), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != typeName {
			return true
		}
		for _, v := range spec.Values {
			s, err := strconv.Unquote(v.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, s)
		}
		return true
	})
	if len(out) == 0 {
		t.Fatalf("%s has no constants of type %s", source, typeName)
	}
	return out
}

func TestDocumentedWords(t *testing.T) {
	for title, typeName := range map[string]string{"Checks": "CheckName", "Outcomes": "Outcome", "Codes": "Code"} {
		want, got := constants(t, typeName), firstColumn(section(t, title))
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("docs/report.md, %s, differs from the constants (-code +document):\n%s", title, diff)
		}
	}
}

// fields lists the JSON names of a struct.
func fields(typ reflect.Type) []string {
	var out []string
	for i := range typ.NumField() {
		if name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ","); name != "" && name != "-" {
			out = append(out, name)
		}
	}
	return out
}

func TestDocumentedFields(t *testing.T) {
	report, root, _ := strings.Cut(section(t, "Report"), "`trustedRoot`:")
	candidate, signer, _ := strings.Cut(section(t, "Candidate"), "`signer`:")
	for _, tt := range []struct {
		name string
		got  []string
		want []string
	}{
		{"Report", firstColumn(report), append(fields(reflect.TypeFor[verify.Report]()), "attestations")},
		{"RootReport", firstColumn(root), fields(reflect.TypeFor[verify.RootReport]())},
		{"CandidateReport", firstColumn(candidate), fields(reflect.TypeFor[verify.CandidateReport]())},
		{"Signer", firstColumn(signer), fields(reflect.TypeFor[verify.Signer]())},
	} {
		slices.Sort(tt.got)
		slices.Sort(tt.want)
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("docs/report.md differs from %s (-code +document):\n%s", tt.name, diff)
		}
	}
	for name, typ := range map[string]reflect.Type{
		"checks": reflect.TypeFor[verify.Check](), "times": reflect.TypeFor[verify.VerifiedTime](), "logs": reflect.TypeFor[verify.LoggedAt](),
	} {
		row := rowOf(candidate, name)
		for _, f := range fields(typ) {
			if !strings.Contains(row, "`"+f+"`") {
				t.Errorf("docs/report.md does not name %s of %s", f, name)
			}
		}
	}
}

func rowOf(text, name string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "| `"+name+"`") {
			return line
		}
	}
	return ""
}
