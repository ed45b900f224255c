package imagerefs

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestDockerfile(t *testing.T) {
	args := DockerfileOptions{BuildArgs: map[string]string{"GO": "1.26"}}
	env := DockerfileOptions{Lookup: func(name string) (string, bool) { return "from-" + strings.ToLower(name), true }}
	for name, test := range map[string]struct {
		text string
		o    DockerfileOptions
		want string // separated by spaces; "!" and a part of the error
	}{
		"plain":            {"FROM alpine:3", DockerfileOptions{}, "alpine:3"},
		"lower case":       {"from alpine as x\n", DockerfileOptions{}, "alpine"},
		"stages":           {"FROM golang AS Build\nFROM build\nCOPY --from=0 a b\nCOPY --from=build a b\nCOPY --chown=1 --from=busybox a b", DockerfileOptions{}, "golang busybox"},
		"scratch":          {"FROM scratch\nCOPY a b", DockerfileOptions{}, ""},
		"platform":         {"FROM --platform=$BUILDPLATFORM alpine", DockerfileOptions{}, "alpine"},
		"argument":         {"ARG V=3.1\nARG I=alpine:${V}\nFROM $I", DockerfileOptions{}, "alpine:3.1"},
		"build argument":   {"ARG GO=1\nFROM golang:${GO}", args, "golang:1.26"},
		"default":          {"FROM golang:${X:-tip}", DockerfileOptions{}, "golang:tip"},
		"nested default":   {"FROM ${A:-x:${B:-y}}", DockerfileOptions{}, "x:y"},
		"alternative":      {"ARG D=1\nFROM a${D:+-debug}", DockerfileOptions{}, "a-debug"},
		"unset":            {"FROM golang:$X", DockerfileOptions{}, "!no value"},
		"unset argument":   {"ARG X\nFROM golang:$X", DockerfileOptions{}, "!no value"},
		"environment":      {"FROM golang:$X", env, "golang:from-x"},
		"stage's argument": {"FROM a\nARG X=b\nFROM $X", DockerfileOptions{}, "!no value"},
		"mount":            {"FROM a\nRUN --mount=type=bind,from=tools:1,target=/t --network=none make", DockerfileOptions{}, "a tools:1"},
		"continued":        {"FROM \\\n  # comment\n\n  alpine:3 \\\n AS x\nFROM x", DockerfileOptions{}, "alpine:3"},
		"not continued":    {"FROM a\nRUN echo \\\\\nFROM b", DockerfileOptions{}, "a b"},
		"escape":           {"# escape=`\nFROM `\n a\nRUN dir c:\\\nFROM b", DockerfileOptions{}, "a b"},
		"late escape":      {"# hello\n# escape=`\nFROM a\nRUN x `\nFROM b", DockerfileOptions{}, "a b"},
		"here-document":    {"FROM a\nRUN <<EOF\nFROM b\nEOF\nFROM c", DockerfileOptions{}, "a c"},
		"quoted one":       {"FROM a\nCOPY <<-'END X' /x\nFROM b\n\tEND X\nFROM c", DockerfileOptions{}, "a c"},
		"open one":         {"FROM a\nRUN cat <<EOF\nFROM b", DockerfileOptions{}, "a b"},
		"no here-document": {"FROM a\nRUN echo \"<<EOF\"\nFROM b\nRUN true \\\nEOF", DockerfileOptions{}, "a b"},
		"onbuild":          {"FROM a\nONBUILD COPY --from=b x y", DockerfileOptions{}, "a b"},
		"base":             {"FROM a AS x\nFROM b\nFROM x", DockerfileOptions{BaseOnly: true}, "a"},
		"base of scratch":  {"FROM a\nFROM scratch", DockerfileOptions{BaseOnly: true}, ""},
		"digest":           {"FROM r.example/a@sha256:abc", DockerfileOptions{}, "r.example/a@sha256:abc"},
		"crlf and mark":    {"\ufeffFROM a\r\nFROM b\r\n", DockerfileOptions{}, "a b"},
		"empty":            {"# nothing\n", DockerfileOptions{}, "!no FROM"},
		"too much":         {"FROM a b c d", DockerfileOptions{}, "!not understood"},
		"template":         {"FROM {{ .Image }}", DockerfileOptions{}, "!not understood"},
		"substitution":     {"FROM a:${X%y}", DockerfileOptions{}, "!not understood"},
		"endless":          {"FROM " + strings.Repeat("${A:-", 5000), DockerfileOptions{}, "!bytes"},
	} {
		t.Run(name, func(t *testing.T) { check(t, test.want)(Dockerfile([]byte(test.text), test.o)) })
	}
}

