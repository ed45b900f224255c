package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/bulla-sign/bulla/client"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/buildinfo"
	"github.com/bulla-sign/bulla/oidc"
	"github.com/bulla-sign/bulla/sign"
)

// identity returns the function that gets a token when a certificate is needed. The user is asked once, before the first
// one becomes public.
func (s *signing) identity(c *cli.Call, p *plan, transport http.RoundTripper) func(context.Context) (sign.Identity, error) {
	agreed := ""
	s.bearer = &bearer{now: c.Now, get: func(ctx context.Context) (*oidc.Token, error) {
		token, err := s.token(ctx, c, p, transport)
		s.inVain = errors.Is(err, oidc.ErrUnavailable)
		return token, err
	}}
	return func(ctx context.Context) (sign.Identity, error) {
		var id sign.Identity
		token, err := s.bearer.token(ctx)
		if err != nil {
			return id, err
		}
		if id.Challenge, err = token.Challenge(); err != nil {
			return id, cli.Errorf(cli.ExitInput, "%w", err)
		}
		if agreed != id.Challenge {
			if err := s.consent(c, p, token); err != nil {
				return id, err
			}
			agreed = id.Challenge
		}
		id.Token = token.Raw
		return id, nil
	}
}

// bearer keeps the token of a run: it is asked for again when it is about to end.
type bearer struct {
	get func(ctx context.Context) (*oidc.Token, error)
	now func() time.Time

	mu   sync.Mutex
	held *oidc.Token
}

// tokenMargin is the life that a token must have left to be shown to a certificate authority, retries included.
const tokenMargin = time.Minute

// token returns a token that is valid now. The error has an exit status.
func (b *bearer) token(ctx context.Context) (*oidc.Token, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held != nil && b.now().Add(tokenMargin).Before(b.held.Expires) {
		return b.held, nil
	}
	token, err := b.get(ctx)
	if err != nil {
		return nil, tokenError(err)
	}
	if err := token.Check(b.now(), ""); err != nil {
		return nil, cli.Errorf(cli.ExitInput, "%w", err)
	}
	b.held = token
	return token, nil
}

// shown is the certificate authority, as the signer sees it: authorities that refuse a token often do not say why, and
// hardly what they were shown.
type shown struct{ sign.Certifier }

func (a *shown) Certify(ctx context.Context, id sign.Identity, key sign.Signer) ([][]byte, error) {
	chain, err := a.Certifier.Certify(ctx, id, key)
	if !errors.Is(err, client.ErrRefused) {
		return chain, err
	}
	t, parseErr := oidc.Parse(id.Token)
	if parseErr != nil {
		return nil, err
	}
	return nil, cli.Errorf(cli.ExitFailure, "%w", err).WithHint("the token that it was shown is %s: the authority must take tokens of that provider, for that audience", t.Describe())
}

// consent says what is about to become public of an identity, and asks.
func (s *signing) consent(c *cli.Call, p *plan, token *oidc.Token) error {
	what := "the name stands"
	if token.Email == "" { // the names of private repositories, among others
		what = "the name and whatever else the token says of the job or the workload stand"
	}
	text := fmt.Sprintf("%s will be public for ever: %s in the certificate, which %s enters into a certificate transparency log", token.Who(), what, p.ca)
	switch {
	case len(p.logs) == 0:
	case s.loggingIn != nil: // each signature of the session may go to another one
		text += ", and in the entries of the transparency log " + strings.Join(p.eligible, " or ")
	default:
		text += ", and in the entry of the transparency log " + p.logNames()
	}
	return s.agree(c, text)
}

// consentToLog is consent for a signature with a key, of which no identity becomes public. In cosign's place, which logs
// such a signature without a word, nothing is asked.
func (s *signing) consentToLog(c *cli.Call, p *plan) error {
	if s.identified() || len(p.logs) == 0 || c.Cosign {
		return nil
	}
	what := "the digest of what is signed, the signature and the public key"
	if s.Certificate != "" {
		what = "the digest of what is signed, the signature and the certificate with the names in it"
	}
	return s.agree(c, fmt.Sprintf("%s will be public for ever in the transparency log %s", what, p.logNames()))
}

// agree says what is about to become public, and asks where somebody can answer. Where nobody can, as in CI, to have started
// the command is the answer, as it is for cosign.
func (s *signing) agree(c *cli.Call, text string) error {
	switch {
	case !s.Yes && c.IsTerminal(c.In):
		return c.Confirm(false, "%s", text)
	case c.Cosign:
		c.Debugf("%s", text)
	default:
		c.Infof("%s", text)
	}
	return nil
}

