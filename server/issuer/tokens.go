package issuer

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
)

const unreserved = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~" // RFC 7636 4.1

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// oauthError is an error answer of the token endpoint (RFC 6749 5.2).
type oauthError struct {
	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

func (e oauthError) Error() string { return e.Code + ": " + e.Description }

// token answers the token endpoint.
func (s *Issuer) token(w http.ResponseWriter, r *http.Request) {
	p, c, ok := s.tokenForm(w, r)
	if !ok {
		return
	}
	var a answer
	var err error
	grant := p["grant_type"]
	switch grant {
	case grantCode:
		a, err = s.redeem(c, p)
	case grantDevice:
		a, err = s.pollDevice(c, p)
	case grantClient:
		a, err = s.machine(c, p)
	case "":
		grant, err = "none", oauthError{Code: "invalid_request", Description: "there is no grant_type"}
	default:
		grant, err = "unknown", oauthError{Code: "unsupported_grant_type", Description: "the grant_type is not one of those that discovery lists"}
	}
	if err != nil {
		s.tokenError(w, r, c, err)
		return
	}
	s.count.tokens.WithLabelValues(grant).Inc()
	s.log.InfoContext(r.Context(), "token issued", "grant", grant, "client", c.ID, "address", s.address(r))
	w.Header().Set("Pragma", "no-cache")
	writeJSON(w, http.StatusOK, a)
}

// redeem exchanges a code (RFC 6749 4.1.3). Whatever is wrong, the code is used up: somebody else has seen it.
func (s *Issuer) redeem(c *client, p params) (answer, error) {
	if p["code"] == "" {
		return answer{}, oauthError{Code: "invalid_request", Description: "there is no code"}
	}
	now := s.now()
	g, ok := s.codes.take(now, p["code"])
	switch {
	case !ok || !now.Before(g.expires):
		return answer{}, oauthError{Code: "invalid_grant", Description: "the code is unknown, used or expired"}
	case g.request.client != c:
		return answer{}, oauthError{Code: "invalid_grant", Description: "the code was given to another client"}
	case g.request.redirect != p["redirect_uri"]:
		return answer{}, oauthError{Code: "invalid_grant", Description: "the redirect_uri is not the one that the code was sent to"}
	}
	if err := checkVerifier(g.request.challenge, p["code_verifier"]); err != nil {
		return answer{}, err
	}
	token := about(g.who, g.request.scope)
	token.Audience, token.Nonce = c.ID, g.request.nonce
	return s.issue(token, g.request.scope)
}

func (s *Issuer) pollDevice(c *client, p params) (answer, error) {
	if p["device_code"] == "" {
		return answer{}, oauthError{Code: "invalid_request", Description: "there is no device_code"}
	}
	dev, err := s.devices.poll(s.now(), p["device_code"], c, p["code_verifier"], s.cfg.DeviceInterval)
	if err != nil {
		return answer{}, err
	}
	token := about(*dev.who, dev.scope)
	token.Audience = c.ID
	return s.issue(token, dev.scope)
}

// machine gives a client a token about itself. OAuth knows no such identity token; Sigstore clients ask for one.
func (s *Issuer) machine(c *client, p params) (answer, error) {
	if !c.Machine {
		return answer{}, oauthError{Code: "unauthorized_client", Description: "the client may not use client credentials"}
	}
	scope := p["scope"]
	if scope == "" {
		scope = "openid email"
	}
	if !inScope(scope, "openid") {
		return answer{}, oauthError{Code: "invalid_scope", Description: "the scope does not contain openid"}
	}
	scope = grantedScope(scope)
	token := claims{Subject: c.ID, Audience: c.ID}
	if c.Audience != "" {
		token.Audience = c.Audience
	}
	if c.Email != "" && inScope(scope, "email") {
		token.Email, token.EmailVerified = c.Email, true
	}
	return s.issue(token, scope)
}

// tokenForm reads the form of an endpoint for clients, and finds out which client it is.
func (s *Issuer) tokenForm(w http.ResponseWriter, r *http.Request) (params, *client, bool) {
	p, err := form(r)
	if err != nil {
		s.tokenError(w, r, nil, oauthError{Code: "invalid_request", Description: err.Error()})
		return nil, nil, false
	}
	id, secret, err := credentials(r, p)
	if err != nil {
		s.tokenError(w, r, nil, err)
		return nil, nil, false
	}
	wrong := oauthError{Code: "invalid_client", Description: "the client is unknown, or its secret is wrong"}
	c := s.clients[id]
	switch {
	case c == nil, c.hash == nil && secret != "", c.hash != nil && secret == "":
		s.tokenError(w, r, c, wrong)
		return nil, nil, false
	case c.hash == nil, c.remembers(secret):
		return p, c, true
	}
	if !s.allowGuess(w, r) || !s.allowAccount(w, "client", id) {
		writeJSON(w, http.StatusTooManyRequests, oauthError{Code: "temporarily_unavailable", Description: "too many attempts"})
		return nil, nil, false
	}
	right, err := c.matches(r.Context(), secret)
	if err != nil {
		s.tokenError(w, r, c, err)
	} else if !right {
		s.tokenError(w, r, c, wrong)
	}
	return p, c, right && err == nil
}

// credentials reads who the client says it is (RFC 6749 2.3.1): in the header or in the form, not in both.
func credentials(r *http.Request, p params) (id, secret string, err error) {
	if r.Header.Get("Authorization") == "" {
		return p["client_id"], p["client_secret"], nil
	}
	user, pass, ok := r.BasicAuth()
	id, errID := url.QueryUnescape(user)
	secret, errSecret := url.QueryUnescape(pass)
	switch {
	case !ok || errID != nil || errSecret != nil:
		return "", "", oauthError{Code: "invalid_client", Description: "the Authorization header is not of the form of RFC 6749 2.3.1"}
	case p["client_secret"] != "" || (p["client_id"] != "" && p["client_id"] != id):
		return "", "", oauthError{Code: "invalid_request", Description: "the client says in two ways who it is"}
	}
	return id, secret, nil
}

// tokenError answers with what is wrong. Errors of ours are logged and not told.
func (s *Issuer) tokenError(w http.ResponseWriter, r *http.Request, c *client, err error) {
	var e oauthError
	if !errors.As(err, &e) {
		s.log.ErrorContext(r.Context(), "no token could be made", "error", err)
		writeJSON(w, http.StatusInternalServerError, oauthError{Code: "server_error"})
		return
	}
	if e.Code != "authorization_pending" && e.Code != "slow_down" {
		name := "" // of a client that is known; anything else is the sender's own words
		if c != nil {
			name = c.ID
		}
		s.log.InfoContext(r.Context(), "token refused", "error", e.Code, "reason", e.Description, "client", name, "address", s.address(r))
	}
	status := http.StatusBadRequest
	if e.Code == "invalid_client" {
		status = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", `Basic realm="token"`)
	}
	w.Header().Set("Pragma", "no-cache")
	writeJSON(w, status, e)
}

// developmentToken gives a token for any address, for scripts on this machine.
func (s *Issuer) developmentToken(w http.ResponseWriter, r *http.Request) {
	p, err := form(r)
	if err == nil {
		err = s.origin.Check(r) // no web page's business
	}
	if err != nil {
		s.tokenError(w, r, nil, oauthError{Code: "invalid_request", Description: err.Error()})
		return
	}
	who, err := s.developmentLogin(r, p)
	s.countLogin("development", err)
	if err != nil {
		writeJSON(w, http.StatusForbidden, oauthError{Code: "access_denied", Description: err.Error()})
		return
	}
	c := s.clients[p["client_id"]]
	if p["client_id"] == "" {
		c = s.clients[s.firstClient()]
	}
	if c == nil || len(p["nonce"]) > maxNonce {
		s.tokenError(w, r, c, oauthError{Code: "invalid_request", Description: "the client is unknown or the nonce too long"})
		return
	}
	token := about(who, "openid email")
	token.Audience, token.Nonce = c.ID, p["nonce"]
	a, err := s.issue(token, "openid email")
	if err != nil {
		s.tokenError(w, r, c, err)
		return
	}
	s.count.tokens.WithLabelValues("development").Inc()
	s.log.InfoContext(r.Context(), "token issued", "grant", "development", "email", who.email, "client", c.ID)
	writeJSON(w, http.StatusOK, a)
}

func (s *Issuer) firstClient() string {
	if s.cfg.Clients == nil {
		return DefaultClient().ID
	}
	return s.cfg.Clients[0].ID
}
