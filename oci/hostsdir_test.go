package oci

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/oci/access"
)

// hostsOf is a directory in which a hosts.toml is about one registry, with files beside it.
func hostsOf(t *testing.T, registry, text string, files map[string][]byte) *access.Registries {
	t.Helper()
	dir := t.TempDir()
	own := filepath.Join(dir, strings.Replace(registry, ":", "_", 1)+"_")
	if err := os.Mkdir(own, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(own, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(own, "hosts.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := access.LoadHosts(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// station is a mirror that writes down what reaches it.
type station struct {
	*testenv.Registry
	front *httptest.Server
	mu    sync.Mutex
	seen  []string // method, path, query and one header
}

// newStation serves a registry below a path, by TLS that demands what m has, or by plain HTTP without m.
func newStation(t *testing.T, root string, m *mutualTLS, lead func(w http.ResponseWriter, r *http.Request) bool) *station {
	t.Helper()
	s := &station{Registry: testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.seen = append(s.seen, fmt.Sprintf("%s %s %s %s", r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Get("X-Mirror")))
		s.mu.Unlock()
		rest, ok := strings.CutPrefix(r.URL.Path, root)
		if !ok {
			http.NotFound(w, r)
			return
		}
		if lead == nil || !lead(w, r) {
			r.URL.Path = "/v2" + rest
			s.ServeHTTP(w, r)
		}
	})
	s.front = httptest.NewUnstartedServer(handler)
	s.front.Config.ErrorLog = s.Server.Config.ErrorLog
	if m == nil {
		s.front.Start()
	} else {
		s.front.TLS = m.demand()
		s.front.StartTLS()
		m.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.front.Certificate().Raw})
	}
	t.Cleanup(s.front.Close)
	return s
}

func (s *station) log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// A mirror of a hosts.toml is reached in the way that the file has: its authority, certificate, header and path, and told
// which registry it stands for. What it cannot give is read from the registry.
func TestHostsMirror(t *testing.T) {
	m := newMutualTLS(t)
	for _, test := range []struct {
		name, root, address, more string
		m                         *mutualTLS
		repository, asked         string // first manifest request at the mirror; "": it is not used
	}{
		{"below /v2", "/v2", "https://HOST/v2/copy", "override_path = true\nca = 'ca.pem'\nclient = [['cert.pem', 'key.pem']]\n", m, "copy/app", "/v2/copy/app/manifests/v1"},
		{"a path of its own", "/api/hub/v2", "https://HOST/api/hub", "ca = ['ca.pem']\nclient = 'both.pem'\n", m, "app", "/api/hub/v2/app/manifests/v1"},
		{"a root of its own", "/hub", "https://HOST/hub", "override_path = true\nca = 'ca.pem'\nclient = ['both.pem']\n", m, "app", "/hub/app/manifests/v1"},
		{"unchecked", "/v2", "https://HOST", "skip_verify = true\nclient = 'both.pem'\n", m, "app", "/v2/app/manifests/v1"},
		{"plain", "/v2", "http://HOST", "", nil, "app", "/v2/app/manifests/v1"},
		{"by digest only", "/v2", "http://HOST", "capabilities = ['pull']\n", nil, "app", "/v2/app/manifests/sha256:"},
		{"no client certificate", "/v2", "https://HOST", "ca = 'ca.pem'\n", m, "app", ""},
		{"no authority", "/v2", "https://HOST", "client = 'both.pem'\n", m, "app", ""},
		{"plain HTTP in place of HTTPS", "/v2", "https://HOST", "", nil, "app", ""},
		{"only to push", "/v2", "http://HOST", "capabilities = ['push']\n", nil, "app", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
			s := newStation(t, test.root, test.m, nil)
			direct := newClient(t, Options{})
			img := mustResolve(t, direct, reg.PushImage(t, "app:v1"))
			digest := mustAttach(t, direct, img, bundleOptions(newBundle(t)))
			s.PushManifest(t, test.repository, "v1", typeOCIManifest, img.Manifest())
			s.PushManifest(t, test.repository, digest, typeOCIManifest, reg.ReadManifest("app", digest))
			host := s.front.Listener.Addr().String()
			text := fmt.Sprintf("[host.%q]\n%s[host.%q.header]\nx-mirror = 'for the mirror'\n", strings.Replace(test.address, "HOST", host, 1), test.more,
				strings.Replace(test.address, "HOST", host, 1))
			files := map[string][]byte{"ca.pem": m.ca, "cert.pem": m.cert, "key.pem": m.key, "both.pem": append(bytes.Clone(m.cert), m.key...)}
			c := newClient(t, Options{Mirrors: hostsOf(t, reg.Host, text, files)})
			reg.Reset()
			img, err := c.Resolve(t.Context(), reg.Host+"/app:v1")
			if err != nil {
				t.Fatal(err)
			}
			if found, err := c.Find(t.Context(), img, FindOptions{Bundles: true}); err != nil || len(found.Items) != 1 || reg.Count("GET referrers") != 1 {
				t.Errorf("%v, %s\n%s", err, summary(found), reg.Log())
			}
			used := 0
			for _, line := range s.log() {
				words := strings.SplitN(line, " ", 4)
				if strings.Contains(words[1], "/manifests/") || strings.Contains(words[1], "/blobs/") {
					used++
					if used == 1 && (test.asked == "" || !strings.HasPrefix(words[1], test.asked)) || !strings.Contains(words[2], "ns="+strings.Replace(reg.Host, ":", "%3A", 1)) {
						t.Errorf("asked for %s, want %q", line, test.asked)
					}
				}
				if words[3] != "for the mirror" {
					t.Errorf("without the header: %s", line)
				}
			}
			if (used > 0) != (test.asked != "") || test.asked == "" && test.name != "only to push" && strings.Contains(strings.Join(s.log(), "\n"), "for the mirror") {
				t.Errorf("the mirror was asked:\n%s", strings.Join(s.log(), "\n"))
			}
		})
	}
}

