package access

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const someHosts = `server = "https://registry-1.docker.io" # the registry itself
skip_verify = false

[host."https://mirror.test:5000"]
  capabilities = ["pull"]
  dial_timeout = "1s"
  [host."https://mirror.test:5000".header]
    x-custom = ["a", "b"]
    authorization = "Basic bWlycm9y"

[host."https://proxy.test/v2/hub"]
  capabilities = ["pull", "resolve", "push"]
  override_path = true

[host."http://bare/v2"]
[host.'https://root.test/api/docker']
  proxy = "http://user:pw@proxy.test:3128/"
  skip_verify = true
[host."plain.test/sub"]
  capabilities = ["push"]
`

func hosts(t *testing.T, m *machine, host string) (*Registry, error) {
	t.Helper()
	r, err := LoadHosts(filepath.Join(m.home, "certs.d"), true)
	if err != nil {
		t.Fatal(err)
	}
	return r.Find(host + "/team/app")
}

func TestHosts(t *testing.T) {
	m := newMachine(t)
	m.write("certs.d/docker.io/hosts.toml", someHosts)
	hub, err := hosts(t, m, "index.docker.io")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, mirror := range hub.Mirrors {
		w := mirror.Way
		got = append(got, fmt.Sprint(hub.In(mirror, "index.docker.io/library/alpine"), " ", w.Scheme, " root ", w.Root, " ns ", w.Namespace,
			" tags ", mirror.Tags, " digests ", mirror.Digests, " insecure ", mirror.Insecure, " skip ", w.SkipVerify, " dial ", w.DialTimeout, " proxy ", w.Proxy))
	}
	want := []string{
		"mirror.test:5000/library/alpine https root  ns docker.io tags false digests true insecure false skip false dial 1s proxy <nil>",
		"proxy.test/hub/library/alpine https root  ns docker.io tags true digests true insecure false skip false dial 0s proxy <nil>",
		"bare:80/library/alpine http root  ns docker.io tags true digests true insecure true skip false dial 0s proxy <nil>",
		"root.test/library/alpine https root /api/docker/v2 ns docker.io tags true digests true insecure false skip true dial 0s proxy http://user:pw@proxy.test:3128/",
		"plain.test/library/alpine https root /sub/v2 ns docker.io tags false digests false insecure false skip false dial 0s proxy <nil>",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	header := hub.Mirrors[0].Way.Header
	if fmt.Sprint(header) != "map[Authorization:[Basic bWlycm9y] X-Custom:[a b]]" || hub.Way == nil || hub.Way.Scheme != "https" || hub.Way.Namespace != "" || hub.Insecure {
		t.Errorf("header %v, registry %+v", header, hub.Way)
	}
	// Who writes has the registry only.
	r, err := LoadHosts(filepath.Join(m.home, "certs.d"), false)
	if err != nil {
		t.Fatal(err)
	}
	if hub, err = r.Find("docker.io/library/alpine"); err != nil || len(hub.Mirrors) != 0 || hub.Way == nil {
		t.Errorf("%+v, %v", hub, err)
	}
}

// The directory of a port goes before the one with a colon, and any before _default; without a hosts.toml there are
// certificates.
func TestHostDirs(t *testing.T) {
	m := newMachine(t)
	mirror := func(name string) string { return fmt.Sprintf("[host.\"https://%s\"]\n", name) }
	if none, err := hosts(t, m.with("certs.d/none/x"), "a.test"); none != nil || err != nil {
		t.Errorf("no directory: %+v, %v", none, err)
	}
	m.write("certs.d/_default/hosts.toml", mirror("default.test"))
	m.write("certs.d/a.test:5000/hosts.toml", mirror("colon.test"))
	m.write("certs.d/b.test:5000/hosts.toml", mirror("colon.test"))
	m.write("certs.d/b.test_5000_/hosts.toml", mirror("under.test"))
	m.write("certs.d/c.test/other", "")
	m.write("certs.d/d.test/ca.crt", "no certificate")
	m.write("outside/hosts.toml", "bad")
	for host, want := range map[string]string{"x.test": "default.test", "a.test:5000": "colon.test", "b.test:5000": "under.test", "b.test": "default.test", "c.test": ""} {
		got, err := hosts(t, m, host)
		if err != nil || got == nil || (want == "") != (len(got.Mirrors) == 0) || want != "" && got.Mirrors[0].Location != want {
			t.Errorf("%s: %+v, %v", host, got, err)
		}
	}
	if _, err := hosts(t, m, "d.test"); err == nil || !strings.Contains(err.Error(), "ca.crt: it holds no PEM certificate") {
		t.Errorf("a broken certificate: %v", err)
	}
	if out, err := hosts(t, m, ".."); out != nil || err != nil {
		t.Errorf("led out: %+v, %v", out, err)
	}
	for _, path := range []string{"none", "certs.d/c.test/other"} {
		if _, err := LoadHosts(filepath.Join(m.home, path), true); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func (m *machine) with(path string) *machine { m.write(path, ""); return m }

// What is not understood is an error, not passed over.
func TestHostsRefused(t *testing.T) {
	m := newMachine(t)
	m.write("certs.d/a.test/bad.pem", "no certificate")
	const mirror = "[host.'https://m.test']\n"
	for text, want := range map[string]string{
		"fast = true\n":                                          "line 1: fast is not known of a host",
		mirror + "server = 'https://b.test'\n":                   "server is not known of a host",
		"[host]\nx = 1\n":                                        "x is not known of host",
		"[hosts.'https://m.test']\n":                             "is not known here",
		"[[host]]\n":                                             "is not known here",
		"[host.'https://m.test'.other]\n":                        "is not known here",
		"[host.'https://m.test'.host.'https://n.test']\n":        "is not known here",
		"[plugins]\n":                                            "is not known here",
		mirror + mirror:                                          "begun twice",
		"server = 'https://b.test'\n":                            "make it a host",
		"server = 'https://a.test/x?y=1'\n":                      "more than a host",
		"server = 'ftp://a.test'\n":                              "no address of a host",
		"override_path = true\n":                                 "without a server",
		"capabilities = ['push']\n":                              "lacks the capability",
		"capabilities = ['pull']\n":                              "lacks the capability",
		mirror + "capabilities = ['fly']\n":                      `"fly" is not known`,
		mirror + "capabilities = 1\n":                            "another type",
		mirror + "capabilities = ['pull', 1]\n":                  "another type",
		mirror + "skip_verify = 'yes'\n":                         "another type",
		mirror + "override_path = true\n":                        "has no path",
		mirror + "ca = 'none.pem'\n":                             "none.pem: no such file",
		mirror + "ca = ['bad.pem']\n":                            "bad.pem: it holds no PEM certificate",
		mirror + "ca = true\n":                                   "another type",
		mirror + "client = 'bad.pem'\n":                          "client: bad.pem",
		mirror + "client = [['bad.pem']]\n":                      "in place of a pair",
		mirror + "client = [['bad.pem', 'none.key']]\n":          "none.key: no such file",
		mirror + "client = 7\n":                                  "another type",
		mirror + "dial_timeout = 'soon'\n":                       "want a duration",
		mirror + "dial_timeout = '-1s'\n":                        "want a duration",
		mirror + "dial_timeout = '24h'\n":                        "want a duration",
		mirror + "proxy = 'gopher://p.test'\n":                   "no URL of a proxy",
		mirror + "proxy = 'http://p.test/path'\n":                "no URL of a proxy",
		"[host.'https://m.test'.header]\nHost = 'x'\n":           "part of the protocol",
		"[host.'https://m.test'.header]\n'x y' = 'x'\n":          "what no header may",
		"[host.'https://m.test'.header]\nx = \"a\\r\\nb: c\"\n":  "what no header may",
		"[host.'https://m.test'.header]\nx = 1\n":                "another type",
		"[host.'https://u:p@m.test']\n":                          "more than a host",
		"[host.'https://']\n":                                    "no address of a host",
		"[host.'https://m.test/%2e%2e/x']\noverride_path=true\n": "no address of a host",
		"server = \"x\n":                                         "not closed",
		strings.Repeat("#", maxRegistries+1):                     "it has more than",
	} {
		m.write("certs.d/a.test/hosts.toml", text)
		_, err := hosts(t, m, "a.test")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "hosts.toml: ") {
			t.Errorf("%.70q: got %v, want %q", text, err, want)
		}
	}
	var many strings.Builder
	for i := range maxHosts + 1 {
		fmt.Fprintf(&many, "[host.'https://m%d.test']\n", i)
	}
	m.write("certs.d/a.test/hosts.toml", many.String())
	if _, err := hosts(t, m, "a.test"); err == nil || !strings.Contains(err.Error(), "it has 65 hosts") {
		t.Errorf("many hosts: %v", err)
	}
}

func FuzzParseHosts(f *testing.F) {
	f.Add([]byte(someHosts))
	f.Add([]byte("[host.\"https://m.test\".header]\nx = ['a']\n"))
	f.Add([]byte("server = 'https://a.test/v2'\ncapabilities = ['pull', 'resolve']\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseHosts(data, dir, "a.test")
		if err != nil {
			return
		}
		if r.Prefix != "a.test" || r.Way == nil || r.Way.Namespace != "" {
			t.Errorf("%+v", r)
		}
		for _, m := range r.Mirrors {
			if m.Way.Scheme != "https" && m.Way.Scheme != "http" || strings.Contains(m.Location+m.Way.Root, "..") || m.Way.DialTimeout > time.Hour {
				t.Errorf("%+v %+v", m, m.Way)
			}
			for name, values := range m.Way.Header {
				if strings.ContainsAny(name+strings.Join(values, ""), "\r\n\x00") {
					t.Errorf("header %q: %q", name, values)
				}
			}
		}
	})
}

// The parts of a table's name are kept apart, whatever is in them.
func FuzzTableName(f *testing.F) {
	f.Add("https://a.test:5000/x", "header")
	f.Add("", "\"quoted\".part")
	f.Fuzz(func(t *testing.T, a, b string) {
		name := quotedName(a) + "." + quotedName(b)
		parts := splitName(name)
		if len(parts) != 2 || parts[0] != a || parts[1] != b {
			t.Errorf("%q, %q: %q", a, b, parts)
		}
	})
}
