package page

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func files(content string) fstest.MapFS {
	return fstest.MapFS{"x.html": {Data: []byte(content)}, "notes.txt": {Data: []byte("{{")}}
}

func TestWrite(t *testing.T) {
	p, err := New(Site{Name: "<b>", Assets: "/a/"}, files(`{{define "content"}}{{.}}{{end}}`))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if err := p.Write(w, http.StatusTeapot, View{Page: "x", Title: "<i>", Nav: []Link{{Text: "<u>", Href: "javascript:alert(1)"}}, Data: "<s>", FormTargets: []string{"http://localhost:1"}}); err != nil {
		t.Fatal(err)
	}
	body := w.Body.String()
	for _, never := range []string{"<b>", "<i>", "<u>", "<s>", "javascript:", "<script"} {
		if strings.Contains(body, never) {
			t.Errorf("the page has %s:\n%s", never, body)
		}
	}
	if !strings.Contains(body, "&lt;s&gt;") || w.Code != http.StatusTeapot {
		t.Errorf("status %d:\n%s", w.Code, body)
	}
	if got := w.Header().Get("Content-Security-Policy"); !strings.HasSuffix(got, "form-action 'self' http://localhost:1") {
		t.Errorf("policy is %s", got)
	}
}

// A page that cannot be made is not shown in part.
func TestBrokenPage(t *testing.T) {
	p, err := New(Site{Name: "x", Assets: "/a/"}, files(`{{define "content"}}before {{.Missing}}{{end}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"x", "other"} {
		w := httptest.NewRecorder()
		if err := p.Write(w, http.StatusOK, View{Page: name, Data: 1}); err == nil {
			t.Errorf("%s: no error", name)
		}
		if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "before") || w.Header().Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: status %d: %s", name, w.Code, w.Body)
		}
	}
}

func TestNew(t *testing.T) {
	for name, c := range map[string]struct {
		site    Site
		content string
	}{
		"no content":  {Site{Assets: "/a/"}, "x"},
		"no template": {Site{Assets: "/a/"}, "{{"},
		"no path":     {Site{Assets: "a"}, `{{define "content"}}{{end}}`},
	} {
		if _, err := New(c.site, files(c.content)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