// surroundings are where tokens are looked for.
func (s *signing) surroundings(c *cli.Call, transport http.RoundTripper) *oidc.Environment {
	e := &oidc.Environment{LookupEnv: c.LookupEnv, Transport: transport, UserAgent: buildinfo.UserAgent("bulla"), Patience: s.perseverance(), Notify: askingAgain(c)}
	if c.Changed("oidc-client-id") {
		e.Audience = s.ClientID
	}
	return e
}

// perseverance is --patience in the words of the clients' packages, for which 0 is their own. Patience with a provider that
// was in vain is not had again until it answers, or a long list of things to sign would wait as often as it is long.
func (s *signing) perseverance() time.Duration {
	if s.patience == 0 || s.inVain {
		return -1 // a single attempt
	}
	return s.patience
}

// askingAgain tells why a provider is asked again.
func askingAgain(c *cli.Call) func(error, time.Duration) {
	return func(err error, pause time.Duration) {
		c.Infof("%v; trying again in %s", err, pause.Round(100*time.Millisecond))
	}
}

// token finds an identity token: given, at hand in the surroundings, or by logging in.
func (s *signing) token(ctx context.Context, c *cli.Call, p *plan, transport http.RoundTripper) (*oidc.Token, error) {
	if s.IdentityToken != "" {
		return oidc.FromFlag(ctx, s.IdentityToken)
	}
	missing := oidc.ErrNone
	if !s.DisableAmbient {
		token, name, err := oidc.Ambient(ctx, s.surroundings(c, transport), s.Provider)
		switch {
		case err == nil:
			c.Debugf("the identity token comes from %s", name)
			return token, nil
		case s.Provider != "" || !errors.Is(err, oidc.ErrNone):
			return nil, err
		}
		missing = err
	}
	return s.logIn(ctx, c, p, transport, missing)
}

// maxSecret bounds the file with an OAuth client's secret.
const maxSecret = 4 << 10

// logIn logs in by the flow that is asked for, or that the surroundings allow. Without a terminal nobody is asked for
// anything, unless the flow was named.
func (s *signing) logIn(ctx context.Context, c *cli.Call, p *plan, transport http.RoundTripper, missing error) (*oidc.Token, error) {
	if p.issuer == "" {
		if p.noIssuer == nil { // --oidc-issuer= of cosign's single flags
			return nil, cli.Usagef("%w; and no identity provider is named to log in at", missing)
		}
		return nil, cli.Usagef("%w; and there is none to log in at: %w", missing, p.noIssuer)
	}
	l := &oidc.Login{
		Issuer: p.issuer, ClientID: s.ClientID, RedirectURL: s.RedirectURL, Transport: transport,
		UserAgent: buildinfo.UserAgent("bulla"), Patience: s.perseverance(), Notify: askingAgain(c), Out: c.Err, Now: c.Now,
	}
	if kind, _ := c.LookupEnv("TERM"); kind != "dumb" && c.IsTerminal(c.Err) {
		l.Columns = c.Width()
	}
	if s.ClientSecretFile != "" {
		secret, err := readFileUpTo(ctx, s.ClientSecretFile, maxSecret)
		if err != nil {
			return nil, err
		}
		l.ClientSecret = string(bytes.TrimSpace(secret))
	}
	flow := s.AuthFlow.String()
	if flow == "" {
		switch {
		case c.IsTerminal(c.In):
			flow = "normal"
		case c.Cosign:
			c.Infof("Non-interactive mode detected, using device flow.")
			flow = "device"
		default:
			return nil, cli.Usagef("%w", missing).
				WithHint("give one with --identity-token, sign with --key, or log in on another device with --fulcio-auth-flow=device; \"login --explain\" says where one is looked for")
		}
	}
	switch flow {
	case "device":
		if c.Cosign {
			l.Out = c.Out // where cosign has it
		}
		return l.Device(ctx)
	case "client_credentials":
		return l.ClientCredentials(ctx)
	case "token":
		return nil, cli.Usagef("--fulcio-auth-flow=token takes the token that --identity-token gives, and it gives none")
	}
	return l.Browser(ctx)
}

// tokenError gives an error about a token its exit status.
func tokenError(err error) error {
	var coded *cli.Error
	switch {
	case errors.As(err, &coded):
		return err
	case errors.Is(err, oidc.ErrNone):
		return cli.Usagef("%w", err)
	case errors.Is(err, oidc.ErrUnavailable):
		return cli.Errorf(cli.ExitUnknown, "%w", err)
	}
	return inputError(err)
}
