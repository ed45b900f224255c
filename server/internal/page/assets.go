package page

import (
	"net/http"
	"strconv"
	"strings"
)

type asset struct {
	name, kind, version string
	data                []byte
}

// href names the asset together with its content's hash, so that it may be kept for good.
func (p *Pages) href(name string) string {
	return p.site.Assets + name + "?v=" + p.assets[name].version
}

// Patterns are the net/http patterns that ServeHTTP answers.
func (p *Pages) Patterns() []string {
	return []string{
		"GET " + p.site.Assets + "style.css",
		"GET " + p.site.Assets + "icon.svg",
		"GET " + p.site.Assets + "copy.js",
	}
}

// ServeHTTP serves stylesheet, icon and script.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, ok := p.assets[strings.TrimPrefix(r.URL.Path, p.site.Assets)]
	if !ok {
		http.NotFound(w, r)
		return
	}
	Secure(w.Header())
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(a.data)))
	if r.URL.Query().Get("v") == a.version {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.data)
	}
}
