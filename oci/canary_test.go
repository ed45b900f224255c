package oci

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/oci/access"
)

// canarySecret is the password and the token of the registry; no other host may see it in any form.
const canarySecret = "s3cret-of-X"

// canary is another host: it sings when a request to it holds a secret.
type canary struct {
	*httptest.Server
	t      *testing.T
	asked  atomic.Int64
	answer http.HandlerFunc
}

func newCanary(t *testing.T, tls bool, answer http.HandlerFunc) *canary {
	c := &canary{t: t, answer: answer}
	c.Server = httptest.NewUnstartedServer(c)
	if tls {
		c.StartTLS()
	} else {
		c.Start()
	}
	t.Cleanup(c.Close)
	return c
}

func (c *canary) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.asked.Add(1)
	whole, err := httputil.DumpRequest(r, true)
	if err != nil {
		c.t.Error(err)
	}
	decoded := []byte(nil)
	if _, coded, ok := strings.Cut(r.Header.Get("Authorization"), "Basic "); ok {
		decoded, _ = base64.StdEncoding.DecodeString(coded)
	}
	stranger := r.Header.Get("Authorization") != "" && r.Header.Get("Authorization") != "Bearer anonymous" // which Y gave itself
	if stranger || r.Header.Get("Cookie") != "" || bytes.Contains(append(whole, decoded...), []byte(canarySecret)) {
		c.t.Errorf("a credential reached another host:\n%s", whole)
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		c.t.Error("a client certificate reached another host")
	}
	if c.answer != nil {
		c.answer(w, r)
	}
}

