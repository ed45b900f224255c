package oci

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/google/go-containerregistry/pkg/authn"
)

func TestOptionsRefused(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"CA file missing":           {CACerts: filepath.Join(dir, "none.pem")},
		"CA file without PEM":       {CACerts: empty},
		"user without password":     {Username: "u"},
		"password without user":     {Password: "p"},
		"user and token":            {Username: "u", Password: "p", Token: "t"},
		"certificate without key":   {ClientCert: empty},
		"key without certificate":   {ClientKey: empty},
		"certificate that is none":  {ClientCert: empty, ClientKey: empty},
		"repository that is none":   {Repository: "UPPER/case"},
		"transport and TLS options": {Transport: http.DefaultTransport, AllowInsecure: true},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestTLS(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true, TLS: true})
	ref := reg.PushImage(t, "app:v1")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: reg.Server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	mustResolve(t, newClient(t, Options{CACerts: ca}), ref)
	mustResolve(t, newClient(t, Options{CACerts: ca, ServerName: "example.com"}), ref)
	mustResolve(t, newClient(t, Options{AllowInsecure: true}), ref)
	if _, err := newClient(t, Options{}).Resolve(t.Context(), ref); !isUnknown(err) {
		t.Errorf("a certificate from nowhere: %v", err)
	}
	if _, err := newClient(t, Options{CACerts: ca, ServerName: "other.test"}).Resolve(t.Context(), ref); !isUnknown(err) {
		t.Errorf("another name: %v", err)
	}
}

func TestBasicCredentials(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true, User: "me", Password: "secret"})
	ref := reg.PushImage(t, "app:v1")
	c := newClient(t, Options{Username: "me", Password: "secret"})
	mustAttach(t, c, mustResolve(t, c, ref), bundleOptions(newBundle(t)))
	for _, o := range []Options{{}, {Username: "me", Password: "wrong-secret"}} {
		_, err := newClient(t, o).Resolve(t.Context(), ref)
		var unknown *UnknownError
		if !errors.As(err, &unknown) || unknown.Status != 401 || unknown.Code != "UNAUTHORIZED" || !strings.Contains(unknown.Hint, "docker login") {
			t.Errorf("got %v", err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
}

func TestDockerConfig(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{User: "me", Password: "secret"})
	ref := reg.PushImage(t, "app:v1")
	dir := t.TempDir()
	config := `{"auths":{"` + reg.Host + `":{"auth":"bWU6c2VjcmV0"}}}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_CONFIG", dir)
	mustResolve(t, newClient(t, Options{Keychain: authn.DefaultKeychain}), ref)
}

// Plain HTTP is spoken to other hosts than our own only when it was asked for.
func TestPlainHTTP(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
	reg.PushImage(t, "app:v1")
	for _, allowed := range []bool{false, true} {
		spoken := false
		c := newClient(t, Options{AllowHTTP: allowed, Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
			if r.URL.Scheme == "https" {
				return nil, errors.New("nobody listens")
			}
			spoken = true
			r.URL.Host = reg.Host
			return http.DefaultTransport.RoundTrip(r)
		})})
		if _, err := c.Resolve(t.Context(), "registry.test/app:v1"); allowed != (err == nil) || allowed != spoken {
			t.Errorf("allowed %t: spoken %t, error %v", allowed, spoken, err)
		}
	}
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A registry that wants bearer tokens, its token server, and another host that it redirects blobs to.
func TestTokenAndRedirect(t *testing.T) {
	var mu sync.Mutex
	seen := map[string][]string{} // host role -> Authorization headers
	note := func(role string, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[role] = append(seen[role], r.Header.Get("Authorization"))
	}
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	ref := reg.PushImage(t, "app:v1")
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note("storage", r)
		reg.ServeHTTP(w, r)
	}))
	defer storage.Close()
	var front *httptest.Server
	front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			note("token", r)
			fmt.Fprintf(w, `{"token":"t0ken"}`)
		case r.Header.Get("Authorization") != "Bearer t0ken":
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+front.URL+`/token",service="s"`)
			w.WriteHeader(http.StatusUnauthorized)
		case r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/"):
			note("registry", r)
			http.Redirect(w, r, storage.URL+r.URL.Path+"?X-Signature=s3cret", http.StatusTemporaryRedirect)
		default:
			note("registry", r)
			reg.ServeHTTP(w, r)
		}
	}))
	defer front.Close()
	ref = strings.Replace(ref, reg.Host, strings.TrimPrefix(front.URL, "http://"), 1)

	c := newClient(t, Options{Username: "me", Password: "pa55"})
	img := mustResolve(t, c, ref)
	mustAttach(t, c, img, bundleOptions(newBundle(t)))
	mustFind(t, c, img, FindOptions{Bundles: true})
	if len(seen["storage"]) == 0 || len(seen["token"]) == 0 {
		t.Fatalf("the test did not come there: %v", seen)
	}
	for _, header := range seen["storage"] {
		if header != "" {
			t.Errorf("credentials went to the storage: %q", header)
		}
	}
	for _, header := range seen["token"] {
		if !strings.HasPrefix(header, "Basic ") {
			t.Errorf("token server got %q", header)
		}
	}
	// An error at the end of a redirect says nothing about the registry, and its URL is a secret.
	reg.Fail(testenv.Fault{Method: "GET", Path: "/blobs/", Status: 404, Code: "BLOB_UNKNOWN"})
	_, err := c.Find(t.Context(), img, FindOptions{Bundles: true})
	if !isUnknown(err) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %v", err)
	}
}

