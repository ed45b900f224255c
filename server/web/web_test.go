package web_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/server/web"
	"github.com/bulla-sign/bulla/tlog"
)

func TestHome(t *testing.T) {
	l := newLog(t)
	var asked atomic.Int32
	now := mint.Epoch
	s := l.site(func(c *web.Config) {
		c.Services = []web.Service{
			{Name: "Certificate authority", Purpose: "gives certificates", Address: "https://sign.test", Ready: func(context.Context) error { asked.Add(1); return nil }},
			{Name: "Timestamp authority", Ready: func(context.Context) error { return errors.New("key file /secret/path is missing") }},
			{Name: "Monitor"},
		}
		c.Commands = []web.Command{{Title: "cosign", Line: "cosign initialize --mirror https://sign.test/tuf --root <x>"}}
		c.Links = []web.Link{{Text: "Docs", URL: "https://docs.test/"}}
		c.Now = func() time.Time { return now }
	})
	code, header, body := get(t, s, "/")
	if code != 200 {
		t.Fatalf("status %d:\n%s", code, body)
	}
	contains(t, body, "Acme signing", ">ready<", ">not ready<", ">elsewhere<", "--root &lt;x&gt;", "https://docs.test/", "/ui/log", `data-copy="command-0"`)
	if strings.Contains(body, "/secret/path") {
		t.Error("the page tells why a service is not ready")
	}
	csp := header.Get("Content-Security-Policy")
	contains(t, csp, "default-src 'none'", "script-src 'self'", "frame-ancestors 'none'")
	if strings.Contains(csp, "unsafe") || strings.Count(body, "<script") != 1 {
		t.Errorf("policy %s, scripts in:\n%s", csp, body)
	}
	get(t, s, "/")
	if asked.Load() != 1 {
		t.Errorf("the service was asked %d times in a moment", asked.Load())
	}
	now = now.Add(6 * time.Second)
	get(t, s, "/")
	if asked.Load() != 2 {
		t.Errorf("the service was asked %d times after six seconds", asked.Load())
	}
	for _, path := range []string{"/x", "/ui", "/ui/", "/ui/log/1/2", "/index.html"} {
		if code, _, _ := get(t, s, path); code != 404 {
			t.Errorf("%s: status %d", path, code)
		}
	}
}

// A service that hangs does not keep the page.
func TestHangingService(t *testing.T) {
	t.Parallel() // it waits for two seconds
	s, err := web.New(t.Context(), web.Config{Services: []web.Service{{Name: "x", Ready: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}}})
	if err != nil {
		t.Fatal(err)
	}
	_, _, body := get(t, s, "/")
	contains(t, body, ">not ready<")
	if code, _, _ := get(t, s, "/ui/log"); code != 404 {
		t.Errorf("pages about a log that there is not: status %d", code)
	}
}

func TestAssets(t *testing.T) {
	l := newLog(t)
	s := l.site(nil)
	_, _, body := get(t, s, "/")
	for _, name := range []string{"style.css", "icon.svg", "copy.js"} {
		_, rest, ok := strings.Cut(body, "/ui/assets/"+name+"?v=")
		if !ok {
			t.Fatalf("the page does not name %s", name)
		}
		version, _, _ := strings.Cut(rest, `"`)
		code, h, data := get(t, s, "/ui/assets/"+name+"?v="+version)
		if code != 200 || data == "" || !strings.Contains(h.Get("Cache-Control"), "immutable") || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: status %d, headers %v", name, code, h)
		}
		if _, h, _ := get(t, s, "/ui/assets/"+name+"?v=other"); strings.Contains(h.Get("Cache-Control"), "immutable") {
			t.Errorf("%s of another version is kept for good", name)
		}
	}
	if code, _, _ := get(t, s, "/ui/assets/layout.html"); code != 404 {
		t.Errorf("a template is served: status %d", code)
	}
}

