package issuer

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// person is who signed in, and how.
type person struct {
	connector string
	// id is the user's ID at the connector.
	id    string
	email string
	// upstream says that another provider vouches; its connector is then named in the token.
	upstream bool
	at       time.Time
}

// subject encodes who it is as Dex does; see the package's comment.
func (p person) subject() string {
	field := func(out []byte, number byte, value string) []byte {
		out = append(out, number<<3|2)
		n := uint(len(value))
		for ; n >= 0x80; n >>= 7 {
			out = append(out, byte(n)|0x80)
		}
		return append(append(out, byte(n)), value...)
	}
	return base64.RawURLEncoding.EncodeToString(field(field(nil, 1, p.id), 2, p.connector))
}

// claims is the payload of an identity token (OpenID Connect Core 2).
type claims struct {
	Issuer        string     `json:"iss"`
	Subject       string     `json:"sub"`
	Audience      string     `json:"aud"`
	Expires       int64      `json:"exp"`
	Issued        int64      `json:"iat"`
	AuthTime      int64      `json:"auth_time,omitempty"`
	Nonce         string     `json:"nonce,omitempty"`
	AccessHash    string     `json:"at_hash"`
	ID            string     `json:"jti"`
	Email         string     `json:"email,omitempty"`
	EmailVerified bool       `json:"email_verified,omitempty"`
	Federated     *federated `json:"federated_claims,omitempty"`
}

// federated are Dex's claims about the upstream, which Fulcio reads with issuer-claim.
type federated struct {
	Connector string `json:"connector_id"`
	User      string `json:"user_id"`
}

// answer is a token endpoint's (RFC 6749 5.1).
type answer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"`
	IDToken     string `json:"id_token"`
	Scope       string `json:"scope,omitempty"`
}

// issue signs a token. The access token that OAuth demands beside it opens nothing and is not remembered.
func (s *Issuer) issue(c claims, scope string) (answer, error) {
	now := s.now()
	key, err := s.ring.current(now)
	if err != nil {
		return answer{}, err
	}
	a := answer{AccessToken: randomString(), TokenType: "Bearer", ExpiresIn: int64(s.cfg.TokenLifetime / time.Second), Scope: scope}
	hash := sha256.Sum256([]byte(a.AccessToken))
	c.Issuer, c.Issued, c.ID = s.cfg.URL, now.Unix(), randomString()
	c.Expires = c.Issued + a.ExpiresIn
	c.AccessHash = base64.RawURLEncoding.EncodeToString(hash[:len(hash)/2])
	a.IDToken, err = sign(key, c)
	return a, err
}

// about fills in what the scope lets a client know of a person.
func about(p person, scope string) claims {
	c := claims{Subject: p.subject(), AuthTime: p.at.Unix()}
	if inScope(scope, "email") {
		c.Email, c.EmailVerified = p.email, true // an unverified address never gets this far
	}
	if p.upstream {
		c.Federated = &federated{Connector: p.connector, User: p.id}
	}
	return c
}

// sign writes a JWS in compact form (RFC 7515 3.1) with RS256.
func sign(key ringKey, c claims) (string, error) {
	header, err := json.Marshal(struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
		Type      string `json:"typ"`
	}{"RS256", key.id, "JWT"})
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	sum := sha256.Sum256([]byte(input))
	signature, err := key.Signer.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("issuer: signing with key %s: %w", key.id, err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// inScope says whether a scope, a list with spaces between, has a name in it.
func inScope(scope, name string) bool {
	for s := range strings.SplitSeq(scope, " ") {
		if s == name {
			return true
		}
	}
	return false
}

// scopes are the names that mean something here.
var scopes = []string{"openid", "email"}

// grantedScope is what of a requested scope is granted: unknown names are left out (RFC 6749 3.3).
func grantedScope(requested string) string {
	var out []string
	for _, name := range scopes {
		if inScope(requested, name) {
			out = append(out, name)
		}
	}
	return strings.Join(out, " ")
}

// writeJSON answers with a document that nobody may keep.
func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store") // RFC 6749 5.1
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n'))
}
