package oidc

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/internal/protojson"
)

// Limits of tokens.
const (
	// MaxToken bounds a token in bytes: the longest in use, with groups of the user in them, have some 10 KiB, and servers
	// refuse headers that are longer.
	MaxToken  = 32 << 10
	maxDepth  = 16
	maxClaims = 256 // and audiences
)

// Token is an identity token and what it claims; nothing of it is verified.
type Token struct {
	Raw      string
	Issuer   string
	Subject  string
	Audience []string
	Expires  time.Time // zero: it does not say
	Nonce    string
	// Email is the address in the token, empty without one; Verified says that the provider vouches for it.
	Email    string
	Verified bool
}

// Parse reads the claims of a token: a JSON Web Token (RFC 7519) in the compact form, signed with whatever algorithm.
func Parse(raw string) (*Token, error) {
	if len(raw) > MaxToken {
		return nil, fmt.Errorf("identity token: it has %d bytes, more than %d", len(raw), MaxToken)
	}
	// Three parts, whatever the number of dots, are found without splitting at each of them.
	_, rest, one := strings.Cut(raw, ".")
	payload, signature, two := strings.Cut(rest, ".")
	if !one || !two || strings.Contains(signature, ".") || signature == "" {
		return nil, errors.New("identity token: it is not a signed JSON Web Token of three parts")
	}
	// Whatever reads it later, in a header or a form, sees one word.
	if strings.ContainsFunc(raw, foreign) {
		return nil, errors.New("identity token: it has characters that are not those of base64url")
	}
	data, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return nil, errors.New("identity token: its second part is not base64url")
	}
	t := &Token{Raw: raw}
	err = protojson.Document(data, protojson.Limits{Bytes: MaxToken, Depth: maxDepth}, func(d *protojson.Decoder) error {
		return d.Members(maxClaims, func(name string) error { return t.claim(d, name) })
	})
	if err != nil {
		return nil, fmt.Errorf("identity token: claims: %w", err)
	}
	if t.Issuer == "" || t.Subject == "" {
		return nil, errors.New("identity token: it lacks an issuer (iss) or a subject (sub)")
	}
	return t, nil
}

// foreign finds what is neither base64url (RFC 4648 5) nor a dot.
func foreign(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
}

func (t *Token) claim(d *protojson.Decoder, name string) error {
	switch name {
	case "iss":
		return d.String(&t.Issuer)
	case "sub":
		return d.String(&t.Subject)
	case "nonce":
		return d.String(&t.Nonce)
	case "email":
		return d.String(&t.Email)
	case "email_verified":
		var text []byte
		err := d.Raw(&text)
		t.Verified = string(text) == "true" || string(text) == `"true"` // some providers write a string
		return err
	case "exp":
		return readTime(d, &t.Expires)
	case "aud":
		return readAudience(d, &t.Audience)
	}
	return d.Skip()
}

// readTime reads a NumericDate: seconds, with a fraction perhaps (RFC 7519 2).
func readTime(d *protojson.Decoder, at *time.Time) error {
	var text []byte
	if err := d.Raw(&text); err != nil {
		return err
	}
	var seconds float64
	if n, err := fmt.Sscanf(string(text), "%g", &seconds); n != 1 || err != nil || seconds < 0 || seconds > 253402300799 {
		return protojson.Fail("is not a time")
	}
	*at = time.Unix(int64(seconds), 0).UTC()
	return nil
}

// readAudience reads one audience or a list of them (RFC 7519 4.1.3).
func readAudience(d *protojson.Decoder, list *[]string) error {
	var text []byte
	if err := d.Raw(&text); err != nil {
		return err
	}
	return protojson.Document(text, protojson.Limits{}, func(d *protojson.Decoder) error {
		if text[0] == '[' {
			return protojson.List(d, list, maxClaims, func(d *protojson.Decoder, s *string) error { return d.String(s) })
		}
		*list = []string{""}
		return d.String(&(*list)[0])
	})
}

// Challenge returns what the certificate authority wants signed as proof that the token's holder has the key: the e-mail
// address where the token has one, which the provider must vouch for, else the subject.
func (t *Token) Challenge() (string, error) {
	switch {
	case t.Email == "":
		return t.Subject, nil
	case !t.Verified:
		return "", fmt.Errorf("identity token: the provider %s does not vouch for the e-mail address %s (email_verified is not true)", clean(t.Issuer), clean(t.Email))
	}
	return t.Email, nil
}

// Who is the name that a certificate for the token will have in it, as far as the token tells: the e-mail address or the
// subject, fit to be printed.
func (t *Token) Who() string {
	if t.Email != "" {
		return clean(t.Email)
	}
	return clean(t.Subject)
}

// Describe says in a line whose token it is, of whom, for whom and until when, fit to be printed.
func (t *Token) Describe() string {
	text := fmt.Sprintf("one of %s, for %s, about %s", clean(t.Issuer), clean(strings.Join(t.Audience, ", ")), t.Who())
	if !t.Expires.IsZero() {
		text += ", until " + t.Expires.UTC().Format(time.RFC3339)
	}
	return text
}

// Check refuses a token that no authority would take: one that has expired, or is meant for others. audience may be
// empty.
func (t *Token) Check(now time.Time, audience string) error {
	switch {
	case !t.Expires.IsZero() && now.After(t.Expires):
		return fmt.Errorf("identity token: it expired at %s, and it is %s here", t.Expires.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case audience != "" && !slices.Contains(t.Audience, audience):
		return fmt.Errorf("identity token: it is for %s, not for %q", clean(strings.Join(t.Audience, ", ")), audience)
	}
	return nil
}

// clean makes foreign words fit for a message.
func clean(s string) string {
	const most = 200
	out := make([]rune, 0, min(len(s), most))
	for _, r := range s {
		if len(out) == most {
			return string(out) + "..."
		}
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) || r == 0x2028 || r == 0x2029 || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) {
			r = '\uFFFD'
		}
		out = append(out, r)
	}
	return string(out)
}
