package services

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// logins is what the identity provider remembers.
type logins struct {
	codes  map[string]login
	device login // the last that a device asked for
	// polls are the errors that the next polls for a device's token get.
	polls []string
	next  int
}

type login struct {
	client, nonce, challenge, redirect string
}

// proves says whether a request for a token comes from who began the login (RFC 7636 4.6).
func (l *login) proves(client, verifier string) bool {
	sum := sha256.Sum256([]byte(verifier))
	return client == l.client && base64.RawURLEncoding.EncodeToString(sum[:]) == l.challenge
}

func (l *logins) init() { l.codes = map[string]login{} }

// Secret is what the OAuth client "secretive" authenticates with; every other client is a public one.
const Secret = "canary-client-secret"

// Polls sets the errors that polls for a device's token get before it is there, authorization_pending or slow_down.
func (s *Services) Polls(errors ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logins.polls = errors
}

func (s *Services) registerIssuer(mux *http.ServeMux) {
	mux.HandleFunc("GET /oidc/.well-known/openid-configuration", s.discovery)
	mux.HandleFunc("GET /oidc/keys", s.keys)
	mux.HandleFunc("GET /oidc/auth", s.authorize)
	mux.HandleFunc("POST /oidc/token", s.token)
	mux.HandleFunc("POST /oidc/device/code", s.deviceCode)
}

func (s *Services) discovery(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, object{
		"issuer": s.Issuer, "authorization_endpoint": s.Issuer + "/auth", "token_endpoint": s.Issuer + "/token",
		"device_authorization_endpoint": s.Issuer + "/device/code", "jwks_uri": s.Issuer + "/keys",
		"code_challenge_methods_supported":      []string{"plain", "S256"},
		"id_token_signing_alg_values_supported": []string{"ES256"},
	})
}

// keys is the key that tokens are signed with (RFC 7517).
func (s *Services) keys(w http.ResponseWriter, _ *http.Request) {
	point, err := s.tokenKey.PublicKey.Bytes() // 4, X, Y
	if err != nil {
		s.t.Error(err)
		return
	}
	enc := base64.RawURLEncoding
	reply(w, http.StatusOK, object{"keys": []object{{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "x": enc.EncodeToString(point[1:33]), "y": enc.EncodeToString(point[33:]),
	}}})
}

// authorize logs everybody in at once and sends the browser back.
func (s *Services) authorize(w http.ResponseWriter, req *http.Request) {
	q := req.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	switch {
	case err != nil || back.Hostname() != "localhost" && back.Hostname() != "127.0.0.1":
		http.Error(w, "redirect_uri", http.StatusBadRequest)
		return
	case q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 ||
		q.Get("state") == "" || q.Get("nonce") == "" || q.Get("client_id") == "" || !strings.Contains(q.Get("scope"), "openid"):
		http.Error(w, "the request lacks something", http.StatusBadRequest)
		return
	}
	s.logins.next++
	code := fmt.Sprintf("code-%d", s.logins.next)
	s.logins.codes[code] = login{q.Get("client_id"), q.Get("nonce"), q.Get("code_challenge"), q.Get("redirect_uri")}
	back.RawQuery = url.Values{"code": {code}, "state": {q.Get("state")}}.Encode()
	http.Redirect(w, req, back.String(), http.StatusFound)
}

func oauthError(w http.ResponseWriter, code, text string) {
	reply(w, http.StatusBadRequest, object{"error": code, "error_description": text})
}

// token is the token endpoint, for the three grants.
func (s *Services) token(w http.ResponseWriter, req *http.Request) {
	if err := req.ParseForm(); err != nil {
		oauthError(w, "invalid_request", err.Error())
		return
	}
	f := req.PostForm
	client, secret, basic := req.BasicAuth()
	if !basic {
		client, secret = f.Get("client_id"), f.Get("client_secret")
	}
	claims := Claims{"aud": client}
	switch f.Get("grant_type") {
	case "authorization_code":
		l, known := s.logins.codes[f.Get("code")]
		delete(s.logins.codes, f.Get("code"))
		if !known || l.redirect != f.Get("redirect_uri") || !l.proves(client, f.Get("code_verifier")) {
			oauthError(w, "invalid_grant", "the code, its verifier or its redirect_uri is wrong")
			return
		}
		claims["nonce"] = l.nonce
	case "urn:ietf:params:oauth:grant-type:device_code":
		if f.Get("device_code") != "device-1" || !s.logins.device.proves(client, f.Get("code_verifier")) {
			oauthError(w, "invalid_grant", "no such device code, or its verifier is wrong")
			return
		}
		if len(s.logins.polls) > 0 {
			code := s.logins.polls[0]
			s.logins.polls = s.logins.polls[1:]
			oauthError(w, code, "")
			return
		}
	case "client_credentials":
		if client != "secretive" || secret != Secret {
			oauthError(w, "invalid_client", "wrong secret")
			return
		}
		claims["aud"] = "sigstore"
	default:
		oauthError(w, "unsupported_grant_type", f.Get("grant_type"))
		return
	}
	id := s.Token(claims)
	reply(w, http.StatusOK, object{"access_token": id, "token_type": "Bearer", "id_token": id, "expires_in": 600})
}

func (s *Services) deviceCode(w http.ResponseWriter, req *http.Request) {
	f := url.Values{}
	if req.ParseForm() == nil {
		f = req.PostForm
	}
	if f.Get("client_id") == "" || !strings.Contains(f.Get("scope"), "openid") || f.Get("code_challenge_method") != "S256" || len(f.Get("code_challenge")) != 43 {
		oauthError(w, "invalid_request", "the request lacks something")
		return
	}
	s.logins.device = login{client: f.Get("client_id"), challenge: f.Get("code_challenge")}
	reply(w, http.StatusOK, object{
		"device_code": "device-1", "user_code": "WDJB-MJHT", "verification_uri": s.Issuer + "/device",
		"verification_uri_complete": s.Issuer + "/device?user_code=WDJB-MJHT", "expires_in": 300, "interval": 0.05,
	})
}
