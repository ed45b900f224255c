package tufrepo

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulla-sign/bulla/tuf"
)

func TestAnswers(t *testing.T) {
	s := newSite(t)
	s.publish("one")
	target := tuf.Target{Name: "mark", Data: []byte("one")}.FileName()
	for path, cache := range map[string]string{
		"/1.root.json": keepForever, "/1.targets.json": keepForever, "/1.snapshot.json": keepForever, "/targets/" + target: keepForever,
		"/timestamp.json": keepNever, "/root.json": keepNever,
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			resp := ask(t, method, s.URL+path)
			if resp.StatusCode != 200 || resp.Header.Get("Cache-Control") != cache || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s %s: %d %v", method, path, resp.StatusCode, resp.Header)
			}
			if strings.HasSuffix(path, ".json") && resp.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: type %s", path, resp.Header.Get("Content-Type"))
			}
		}
	}
	// What may be there later is not remembered as absent.
	if resp := ask(t, http.MethodGet, s.URL+"/2.root.json"); resp.StatusCode != 404 || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the next root: %d %v", resp.StatusCode, resp.Header)
	}
	if resp := ask(t, http.MethodPost, s.URL+"/timestamp.json"); resp.StatusCode != 405 {
		t.Errorf("POST: %d", resp.StatusCode)
	}
}

func ask(t *testing.T, method, url string) *http.Response {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp
}

// Nothing but the repository's own files can be had, whatever the path looks like.
func TestNothingElseIsServed(t *testing.T) {
	s := newSite(t)
	s.publish("one")
	for _, name := range []string{"secret", "targets/.hidden", "pending/root.json", "01.root.json", "1.timestamp.json", "targets/plain"} {
		if err := os.WriteFile(filepath.Join(s.cfg.Dir, filepath.FromSlash(name)), []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.cfg.Dir, "..", "outside.json"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.cfg.Dir, "7.root.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	sum := strings.Repeat("a", 64)
	if err := os.Symlink("/etc", filepath.Join(s.cfg.Dir, targetsDir, sum+".link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"", "/", "/secret", "/.lock", "/pending/root.json", "/01.root.json", "/1.timestamp.json", "/0.root.json", "/-1.root.json", "/+1.root.json",
		"/99999999999999999999.root.json", "/7.root.json", "/1.root.json/", "/targets", "/targets/", "/targets/plain", "/targets/.hidden",
		"/targets/" + sum, "/targets/" + sum + ".", "/targets/" + sum + "..", "/targets/" + sum + ".link", "/targets/" + sum + ".x/y",
		"/../outside.json", "/..%2foutside.json", "/targets/..%2f..%2foutside.json", "/targets/" + sum + ".%2e%2e%2f%2e%2e%2f1.root.json",
		"/targets/" + sum + "..%5c..%5coutside.json", "/1.root.json%00", "/targets/..", "/targets/../1.snapshot.json/..",
	} {
		for _, direct := range []bool{false, true} {
			req := httptest.NewRequest(http.MethodGet, "http://x/tuf"+path, nil)
			w := httptest.NewRecorder()
			if direct { // as if the mux had let it through
				s.server.ServeHTTP(w, req)
			} else {
				mux := http.NewServeMux()
				for _, p := range s.server.Patterns() {
					mux.Handle(p, s.server)
				}
				mux.ServeHTTP(w, req)
			}
			if w.Code == 200 || strings.Contains(w.Body.String(), "secret") {
				t.Errorf("%q: %d %s", path, w.Code, w.Body)
			}
		}
	}
}
