package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/bulla-sign/bulla/server/internal/config"
)

func template(t testing.TB) string {
	t.Helper()
	data, err := config.Template(config.Values{
		URL: "https://sigstore.example.com", Services: config.Services(), Listen: []string{"127.0.0.1:8080"},
		Hosts: []string{"sigstore.example.com"}, Metrics: "127.0.0.1:9090",
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// every returns the template with the keys that are comments in force.
func every(t testing.TB) string {
	return regexp.MustCompile(`(?m)^(\s*)#((?:- )?[a-z0-9-]+:)`).ReplaceAllString(template(t), "$1$2")
}

func TestEveryKeyIsExplained(t *testing.T) {
	text := every(t)
	if _, err := config.Decode([]byte(text)); err != nil {
		t.Fatalf("with every key in force: %v\n%s", err, text)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	inFile := make(map[string]bool)
	collect(doc.Content[0], "", inFile, t)
	for _, key := range fields(reflect.TypeFor[config.File](), "") {
		if !inFile[key] {
			t.Errorf("the template does not have the key %s", key)
		}
	}
}

// collect notes the keys of a document. Every one must have a comment above it, or above the one that it follows.
func collect(n *yaml.Node, path string, into map[string]bool, t *testing.T) {
	switch n.Kind {
	case yaml.SequenceNode:
		for _, c := range n.Content {
			collect(c, path, into, t)
		}
	case yaml.MappingNode:
		explained := false
		for i := 0; i < len(n.Content); i += 2 {
			key := path + "." + n.Content[i].Value
			into[key] = true
			explained = explained || n.Content[i].HeadComment != "" || n.HeadComment != ""
			if !explained && key != ".rotation" && !strings.HasPrefix(key, ".listen") {
				t.Errorf("nothing explains the key %s", key)
			}
			collect(n.Content[i+1], key, into, t)
		}
	}
}

func fields(typ reflect.Type, path string) (out []string) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		key, inner := path+"."+f.Tag.Get("yaml"), f.Type
		out = append(out, key)
		if inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			out = append(out, fields(inner, key)...)
		}
	}
	return out
}

func TestRefused(t *testing.T) {
	good := template(t)
	for _, tt := range []struct{ name, from, to, err string }{
		{"unknown key", "rotation:\n", "rotatoin:\n", `there is no key "rotatoin"`},
		{"unknown key inside", "  format: text", "  fromat: text", `there is no key "fromat"`},
		{"its line", "services: [", "x: 1\nservices: [", "line "},
		{"twice", "metrics: ", "metrics: \"\"\nmetrics: ", "already defined"},
		{"unknown service", "services: [ca,", "services: [ac,", `there is no service "ac"`},
		{"service twice", "services: [ca,", "services: [ca, ca,", "twice"},
		{"no service", "services: [ca, ctlog, log, tsa, tuf, issuer, web, monitor]", "services: []", "none"},
		{"no unit", "propagation: 24h", "propagation: 24", "no duration"},
		{"negative", "propagation: 24h", "propagation: -1h", "no duration"},
		{"no host", "127.0.0.1:8080", ":8080", "HOST:PORT"},
		{"no port", "127.0.0.1:8080", "127.0.0.1", "HOST:PORT"},
		{"metrics without host", "127.0.0.1:9090", ":9090", "metrics"},
		{"half of TLS", "#certificate: tls.crt", "certificate: tls.crt", "go together"},
		{"profiles without metrics", `metrics: "127.0.0.1:9090"`, "metrics: \"\"\npprof: true", "pprof"},
		{"proxy", "#proxies: [10.0.0.0/8]", "proxies: [10.0.0.1]", "no prefix"},
		{"elsewhere", "metrics: ", "elsewhere:\n  log: 10.0.0.4:8080\nmetrics: ", "http or https"},
		{"level", "level: info", "level: loud", "level"},
		{"format", "format: text", "format: xml", "format"},
		{"policy", "#policy: 1.3.6.1.4.1.57264.2", "policy: one.two", "object identifier"},
		{"login anywhere, but off", "#development-login-anywhere: false", "development-login-anywhere: true", "which is off"},
		{"second document", "  #interval: 1m\n", "---\nstate: .\n", "second document"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changed := strings.Replace(good, tt.from, tt.to, 1)
			if changed == good {
				t.Fatal("nothing to replace")
			}
			if _, err := config.Decode([]byte(changed)); err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want one with %q", err, tt.err)
			}
		})
	}
	if _, err := config.Decode(nil); err == nil {
		t.Error("an empty file is accepted")
	}
}

// The development login starts where nobody else can reach it, or where the file says that this is meant.
func TestDevelopmentLogin(t *testing.T) {
	on := strings.Replace(template(t), "development-login: false", "development-login: true", 1)
	public := func(s string) string { return strings.Replace(s, "127.0.0.1:8080", "0.0.0.0:8080", 1) }
	for name, tt := range map[string]struct {
		text string
		ok   bool
	}{
		"loopback":    {on, true},
		"public":      {public(on), false},
		"a name":      {strings.Replace(on, "127.0.0.1:8080", "sigstore.example.com:8080", 1), false},
		"meant":       {strings.Replace(public(on), "#development-login-anywhere: false", "development-login-anywhere: true", 1), true},
		"no issuer":   {strings.Replace(public(on), "issuer, web", "web", 1), true},
		"off, public": {public(template(t)), true},
		"mapped":      {strings.Replace(on, "127.0.0.1:8080", "[::ffff:10.0.0.1]:8080", 1), false},
	} {
		if _, err := config.Decode([]byte(tt.text)); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPaths(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "bulla-server.yaml")
	if err := os.WriteFile(path, []byte(every(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{f.State, f.PasswordFile, f.CA.Issuers, f.Log.Lock, f.CTLog.Lock, f.Log.Witnesses, f.Listen[0].Certificate, f.Listen[0].Key} {
		if !strings.HasPrefix(p, dir) {
			t.Errorf("%q does not lie where the file does", p)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(template(f)))
	f.Add([]byte(every(f)))
	f.Add([]byte("services: &a [ca]\nlisten: *a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := config.Decode(data)
		if err != nil {
			return
		}
		if err := file.Check(); err != nil {
			t.Errorf("accepted, but %v", err)
		}
	})
}
