package oidc

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Login is how to log in at an identity provider.
type Login struct {
	// Issuer is the provider's address, below which its discovery document lies; ClientID is whom to log in as there.
	Issuer, ClientID string
	// ClientSecret is the client's own, for providers that give out one; most clients of people have none.
	ClientSecret string
	// RedirectURL is where the browser comes back to: an address of this computer with a path, its port 0 for any that is
	// free; http://localhost:0/auth/callback when empty.
	RedirectURL string
	Transport   http.RoundTripper
	UserAgent   string
	// Patience and Notify are those of [Environment].
	Patience time.Duration
	Notify   func(err error, pause time.Duration)
	// Out is where the user is told what to do.
	Out io.Writer
	// Columns is the width of the terminal that Out is, on which QR codes are drawn that fit; 0: it is none.
	Columns int
	// Open opens an address in the user's browser, for as long as it likes; [OpenBrowser] when nil.
	Open func(ctx context.Context, address string) error
	// Now is the present time; nil takes the system's clock.
	Now func() time.Time
}

// document is a provider's discovery document (OpenID Connect Discovery 3), as far as it is used.
type document struct {
	Issuer        string   `json:"issuer"`
	Authorization string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	Device        string   `json:"device_authorization_endpoint"`
	Challenges    []string `json:"code_challenge_methods_supported"`
	Auth          []string `json:"token_endpoint_auth_methods_supported"`
}

// provider is a provider whose document was read.
type provider struct {
	*Login
	doc   document
	fetch *fetcher
}

// discover reads the provider's document, which must be the issuer's own (OpenID Connect Discovery 4.3).
func (l *Login) discover(ctx context.Context) (*provider, error) {
	if err := private(l.Issuer); err != nil {
		return nil, fmt.Errorf("identity provider: %w", err)
	}
	p := &provider{Login: l, fetch: newFetcher(asking{l.Transport, l.UserAgent, l.Patience, l.Notify})}
	c := call{method: http.MethodGet, url: strings.TrimRight(l.Issuer, "/") + "/.well-known/openid-configuration"}
	if err := p.fetch.do(ctx, c, &p.doc); err != nil {
		return nil, fmt.Errorf("identity provider: %w", err)
	}
	if p.doc.Issuer != l.Issuer {
		return nil, fmt.Errorf("identity provider %s: its document says that it is %s", where(l.Issuer), clean(p.doc.Issuer))
	}
	for _, address := range []string{p.doc.Token, p.doc.Authorization, p.doc.Device} {
		if address == "" {
			continue
		}
		if err := private(address); err != nil {
			return nil, fmt.Errorf("identity provider %s: %w", where(l.Issuer), err)
		}
	}
	if p.doc.Token == "" {
		return nil, fmt.Errorf("identity provider %s: its document names no token endpoint", where(l.Issuer))
	}
	return p, nil
}

// silentHost is where Microsoft Entra ID has its issuers, which check PKCE and do not say so in their documents; cosign makes
// the same exception.
const silentHost = "login.microsoftonline.com"

// needsChallenges refuses a provider that does not check PKCE: a code that another program of this computer caught could
// be used by it.
func (p *provider) needsChallenges() error {
	if u, err := url.Parse(p.Issuer); err == nil && len(p.doc.Challenges) == 0 && u.Scheme == "https" && u.Host == silentHost {
		return nil
	}
	if !slices.Contains(p.doc.Challenges, "S256") {
		return fmt.Errorf("identity provider %s does not offer PKCE with S256, without which logging in is not safe", where(p.Issuer))
	}
	return nil
}

// scopes are those that make the token name the user.
const scopes = "openid email"

// secret returns 256 random bits in base64url.
func secret() (string, error) {
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

// challenge is the S256 challenge for a verifier (RFC 7636 4.2).
func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// tokens asks the token endpoint for an ID token.
func (p *provider) tokens(ctx context.Context, form url.Values) (string, error) {
	c := call{method: http.MethodPost, url: p.doc.Token, contentType: "application/x-www-form-urlencoded", header: map[string]string{}}
	switch {
	case p.ClientSecret == "":
		form.Set("client_id", p.ClientID)
	case len(p.doc.Auth) > 0 && !slices.Contains(p.doc.Auth, "client_secret_basic"):
		form.Set("client_id", p.ClientID)
		form.Set("client_secret", p.ClientSecret)
	default: // RFC 6749 2.3.1
		both := url.QueryEscape(p.ClientID) + ":" + url.QueryEscape(p.ClientSecret)
		c.header["Authorization"] = "Basic " + base64.StdEncoding.EncodeToString([]byte(both))
	}
	c.body = form.Encode()
	var answer struct {
		ID     string `json:"id_token"`
		Access string `json:"access_token"`
	}
	if err := p.fetch.do(ctx, c, &answer); err != nil {
		return "", err
	}
	if answer.ID == "" && form.Get("grant_type") == "client_credentials" {
		return answer.Access, nil // providers for machines give their signed token under this name
	}
	if answer.ID == "" {
		return "", fmt.Errorf("%s: the answer holds no ID token", where(p.doc.Token))
	}
	return answer.ID, nil
}

// accept reads the token that a login ended with, and checks that it is for it (OpenID Connect Core 3.1.3.7). It came over
// TLS from the provider itself, which stands for its signature.
func (p *provider) accept(raw, nonce string, audience bool) (*Token, error) {
	t, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	now := time.Now
	if p.Now != nil {
		now = p.Now
	}
	want := ""
	if audience {
		want = p.ClientID
	}
	switch err := t.Check(now(), want); {
	case err != nil:
		return nil, err
	case t.Issuer != p.Issuer:
		return nil, fmt.Errorf("identity token: it is of %s, not of the provider %s", clean(t.Issuer), where(p.Issuer))
	case nonce != "" && t.Nonce != nonce:
		return nil, errors.New("identity token: it does not repeat the nonce of this login")
	}
	return t, nil
}

// ClientCredentials gets a token for the client itself, by its secret (RFC 6749 4.4).
func (l *Login) ClientCredentials(ctx context.Context) (*Token, error) {
	if l.ClientSecret == "" {
		return nil, errors.New("the client_credentials flow needs the client's secret")
	}
	p, err := l.discover(ctx)
	if err != nil {
		return nil, err
	}
	raw, err := p.tokens(ctx, url.Values{"grant_type": {"client_credentials"}, "scope": {scopes}})
	if err != nil {
		return nil, fmt.Errorf("logging in: %w", err)
	}
	return p.accept(raw, "", false)
}
