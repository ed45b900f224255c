package archtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
)

// files is a source tree: names to contents. A go.mod of the root module is added where there is none.
type files map[string]string

// A rule finds what is wrong with a tree. breaks are trees that it must object to.
type rule struct {
	name   string
	check  func(*tree) []string
	breaks []files
}

const (
	wingMod = "module github.com/bulla-sign/bulla/server\n\ngo 1.26\n"
	imports = "import _ \"github.com/bulla-sign/bulla/"
)

func rules() []rule {
	verifyOpts := func(expr string) files {
		return files{"cmd/x/a.go": "package main\n\nimport \"crypto/x509\"\n\n" + expr}
	}
	return []rule{
		{"imports go down", direction, []files{
			{"tlog/a.go": "package tlog\n" + imports + "verify\"\n", "verify/a.go": "package verify\n"},
			{"verify/a.go": "package verify\n" + imports + "policy\"\n", "policy/a.go": "package policy\n"},
			{"policy/a.go": "package policy\n" + imports + "oci/layout\"\n", "oci/layout/a.go": "package layout\n"},
			{"oci/a.go": "package oci\n" + imports + "internal/cli\"\n", "internal/cli/a.go": "package cli\n"},
			{"sign/a.go": "package sign\n" + imports + "internal/testenv\"\n", "internal/testenv/a.go": "package testenv\n"},
			{"internal/cli/a.go": "package cli\n" + imports + "cmd/bulla/flags\"\n", "cmd/bulla/flags/a.go": "package flags\n"},
			{"sign/a.go": "package sign\n" + imports + "server/tsa\"\n", "server/go.mod": wingMod, "server/tsa/a.go": "package tsa\n"},
			{"server/a.go": "package server\n" + imports + "server/cmd/x\"\n", "server/go.mod": wingMod, "server/cmd/x/a.go": "package main\n"},
			{"novelty/a.go": "package novelty\n"},
			{"trustworthy/a.go": "package trustworthy\n"}, // a folder is no prefix of another's name
		}},
		{"services stand alone", services, []files{
			{"server/go.mod": wingMod, "server/ca/a.go": "package ca\n" + imports + "server/log\"\n", "server/log/a.go": "package log\n"},
			{"server/go.mod": wingMod, "server/log/store/a.go": "package store\n" + imports + "server/tsa/clock\"\n"},
		}},
		{"pure packages are pure", purity, []files{
			{"tlog/a.go": "package tlog\nimport _ \"net\"\n"},
			{"tlog/a.go": "package tlog\nimport _ \"net/http\"\n"},
			{"identity/a.go": "package identity\nimport _ \"os\"\n"},
			{"bundle/a.go": "package bundle\nimport _ \"os/exec\"\n"},
			{"trust/publicgood/a.go": "package publicgood\nimport _ \"log/slog\"\n"},
			{"internal/protojson/a.go": "package protojson\nimport _ \"crypto/rand\"\n"},
			{"verify/a.go": "package verify\nimport _ \"math/rand/v2\"\n"},
			{"verify/a.go": "package verify\nimport _ \"github.com/google/go-cmp/cmp\"\n"},
			{"verify/a.go": "package verify\nimport _ \"golang.org/x/net/idna\"\n"},
			{"timestamp/a.go": "package timestamp\nimport \"time\"\nfunc f() time.Time { return time.Now() }\n"},
			{"timestamp/a.go": "package timestamp\nimport \"time\"\nvar clock = time.Now\n"},
			{"timestamp/a.go": "package timestamp\nimport \"time\"\nfunc f(t time.Time) time.Duration { return time.Since(t) }\n"},
			{"policy/a.go": "package policy\nimport \"fmt\"\nfunc f() { fmt.Println() }\n"},
			{"policy/a.go": "package policy\nfunc f() { println() }\n"},
			{"algorithm/a.go": "package algorithm\nfunc init() {}\n"},
			{"algorithm/a.go": "package algorithm\nimport \"regexp\"\nvar r = regexp.MustCompile(``)\n"},
			{"algorithm/a.go": "package algorithm\nimport \"crypto/x509\"\nfunc f() { x509.SystemCertPool() }\n"},
			{"algorithm/a_other.go": "//go:build plan9\n\npackage algorithm\nimport _ \"os\"\n"},
		}},
		{"dependencies have their place", confined, []files{
			{"policy/a.go": "package policy\nimport _ \"k8s.io/api/core/v1\"\n"},
			{"server/go.mod": wingMod, "server/ca/a_test.go": "package ca\nimport _ \"sigs.k8s.io/yaml\"\n"},
			{"sign/a.go": "package sign\nimport _ \"github.com/spf13/cobra\"\n"},
			{"server/go.mod": wingMod, "server/ca/a.go": "package ca\nimport _ \"github.com/spf13/cobra/doc\"\n"},
			{"keys/a.go": "package keys\nimport _ \"cloud.google.com/go/kms/apiv1\"\n"},
			{"server/go.mod": wingMod, "server/ca/a.go": "package ca\nimport _ \"github.com/aws/aws-sdk-go-v2/service/kms\"\n"},
			{"sign/a.go": "package sign\nimport _ \"github.com/google/cel-go/cel\"\n"},
			{"sign/a.go": "package sign\nimport _ \"github.com/theupdateframework/go-tuf/v2/metadata\"\n"},
			{"tuf/a_test.go": "package tuf\nimport _ \"github.com/theupdateframework/go-tuf/v2/metadata\"\n"},
			{"server/go.mod": wingMod, "server/ca/a.go": "package ca\nimport _ \"github.com/theupdateframework/go-tuf/v2/metadata\"\n"},
		}},
		{"no peers", noPeers, []files{
			{"go.mod": "module github.com/bulla-sign/bulla\n\nrequire github.com/sigstore/cosign/v3 v3.0.0\n"},
			{"go.mod": "module github.com/bulla-sign/bulla\n\nrequire (\n\tgithub.com/digitorus/timestamp v1.0.0 // indirect\n)\n"},
			{"server/go.mod": wingMod + "\nrequire github.com/sigstore/sigstore-go v1.0.0\n"},
			{"go.mod": "module github.com/bulla-sign/bulla\n\nrequire github.com/theupdateframework/go-tuf v0.7.0\n"},
			{"go.mod": "module github.com/bulla-sign/bulla\n\nrequire github.com/theupdateframework/go-tuf/v2 v2.4.2\n"},
			{"go.mod": "module github.com/bulla-sign/bulla\n\nrequire github.com/secure-systems-lab/go-securesystemslib v0.11.0 // indirect\n"},
			{"tuf/a.go": "package tuf\nimport _ \"github.com/sigstore/sigstore/pkg/signature\"\n"},
			{"tuf/a_test.go": "package tuf\nimport _ \"github.com/sigstore/protobuf-specs/gen/pb-go/common/v1\"\n"},
			{"server/go.mod": wingMod, "server/tufrepo/a.go": "package tufrepo\nimport _ \"github.com/secure-systems-lab/go-securesystemslib/encrypted\"\n"},
		}},
		{"the root stands alone", noReplace, []files{
			{"go.mod": "module github.com/bulla-sign/bulla\n\nreplace example.org/a => ./a\n"},
		}},
		{"x509.VerifyOptions", verifyOptions, []files{
			verifyOpts("var o = x509.VerifyOptions{}\n"),
			verifyOpts("var o = x509.VerifyOptions{Roots: nil}\n"),
			verifyOpts("var o = &x509.VerifyOptions{CurrentTime: t}\n"),
			verifyOpts("var o x509.VerifyOptions\n"),
			verifyOpts("func f() { o := new(x509.VerifyOptions); _ = o }\n"),
			{"verify/a.go": "package verify\nimport x \"crypto/x509\"\nvar o = x.VerifyOptions{}\n"},
		}},
		{"names", names, []files{
			{"sign/util/a.go": "package util\n"},
			{"sign/helpers/a.go": "package signing\n"},
			{"server/go.mod": wingMod, "server/internal/x/a_test.go": "package types\n"},
		}},
		{"file size", fileSize, []files{{"sign/a.go": "package sign\n" + strings.Repeat("\n", maxFile)}}},
		{"function size", functionSize, []files{
			{"sign/a.go": "package sign\nfunc f() {\n" + strings.Repeat("\n", maxFunction) + "}\n" + strings.Repeat("func f() {}\n", 30)},
			{"sign/a.go": "package sign\nfunc f() {\n" + strings.Repeat("\n", usualFunc) + "}\n" + strings.Repeat("func f() {}\n", 18)},
		}},
		{"parameters", parameters, []files{{"sign/a.go": "package sign\nfunc f(a, b, c int, d, e, f string) {}\n"}}},
		{"exported names", exportedCount, []files{
			{"sign/a.go": "package sign\n" + strings.Repeat("func F() {}\n", maxExported+1)},
			{"sign/a.go": "package sign\ntype T int\n" + strings.Repeat("func (t *T) F() {}\n", maxExported)},
		}},
		{"comments", docs, []files{
			{"sign/a.go": "package sign\n"},
			{"sign/a.go": "// Package sign signs.\npackage sign\n\nfunc F() {}\n"},
			{"sign/a.go": "// Package sign signs.\npackage sign\n\ntype T[P any] int // T\n\n// T is.\ntype T int\n\nfunc (T) F() {}\n"},
			{"sign/a.go": "// Package sign signs.\npackage sign\n\nconst (\n\tA = 1\n)\n"},
		}},
		{"suppressions", suppressions, []files{
			{"sign/a.go": "package sign //nolint\n"},
			{"sign/a.go": "package sign //nolint:gosec\n"},
			{"sign/a.go": "package sign // nolint:gosec // the space switches it off\n"},
			{"sign/a_test.go": "package sign //lint:ignore because it is noisy\n"},
			{"sign/a.go": "package sign // #nosec\n"},
		}},
		{"fuzz targets", fuzzed, []files{
			{"tlog/a.go": "package tlog\n", "tlog/a_test.go": "package tlog\nfunc TestParse() {}\n"},
			{"internal/protojson/a.go": "package protojson\nfunc FuzzX() {}\n"},
		}},
	}
}