// A 404 at the end of a redirect to another host is not the registry's word.
func TestRedirectToNothing(t *testing.T) {
	empty := testenv.NewRegistry(t, testenv.RegistryOptions{})
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{Referrers: true})
	ref := reg.PushImage(t, "app:v1")
	for _, path := range []string{"/manifests/", "/referrers/"} {
		away := map[string]string{"Location": "http://" + empty.Host + "/v2/app/manifests/x"}
		reg.Fail(testenv.Fault{Path: path, Status: 303, Header: away})
		c := newClient(t, Options{})
		img, err := c.Parse(ref)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Find(t.Context(), img, FindOptions{Bundles: path == "/referrers/", Signatures: path == "/manifests/"}); !isUnknown(err) {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := c.Resolve(t.Context(), ref); path == "/manifests/" && !isUnknown(err) {
			t.Errorf("%s: %v", path, err)
		}
		reg.Heal()
	}
}

func TestRedirectRules(t *testing.T) {
	for _, test := range []struct {
		method, from, to string
		ok               bool
	}{
		{"GET", "https://registry.test/a", "https://storage.test/b", true},
		{"HEAD", "https://registry.test/a", "https://storage.test/b", true},
		{"PUT", "https://registry.test/a", "https://registry.test/b", false},
		{"POST", "https://registry.test/a", "https://storage.test/b", false},
		{"GET", "https://registry.test/a", "http://registry.test/a", false},
		{"GET", "https://registry.test/a", "https://169.254.169.254/latest", false},
		{"GET", "https://registry.test/a", "https://[::1]/x", false},
		{"GET", "https://registry.test/a", "https://10.0.0.1/x", false},
		{"GET", "https://registry.test/a", "https://[::ffff:10.0.0.1]/x", false},
		{"GET", "http://10.0.0.1:5000/a", "http://10.0.0.1:9000/x", true},
	} {
		first := httptest.NewRequest(test.method, test.from, nil)
		next := httptest.NewRequest(test.method, test.to, nil)
		next.Header.Set("Authorization", "Bearer x")
		err := checkRedirect(next, []*http.Request{first})
		if test.ok != (err == nil) {
			t.Errorf("%s %s -> %s: %v", test.method, test.from, test.to, err)
		}
		if err == nil && next.URL.Host != first.URL.Host && next.Header.Get("Authorization") != "" {
			t.Errorf("%s -> %s: credentials went along", test.from, test.to)
		}
	}
	via := make([]*http.Request, maxRedirects+1)
	for i := range via {
		via[i] = httptest.NewRequest("GET", "https://registry.test/a", nil)
	}
	if checkRedirect(via[0], via) == nil {
		t.Error("redirects without end")
	}
}

