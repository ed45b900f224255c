package issuer

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Upstream is an OpenID Connect provider whose word is taken for who somebody is.
type Upstream struct {
	// ID names the connector in tokens (federated_claims.connector_id) and in subjects. Certificate authorities may be told
	// to take it for the issuer, so that it is often the provider's URL.
	ID string
	// Name stands on the button. Empty: the host of Issuer.
	Name string
	// Issuer is the provider's issuer URL; https, except on loopback.
	Issuer string
	// ClientID and ClientSecret are what the provider knows this issuer by. The redirect URI to register there is this
	// issuer's URL followed by /callback.
	ClientID, ClientSecret string
	// Scopes are asked for. Nil: openid and email.
	Scopes []string
	// AssumeVerified takes addresses for verified of which the provider does not say whether they are. One that it says is
	// not verified is refused all the same.
	AssumeVerified bool
}

const (
	pendingLifetime = 10 * time.Minute
	maxPending      = 10000
	upstreamTimeout = 10 * time.Second
	upstreamRest    = 5 * time.Second // between attempts to reach a provider that is away
	maxUpstreamBody = 1 << 20         // bytes of any answer of a provider: documents and key sets have some 10 KiB
	maxCallback     = 16 << 10
	maxUpstreamID   = 256
)

// pending is somebody who has been sent to an upstream provider.
type pending struct {
	to       string // a destination, encoded
	browser  string
	upstream *upstream
	nonce    string
	verifier string
}

type upstream struct {
	Upstream
	http     *http.Client
	callback string
	now      func() time.Time

	mu       sync.Mutex
	provider *oidc.Provider // nil until it has been reached
	failed   time.Time      // when it was not, last
	failure  error
}

func (s *Issuer) newUpstreams() ([]*upstream, error) {
	var out []*upstream
	for _, u := range s.cfg.Upstreams {
		issuer, err := url.Parse(u.Issuer)
		switch {
		case err != nil || issuer.Hostname() == "" || issuer.Scheme != "https" && (issuer.Scheme != "http" || !loopbackName(issuer.Hostname())):
			return nil, fmt.Errorf("issuer: upstream %q: its issuer %q is not an https URL", u.ID, u.Issuer)
		case u.ID == "" || len(u.ID) > maxUpstreamID || u.ID == "local" || u.ID == "development":
			return nil, fmt.Errorf("issuer: upstream %q: the ID is empty, too long, or one of the issuer's own connectors", u.ID)
		case u.ClientID == "":
			return nil, fmt.Errorf("issuer: upstream %q: there is no client ID", u.ID)
		case slices.ContainsFunc(out, func(o *upstream) bool { return o.ID == u.ID }):
			return nil, fmt.Errorf("issuer: upstream %q is there twice", u.ID)
		}
		if u.Name == "" {
			u.Name = issuer.Host
		}
		if u.Scopes == nil {
			u.Scopes = []string{oidc.ScopeOpenID, "email"}
		}
		out = append(out, &upstream{Upstream: u, http: boundedClient(s.cfg.HTTPClient), callback: s.cfg.URL + "/callback", now: s.now})
	}
	return out, nil
}

// boundedClient follows no redirect to another host, and reads no answer without end.
func boundedClient(given *http.Client) *http.Client {
	c := http.Client{}
	if given != nil {
		c = *given
	}
	if c.Timeout == 0 {
		c.Timeout = upstreamTimeout
	}
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
	}
	c.Transport = boundedTransport{c.Transport}
	c.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if len(via) > 3 || r.URL.Host != via[0].URL.Host || r.URL.Scheme != via[0].URL.Scheme {
			return errors.New("the provider redirects too often, or to another host")
		}
		return nil
	}
	return &c
}

type boundedTransport struct{ http.RoundTripper }

func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxUpstreamBody), resp.Body}
	}
	return resp, err
}

// reach reads the provider's discovery document, once. A provider that is away keeps nobody else from signing in, and is not
// asked again by everybody who waits.
func (u *upstream) reach(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.provider == nil {
		if age := u.now().Sub(u.failed); u.failure != nil && age >= 0 && age < upstreamRest {
			return nil, nil, u.failure
		}
		p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), u.http), u.Issuer)
		if err != nil {
			u.failed, u.failure = u.now(), fmt.Errorf("upstream %q: discovery: %w", u.ID, err)
			return nil, nil, u.failure
		}
		u.provider = p
	}
	return u.provider, &oauth2.Config{
		ClientID: u.ClientID, ClientSecret: u.ClientSecret, Endpoint: u.provider.Endpoint(), RedirectURL: u.callback, Scopes: u.Scopes,
	}, nil
}