func TestEntryPage(t *testing.T) {
	l := newLog(t)
	l.add(nil)
	l.add(&mint.LeafOptions{Extensions: map[string]string{"sourceRepositoryURI": "https://github.com/acme/app"}})
	l.add(nil)
	s := l.site(nil)
	code, _, body := get(t, s, path(1))
	if code != 200 {
		t.Fatalf("status %d:\n%s", code, body)
	}
	sum := sha256.Sum256([]byte("message 12"))
	contains(t, body, "alice@bulla.test", "https://issuer.bulla.test", "https://github.com/acme/app", fmt.Sprintf("sha256:%x", sum), "hashedrekord 0.0.2",
		"In the tree", "Signed checkpoint", fmt.Sprintf("%x", l.Leaves()[first+1]), "BEGIN CERTIFICATE", `href="/ui/log/11"`, `href="/ui/log/13"`)
	_, _, body = get(t, s, path(0))
	contains(t, body, "Public key", "<dd>PKIX_ECDSA_P256_SHA_256<", "BEGIN PUBLIC KEY")
	for _, path := range []string{path(3), "/ui/log/-1", "/ui/log/01", "/ui/log/x", "/ui/log/99999999999999999999", "/ui/log/9223372036854775807"} {
		if code, _, _ := get(t, s, path); code != 404 {
			t.Errorf("%s: status %d", path, code)
		}
	}
}

// Trees of more than one tile, and partial tiles that are gone.
func TestLargerLog(t *testing.T) {
	l := newLog(t)
	for range 2 {
		l.add(nil)
	}
	for len(l.bodies) < 300 {
		l.addBody(l.bodies[first])
	}
	s := l.site(nil)
	for _, i := range []int{0, 1, 255, 256, 298, 299} {
		if code, _, body := get(t, s, "/ui/log/"+strconv.Itoa(i)); code != 200 {
			t.Errorf("%d: status %d:\n%s", i, code, body)
		}
	}
	code, _, body := get(t, s, "/ui/log")
	if code != 200 || strings.Count(body, `<a href="/ui/log/2`) != 20 {
		t.Errorf("status %d:\n%s", code, body)
	}
	contains(t, body, "/ui/log?before=280", "300</strong>")
	_, _, body = get(t, s, "/ui/log?before=260")
	contains(t, body, `"/ui/log/259"`, `"/ui/log/240"`, "/ui/log?before=240", `<a href="/ui/log">Newest</a>`)
	_, _, body = get(t, s, "/ui/log?before=3")
	if strings.Contains(body, "?before=") {
		t.Error("there is more before the first entry")
	}

	// The checkpoint is of 300 entries, and since then the last tile has become full.
	stale := l.Checkpoint(t, mint.Epoch)
	for len(l.bodies) < 512 {
		l.addBody(l.bodies[first])
	}
	l.lie = func(path string, data []byte) []byte {
		if path == "checkpoint" {
			return []byte(stale)
		}
		return data
	}
	if code, _, body := get(t, s, "/ui/log/299"); code != 200 {
		t.Errorf("status %d:\n%s", code, body)
	}
	_, _, body = get(t, s, "/ui/log")
	contains(t, body, `"/ui/log/299"`, "300</strong>")
	if strings.Contains(body, `"/ui/log/300"`) {
		t.Error("an entry is shown that the checkpoint does not cover")
	}
}

// A log that lies is caught, and nothing of the lie is shown as proved.
func TestLyingLog(t *testing.T) {
	l := newLog(t)
	for range 5 {
		l.add(nil)
	}
	other := newLog(t)
	other.add(nil)
	s := l.site(nil)
	tile := (tlog.Tile{Width: first + 5}).Path()
	for name, lie := range map[string]func(string, []byte) []byte{
		"another body": func(path string, data []byte) []byte {
			if strings.HasPrefix(path, "tile/entries/") {
				return []byte(strings.Replace(string(data), "hashedRekordV002", "hashedRekordV003", 3))
			}
			return data
		},
		"other hashes": func(path string, data []byte) []byte {
			if path == tile {
				return append(data[32:], data[:32]...)
			}
			return data
		},
		"a short tile": func(path string, data []byte) []byte {
			if path == tile {
				return data[:len(data)-1]
			}
			return data
		},
		"a full tile of nonsense": func(path string, data []byte) []byte {
			if path == tile {
				return make([]byte, 256*32)
			}
			return data
		},
		"another log's checkpoint": func(path string, data []byte) []byte {
			if path == "checkpoint" {
				return []byte(other.Checkpoint(t, mint.Epoch))
			}
			return data
		},
		"a changed checkpoint": func(path string, data []byte) []byte {
			if path == "checkpoint" {
				return []byte(strings.Replace(string(data), "\n16\n", "\n17\n", 1))
			}
			return data
		},
		"no checkpoint":  func(path string, data []byte) []byte { return cut(path, "checkpoint", data, nil) },
		"a broken one":   func(path string, data []byte) []byte { return cut(path, "checkpoint", data, []byte("x")) },
		"an endless one": func(path string, data []byte) []byte { return cut(path, "checkpoint", data, make([]byte, 2<<20)) },
		"a cut bundle": func(path string, data []byte) []byte {
			if strings.HasPrefix(path, "tile/entries/") {
				return data[:len(data)-1]
			}
			return data
		},
	} {
		l.lie = lie
		code, _, body := get(t, s, path(2))
		if code != http.StatusBadGateway {
			t.Errorf("%s: status %d:\n%s", name, code, body)
		}
		if strings.Contains(body, "In the tree") {
			t.Errorf("%s: shown as proved", name)
		}
	}
}

