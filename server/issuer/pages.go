package issuer

import (
	"embed"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"github.com/bulla-sign/bulla/server/internal/page"
)

//go:embed html
var html embed.FS

func templates() fs.FS {
	sub, err := fs.Sub(html, "html")
	if err != nil {
		panic(err) // the name is valid
	}
	return sub
}

// refusal is why somebody is not signed in, in a sentence for that person.
type refusal string

func (r refusal) Error() string { return string(r) }

// loginPage is what the sign-in page shows.
type loginPage struct {
	to destination

	To, Token, Action string
	Client, ClientID  string
	Back              string // the host that the browser goes back to; "" where it does not
	Copy              bool   // the code is to be copied
	Code              string // the device's
	Development       bool
	Passwords         bool
	Upstreams         []page.Link
	Email             string
	Error             string
}

type devicePage struct{ Action, Token, Code, Error string }

type codePage struct {
	Client, Code string
	Minutes      int
}

type donePage struct{ Title, Text, Email string }

type failPage struct{ Title, Text string }

// showLogin shows the ways to sign in.
func (s *Issuer) showLogin(w http.ResponseWriter, r *http.Request, status int, l loginPage) {
	browser := s.browsers.greet(w, r)
	c := l.to.client()
	l.To, l.Action = l.to.encode(), s.base.Path+"/login"
	l.Token = s.browsers.seal(s.now(), browser, "login", l.To)
	l.Client, l.ClientID = c.Name, c.ID
	l.Development, l.Passwords = s.cfg.DevelopmentLogin, len(s.cfg.Users) > 0
	only := ""
	view := page.View{Page: "login", Title: "Sign in"}
	if q := l.to.request; q != nil {
		l.Copy = q.redirect == OutOfBand
		if !l.Copy {
			var source string
			l.Back, source = origin(q.redirect)
			view.FormTargets = []string{source}
		}
		only = q.connector
	} else {
		l.Code = showCode(l.to.userCode)
	}
	l.Upstreams = s.links(only, l.To, l.Token)
	view.Data = l
	s.write(w, r, status, view)
}

// links lead to the upstream providers: to one, if a client asked for it and it is there, else to all.
func (s *Issuer) links(only, to, token string) (out []page.Link) {
	for _, u := range s.upstreams {
		link := page.Link{Text: u.Name, Href: s.base.Path + "/upstream?" + url.Values{"connector": {u.ID}, "to": {to}, "token": {token}}.Encode()}
		if u.ID == only {
			return []page.Link{link}
		}
		out = append(out, link)
	}
	return out
}

// origin returns a redirect URI's host for people, and its origin as a source of a content security policy. Such a source
// cannot be an IPv6 address; there the scheme has to do.
func origin(redirect string) (host, source string) {
	u, err := url.Parse(redirect)
	if err != nil {
		return "", "'none'" // checked before
	}
	if strings.Contains(u.Hostname(), ":") {
		return u.Host, u.Scheme + ":"
	}
	return u.Host, u.Scheme + "://" + u.Host
}

func (s *Issuer) showDevice(w http.ResponseWriter, r *http.Request, status int, d devicePage) {
	d.Action = s.base.Path + "/device"
	d.Token = s.browsers.seal(s.now(), s.browsers.greet(w, r), "device", "")
	s.write(w, r, status, page.View{Page: "device", Title: "Connect a device", Data: d})
}

// fail shows what went wrong; text may be an error's.
func (s *Issuer) fail(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	s.write(w, r, status, page.View{Page: "fail", Title: title, Data: failPage{title, sentence(text)}})
}

// sentence makes one of an error's text.
func sentence(text string) string {
	if text == "" || strings.HasSuffix(text, ".") {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

func (s *Issuer) write(w http.ResponseWriter, r *http.Request, status int, v page.View) {
	if err := s.pages.Write(w, status, v); err != nil {
		s.log.ErrorContext(r.Context(), "page not written", "page", v.Page, "error", err)
	}
}