// challenged is a registry X with basic credentials or tokens, that lead does something to before it answers.
func challenged(t *testing.T, bearer bool, lead func(w http.ResponseWriter, r *http.Request) bool) (ref string, x *httptest.Server) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true, Quirks: testenv.Quirks{TwoStepUploads: true}})
	ref = reg.PushImage(t, "app:v1")
	x = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		authorised := user == "me" && password == canarySecret
		if bearer {
			authorised = r.Header.Get("Authorization") == "Bearer token-"+canarySecret
		}
		switch {
		case lead(w, r):
		case r.URL.Path == "/token":
			fmt.Fprintf(w, `{"token":"token-%s"}`, canarySecret)
		case !authorised && bearer:
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+x.URL+`/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		case !authorised:
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			http.SetCookie(w, &http.Cookie{Name: "session", Value: canarySecret})
			reg.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(x.Close)
	return strings.Replace(ref, reg.Host, strings.TrimPrefix(x.URL, "http://"), 1), x
}

// use does all that a client does with a registry, and says whether all of it went well.
func use(t *testing.T, c *Client, ref string) error {
	img, err := c.Resolve(t.Context(), ref)
	if err != nil {
		return err
	}
	if _, err := c.AttachBundle(t.Context(), img, bundleOptions(newBundle(t))); err != nil {
		return err
	}
	if _, err := c.AttachLayer(t.Context(), img, signature); err != nil {
		return err
	}
	_, err = c.Find(t.Context(), img, FindOptions{Bundles: true, Signatures: true, Attestations: true, Every: true})
	return err
}

// Whatever part of a registry's answers leads to another host, its credential does not go there, and neither does what that
// host asks for then.
func TestCanaryRedirects(t *testing.T) {
	for _, bearer := range []bool{false, true} {
		for _, part := range []string{"GET /manifests/", "HEAD /blobs/", "GET /blobs/", "GET /referrers/", "POST /uploads/", "GET /v2/$", "GET /token$"} {
			for _, status := range []int{302, 307} {
				for _, demand := range []string{"", "Basic", "Bearer"} {
					name := fmt.Sprintf("bearer %t, %s, %d, %s", bearer, part, status, demand)
					y := newCanary(t, false, nil)
					y.answer = func(w http.ResponseWriter, r *http.Request) {
						switch {
						case strings.HasPrefix(r.URL.Path, "/y-token"):
							io.WriteString(w, `{"token":"anonymous"}`)
							return
						case demand == "Bearer":
							w.Header().Set("WWW-Authenticate", `Bearer realm="`+strings.Replace(y.URL, "127.0.0.1", "localhost", 1)+`/y-token",service="y"`)
						case demand != "":
							w.Header().Set("WWW-Authenticate", `Basic realm="y"`)
						}
						w.WriteHeader(http.StatusUnauthorized)
					}
					method, path, _ := strings.Cut(part, " ")
					var led atomic.Bool
					ref, _ := challenged(t, bearer, func(w http.ResponseWriter, r *http.Request) bool {
						here := strings.Contains(r.URL.Path, path) || r.URL.Path+"$" == path
						if r.Method != method || !here || (r.Header.Get("Authorization") == "" && !strings.HasSuffix(path, "$")) {
							return false
						}
						led.Store(true)
						http.Redirect(w, r, y.URL+r.URL.Path, status)
						return true
					})
					err := use(t, newClient(t, Options{Username: "me", Password: canarySecret}), ref)
					if err != nil && strings.Contains(err.Error(), canarySecret) {
						t.Errorf("%s: the error tells the secret: %v", name, err)
					}
					if !led.Load() && (bearer || part != "GET /token$") && part != "HEAD /blobs/" {
						t.Errorf("%s: the test did not come there: %v", name, err)
					}
				}
			}
		}
	}
}

// An upload goes where the registry says, without its credential; a further page of a list does not.
func TestCanaryLocation(t *testing.T) {
	y := newCanary(t, false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
	for _, bearer := range []bool{false, true} {
		ref, _ := challenged(t, bearer, func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost || !strings.Contains(r.URL.Path, "/uploads/") || r.Header.Get("Authorization") == "" {
				return false
			}
			w.Header().Set("Location", y.URL+"/upload?state=1")
			w.WriteHeader(http.StatusAccepted)
			return true
		})
		_ = use(t, newClient(t, Options{Username: "me", Password: canarySecret}), ref) // the blob is not there afterwards
	}
	if y.asked.Load() == 0 {
		t.Error("the test did not come there")
	}
	asked := y.asked.Load()
	ref, _ := challenged(t, false, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/referrers/") || r.Header.Get("Authorization") == "" {
			return false
		}
		w.Header().Set("Content-Type", typeOCIIndex)
		w.Header().Set("Link", `<`+y.URL+`/next>; rel="next"`)
		fmt.Fprintf(w, `{"schemaVersion":2,"mediaType":%q,"manifests":[]}`, typeOCIIndex)
		return true
	})
	if err := use(t, newClient(t, Options{Username: "me", Password: canarySecret}), ref); !isUnknown(err) || y.asked.Load() != asked {
		t.Errorf("a page elsewhere: %v, asked %d times", err, y.asked.Load()-asked)
	}
}

// The specification lets a token server be another host, and the registry's credential is for it. It is not sent by plain
// HTTP where the registry speaks HTTPS, goes no further when the token server leads on, and is never another host's.
func TestCanaryRealm(t *testing.T) {
	y := newCanary(t, false, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"token":"t"}`) })
	yHost := strings.Replace(strings.TrimPrefix(y.URL, "http://"), "127.0.0.1", "localhost", 1)
	realm := func(at string) func(w http.ResponseWriter, r *http.Request) bool {
		at = strings.Replace(at, "127.0.0.1", "localhost", 1) // since a private address is refused
		return func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+at+`/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
	}
	// A credential for Y is not sent to Y on X's behalf.
	dir := t.TempDir()
	config := fmt.Sprintf(`{"auths":{%q:{"username":"me","password":%q}}}`, yHost, canarySecret)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	only := func(name, value string) func(string) (string, bool) {
		return func(asked string) (string, bool) { return map[string]string{name: value}[asked], asked == name }
	}
	files := access.NewKeychain(access.Options{Home: dir, LookupEnv: only("DOCKER_CONFIG", dir)})
	ref, _ := challenged(t, true, realm(y.URL))
	if err := use(t, newClient(t, Options{Keychain: files}), ref); err == nil || y.asked.Load() == 0 {
		t.Errorf("Y's credential for X: %v, asked %d times", err, y.asked.Load())
	}
	// From HTTPS to plain HTTP: not at all.
	asked := y.asked.Load()
	x := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { realm(y.URL)(w, r) }))
	t.Cleanup(x.Close)
	secure := strings.Replace(ref, ref[:strings.Index(ref, "/")], strings.TrimPrefix(x.URL, "https://"), 1)
	if err := use(t, newClient(t, Options{Username: "me", Password: canarySecret, AllowInsecure: true}), secure); err == nil || y.asked.Load() != asked {
		t.Errorf("from https to http: %v, asked %d times", err, y.asked.Load()-asked)
	}
	// A token server that leads on: with a password the question goes on without it; with an identity token it does not go.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, y.URL+"/on", http.StatusTemporaryRedirect)
	}))
	t.Cleanup(server.Close)
	ref, _ = challenged(t, true, realm(server.URL))
	if err := use(t, newClient(t, Options{Username: "me", Password: canarySecret}), ref); err == nil {
		t.Error("a token of another host was taken")
	}
	config = fmt.Sprintf(`{"auths":{%q:{"identitytoken":%q}}}`, ref[:strings.Index(ref, "/")], canarySecret)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	asked = y.asked.Load()
	files = access.NewKeychain(access.Options{Home: dir, LookupEnv: only("DOCKER_CONFIG", dir)})
	err := use(t, newClient(t, Options{Keychain: files}), ref)
	if err == nil || !strings.Contains(err.Error(), "refused a redirect of the token server") || y.asked.Load() != asked {
		t.Errorf("identity token: %v, asked %d times", err, y.asked.Load()-asked)
	}
}

// An identity token is exchanged at the registry's token server.
func TestIdentityToken(t *testing.T) {
	grants := atomic.Int64{}
	ref, _ := challenged(t, true, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/token" && r.Method == http.MethodPost && r.PostFormValue("grant_type") == "refresh_token" && r.PostFormValue("refresh_token") == "identity" {
			grants.Add(1)
		}
		return false
	})
	host := ref[:strings.Index(ref, "/")]
	config := fmt.Sprintf(`{"auths":{%q:{"auth":"MDAwOg==","identitytoken":"identity"}}}`, host)
	env := func(name string) (string, bool) { return map[string]string{"DOCKER_AUTH_CONFIG": config}[name], true }
	c := newClient(t, Options{Keychain: access.NewKeychain(access.Options{Home: t.TempDir(), LookupEnv: env})})
	if err := use(t, c, ref); err != nil || grants.Load() == 0 {
		t.Errorf("%v, %d grants", err, grants.Load())
	}
}

// What the machine has for the TLS of one host is for no other.
func TestCertDirs(t *testing.T) {
	m := newMutualTLS(t)
	y := newCanary(t, true, nil)
	y.TLS.ClientAuth = 1 // tls.RequestClientCert; set before the first handshake
	lead := atomic.Bool{}
	ref := m.start(t, func(w http.ResponseWriter, r *http.Request) bool {
		if lead.Load() && strings.Contains(r.URL.Path, "/manifests/") {
			http.Redirect(w, r, y.URL+r.URL.Path, http.StatusFound)
			return true
		}
		return false
	})
	dirs := t.TempDir()
	own := filepath.Join(dirs, ref[:strings.Index(ref, "/")])
	if err := os.Mkdir(own, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"ca.crt": m.ca, "client.cert": m.cert, "client.key": m.key} {
		if err := os.WriteFile(filepath.Join(own, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	given := func(name string) string { return filepath.Join(own, name) }
	both := Options{CACerts: given("ca.crt"), ClientCert: given("client.cert"), ClientKey: given("client.key")}
	for name, o := range map[string]Options{"directory": {CertDirs: []string{dirs}}, "flags": both} {
		lead.Store(false)
		if err := use(t, newClient(t, o), ref); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		lead.Store(true)
		o.AllowInsecure = true // so that Y is reached at all
		before := y.asked.Load()
		if err := use(t, newClient(t, o), ref); err == nil || y.asked.Load() == before {
			t.Errorf("%s: led elsewhere: %v, asked %d times", name, err, y.asked.Load()-before)
		}
	}
	lead.Store(false)
	for name, o := range map[string]Options{"nothing": {}, "no client certificate": {CACerts: given("ca.crt")}, "another directory": {CertDirs: []string{own}}} {
		if err := use(t, newClient(t, o), ref); !isUnknown(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Remove(given("client.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := newClient(t, Options{CertDirs: []string{dirs}}).Resolve(context.Background(), ref); err == nil || !strings.Contains(err.Error(), "its key client.key is missing") {
		t.Errorf("half of a pair: %v", err)
	}
}