func cut(path, at string, data, instead []byte) []byte {
	if path == at {
		return instead
	}
	return data
}

// What strangers write into certificates and bodies is text, and cannot turn the direction of writing.
func TestHostileEntries(t *testing.T) {
	l := newLog(t)
	hostile := "</code><script>alert(1)</script>\u202egnp.exe\u2066\x1b[31m"
	l.add(&mint.LeafOptions{
		SANs:       []identity.SAN{{Kind: identity.URI, Value: "https://evil.test/%22><script>alert(2)</script>"}},
		Issuer:     `https://issuer.test/"onmouseover="alert(3)`,
		Extensions: map[string]string{"buildConfigURI": hostile, "sourceRepositoryURI": "javascript:alert(4)"},
		Edit:       func(c *x509.Certificate) { c.Subject.CommonName = hostile },
	})
	l.addBody([]byte(hostile + "not JSON"))
	l.addBody([]byte(`{"kind":"<script>alert(5)</script>","apiVersion":"0.0.1\u202e","spec":{}}`))
	l.addBody([]byte(strings.Repeat("[", 60000)))
	l.addBody([]byte{0xff, 0xfe, 0, '<'})
	s := l.site(nil)
	for _, path := range []string{"/ui/log", path(0), path(1), path(2), path(3), path(4), "/ui/log?q=" + url.QueryEscape(hostile), "/ui/log?by=" + url.QueryEscape(hostile) + "&q=x", "/ui/log/" + url.PathEscape(hostile)} {
		code, h, body := get(t, s, path)
		if code >= 500 {
			t.Errorf("%s: status %d:\n%s", path, code, body)
		}
		for _, never := range []string{"<script>", "onmouseover=\"", "href=\"javascript", "\u202e", "\u2066", "\x1b"} {
			if strings.Contains(strings.ToLower(body), never) {
				t.Errorf("%s: the page has %q:\n%s", path, never, body)
			}
		}
		if !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: no policy", path)
		}
		if len(body) > 1<<20 {
			t.Errorf("%s: the page has %d bytes", path, len(body))
		}
	}
	_, _, body := get(t, s, path(0))
	contains(t, body, "&lt;script&gt;alert(1)", `\u202e`)
}

