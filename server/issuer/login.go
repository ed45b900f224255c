package issuer

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/bulla-sign/bulla/server/internal/page"
)

// destination is what somebody signs in for: an authorization request or a device.
type destination struct {
	request  *request
	device   *device
	userCode string
}

// encode writes a destination for a form; read is its reverse.
func (d destination) encode() string {
	if d.request != nil {
		return "auth?" + d.request.encode()
	}
	return "device?" + d.userCode
}

// readDestination checks what a form carries as if it were new: the device may have gone meanwhile.
func (s *Issuer) readDestination(text string) (destination, error) {
	kind, rest, _ := strings.Cut(text, "?")
	switch kind {
	case "auth":
		p, err := parseParams(rest, maxForm)
		if err != nil {
			return destination{}, err
		}
		q, err := s.recipient(p)
		if err == nil {
			err = q.fill(p)
		}
		return destination{request: q}, err
	case "device":
		if d := s.devices.waiting(s.now(), rest); d != nil {
			return destination{device: d, userCode: rest}, nil
		}
		return destination{}, errors.New("the device no longer waits for this code")
	}
	return destination{}, errors.New("the form is not one of this issuer's")
}

func (d destination) client() *client {
	if d.request != nil {
		return d.request.client
	}
	return d.device.client
}

// login answers the sign-in form.
func (s *Issuer) login(w http.ResponseWriter, r *http.Request) {
	p, to, ok := s.ownForm(w, r, "login")
	if !ok {
		return
	}
	again := loginPage{to: to, Email: p["email"]}
	var who person
	var err error
	switch p["method"] {
	case "deny":
		s.deny(w, r, to)
		return
	case "development":
		who, err = s.developmentLogin(r, p)
	case "password":
		if !s.allowGuess(w, r) || !s.allowAccount(w, "user", p["email"]) {
			again.Error = "Too many attempts. Please wait a little and try again."
			s.showLogin(w, r, http.StatusTooManyRequests, again)
			return
		}
		who, err = s.passwordLogin(r, p)
	default:
		err = refusal("There is no such way to sign in.")
	}
	s.countLogin(p["method"], err)
	if err != nil {
		s.log.InfoContext(r.Context(), "sign-in refused", "method", methodLabel(p["method"]), "client", to.client().ID, "address", s.address(r))
		again.Error = err.Error()
		s.showLogin(w, r, http.StatusForbidden, again)
		return
	}
	s.finish(w, r, to, who)
}

// ownForm reads a form that this issuer made for this browser, with what it is for.
func (s *Issuer) ownForm(w http.ResponseWriter, r *http.Request, purpose string) (params, destination, bool) {
	p, err := form(r)
	if err == nil {
		err = s.origin.Check(r)
	}
	if err != nil {
		s.fail(w, r, http.StatusBadRequest, "This form cannot be read", err.Error())
		return nil, destination{}, false
	}
	return s.owned(w, r, purpose, p)
}

func (s *Issuer) owned(w http.ResponseWriter, r *http.Request, purpose string, p params) (params, destination, bool) {
	if !s.browsers.made(s.now(), s.browsers.id(r), purpose, p["to"], p["token"]) {
		s.fail(w, r, http.StatusForbidden, "This page has expired", "It was made for another browser or too long ago, or cookies are switched off. Please start again where you came from.")
		return nil, destination{}, false
	}
	to, err := s.readDestination(p["to"])
	if err != nil {
		s.fail(w, r, http.StatusBadRequest, "This page has expired", err.Error())
		return nil, destination{}, false
	}
	return p, to, true
}

func (s *Issuer) passwordLogin(r *http.Request, p params) (person, error) {
	u, ok, err := s.people.find(r.Context(), p["email"], p["password"])
	if err != nil {
		return person{}, refusal("The server is busy. Please try again.")
	}
	if !ok {
		return person{}, refusal("The e-mail address or the password is wrong.")
	}
	return person{connector: "local", id: u.ID, email: u.Email, at: s.now()}, nil
}

// finish gives the person to whoever asked.
func (s *Issuer) finish(w http.ResponseWriter, r *http.Request, to destination, who person) {
	s.log.InfoContext(r.Context(), "signed in", "connector", who.connector, "email", who.email, "client", to.client().ID, "address", s.address(r))
	if to.request != nil {
		s.grant(w, r, to.request, who)
		return
	}
	if !s.devices.decide(s.now(), to.userCode, &who) {
		s.fail(w, r, http.StatusBadRequest, "This page has expired", "The device no longer waits for this code.")
		return
	}
	s.write(w, r, http.StatusOK, page.View{Page: "done", Title: "Signed in", Data: donePage{Title: "You are signed in", Text: "Your device goes on by itself. You can close this page.", Email: who.email}})
}

func (s *Issuer) deny(w http.ResponseWriter, r *http.Request, to destination) {
	if to.request != nil && to.request.redirect != OutOfBand {
		s.refuse(w, r, to.request, requestError{"access_denied", "the sign-in was cancelled"})
		return
	}
	if to.device != nil {
		s.devices.decide(s.now(), to.userCode, nil)
	}
	s.write(w, r, http.StatusOK, page.View{Page: "done", Title: "Cancelled", Data: donePage{Title: "Cancelled", Text: "Nobody was told who you are. You can close this page."}})
}

func (s *Issuer) countLogin(method string, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "refused"
	}
	s.count.logins.WithLabelValues(methodLabel(method), outcome).Inc()
}

// methodLabel bounds what a form can make a label of.
func methodLabel(method string) string {
	switch method {
	case "development", "password", "upstream":
		return method
	}
	return "unknown"
}

// developmentLogin believes the address, if the request came to where only this machine can reach.
func (s *Issuer) developmentLogin(r *http.Request, p params) (person, error) {
	if !s.cfg.DevelopmentLogin {
		return person{}, refusal("The development login is switched off.")
	}
	if !s.cfg.AllowDevelopmentLoginAnywhere && !(arrivedAtLoopback(r) && loopbackName(hostname(r.Host))) {
		return person{}, refusal("The development login works on this machine only.")
	}
	if err := checkEmail(p["email"]); err != nil {
		return person{}, refusal("Please type a whole e-mail address, such as alice@example.com.")
	}
	return person{connector: "development", id: p["email"], email: p["email"], at: s.now()}, nil
}

// arrivedAtLoopback says whether the connection came to a loopback address of this machine. The name that the client
// called says nothing of that, but is looked at too: a web page whose own name points to 127.0.0.1 arrives there as well.
func arrivedAtLoopback(r *http.Request) bool {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(interface{ String() string })
	if !ok {
		return false
	}
	ap, err := netip.ParseAddrPort(addr.String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

func hostname(host string) string { return (&url.URL{Host: host}).Hostname() }