func TestTree(t *testing.T) {
	testenv.Unwatched(t)
	tree, err := load(testenv.Root())
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.modules) == 0 || len(tree.packages) < 5 {
		t.Fatalf("read only %d modules and %d packages", len(tree.modules), len(tree.packages))
	}
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			for _, what := range r.check(tree) {
				t.Error(what)
			}
		})
	}
}

// Every rule objects to each tree that breaks it, and to nothing in a tree that keeps them all.
func TestRulesCanFail(t *testing.T) {
	good := synthetic(t, goodTree())
	for _, r := range rules() {
		for i, f := range r.breaks {
			if len(r.check(synthetic(t, f))) == 0 {
				t.Errorf("%s: no objection to case %d: %q", r.name, i, f)
			}
		}
		if len(r.breaks) == 0 {
			t.Errorf("%s: nothing shows that it can fail", r.name)
		}
		for _, what := range r.check(good) {
			t.Errorf("%s: objects to a good tree: %s", r.name, what)
		}
	}
}

func goodTree() files {
	doc := func(name, rest string) string {
		return "// Package " + name + " is good.\npackage " + name + "\n\n" + rest
	}
	fuzz := "func FuzzParse() {}\n"
	return files{
		"tlog/a.go":                     doc("tlog", "import (\n\t_ \"net/netip\"\n\t_ \"net/url\"\n\t_ \"golang.org/x/crypto/cryptobyte\"\n\t\"crypto/x509\"\n)\n\n// Opts is.\nvar Opts = x509.VerifyOptions{Roots: nil, CurrentTime: t, KeyUsages: nil}\n"),
		"tlog/a_test.go":                "package tlog_test\n\nimport (\n\t_ \"os\"\n\t_ \"github.com/bulla-sign/bulla/internal/testenv\"\n)\n\n" + fuzz,
		"verify/a.go":                   doc("verify", imports+"tlog\"\n\n//nolint:gosec // G115: the range was checked above\nfunc f() {}\n"),
		"cmd/bulla/main.go":             "// Command bulla is good.\npackage main\n\nimport (\n\t_ \"github.com/spf13/cobra\"\n\t_ \"os\"\n)\n\n" + imports + "verify\"\n",
		"trust/a.go":                    doc("trust", ""),
		"trust/a_test.go":               "package trust\n\n" + fuzz,
		"trust/publicgood/refresh/a.go": "// Command refresh is a tool.\npackage main\n\nimport _ \"net/http\"\n",
		"internal/testenv/a.go":         doc("testenv", imports+"verify\"\n"),
		"server/tufrepo/a.go":           doc("tufrepo", ""),
		"server/tufrepo/a_test.go":      "package tufrepo\n\nimport _ \"github.com/theupdateframework/go-tuf/v2/metadata/updater\"\n",
		"oci/zz_generated.go":           "// Code generated by x. DO NOT EDIT.\n\npackage oci\n" + strings.Repeat("\n", maxFile),
		"testdata/util/a.go":            "not Go",
		"server/go.mod":                 wingMod + "\nrequire (\n\tgithub.com/theupdateframework/go-tuf/v2 v2.4.2\n\tgithub.com/sigstore/sigstore v1.10.6 // indirect\n)\n\nreplace github.com/bulla-sign/bulla => ..\n",
		"server/ca/a.go":                doc("ca", "import (\n\t_ \"github.com/bulla-sign/bulla/server/httpserver\"\n\t_ \"github.com/bulla-sign/bulla/verify\"\n)\n"),
		"server/log/gcp/a.go":           doc("gcp", "import _ \"cloud.google.com/go/storage\"\n"),
		"server/httpserver/a.go":        doc("httpserver", ""),
		"server/cmd/bulla-server/a.go":  "// Command bulla-server is good.\npackage main\n\n" + imports + "server/ca\"\n",
		"admission/go.mod":              "module github.com/bulla-sign/bulla/admission\n",
		"admission/a.go":                doc("admission", "import _ \"k8s.io/api/core/v1\"\n"),
		"test/interop/go.mod":           "module github.com/bulla-sign/bulla/test/interop\n\nrequire github.com/sigstore/sigstore-go v1.0.0\n",
		"test/interop/a_test.go":        "package interop\n\nimport _ \"github.com/sigstore/sigstore-go/pkg/verify\"\n",
	}
}

func synthetic(t *testing.T, f files) *tree {
	t.Helper()
	dir := t.TempDir()
	if f["go.mod"] == "" {
		write(t, filepath.Join(dir, "go.mod"), "module "+rootModule+"\n\ngo 1.26\n")
	}
	for name, content := range f {
		write(t, filepath.Join(dir, filepath.FromSlash(name)), content)
	}
	tree, err := load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
