package issuer

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/server/internal/page"
)

const (
	codeLifetime = time.Minute // RFC 6749 4.1.2 asks for ten at most; programs redeem at once, people copying take longer
	oobLifetime  = 5 * time.Minute
	maxCodes     = 10000
	maxState     = 2048 // bytes of a client's state
	maxNonce     = 512  // bytes of a nonce: it is repeated in the token
)

// request is an authorization request (OpenID Connect Core 3.1.2.1) that has been checked.
type request struct {
	client    *client
	redirect  string
	state     string
	nonce     string
	challenge string // of PKCE, S256
	scope     string // granted
	connector string // the only upstream to be offered, or ""
	hint      string // the address that is probably going to be typed
}

// granted is what a code stands for.
type granted struct {
	request *request
	who     person
	expires time.Time
}

// requestError is what is wrong with an authorization request, in the words of RFC 6749 4.1.2.1.
type requestError struct{ code, text string }

func (e requestError) Error() string { return e.text }

// recipient finds out who asks and where the answer goes. Until both are known to be right, nobody is redirected.
func (s *Issuer) recipient(p params) (*request, error) {
	c := s.clients[p["client_id"]]
	if c == nil {
		return nil, errors.New("no client has the client_id that was given")
	}
	if p["redirect_uri"] == "" || !c.allows(p["redirect_uri"]) {
		return nil, errors.New("the redirect_uri is not one of the client's")
	}
	if len(p["state"]) > maxState {
		return nil, errors.New("the state is too long")
	}
	return &request{client: c, redirect: p["redirect_uri"], state: p["state"]}, nil
}

// fill checks the rest of the request.
func (q *request) fill(p params) error {
	for name, code := range map[string]string{"request": "request_not_supported", "request_uri": "request_uri_not_supported", "registration": "registration_not_supported"} {
		if p[name] != "" {
			return requestError{code, name + " is not supported"}
		}
	}
	switch {
	case p["response_type"] == "":
		return requestError{"invalid_request", "there is no response_type"}
	case p["response_type"] != "code":
		return requestError{"unsupported_response_type", "the only response_type is code"}
	case p["response_mode"] != "" && p["response_mode"] != "query":
		return requestError{"invalid_request", "the only response_mode is query"}
	case !inScope(p["scope"], "openid"):
		return requestError{"invalid_scope", "the scope does not contain openid"}
	case len(p["nonce"]) > maxNonce:
		return requestError{"invalid_request", "the nonce is too long"}
	case inScope(p["prompt"], "none"):
		return requestError{"login_required", "there are no sessions: somebody has to sign in"}
	}
	if err := checkChallenge(p); err != nil {
		return err
	}
	q.nonce, q.challenge, q.scope = p["nonce"], p["code_challenge"], grantedScope(p["scope"])
	q.connector = p["connector_id"]
	if checkEmail(p["login_hint"]) == nil {
		q.hint = p["login_hint"]
	}
	return nil
}

// checkChallenge accepts PKCE with S256 and nothing less: a method that is left out means plain (RFC 7636 4.3).
func checkChallenge(p params) error {
	if p["code_challenge"] == "" {
		return requestError{"invalid_request", "there is no code_challenge; PKCE is mandatory"}
	}
	if p["code_challenge_method"] != "S256" {
		return requestError{"invalid_request", "the only code_challenge_method is S256"}
	}
	if raw, err := base64.RawURLEncoding.Strict().DecodeString(p["code_challenge"]); err != nil || len(raw) != 32 {
		return requestError{"invalid_request", "the code_challenge is not a SHA-256 in base64url"}
	}
	return nil
}

// authorize answers the authorization endpoint: with the sign-in page, or with what is wrong.
func (s *Issuer) authorize(w http.ResponseWriter, r *http.Request) {
	var p params
	var err error
	if r.Method == http.MethodPost {
		p, err = form(r)
	} else {
		p, err = parseParams(r.URL.RawQuery, maxQuery)
	}
	if err != nil {
		s.fail(w, r, http.StatusBadRequest, "This request cannot be read", err.Error())
		return
	}
	q, err := s.recipient(p)
	if err != nil {
		s.fail(w, r, http.StatusBadRequest, "This request is not in order", err.Error())
		return
	}
	if err := q.fill(p); err != nil {
		s.refuse(w, r, q, err)
		return
	}
	s.showLogin(w, r, http.StatusOK, loginPage{to: destination{request: q}, Email: q.hint})
}

// encode writes the request as parameters, from which recipient and fill make it again.
func (q *request) encode() string {
	v := url.Values{
		"client_id": {q.client.ID}, "redirect_uri": {q.redirect}, "response_type": {"code"}, "scope": {q.scope},
		"code_challenge": {q.challenge}, "code_challenge_method": {"S256"},
	}
	for name, value := range map[string]string{"state": q.state, "nonce": q.nonce, "connector_id": q.connector, "login_hint": q.hint} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v.Encode()
}

// refuse tells the client what is wrong, or the person where the client cannot be told.
func (s *Issuer) refuse(w http.ResponseWriter, r *http.Request, q *request, err error) {
	var e requestError
	if !errors.As(err, &e) {
		e = requestError{"server_error", "the issuer failed"}
	}
	if q.redirect == OutOfBand {
		s.fail(w, r, http.StatusBadRequest, "This request is refused", e.text)
		return
	}
	s.redirect(w, r, q, url.Values{"error": {e.code}, "error_description": {e.text}})
}

// redirect sends the browser back to the client with an answer.
func (s *Issuer) redirect(w http.ResponseWriter, r *http.Request, q *request, answer url.Values) {
	if q.state != "" {
		answer.Set("state", q.state)
	}
	answer.Set("iss", s.cfg.URL) // RFC 9207
	separator := "?"
	if strings.Contains(q.redirect, "?") {
		separator = "&"
	}
	secureRedirect(w, q.redirect+separator+answer.Encode())
}

// secureRedirect sends the browser on with a GET, whatever it came with (RFC 9700 4.12).
func secureRedirect(w http.ResponseWriter, to string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// grant gives the client a code for the person.
func (s *Issuer) grant(w http.ResponseWriter, r *http.Request, q *request, who person) {
	code := randomString()
	now := s.now()
	g := &granted{request: q, who: who, expires: now.Add(codeLifetime)}
	if q.redirect == OutOfBand {
		g.expires = now.Add(oobLifetime)
	}
	if err := s.codes.put(now, code, g); err != nil {
		w.Header().Set("Retry-After", "60")
		s.fail(w, r, http.StatusServiceUnavailable, "Too many people are signing in", "Please try again in a minute.")
		return
	}
	if q.redirect == OutOfBand {
		s.write(w, r, http.StatusOK, page.View{Page: "code", Title: "Your code", Data: codePage{Client: q.client.Name, Code: code, Minutes: int(oobLifetime / time.Minute)}})
		return
	}
	s.redirect(w, r, q, url.Values{"code": {code}})
}