// What a hosts.toml has for a mirror is for no host that the mirror leads to, and nothing of the registry's is for the mirror.
func TestCanaryHosts(t *testing.T) {
	m := newMutualTLS(t)
	y := newCanary(t, true, nil)
	y.TLS.ClientAuth = 1 // tls.RequestClientCert; set before the first handshake
	s := newStation(t, "/v2", m, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v2/" {
			return false
		}
		http.Redirect(w, r, y.URL+r.URL.Path, http.StatusFound)
		return true
	})
	ref, x := challenged(t, false, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("X-Mirror") != "" || r.URL.Query().Has("ns") {
			t.Errorf("what is for the mirror reached the registry: %s", r.URL)
		}
		return false
	})
	address := s.front.URL
	text := fmt.Sprintf("[host.%q]\nca = 'ca.pem'\nclient = 'both.pem'\n[host.%q.header]\nX-Mirror = %q\n", address, address, canarySecret)
	files := map[string][]byte{"ca.pem": m.ca, "both.pem": append(bytes.Clone(m.cert), m.key...)}
	o := Options{Username: "me", Password: canarySecret, AllowInsecure: true} // so that Y is reached at all
	o.Mirrors = hostsOf(t, strings.TrimPrefix(x.URL, "http://"), text, files)
	if err := use(t, newClient(t, o), ref); err != nil || y.asked.Load() == 0 {
		t.Errorf("%v, Y was asked %d times", err, y.asked.Load())
	}
	for _, line := range s.log() {
		if !strings.HasSuffix(line, canarySecret) {
			t.Errorf("without its header: %s", line)
		}
	}
}

