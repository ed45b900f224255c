package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/cli"
)

// maxWitnesses bounds --min-logs and --min-timestamps: a bundle has no room for more entries or timestamps.
const maxWitnesses = 32

// check refuses combinations of flags that make no sense, before anything is read.
func (v *verification) check(c *cli.Call) error {
	if err := v.checkEmpty(c); err != nil {
		return err
	}
	if err := v.checkExtensions(); err != nil {
		return err
	}
	if err := v.checkSigner(c); err != nil {
		return err
	}
	if err := v.checkOnline(c); err != nil {
		return err
	}
	switch {
	case c.Changed("min-logs") && (v.minLogs < 1 || v.minLogs > maxWitnesses):
		return cli.Usagef("--min-logs %d: it is a number from 1 to %d", v.minLogs, maxWitnesses)
	case c.Changed("min-timestamps") && (v.minTimestamps < 1 || v.minTimestamps > maxWitnesses):
		return cli.Usagef("--min-timestamps %d: it is a number from 1 to %d", v.minTimestamps, maxWitnesses)
	case v.minLogs > 0 && v.ignoresLog():
		return cli.Usagef("--min-logs demands log entries, and another flag waives them").WithHint("leave one of the two out")
	case v.MaxWorkers < 1:
		return cli.Usagef("--max-workers must be greater than 0")
	case c.Changed("log") && v.log.String() == "require" && (v.IgnoreTlog || v.PrivateInfrastructure):
		return cli.Usagef("--log=require and --insecure-ignore-tlog contradict each other")
	case c.Typed("slot") && !c.Cosign:
		return cli.Usagef("--slot says which key of a PIV token is meant, and --sk was not given")
	}
	return nil
}

// checkSigner refuses what does not say clearly who must have signed.
func (v *verification) checkSigner(c *cli.Call) error {
	who := v.identity()
	switch {
	case v.SecurityKey.Use:
		return cli.Usagef("keys on PIV tokens (--sk) are not supported").
			WithHint("export the public key from the token and give it as a file with --key")
	case v.Key != "" && (who.Subject != "" || who.SubjectRegexp != ""):
		return cli.Usagef("exactly one of: key reference (--key) or certificate identity (--certificate-identity or --certificate-identity-regexp), must be provided").
			WithHint("a bundle signed with a key is verified with --key, one signed with a certificate by its identity; bulla inspect says which it is")
	case v.Key == "" && !who.Given() && v.Certificate == "":
		return cli.Usagef("nobody was named who must have signed: give the signer's public key with --key, or --certificate-identity and --certificate-oidc-issuer")
	case v.Key != "" && who.Given():
		return cli.Usagef("--certificate-* demands something of a certificate, and --key verifies without one")
	case v.Key == "":
		return nil
	}
	for _, flag := range []struct {
		name  string
		value *string
	}{
		{"certificate", &v.Certificate},
		{"certificate-chain", &v.CertificateChain},
		{"ca-roots", &v.CARoots},
		{"ca-intermediates", &v.CAIntermediates},
		{"sct", &v.SCT},
	} {
		switch {
		case *flag.value == "":
		case c.Typed(flag.name):
			return cli.Usagef("--%s is about a certificate, and --key verifies without one: give one of them", flag.name)
		default:
			c.Debugf("--%s from the environment has no effect: it is about a certificate, and --key verifies without one", flag.name)
			*flag.value = ""
		}
	}
	if v.IgnoreSCT && !c.Cosign && c.Typed("insecure-ignore-sct") {
		return cli.Usagef("--insecure-ignore-sct waives a demand on certificates, and --key verifies without one: leave it out")
	}
	return nil
}

func (v *verification) checkExtensions() error {
	seen := v.githubClaims()
	maps.DeleteFunc(seen, func(_, value string) bool { return value == "" })
	for _, e := range v.extensions {
		name, value, ok := strings.Cut(e, "=")
		known, found := identity.LookupExtension(name)
		if !ok || value == "" || !found {
			return cli.Usagef("--certificate-extension %q is not NAME=VALUE with the name or OID of a known certificate extension", e)
		}
		if before, twice := seen[known.Name]; twice && before != value {
			return cli.Usagef("the certificate's %s is demanded to be %q and %q: it can only be one of them", known.Name, before, value)
		}
		seen[known.Name] = value
	}
	return nil
}

// valued are the flags of which an empty value demands or names nothing, by topic. An unset variable in a script makes
// one, and then a demand that was meant would silently be none.
func (v *verification) valued() map[string]string {
	return map[string]string{
		"key": v.Key, "certificate-identity": v.Identity, "certificate-identity-regexp": v.IdentityRegexp,
		"certificate-oidc-issuer": v.OIDCIssuer, "certificate-oidc-issuer-regexp": v.OIDCIssuerRegexp,
		"certificate-github-workflow-trigger": v.GitHubTrigger, "certificate-github-workflow-sha": v.GitHubSHA,
		"certificate-github-workflow-name": v.GitHubName, "certificate-github-workflow-repository": v.GitHubRepository,
		"certificate-github-workflow-ref": v.GitHubRef, "trusted-root": v.TrustedRoot, "certificate": v.Certificate,
		"certificate-chain": v.CertificateChain, "ca-roots": v.CARoots, "ca-intermediates": v.CAIntermediates, "sct": v.SCT,
		"timestamp-certificate-chain": v.TimestampCertificateChain,
	}
}

func (v *verification) checkEmpty(c *cli.Call) error { return checkEmpty(c, v.valued()) }

// checkEmpty refuses flags that were given an empty value. In cosign's place, where scripts pass inputs that may be
// empty, it says so and goes on.
func checkEmpty(c *cli.Call, flags map[string]string) error {
	for _, flag := range slices.Sorted(maps.Keys(flags)) {
		switch {
		case flags[flag] != "" || !c.Changed(flag):
		case c.Cosign:
			c.Warnf("--%s is empty, and so demands nothing", flag)
		default:
			return cli.Usagef("--%s was given an empty value", flag).WithHint("a variable that is not set makes one; leave the flag out if nothing is meant")
		}
	}
	return nil
}
