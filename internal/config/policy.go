package config

import (
	"crypto"
	"errors"
	"fmt"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/identity"
)

// Identity is who must have signed, as cosign's flags say it. Empty fields were not given.
type Identity struct {
	Subject, SubjectRegexp string
	Issuer, IssuerRegexp   string
	// Extensions are further claims of the certificate, by [identity.Extension] name.
	Extensions map[string]string
}

// Given says whether any field was.
func (i Identity) Given() bool {
	if i.Subject+i.SubjectRegexp+i.Issuer+i.IssuerRegexp != "" {
		return true
	}
	for _, v := range i.Extensions {
		if v != "" {
			return true
		}
	}
	return false
}

// Matcher returns the matcher for the flags. Subject and issuer are both required. Regexps keep cosign's meaning, in
// which a pattern may match a part; the report warns when one did.
func (i Identity) Matcher() (identity.Matcher, error) {
	if i.Subject == "" && i.SubjectRegexp == "" {
		return identity.Matcher{}, errors.New("--certificate-identity or --certificate-identity-regexp is required for verification in keyless mode")
	}
	if i.Issuer == "" && i.IssuerRegexp == "" {
		return identity.Matcher{}, errors.New("--certificate-oidc-issuer or --certificate-oidc-issuer-regexp is required for verification in keyless mode")
	}
	san, err := pattern("certificate-identity", i.Subject, i.SubjectRegexp)
	if err != nil {
		return identity.Matcher{}, err
	}
	issuer, err := pattern("certificate-oidc-issuer", i.Issuer, i.IssuerRegexp)
	if err != nil {
		return identity.Matcher{}, err
	}
	opts := identity.MatcherOptions{SAN: san, Issuer: issuer, Extensions: map[string]identity.Pattern{}}
	for name, value := range i.Extensions {
		if value == "" {
			continue
		}
		if opts.Extensions[name], err = identity.Exact(value); err != nil {
			return identity.Matcher{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	return identity.NewMatcher(opts)
}

func pattern(flag, exact, regexp string) (identity.Pattern, error) {
	if exact != "" && regexp != "" {
		return identity.Pattern{}, fmt.Errorf("--%s and --%s-regexp exclude each other: the exact value is the stronger demand, so leave the pattern out", flag, flag)
	}
	if exact != "" {
		return identity.Exact(exact)
	}
	p, err := identity.UnanchoredRegexp(regexp)
	if err != nil {
		return p, fmt.Errorf("--%s-regexp: %w", flag, err)
	}
	return p, nil
}

// Hash reads --signature-digest-algorithm.
func Hash(name string) (crypto.Hash, error) {
	switch name {
	case "sha224", "sha256", "sha384", "sha512":
		h, _ := algorithm.Hash(name)
		return h, nil
	}
	return 0, fmt.Errorf("unknown digest algorithm %q: choose sha224, sha256, sha384 or sha512", name)
}