func TestSearch(t *testing.T) {
	l := newLog(t)
	l.add(nil)
	l.add(&mint.LeafOptions{})
	s := l.site(nil)
	l.found = []int64{first + 1}
	hexed := strings.Repeat("ab", 32)
	for typed, want := range map[[2]string][2]string{
		{"", "alice@bulla.test"}:                           {"email", "alice@bulla.test"},
		{"", hexed}:                                        {"digest", "sha256:" + hexed},
		{"", "sha512:" + hexed + hexed}:                    {"digest", "sha512:" + hexed + hexed},
		{"", "https://github.com/a/b/.github/x@refs/h/m"}:  {"subject", "https://github.com/a/b/.github/x@refs/h/m"},
		{"publicKey", hexed}:                               {"publicKey", "sha256:" + hexed},
		{"subject", "alice@bulla.test"}:                    {"subject", "alice@bulla.test"},
		{"", "  spaced@bulla.test "}:                       {"email", "spaced@bulla.test"},
		{"", "spiffe://trust.test/ns/x"}:                   {"subject", "spiffe://trust.test/ns/x"},
		{"subject", "123"}:                                 {"subject", "123"},
		{"digest", "sha256:" + strings.ToUpper(hexed)}:     {"digest", "sha256:" + strings.ToUpper(hexed)},
		{"email", "https://not.really/an@address.test/é&"}: {"email", "https://not.really/an@address.test/é&"},
	} {
		l.query = nil
		code, _, body := get(t, s, "/ui/log?"+url.Values{"by": {typed[0]}, "q": {typed[1]}}.Encode())
		if code != 200 || l.query.Get(want[0]) != want[1] || len(l.query) != 2 {
			t.Errorf("%q: status %d, the log is asked for %v", typed, code, l.query)
		}
		contains(t, body, `"/ui/log/12"`, "alice@bulla.test", "Found")
	}
	if w := httptest.NewRecorder(); true {
		s.ServeHTTP(w, httptest.NewRequest("GET", "/ui/log?q=1", nil))
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/ui/log/1" {
			t.Errorf("an index: status %d, location %q", w.Code, w.Header().Get("Location"))
		}
	}
	l.found = []int64{first + 1, first, 77}
	_, _, body := get(t, s, "/ui/log?q=alice@bulla.test&by=email&after=3")
	if l.query.Get("after") != "3" {
		t.Errorf("the next page is asked for with %v", l.query)
	}
	contains(t, body, "after=7", `"/ui/log/11"`)
	if strings.Contains(body, "/ui/log/77") {
		t.Error("a position is shown that the checkpoint does not cover")
	}
	l.found = nil
	_, _, body = get(t, s, "/ui/log?q=nobody@bulla.test")
	contains(t, body, "Nothing was found")
	for path, want := range map[string]int{
		"/ui/log?q=md5:abcd&by=digest": 400, "/ui/log?q=x&by=invented": 400, "/ui/log?q=x&by=index": 400, "/ui/log?q=" + strings.Repeat("x", 3000): 400,
		"/ui/log?q=" + strings.Repeat("x", 9000): 400, "/ui/log?q=+": 400, "/ui/log?before=x": 200, "/ui/log?before=-5": 200, "/ui/log?before=99999": 200,
	} {
		if code, _, _ := get(t, s, path); code != want {
			t.Errorf("%.60s: status %d, not %d", path, code, want)
		}
	}
}

// A log in the same process is read without a connection.
func TestDirect(t *testing.T) {
	l := newLog(t)
	l.add(nil)
	s := l.site(func(c *web.Config) {
		c.TransparencyLog.Client = &http.Client{Transport: web.Direct{Handler: l}}
	})
	l.http.Close()
	if code, _, body := get(t, s, path(0)); code != 200 {
		t.Errorf("status %d:\n%s", code, body)
	}
}

// Only so many pages are made at a time.
func TestBusy(t *testing.T) {
	l := newLog(t)
	l.add(nil)
	enter, leave := make(chan struct{}), make(chan struct{})
	l.lie = func(_ string, data []byte) []byte {
		enter <- struct{}{}
		<-leave
		return data
	}
	s := l.site(nil)
	done := make(chan struct{})
	for range 8 {
		go func() {
			get(t, s, "/ui/log")
			done <- struct{}{}
		}()
	}
	for range 8 {
		<-enter
	}
	code, h, _ := get(t, s, "/ui/log")
	if code != http.StatusServiceUnavailable || h.Get("Retry-After") == "" {
		t.Errorf("status %d, headers %v", code, h)
	}
	if code, _, _ := get(t, s, "/"); code != 200 {
		t.Errorf("the first page: status %d", code)
	}
	go func() {
		for range enter { // the rest pass
		}
	}()
	close(leave)
	for range 8 {
		<-done
	}
	close(enter)
}

func TestConfig(t *testing.T) {
	key := mint.NewKey(t, algorithm.Ed25519).Public()
	for want, c := range map[string]web.Config{
		"log URL":           {TransparencyLog: &web.TransparencyLog{URL: "sign.test", Key: key}},
		"not an absolute":   {TransparencyLog: &web.TransparencyLog{URL: "https://sign.test/?x", Key: key}},
		"key is not set":    {TransparencyLog: &web.TransparencyLog{URL: "https://sign.test"}},
		"the log's key":     {TransparencyLog: &web.TransparencyLog{URL: "https://sign.test", Key: "x"}},
		"has no text":       {Links: []web.Link{{URL: "https://x.test"}}},
		"or its URL is not": {Links: []web.Link{{Text: "x", URL: "javascript:alert(1)"}}},
		"has no name":       {Services: []web.Service{{}}},
		"has no line":       {Commands: []web.Command{{Title: "x"}}},
		"more than 100":     {Links: make([]web.Link, 101)},
	} {
		if _, err := web.New(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	s, err := web.New(t.Context(), web.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	for _, p := range s.Patterns() {
		if !strings.HasPrefix(p, "GET /ui/") && p != "GET /{$}" {
			t.Errorf("pattern %q", p)
		}
	}
}