// The way to the registry itself is that of its hosts.toml too, for reading and for writing; a mistake in it is an error.
func TestHostsServer(t *testing.T) {
	m := newMutualTLS(t)
	ref := m.start(t, func(http.ResponseWriter, *http.Request) bool { return false })
	host := ref[:strings.Index(ref, "/")]
	files := map[string][]byte{"ca.pem": m.ca, "cert.pem": m.cert, "key.pem": m.key}
	const both = "ca = 'ca.pem'\nclient = [['cert.pem', 'key.pem']]\n"
	for text, want := range map[string]string{
		both: "", "server = 'https://" + host + "'\n" + both: "", "skip_verify = true\n" + both[strings.Index(both, "client"):]: "",
		"ca = 'ca.pem'\n": "status 400", "server = 'https://" + host + "'\nca = 'ca.pem'\n": "certificate required", "client = [['cert.pem', 'key.pem']]\n": "certificate", "fast = true\n": "fast is not known",
		"server = 'https://elsewhere.test'\n": "make it a host", "ca = 'key.pem'\n": "ca: key.pem",
	} {
		err := use(t, newClient(t, Options{Mirrors: hostsOf(t, host, text, files)}), ref)
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	// Doctor tells of it.
	report, err := examine(t, newClient(t, Options{Mirrors: hostsOf(t, host, both+"[host.'https://m.test']\ncapabilities = ['pull']\n", files)}), ref, false)
	if told := strings.Join(report.Settings, "\n"); err != nil || !strings.Contains(told, "1 authorities beside the system's, 1 client certificates") ||
		!strings.Contains(told, "mirror m.test, which commands that verify ask for content by digest") {
		t.Errorf("%v, settings %s", err, told)
	}
	// An authority that was given stands in place of all others.
	other := filepath.Join(t.TempDir(), "other.pem")
	if err := os.WriteFile(other, m.cert, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := use(t, newClient(t, Options{CACerts: other, Mirrors: hostsOf(t, host, both, files)}), ref); !isUnknown(err) {
		t.Errorf("with another authority given: %v", err)
	}
	if _, err := New(Options{Transport: http.DefaultTransport, Mirrors: hostsOf(t, host, both, files)}); err != nil {
		t.Fatal(err)
	}
	if err := use(t, newClient(t, Options{Transport: http.DefaultTransport, Mirrors: hostsOf(t, host, both, files)}), ref); err == nil || !strings.Contains(err.Error(), "cannot be combined") {
		t.Errorf("with a transport: %v", err)
	}
}

// A certificate on the command line does not go to a mirror, whatever file names that, and the registry gets it.
func TestCanaryMirrorCertificate(t *testing.T) {
	m := newMutualTLS(t)
	ref := m.start(t, func(http.ResponseWriter, *http.Request) bool { return false })
	host := ref[:strings.Index(ref, "/")]
	dir := t.TempDir()
	o := Options{AllowInsecure: true, ClientCert: filepath.Join(dir, "cert.pem"), ClientKey: filepath.Join(dir, "key.pem")}
	for path, data := range map[string][]byte{o.ClientCert: m.cert, o.ClientKey: m.key} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	y := newCanary(t, true, func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) })
	y.TLS.ClientAuth = 1 // tls.RequestClientCert; set before the first handshake
	yHost := y.Listener.Addr().String()
	for name, r := range map[string]*access.Registries{
		"registries.conf": mirrors(t, host, yHost, ""),
		"hosts.toml":      hostsOf(t, host, "[host.'https://"+yHost+"']\nskip_verify = true\n", nil),
	} {
		before := y.asked.Load()
		o.Mirrors = r
		if err := use(t, newClient(t, o), ref); err != nil || y.asked.Load() == before {
			t.Errorf("%s: %v, the mirror was asked %d times", name, err, y.asked.Load()-before)
		}
	}
}

// A registry's own certificate in certs.d does not go to its mirror, and neither does what files hold for the registry.
func TestCanaryMirrorFiles(t *testing.T) {
	ref, x := challenged(t, false, func(http.ResponseWriter, *http.Request) bool { return false })
	host := strings.TrimPrefix(x.URL, "http://")
	y := newCanary(t, false, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	config := fmt.Sprintf(`{"auths":{%q:{"username":"me","password":%q}}}`, host, canarySecret)
	env := func(name string) (string, bool) { return map[string]string{"DOCKER_AUTH_CONFIG": config}[name], true }
	for _, r := range []*access.Registries{
		mirrors(t, host, y.Listener.Addr().String()+"/copy", ""), hostsOf(t, host, "[host."+fmt.Sprintf("%q", y.URL)+"]\n", nil),
	} {
		before := y.asked.Load()
		o := Options{Mirrors: r, Keychain: access.NewKeychain(access.Options{Home: t.TempDir(), LookupEnv: env})}
		if err := use(t, newClient(t, o), ref); err != nil || y.asked.Load() == before {
			t.Errorf("%v, the mirror was asked %d times", err, y.asked.Load()-before)
		}
	}
}
