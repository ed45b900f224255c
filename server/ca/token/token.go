// Package token verifies the identity tokens (OpenID Connect Core 1.0, 2) that are presented to a certificate authority.
//
// A token is believed if its issuer is on the list, its signature verifies under a key that the issuer publishes, it is
// meant for this authority, and it is in its time. Everything is checked for every token; there is no option to leave
// something out. The reasons for a refusal are precise, as whoever presents a token knows it anyway; they never repeat it.
//
// Keys come from inside the process, for an issuer that runs in it, or from the issuer's own site: its discovery document
// (OpenID Connect Discovery 1.0, 4) and the key set named there. No request goes to an address that a token chose: only an
// issuer that the configuration names, or whose URL matches one of its patterns as a whole, is ever asked; redirects to
// another host are not followed, nothing secret is sent, and an issuer that was only matched by a pattern must be at a
// public address. Answers are bounded in size and time.
package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/server/ca/issuerconfig"
	"github.com/go-jose/go-jose/v4"
)

// Algorithms are the accepted signature algorithms. "none" and those with a shared secret are not among them.
var Algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Leeway is by how much the clocks of issuer and authority may differ.
const Leeway = 30 * time.Second

// KeySet is where the keys of an issuer in the same process come from.
type KeySet interface {
	// Keys returns the public keys that tokens may be signed with now.
	Keys(ctx context.Context) (jose.JSONWebKeySet, error)
}

// Config is what a Verifier needs.
type Config struct {
	// Issuers whose tokens are accepted.
	Issuers *issuerconfig.Config
	// Keys of issuers in this process, by issuer URL; these are never asked over the network.
	Keys map[string]KeySet
	// Now is the clock; nil: the system's.
	Now func() time.Time
	// DialContext opens the connections to issuers; nil: the system's resolver and network, with the check of addresses
	// that the package comment describes. A function given here takes over that check.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// Proxy chooses a proxy for requests to issuers; nil: none. With one, the check of addresses is the proxy's matter.
	Proxy func(*http.Request) (*url.URL, error)
}

// Token is a verified token.
type Token struct {
	Issuer  string
	Subject string
	// Claims are all of them; numbers are json.Number.
	Claims map[string]any
	// Config is the issuer's entry, with its own URL where a pattern matched.
	Config issuerconfig.Issuer
	// Expiry is when the token ends.
	Expiry time.Time
}

// Kind is whose fault an [Error] is.
type Kind int

// Kinds of errors.
const (
	// Invalid: the token is refused; another attempt with it will fail as well.
	Invalid Kind = iota + 1
	// Unavailable: the issuer's keys cannot be had; the same token may be accepted later.
	Unavailable
	// Busy: too many unknown issuers or keys were asked for; worth a try in [RetryAfter].
	Busy
)

// RetryAfter is what a client is told to wait after a Busy.
const RetryAfter = 10 * time.Second

// Error says why a token was not accepted.
type Error struct {
	Kind Kind
	// Reason is for the client.
	Reason string
	// Cause is for the log alone, where the client should not learn it: addresses, what a resolver said.
	Cause error
}

// Error returns the reason.
func (e *Error) Error() string { return e.Reason }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

func invalid(format string, args ...any) *Error {
	return &Error{Kind: Invalid, Reason: fmt.Sprintf(format, args...)}
}

// Verifier verifies tokens. It is safe for concurrent use.
type Verifier struct {
	issuers *issuerconfig.Config
	local   map[string]KeySet
	remote  *remote
	now     func() time.Time
}

// New checks the configuration. Plain HTTP is accepted of an issuer on this machine, and of one whose keys are here.
func New(cfg Config) (*Verifier, error) {
	if cfg.Issuers == nil {
		return nil, errors.New("token verifier: no issuers are configured")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	for _, issuer := range cfg.Issuers.Issuers() {
		if cfg.Keys[issuer.URL] == nil && !issuer.Secure() && !issuer.Loopback() {
			return nil, fmt.Errorf("issuer %q: its keys would come over plain HTTP, which is possible on this machine only", issuer.URL)
		}
	}
	for name, keys := range cfg.Keys {
		if issuer, ok := cfg.Issuers.Lookup(name); !ok || issuer.Pattern != "" || keys == nil {
			return nil, fmt.Errorf("keys of issuer %q are given, which is not configured", name)
		}
	}
	return &Verifier{issuers: cfg.Issuers, local: cfg.Keys, remote: newRemote(cfg), now: cfg.Now}, nil
}

// Close drops the connections to issuers.
func (v *Verifier) Close() { v.remote.close() }

// Verify checks a token in compact form. Every error is an *[Error].
func (v *Verifier) Verify(ctx context.Context, raw string) (*Token, error) {
	seen, err := peek(raw)
	if err != nil {
		return nil, &Error{Kind: Invalid, Reason: err.Error()}
	}
	issuer, ok := v.issuers.Lookup(seen.Issuer)
	if !ok {
		return nil, invalid("tokens of issuer %q are not accepted here; accepted are %s", clip(seen.Issuer), v.accepted())
	}
	// What can be told without a key comes first: it costs nothing, and no request is made for a token that is of no use.
	t, err := v.claims(seen, issuer)
	if err != nil {
		return nil, err
	}
	keys, err := v.keys(ctx, issuer, seen)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if seen.signedBy(key.Key) {
			return t, nil
		}
	}
	return nil, invalid("the token's signature does not verify under the keys of %q: it was changed, or signed by somebody else", issuer.URL)
}

