package monitor

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/bulla-sign/bulla/identity"
)

// Watch is a line of the watch list. An entry is found when all of the fields that are set apply to the same signature in
// it, and at least one must be set.
type Watch struct {
	// Name stands for the watch in findings and metrics: lower-case letters, digits, dots and dashes.
	Name string
	// Subject or SubjectRegexp is an e-mail address, URI or other name in the certificate, exactly, or as an RE2 expression
	// that must match the whole of it.
	Subject, SubjectRegexp string
	// Issuer or IssuerRegexp is the identity provider, likewise.
	Issuer, IssuerRegexp string
	// Certificate is the SHA-256 of a certificate in hexadecimal digits. It finds nothing in CT logs, whose precertificates
	// are not yet the certificates.
	Certificate string
	// Key is the SHA-256 of a public key in PKIX DER, in hexadecimal digits.
	Key string
}

// watch is a checked Watch.
type watch struct {
	name        string
	matcher     *identity.Matcher
	certificate *[sha256.Size]byte
	key         *[sha256.Size]byte
}

func newWatches(list []Watch) ([]watch, error) {
	out := make([]watch, len(list))
	seen := make(map[string]bool)
	for i, w := range list {
		var err error
		if out[i], err = newWatch(w); err != nil {
			return nil, fmt.Errorf("watch %q: %w", w.Name, err)
		}
		if seen[w.Name] {
			return nil, fmt.Errorf("watch %q: there are two", w.Name)
		}
		seen[w.Name] = true
	}
	return out, nil
}

func newWatch(w Watch) (out watch, err error) {
	if !plainName(w.Name) {
		return out, errors.New("the name must have lower-case letters, digits, dots and dashes")
	}
	out.name = w.Name
	var opts identity.MatcherOptions
	if opts.SAN, err = pattern("subject", w.Subject, w.SubjectRegexp); err != nil {
		return out, err
	}
	if opts.Issuer, err = pattern("issuer", w.Issuer, w.IssuerRegexp); err != nil {
		return out, err
	}
	if !opts.SAN.IsZero() || !opts.Issuer.IsZero() {
		m, err := identity.NewMatcher(opts)
		if err != nil {
			return out, err
		}
		out.matcher = &m
	}
	if out.certificate, err = fingerprint("certificate", w.Certificate); err != nil {
		return out, err
	}
	if out.key, err = fingerprint("key", w.Key); err != nil {
		return out, err
	}
	if out.matcher == nil && out.certificate == nil && out.key == nil {
		return out, errors.New("it looks for nothing")
	}
	return out, nil
}

func pattern(what, exact, expression string) (identity.Pattern, error) {
	switch {
	case exact != "" && expression != "":
		return identity.Pattern{}, fmt.Errorf("%s: an exact value and a regular expression at once", what)
	case exact != "":
		return identity.Exact(exact)
	case expression != "":
		return identity.Regexp(expression)
	}
	return identity.Pattern{}, nil
}

func fingerprint(what, digits string) (*[sha256.Size]byte, error) {
	if digits == "" {
		return nil, nil
	}
	sum, err := hex.DecodeString(strings.TrimPrefix(digits, "sha256:"))
	if err != nil || len(sum) != sha256.Size {
		return nil, fmt.Errorf("%s %q: the 64 hexadecimal digits of a SHA-256 are needed", what, digits)
	}
	return (*[sha256.Size]byte)(sum), nil
}

// finds says whether the watch applies to a signature.
func (w watch) finds(s signature) bool {
	if w.matcher != nil && (s.cert == nil || !w.matcher.Match(s.cert).OK) {
		return false
	}
	if w.certificate != nil && (s.fingerprint == nil || *s.fingerprint != *w.certificate) {
		return false
	}
	return w.key == nil || *w.key == s.key
}
