package access

import (
	"strings"
	"testing"
)

const someRegistries = `# as Podman has it
unqualified-search-registries = ["docker.io", 'quay.io']  # two
short-name-mode = "enforcing"

[[registry]]
prefix = "docker.io"
location = "docker.io"
[[registry.mirror]]
location = "mirror.test:5000/hub"
insecure = true
[[registry.mirror]]
location = "second.test"
pull-from-mirror = "digest-only"

[[registry]]
location = "quay.test/team"
mirror-by-digest-only = true
  [[registry.mirror]]
  location = "mirror.test/quay"

[[registry]]
prefix = "*.blocked.test"
blocked = true

[aliases]
"fedora" = "registry.fedoraproject.org/fedora"
`

func TestRegistries(t *testing.T) {
	m := newMachine(t)
	r, err := LoadRegistries(m.write("registries.conf", someRegistries))
	if err != nil {
		t.Fatal(err)
	}
	find := func(repository string) *Registry {
		t.Helper()
		found, err := r.Find(repository)
		if err != nil {
			t.Errorf("%s: %v", repository, err)
		}
		return found
	}
	hub := find("index.docker.io/library/alpine")
	if hub == nil || len(hub.Mirrors) != 2 || hub.In(hub.Mirrors[0], "index.docker.io/library/alpine") != "mirror.test:5000/hub/library/alpine" ||
		!hub.Mirrors[0].Insecure || !hub.Mirrors[0].Tags || !hub.Mirrors[0].Digests || hub.Mirrors[1].Tags || !hub.Mirrors[1].Digests || hub.Mirrors[1].Insecure {
		t.Errorf("docker.io: %+v", hub)
	}
	quay := find("quay.test/team/app")
	if quay == nil || len(quay.Mirrors) != 1 || quay.Mirrors[0].Tags || !quay.Mirrors[0].Digests || quay.In(quay.Mirrors[0], "quay.test/team/app") != "mirror.test/quay/app" {
		t.Errorf("quay.test: %+v", quay)
	}
	if b := find("a.blocked.test/x"); b == nil || !b.Blocked {
		t.Errorf("blocked: %+v", b)
	}
	for _, none := range []string{"quay.test/teams/app", "blocked.test/x", "evilblocked.test/x", "docker.io.evil.test/x", "other.test/docker.io/x"} {
		if found := find(none); found != nil {
			t.Errorf("%s: %+v", none, found)
		}
	}
	if found, err := (*Registries)(nil).Find("a.test/x"); found != nil || err != nil {
		t.Error("no file says something")
	}
}

// What is not understood is an error, not passed over.
func TestRegistriesRefused(t *testing.T) {
	m := newMachine(t)
	if _, err := LoadRegistries(m.home + "/none"); err == nil {
		t.Error("no file: no error")
	}
	mirror := "[[registry]]\nprefix=\"a.test\"\n[[registry.mirror]]\n"
	for text, want := range map[string]string{
		"[registries.search]\nregistries = ['a.test']\n":                            "version 2",
		"[[registry.mirror]]\nlocation='a'\n":                                       "want [[registry]]",
		"[registry]\nprefix='a'\n":                                                  "want [[registry]]",
		"unknown = 1\n":                                                             "line 1: unknown is not known",
		"[[registry]]\nprefix='a.test'\nblock=true\n":                               "line 3: block is not known of a registry",
		"[[registry]]\nprefix='a.test'\nblocked='yes'\n":                            "another type",
		"[[registry]]\nprefix='a.test'\nprefix='b.test'\n":                          "given twice",
		"[[registry]]\nprefix='a.test'\nlocation='b.test'\n":                        "differs from prefix",
		"[[registry]]\nblocked=true\n":                                              "is no registry",
		"[[registry]]\nprefix='https://a.test'\n":                                   "is no registry",
		"[[registry]]\nprefix='*.a.test'\n[[registry.mirror]]\nlocation='b.test'\n": "cannot have mirrors",
		mirror:                              "mirror location",
		mirror + "location='b.test/../c'\n": "mirror location",
		mirror + "location='b.test'\nfast=true\n":                "not known of a mirror",
		mirror + "location='b.test'\npull-from-mirror='never'\n": "it may be all",
		"[[registry]\n":                      "not closed",
		"a = \"x\n":                          "not closed",
		"a = {b=1}\n":                        "neither a string",
		"a = '''x'''\n":                      "several lines",
		"a = [[[[[[1]]]]]]\n":                "too deeply",
		"a = [1\n":                           "a list is not closed",
		"a = true false\n":                   "more than one thing",
		"a\n":                                "not followed by =",
		"= 1\n":                              "a name is missing",
		"a = \"\\q\"\n":                      "an escape that is none",
		"a = \"\xff\"\n":                     "not UTF-8",
		"[aliases]\n[aliases]\n":             "begun twice",
		strings.Repeat("#", maxRegistries+1): "it has more than",
	} {
		if _, err := LoadRegistries(m.write("registries.conf", text)); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "registries.conf: ") {
			t.Errorf("%.70q: got %v, want %q", text, err, want)
		}
	}
}

func FuzzParseRegistries(f *testing.F) {
	f.Add([]byte(someRegistries))
	f.Add([]byte("[[registry]]\nprefix=\"a\"\n[[registry.mirror]]\nlocation='b'\n"))
	f.Add([]byte("a = [1, true, 'x', [\"y\\n\"]]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseRegistries(data)
		if err != nil {
			return
		}
		for _, r := range list {
			for _, m := range r.Mirrors {
				if r.Prefix == "" || m.Location == "" || strings.Contains(r.In(m, r.Prefix+"/x"), "..") {
					t.Errorf("%+v", r)
				}
			}
		}
	})
}