// maxListed bounds how many issuers an error names.
const maxListed = 20

func (v *Verifier) accepted() string {
	var names []string
	for i, issuer := range v.issuers.Issuers() {
		if i == maxListed {
			names = append(names, "…")
			break
		}
		names = append(names, issuer.URL)
	}
	return strings.Join(names, ", ")
}

// claims checks audience, times and subject (OpenID Connect Core 3.1.3.7).
func (v *Verifier) claims(seen *unverified, issuer issuerconfig.Issuer) (*Token, error) {
	now := v.now()
	audiences, err := audience(seen.claims["aud"])
	if err != nil {
		return nil, err
	}
	if !contains(audiences, issuer.ClientID) {
		return nil, invalid("the token is for audience %s, expected is %q", quoteAll(audiences), issuer.ClientID)
	}
	expiry, ok, err := date(seen.claims, "exp")
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, invalid("the token has no claim exp, so it would never expire")
	}
	if !now.Before(expiry.Add(Leeway)) {
		return nil, invalid("the token expired at %s, %s ago", expiry.Format(time.RFC3339), now.Sub(expiry).Truncate(time.Second))
	}
	for _, name := range []string{"nbf", "iat"} {
		start, ok, err := date(seen.claims, name)
		if err != nil {
			return nil, err
		}
		if ok && now.Add(Leeway).Before(start) {
			return nil, invalid("the token begins at %s (%s), which is %s from now: check the clocks",
				start.Format(time.RFC3339), name, start.Sub(now).Truncate(time.Second))
		}
	}
	subject, _ := seen.claims["sub"].(string)
	if subject == "" {
		return nil, invalid("the token has no claim sub")
	}
	if len(subject) > maxSubject {
		return nil, invalid("the token's claim sub is longer than %d bytes", maxSubject)
	}
	for _, r := range subject {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return nil, invalid("the token's claim sub has control characters")
		}
	}
	return &Token{Issuer: seen.Issuer, Subject: subject, Claims: seen.claims, Config: issuer, Expiry: expiry}, nil
}

// audience reads claim aud, a text or a list of texts (RFC 7519 4.1.3).
func audience(value any) ([]string, error) {
	switch v := value.(type) {
	case nil:
		return nil, invalid("the token has no claim aud")
	case string:
		return []string{v}, nil
	case []any:
		var out []string
		for _, element := range v {
			text, ok := element.(string)
			if !ok {
				return nil, invalid("the token's claim aud is neither a text nor a list of texts")
			}
			out = append(out, text)
		}
		return out, nil
	}
	return nil, invalid("the token's claim aud is neither a text nor a list of texts")
}

// contains has its own name for what it must not do: compare case-insensitively, or treat an empty audience as any.
func contains(audiences []string, client string) bool {
	for _, a := range audiences {
		if a != "" && a == client {
			return true
		}
	}
	return false
}

func quoteAll(values []string) string {
	if len(values) == 0 {
		return "(none)"
	}
	var out []string
	for i, v := range values {
		if i == 5 {
			out = append(out, "…")
			break
		}
		out = append(out, fmt.Sprintf("%q", clip(v)))
	}
	return strings.Join(out, ", ")
}

// date reads a NumericDate (RFC 7519 2), which may have a fraction.
func date(claims map[string]any, name string) (time.Time, bool, error) {
	value, ok := claims[name]
	if !ok {
		return time.Time{}, false, nil
	}
	n, ok := value.(json.Number)
	if !ok {
		return time.Time{}, false, invalid("the token's claim %s is not a number of seconds", name)
	}
	f, err := n.Float64()
	// Beyond the year 9999 a date cannot be written, and has no meaning for a token.
	if err != nil || math.IsNaN(f) || f < 0 || f > 253402300799 {
		return time.Time{}, false, invalid("the token's claim %s is not a time", name)
	}
	return time.Unix(int64(f), 0).UTC(), true, nil
}