func TestRefuseLinkLocal(t *testing.T) {
	for address, refused := range map[string]bool{
		"169.254.169.254:80": true, "[fe80::1]:443": true, "[fd00:ec2::254]:80": true, "[::ffff:169.254.1.1]:80": true,
		"127.0.0.1:5000": false, "10.0.0.1:443": false, "93.184.216.34:443": false,
	} {
		if err := refuseLinkLocal("tcp", address, nil); (err != nil) != refused {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for _, test := range []struct {
		after    string
		requests int
	}{{"1", 3}, {"", 3}, {"3600", 1}, {"Fri, 31 Dec 2027 23:59:59 GMT", 1}} {
		reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
		ref := reg.PushImage(t, "app:v1")
		reg.Fail(testenv.Fault{Path: "/manifests/", Status: 429, Code: "TOOMANYREQUESTS", Header: map[string]string{"Retry-After": test.after}})
		_, err := newClient(t, Options{}).Resolve(t.Context(), ref)
		if !isUnknown(err) || reg.Total() != test.requests {
			t.Errorf("Retry-After %q: %d requests, %v", test.after, reg.Total(), err)
		}
		if test.requests == 1 && !strings.Contains(err.Error(), test.after) {
			t.Errorf("the error does not say how long: %v", err)
		}
	}
}

func TestResolve(t *testing.T) {
	reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
	ref := reg.PushImage(t, "app:v1")
	index, images := reg.PushIndex(t, "app:multi", 3)
	c := newClient(t, Options{})
	img := mustResolve(t, c, reg.Host+"/app:v1")
	if img.Name() != ref || img.Tag != "v1" || img.MediaType != typeOCIManifest || img.Size != int64(len(img.Manifest())) || img.IsIndex() {
		t.Errorf("got %+v", img)
	}
	if children, err := c.Children(t.Context(), img); err != nil || children != nil {
		t.Errorf("children of an image: %v, %v", children, err)
	}
	multi, err := c.Parse(index)
	if err != nil {
		t.Fatal(err)
	}
	children, err := c.Children(t.Context(), multi)
	if err != nil || len(children) != 3 || !multi.IsIndex() {
		t.Fatalf("children: %v, %v", children, err)
	}
	for i, child := range children {
		if child.Name() != images[i] || !strings.HasPrefix(child.Platform, "linux/") {
			t.Errorf("child %+v", child)
		}
	}
	mustAttach(t, c, children[1], bundleOptions(newBundle(t)))
	for _, missing := range []string{"/app:v2", "/none:v1", "/app@sha256:" + strings.Repeat("0", 64)} {
		if _, err := c.Resolve(t.Context(), reg.Host+missing); !errors.Is(err, ErrImageNotFound) || isUnknown(err) {
			t.Errorf("%s: %v", missing, err)
		}
	}
	for _, bad := range []string{"", "UPPER:x", "a@sha256:00", "a b", reg.Host + "/app@md5:00"} {
		if _, err := c.Resolve(t.Context(), bad); err == nil || isUnknown(err) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestResolveUnknown(t *testing.T) {
	small := strings.Repeat(" ", 5000)
	for name, fault := range map[string]testenv.Fault{
		"HTML":            {Status: 200, Body: "<html>", Header: map[string]string{"Content-Type": "text/html"}},
		"HTML 404":        {Status: 404, Body: "<html>"},
		"denied":          {Status: 403, Code: "DENIED"},
		"server error":    {Status: 500},
		"too large":       {Status: 200, Body: small, Header: map[string]string{"Content-Type": typeOCIManifest}},
		"damaged":         {Corrupt: true},
		"cut off":         {Truncate: true},
		"wrong digest":    {Status: 200, Body: "{}", Header: map[string]string{"Content-Type": typeOCIManifest, "Docker-Content-Digest": "sha256:" + strings.Repeat("0", 64)}},
		"digest of md5":   {Status: 200, Body: "{}", Header: map[string]string{"Content-Type": typeOCIManifest, "Docker-Content-Digest": "md5:00"}},
		"schema 1":        {Status: 200, Body: "{}", Header: map[string]string{"Content-Type": "application/vnd.docker.distribution.manifest.v1+prettyjws"}},
		"partial content": {Status: 206, Body: "{}", Header: map[string]string{"Content-Type": typeOCIManifest}},
	} {
		reg := testenv.NewRegistry(t, testenv.RegistryOptions{})
		reg.PushImage(t, "app:v1")
		fault.Path = "/manifests/"
		reg.Fail(fault)
		c := newClient(t, Options{Limits: Limits{Manifest: 4000}})
		if _, err := c.Resolve(t.Context(), reg.Host+"/app:v1"); !isUnknown(err) || errors.Is(err, ErrImageNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := newClient(t, Options{})
	closed := httptest.NewServer(nil)
	closed.Close()
	if _, err := c.Resolve(t.Context(), strings.TrimPrefix(closed.URL, "http://")+"/app:v1"); !isUnknown(err) {
		t.Errorf("nobody there: %v", err)
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"1": 1, "128MiB": 128 << 20, "1 kB": 1000, "2k": 2000, "1.5Ki": 1536, "3gb": 3e9, "1TiB": 1 << 40, "10b": 10} {
		if got, err := ParseSize(text); got != want || err != nil {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "x", "1xb", "1i", "1.2.3", "99999999999TB", "NaN", "1e9", "0x10"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q: %d", text, got)
		}
	}
}

func TestUnknownErrorText(t *testing.T) {
	err := &UnknownError{Place: PlaceReferrers, Method: "GET", URL: "https://r.test/x", Status: 429, Code: "TOOMANYREQUESTS", Detail: "slow down", Hint: "wait"}
	if got, want := err.Error(), "referrers API: GET https://r.test/x: status 429 Too Many Requests (TOOMANYREQUESTS): slow down (wait)"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := printable("a\x1b[31mb\u202ec\n", 100); strings.ContainsAny(got, "\x1b\u202e\n") {
		t.Errorf("control characters pass: %q", got)
	}
	if got := sleep(t.Context(), time.Nanosecond); got != nil {
		t.Error(got)
	}
}
