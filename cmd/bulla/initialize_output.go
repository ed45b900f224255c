package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/report"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/tuf"
)

// print says what is trusted from now on, by the instance of that name if it has one. In cosign's place, which says nothing, it goes to standard error.
func (o *initialize) print(c *cli.Call, name, home string, t *tuf.Trust) error {
	s := summarize(c, home, t)
	if o.output.String() == "json" {
		return c.PrintJSON(s)
	}
	to := c.Out
	if c.Cosign {
		to = c.Err
	}
	var b strings.Builder
	line := func(label string, values []string) {
		if len(values) == 0 {
			values = []string{"none"}
		}
		fmt.Fprintf(&b, "  %-24s %s\n", label, report.Clean(strings.Join(values, ", ")))
	}
	if name != "" {
		fmt.Fprintf(&b, "--instance %s trusts from now on: %s\n", name, report.Clean(s.Mirror))
	} else {
		fmt.Fprintf(&b, "trusted from now on: %s\n", report.Clean(s.Mirror))
	}
	var roles []string
	for _, r := range s.Roles {
		roles = append(roles, fmt.Sprintf("%s %d until %s", r.Name, r.Version, r.Expires.UTC().Format("2006-01-02")))
	}
	line("metadata", roles)
	line("certificate authorities", s.TrustedRoot.CertificateAuthorities)
	line("CT logs", s.TrustedRoot.CTLogs)
	line("transparency logs", s.TrustedRoot.TransparencyLogs)
	line("timestamp authorities", s.TrustedRoot.TimestampAuthorities)
	if s.SigningConfig != nil {
		line("signing with", slices.Concat(s.SigningConfig.CertificateAuthorities, s.SigningConfig.TransparencyLogs, s.SigningConfig.TimestampAuthorities))
		line("identity providers", s.SigningConfig.IdentityProviders)
	}
	line("kept in", []string{s.Directory})
	_, err := fmt.Fprint(to, b.String())
	return err
}

func distinctAuthorities(all []trust.Authority) []string {
	return distinctNames(all, func(a trust.Authority) string { return a.URI })
}

func distinctLogs(all []trust.Log) []string {
	return distinctNames(all, func(l trust.Log) string { return l.BaseURL })
}

func distinctServices(all []trust.Service) []string {
	return distinctNames(all, func(s trust.Service) string { return s.URL })
}

// distinctNames lists the names of things, each once: a service has one address for all of its keys.
func distinctNames[E any](all []E, name func(E) string) []string {
	out := []string{}
	for _, e := range all {
		if n := name(e); !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}
