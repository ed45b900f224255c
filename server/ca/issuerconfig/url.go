package issuerconfig

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// checkURL checks the URL of an issuer (OpenID Connect Discovery 1.0, 3: scheme and host, no query, no fragment). Plain
// HTTP is let through here; who may use it is decided where the keys are fetched, see [Issuer.Loopback].
func checkURL(raw string) error {
	if len(raw) > MaxURLBytes {
		return fmt.Errorf("the URL is longer than %d bytes", MaxURLBytes)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("not a URL: %w", err)
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("the scheme is %q, not https", u.Scheme)
	case u.Hostname() == "":
		return errors.New("the URL has no host")
	case u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "", strings.Contains(raw, "#"):
		return errors.New("the URL has a user, a query or a fragment")
	}
	return nil
}

// Loopback says whether the issuer's URL is plain HTTP on this machine: a development set-up.
func (i Issuer) Loopback() bool {
	u, err := url.Parse(i.URL)
	if err != nil || u.Scheme != "http" {
		return false
	}
	if strings.EqualFold(u.Hostname(), "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback()
}

// Secure says whether the issuer's URL is HTTPS.
func (i Issuer) Secure() bool { return strings.HasPrefix(i.URL, "https://") }

// family is a pattern of issuers.
type family struct {
	issuer  Issuer
	match   *regexp.Regexp
	literal int // characters that are no wildcard: how specific the pattern is
}

// wildcard is what "*" stands for: part of one label of a host name, or of one element of a path.
const wildcard = `[-_a-zA-Z0-9]+`

// newFamily compiles a pattern. The host must end in two labels without wildcard, so that nobody can register a name
// that matches; user, port wildcards, query and fragment cannot be written.
func newFamily(issuer Issuer) (family, error) {
	pattern := issuer.Pattern
	if err := checkPattern(pattern); err != nil {
		return family{}, err
	}
	expr := `\A` + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, wildcard) + `\z`
	match, err := regexp.Compile(expr)
	if err != nil {
		return family{}, err
	}
	return family{issuer: issuer, match: match, literal: len(pattern) - strings.Count(pattern, "*")}, nil
}

func checkPattern(pattern string) error {
	rest, ok := strings.CutPrefix(pattern, "https://")
	if !ok {
		return errors.New("a meta issuer's URL must start with https://")
	}
	if len(pattern) > MaxURLBytes || strings.Count(pattern, "*") > 16 {
		return errors.New("the pattern is too long or has too many wildcards")
	}
	if !strings.Contains(pattern, "*") {
		return errors.New("a meta issuer without * belongs under oidc-issuers")
	}
	for _, r := range pattern {
		if r <= ' ' || r > '~' || strings.ContainsRune(`@?#%\"<>^{|}`+"`", r) {
			return fmt.Errorf("a meta issuer's URL cannot contain %q", r)
		}
	}
	authority, _, _ := strings.Cut(rest, "/")
	host, port, hasPort := strings.Cut(authority, ":")
	if hasPort && (port == "" || strings.Trim(port, "0123456789") != "") {
		return fmt.Errorf("the port %q is not a number", port)
	}
	labels := strings.Split(host, ".")
	if len(labels) < 2 {
		return fmt.Errorf("the host %q needs at least two labels", host)
	}
	for i, label := range labels {
		if label == "" {
			return fmt.Errorf("the host %q has an empty label", host)
		}
		if i >= len(labels)-2 && strings.Contains(label, "*") {
			return fmt.Errorf("the last two labels of the host %q may have no wildcard: anybody could register a name that matches", host)
		}
	}
	return nil
}

// compareFamilies puts the more specific pattern first.
func compareFamilies(a, b family) int {
	if a.literal != b.literal {
		return b.literal - a.literal
	}
	return strings.Compare(a.issuer.Pattern, b.issuer.Pattern)
}

// plausible says whether a claimed issuer may be compared with patterns at all: a clean HTTPS URL of printable ASCII
// whose parts are where they seem to be. The patterns alone would refuse the rest, too; GHSA-59jp-pj84-45mr was a
// pattern that did not.
func plausible(iss string) bool {
	if len(iss) > MaxURLBytes || strings.ContainsAny(iss, "@?#%\\") {
		return false
	}
	for i := range len(iss) {
		if iss[i] <= ' ' || iss[i] > '~' {
			return false
		}
	}
	u, err := url.Parse(iss)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && !strings.Contains(u.Path, "..")
}

// checkTrustDomain follows SPIFFE-ID 2.1: lower-case letters, digits, dots, dashes and underscores.
func checkTrustDomain(domain string) error {
	if domain == "" {
		return errors.New("spiffe-trust-domain is missing")
	}
	if len(domain) > 255 || strings.Trim(domain, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" {
		return fmt.Errorf("spiffe-trust-domain %q is not a trust domain: lower-case letters, digits, dots, dashes, underscores, and no scheme", domain)
	}
	return nil
}

// checkSubjectDomain checks that an issuer vouches for names of its own domain only: subject-domain and the issuer's host
// are the same or end in the same two labels, as Fulcio demands.
func checkSubjectDomain(issuer *Issuer) error {
	if issuer.SubjectDomain == "" {
		return fmt.Errorf("subject-domain is missing, which type %s needs", issuer.Type)
	}
	u, err := url.Parse(issuer.URL)
	if issuer.Pattern != "" {
		u, err = url.Parse(strings.ReplaceAll(issuer.Pattern, "*", "x"))
	}
	if err != nil {
		return fmt.Errorf("not a URL: %w", err)
	}
	domain := issuer.SubjectDomain
	if issuer.Type == URI {
		s, err := url.Parse(issuer.SubjectDomain)
		if err != nil || s.Scheme == "" || s.Hostname() == "" || s.User != nil || s.RawQuery != "" || s.Fragment != "" {
			return fmt.Errorf("subject-domain %q is not a URL of scheme and host", issuer.SubjectDomain)
		}
		if s.Scheme != u.Scheme {
			return fmt.Errorf("subject-domain has scheme %s, the issuer %s", s.Scheme, u.Scheme)
		}
		domain = s.Hostname()
	} else if strings.ContainsAny(domain, ":/!@ ") {
		return fmt.Errorf("subject-domain %q is not a bare domain", domain)
	}
	if domain == u.Hostname() || sameSite(domain, u.Hostname()) {
		return nil
	}
	return fmt.Errorf("subject-domain %q lies in another domain than the issuer's host %q", domain, u.Hostname())
}

// sameSite says whether two host names end in the same two labels.
func sameSite(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	return len(as) >= 2 && len(bs) >= 2 &&
		as[len(as)-1] == bs[len(bs)-1] && as[len(as)-2] == bs[len(bs)-2]
}
