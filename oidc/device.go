package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"rsc.io/qr"
)

// Bounds of what a provider may ask for in the device flow.
const (
	usualInterval = 5 * time.Second // when it says none (RFC 8628 3.2)
	minInterval   = 50 * time.Millisecond
	maxInterval   = time.Minute
	slowDown      = 5 * time.Second // RFC 8628 3.5
	maxCode       = 64              // characters of a code that a person types
	maxQR         = 512             // bytes of an address that is drawn
	maxLife       = 3600            // seconds that a person is waited for
	marginQR      = 4               // light squares around a code, which scanners want
)

// deviceAnswer is the answer of the device authorization endpoint (RFC 8628 3.2).
type deviceAnswer struct {
	Device   string  `json:"device_code"`
	User     string  `json:"user_code"`
	Address  string  `json:"verification_uri"`
	Complete string  `json:"verification_uri_complete"`
	Expires  float64 `json:"expires_in"` // seconds
	Interval float64 `json:"interval"`   // seconds
}

// Device logs in with a browser anywhere: it tells a code and an address, draws the address where Columns allow it, and waits
// until the user has been there (RFC 8628).
func (l *Login) Device(ctx context.Context) (*Token, error) {
	p, err := l.discover(ctx)
	if err != nil {
		return nil, err
	}
	if p.doc.Device == "" {
		return nil, fmt.Errorf("identity provider %s does not offer the device flow", where(l.Issuer))
	}
	verifier, err := secret()
	if err != nil {
		return nil, err
	}
	form := url.Values{
		"client_id": {l.ClientID}, "scope": {scopes}, "code_challenge": {challenge(verifier)}, "code_challenge_method": {"S256"},
	}
	var a deviceAnswer
	c := call{method: http.MethodPost, url: p.doc.Device, contentType: "application/x-www-form-urlencoded", body: form.Encode()}
	if err := p.fetch.do(ctx, c, &a); err != nil {
		return nil, fmt.Errorf("logging in: %w", err)
	}
	if err := a.check(); err != nil {
		return nil, fmt.Errorf("logging in: %s: %w", where(p.doc.Device), err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		a.Expires = min(a.Expires, time.Until(deadline).Seconds()) // after which nobody waits
	}
	l.tell(&a)
	raw, err := p.poll(ctx, &a, verifier)
	if err != nil {
		return nil, fmt.Errorf("logging in: %w", err)
	}
	return p.accept(raw, "", true)
}

func (a *deviceAnswer) check() error {
	switch {
	case a.Device == "" || a.User == "" || len(a.User) > maxCode || clean(a.User) != a.User:
		return errors.New("the answer holds no code")
	case private(a.Address) != nil || clean(a.Address) != a.Address:
		return errors.New("the answer holds no address that it is safe to go to")
	case a.Expires <= 0:
		return errors.New("the code has expired already")
	}
	a.Expires = min(a.Expires, maxLife)
	return nil
}

// tell says what to do. The address with the code in it, where the provider has one, saves the typing; the code is told all
// the same, so that it can be compared with the one that the page shows (RFC 8628 3.3.1).
func (l *Login) tell(a *deviceAnswer) {
	full := a.Complete
	if full == "" || clean(full) != full || len(full) > maxQR || private(full) != nil {
		full = a.Address
	}
	if len(full) <= maxQR {
		if code, err := qr.Encode(full, qr.L); err == nil && code.Size+2*marginQR <= l.Columns {
			fmt.Fprintln(l.Out, draw(code))
		}
	}
	fmt.Fprintf(l.Out, "Enter the verification code %s in your browser at: %s\n", a.User, full)
	fmt.Fprintf(l.Out, "Code will be valid for %d seconds\n", int(a.Expires))
}

// draw draws a QR code in half blocks, two rows of it a line, black on white whatever the terminal's colours, with the
// margin of four that scanners want.
func draw(code *qr.Code) string {
	const margin, on, off = marginQR, "\x1b[30;107m", "\x1b[0m"
	var b strings.Builder
	for y := -margin; y < code.Size+margin; y += 2 {
		b.WriteString(on)
		for x := -margin; x < code.Size+margin; x++ {
			switch upper, lower := code.Black(x, y), code.Black(x, y+1); {
			case upper && lower:
				b.WriteString("█")
			case upper:
				b.WriteString("▀")
			case lower:
				b.WriteString("▄")
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteString(off + "\n")
	}
	return b.String()
}

// poll waits until the user has logged in (RFC 8628 3.4, 3.5).
func (p *provider) poll(ctx context.Context, a *deviceAnswer, verifier string) (string, error) {
	life := time.Duration(a.Expires * float64(time.Second))
	ctx, cancel := context.WithTimeoutCause(ctx, life, errors.New("nobody logged in before the code expired"))
	defer cancel()
	interval := usualInterval
	if a.Interval > 0 {
		interval = max(minInterval, min(time.Duration(min(a.Interval, 3600)*float64(time.Second)), maxInterval))
	}
	for {
		if sleep(ctx, interval) != nil {
			return "", context.Cause(ctx)
		}
		raw, err := p.tokens(ctx, url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {a.Device}, "code_verifier": {verifier},
		})
		var no *statusError
		code := ""
		if errors.As(err, &no) {
			code, _ = no.oauth()
		}
		switch {
		case err == nil:
			return raw, nil
		case code == "authorization_pending":
		case code == "slow_down":
			interval = min(interval+slowDown, maxInterval)
		case errors.Is(err, ErrUnavailable) && ctx.Err() == nil:
			interval = min(2*interval, maxInterval) // RFC 8628 3.5: back off when connections fail
		case code == "access_denied":
			return "", errors.New("the login was refused")
		case code == "expired_token":
			return "", errors.New("nobody logged in before the code expired")
		case ctx.Err() != nil:
			return "", context.Cause(ctx)
		default:
			return "", err
		}
	}
}