// toUpstream sends the browser to a provider. It is a link and not a form, because browsers apply a page's form-action to
// wherever the answer to a form redirects, and nobody knows where a provider does.
func (s *Issuer) toUpstream(w http.ResponseWriter, r *http.Request) {
	p, err := parseParams(r.URL.RawQuery, maxForm)
	if err != nil {
		s.fail(w, r, http.StatusBadRequest, "This link cannot be read", err.Error())
		return
	}
	p, _, ok := s.owned(w, r, "login", p)
	if !ok {
		return
	}
	i := slices.IndexFunc(s.upstreams, func(u *upstream) bool { return u.ID == p["connector"] })
	if i < 0 {
		s.fail(w, r, http.StatusBadRequest, "This link is not in order", "there is no such provider")
		return
	}
	if !s.allowStart(w, r) {
		s.fail(w, r, http.StatusTooManyRequests, "Too many attempts", "Please wait a little and try again.")
		return
	}
	_, config, err := s.upstreams[i].reach(r.Context())
	if err != nil {
		s.log.ErrorContext(r.Context(), "upstream not reached", "error", err)
		s.fail(w, r, http.StatusBadGateway, "The provider cannot be reached", s.upstreams[i].Name+" does not answer as it should. Please try again later.")
		return
	}
	state := randomString()
	await := &pending{to: p["to"], browser: s.browsers.id(r), upstream: s.upstreams[i], nonce: randomString(), verifier: oauth2.GenerateVerifier()}
	if err := s.pending.put(s.now(), state, await); err != nil {
		w.Header().Set("Retry-After", "60")
		s.fail(w, r, http.StatusServiceUnavailable, "Too many people are signing in", "Please try again in a minute.")
		return
	}
	secureRedirect(w, config.AuthCodeURL(state, oidc.Nonce(await.nonce), oauth2.S256ChallengeOption(await.verifier)))
}

// fromUpstream takes the provider's answer.
func (s *Issuer) fromUpstream(w http.ResponseWriter, r *http.Request) {
	p, err := parseParams(r.URL.RawQuery, maxCallback)
	if err != nil {
		s.fail(w, r, http.StatusBadRequest, "This answer cannot be read", err.Error())
		return
	}
	await, ok := s.pending.take(s.now(), p["state"])
	if !ok || subtle.ConstantTimeCompare([]byte(await.browser), []byte(s.browsers.id(r))) != 1 {
		s.fail(w, r, http.StatusForbidden, "This page has expired", "The sign-in began in another browser or too long ago. Please start again where you came from.")
		return
	}
	to, err := s.readDestination(await.to)
	if err != nil {
		s.fail(w, r, http.StatusBadRequest, "This page has expired", err.Error())
		return
	}
	who, err := await.ask(r.Context(), p)
	s.countLogin("upstream", err)
	if err != nil {
		s.log.WarnContext(r.Context(), "sign-in refused", "method", "upstream", "connector", await.upstream.ID, "client", to.client().ID, "error", err)
		text := refusal(await.upstream.Name + " did not say who you are. Please try again.")
		var known refusal
		if errors.As(err, &known) {
			text = known
		}
		s.showLogin(w, r, http.StatusForbidden, loginPage{to: to, Error: text.Error()})
		return
	}
	s.finish(w, r, to, who)
}

// ask redeems the provider's code and checks its token (OpenID Connect Core 3.1.3.7).
func (a *pending) ask(ctx context.Context, p params) (person, error) {
	u := a.upstream
	provider, config, err := u.reach(ctx)
	if err != nil {
		return person{}, err
	}
	var meta struct {
		NamesIssuer bool `json:"authorization_response_iss_parameter_supported"`
	}
	if err := provider.Claims(&meta); err != nil {
		return person{}, err
	}
	switch {
	case (p["iss"] != "" || meta.NamesIssuer) && p["iss"] != u.Issuer: // RFC 9207 2.4: an answer that another provider gave
		return person{}, errors.New("the answer names another issuer")
	case p["error"] == "access_denied":
		return person{}, refusal("The sign-in at " + u.Name + " was cancelled.")
	case p["error"] != "":
		return person{}, fmt.Errorf("the provider answered with error %.64q", p["error"])
	case p["code"] == "":
		return person{}, errors.New("the answer has no code")
	}
	ctx = oidc.ClientContext(ctx, u.http)
	token, err := config.Exchange(ctx, p["code"], oauth2.VerifierOption(a.verifier))
	if err != nil {
		return person{}, exchangeError(err)
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return person{}, errors.New("the provider gave no identity token")
	}
	id, err := provider.Verifier(&oidc.Config{ClientID: u.ClientID, Now: u.now}).Verify(ctx, raw)
	if err != nil {
		return person{}, err
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.nonce)) != 1 {
		return person{}, errors.New("the token's nonce is not the one that was sent")
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			return person{}, err
		}
	}
	return u.person(id)
}

// exchangeError keeps what a provider says of a code out of the log but for the code of the error.
func exchangeError(err error) error {
	var answer *oauth2.RetrieveError
	if errors.As(err, &answer) {
		return fmt.Errorf("the provider refused the code: %.64q", answer.ErrorCode)
	}
	return fmt.Errorf("redeeming the provider's code: %w", err)
}

// person reads who the token is about. Without a verified address nobody gets in: clients and certificate authorities take
// an address that is in a token for the person's.
func (u *upstream) person(id *oidc.IDToken) (person, error) {
	var c struct {
		Email    string          `json:"email"`
		Verified json.RawMessage `json:"email_verified"`
	}
	if err := id.Claims(&c); err != nil {
		return person{}, err
	}
	switch {
	case id.Subject == "" || len(id.Subject) > 255: // OpenID Connect Core 2
		return person{}, errors.New("the token's subject is empty or too long")
	case c.Email == "":
		return person{}, refusal(u.Name + " does not tell your e-mail address.")
	case checkEmail(c.Email) != nil:
		return person{}, refusal("The e-mail address that " + u.Name + " has of you cannot stand in a certificate.")
	}
	switch string(c.Verified) {
	case "true", `"true"`: // some providers write it as a string
	case "", "null":
		if !u.AssumeVerified {
			return person{}, refusal(u.Name + " does not say whether your e-mail address is verified.")
		}
	default:
		return person{}, refusal("Your e-mail address is not verified at " + u.Name + ".")
	}
	return person{connector: u.ID, id: id.Subject, email: c.Email, upstream: true, at: u.now()}, nil
}
