package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed layout
var layout embed.FS

// Link is a reference from a page to another place.
type Link struct {
	Text string
	// Href is a URL or a path. html/template refuses schemes other than http, https and mailto.
	Href string
	// Current marks the place that is being shown.
	Current bool
}

// Site is what all pages of one service have in common.
type Site struct {
	// Name is the instance's name, shown in the head of every page and in its title.
	Name string
	// Home is where the name in the head leads to; "" where it leads nowhere.
	Home string
	// Assets is the path below which stylesheet, icon and script are served, with a slash at both ends.
	Assets string
}

// View is one page about to be shown.
type View struct {
	// Page is the template's file name without ".html".
	Page  string
	Title string
	// Nav are the links in the page's head.
	Nav []Link
	// FormTargets are the origins that forms of this page may lead to besides its own, since browsers apply the policy to
	// redirects that answer a form too. Each is a CSP source expression.
	FormTargets []string
	// Script lets the page load the one script there is, which copies text on request.
	Script bool
	// Wide is for pages with tables.
	Wide bool
	Data any
}

// Pages are the parsed pages of one service. They are safe for concurrent use.
type Pages struct {
	site   Site
	parsed map[string]*template.Template
	assets map[string]asset
}

// New parses every *.html file in the root of files. It fails on a template that does not parse or has no content.
func New(site Site, files fs.FS) (*Pages, error) {
	if !strings.HasPrefix(site.Assets, "/") || !strings.HasSuffix(site.Assets, "/") {
		return nil, fmt.Errorf("page: assets path %q does not begin and end with a slash", site.Assets)
	}
	p := &Pages{site: site, parsed: make(map[string]*template.Template), assets: make(map[string]asset)}
	for _, a := range []asset{{name: "style.css", kind: "text/css; charset=utf-8"}, {name: "icon.svg", kind: "image/svg+xml"}, {name: "copy.js", kind: "text/javascript; charset=utf-8"}} {
		data, err := layout.ReadFile("layout/" + a.name)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(data)
		a.data, a.version = data, hex.EncodeToString(sum[:8])
		p.assets[a.name] = a
	}
	frame, err := template.ParseFS(layout, "layout/layout.html")
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(files, "*.html")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		t, err := frame.Clone()
		if err == nil {
			t, err = t.ParseFS(files, name)
		}
		if err != nil {
			return nil, fmt.Errorf("page %s: %w", name, err)
		}
		if t.Lookup("content") == nil {
			return nil, fmt.Errorf("page %s: defines no content", name)
		}
		p.parsed[strings.TrimSuffix(path.Base(name), ".html")] = t
	}
	return p, nil
}

// Write answers with a page. It is written only once it is complete: a template that fails gives a plain 500, and the
// error comes back for the log.
func (p *Pages) Write(w http.ResponseWriter, status int, v View) error {
	t := p.parsed[v.Page]
	var out bytes.Buffer
	err := fmt.Errorf("page %q: there is no such page", v.Page)
	if t != nil {
		err = t.ExecuteTemplate(&out, "layout.html", struct {
			View
			Site  Site
			Style string
			Icon  string
			Copy  string
		}{v, p.site, p.href("style.css"), p.href("icon.svg"), p.href("copy.js")})
	}
	Secure(w.Header())
	if err != nil {
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return err
	}
	w.Header().Set("Content-Security-Policy", policy(v))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, err = w.Write(out.Bytes())
	return err
}

func policy(v View) string {
	csp := "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
	for _, target := range v.FormTargets {
		csp += " " + target
	}
	if v.Script {
		csp += "; script-src 'self'"
	}
	return csp
}

// Secure sets the headers that every answer of a page's service carries: nothing is cached, guessed, framed or told to
// other sites. "same-origin" rather than "no-referrer", with which browsers also hide the origin of a page's own forms.
func Secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}