func check(t *testing.T, want string) func([]string, error) {
	return func(got []string, err error) {
		t.Helper()
		if part, ok := strings.CutPrefix(want, "!"); ok {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Fatalf("got %q and %v, want an error with %q", got, err, part)
			}
			return
		}
		if err != nil || !slices.Equal(got, strings.Fields(want)) {
			t.Fatalf("got %q and %v, want %q", got, err, want)
		}
	}
}

func TestWorkloads(t *testing.T) {
	lookup := func(name string) (string, bool) { return "3", name == "TAG" }
	for name, test := range map[string]struct{ text, want string }{
		"pod":              {"kind: Pod\nspec:\n  containers: [{image: a}]\n  initContainers: [{image: b}]\n  ephemeralContainers: [{image: c}]", "a b c"},
		"documents":        {"kind: Pod\nspec: {containers: [{image: a}]}\n---\n# nothing\n---\nkind: Pod\nspec: {containers: [{image: b}]}\n", "a b"},
		"template":         {"kind: CronJob\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{image: a}]}}}}}", "a"},
		"custom resource":  {"kind: Fleet\nspec: {pools: [{podTemplate: {spec: {containers: [{image: a}], initContainers: [{image: b}]}}}]}", "a b"},
		"list":             {"kind: List\nitems: [{kind: Pod, spec: {containers: [{image: a}]}}, {kind: Pod, spec: {containers: [{image: b}]}}]", "a b"},
		"json":             {`{"kind":"Pod","spec":{"containers":[{"image":"a"}]}}`, "a"},
		"image volume":     {"kind: Pod\nspec: {containers: [{image: a}], volumes: [{image: {reference: b}}, {emptyDir: {}}]}", "a b"},
		"alias":            {"kind: Pod\nx: &c {image: a}\nspec: {containers: [*c]}", "a"},
		"merge":            {"kind: Pod\nx: &c {image: a}\nspec: {containers: [{<<: *c, name: n}]}", "a"},
		"schema":           {"kind: CustomResourceDefinition\nproperties: {containers: {items: {properties: {image: {type: string}}}}}", ""},
		"compose":          {"services:\n  web: {image: 'web:${TAG:-2}'}\n  db: {image: 'db:$TAG'}\n  own: {build: .}", "web:3 db:3"},
		"compose default":  {"services: {web: {image: 'web:${OTHER:-2}'}}", "web:2"},
		"compose unset":    {"services: {web: {image: 'web:${OTHER}'}}", "!no value"},
		"compose anchors":  {"x-a: &a {image: a}\nservices: {web: {<<: *a}}", "a"},
		"no expansion":     {"kind: Pod\nspec: {containers: [{image: 'a:${TAG}'}]}", "!not the name"},
		"helm template":    {"kind: Pod\nspec: {containers: [{image: '{{ .Values.image }}'}]}", "!not the name"},
		"helm values":      {"containers: [{image: {repository: a, tag: b}}]", "!not a name"},
		"empty name":       {"kind: Pod\nspec: {containers: [{image: ''}]}", "!not the name"},
		"not yaml":         {"kind: [", "!document 1"},
		"broken second":    {"kind: Pod\n---\nkind: [", "!document 2"},
		"nothing":          {"kind: ConfigMap", ""},
		"cycle":            {"a: &a [*a]", "!"},
		"laughing":         {laughs(), "!"},
		"no service image": {"services: [a, b]", ""},
	} {
		t.Run(name, func(t *testing.T) { check(t, test.want)(Workloads([]byte(test.text), lookup)) })
	}
}

// laughs is a file of few bytes that aliases make into billions.
func laughs() string {
	text := "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
	for i := range 9 {
		n, m := string(rune('0'+i)), string(rune('1'+i))
		text += "a" + m + ": &a" + m + " [" + strings.Repeat("*a"+n+", ", 8) + "*a" + n + "]\n"
	}
	return text
}

func FuzzDockerfile(f *testing.F) {
	f.Add([]byte("ARG V=1\nFROM a:${V:-2} AS x\nRUN <<EOF\nEOF\nCOPY --from=x a b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		names, err := Dockerfile(data, DockerfileOptions{})
		for _, name := range names {
			if err == nil && checkName(name) != nil {
				t.Fatalf("%q passed for a name", name)
			}
		}
	})
}

func FuzzWorkloads(f *testing.F) {
	f.Add([]byte("services: {web: {image: 'web:${TAG:-2}'}}"))
	f.Add([]byte("kind: Pod\nx: &c {image: a}\nspec: {containers: [*c]}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		names, err := Workloads(data, os.LookupEnv)
		for _, name := range names {
			if err == nil && checkName(name) != nil {
				t.Fatalf("%q passed for a name", name)
			}
		}
	})
}
