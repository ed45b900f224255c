package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/oidc"
)

// ignoredFlag is a flag that has no effect in some circumstances: why, and what to do instead.
type ignoredFlag struct{ name, why, instead string }

// refuseIgnored refuses flags that were typed and would have no effect. In cosign's place, which says nothing about
// them, it is a warning. A variable may have been exported for another command: it is mentioned with --verbose.
func refuseIgnored(c *cli.Call, list ...ignoredFlag) error {
	for _, f := range list {
		switch {
		case !c.Changed(f.name):
		case !c.Typed(f.name):
			c.Debugf("--%s from the environment has no effect: %s", f.name, f.why)
		case c.Cosign:
			c.Warnf("--%s has no effect: %s", f.name, f.why)
		default:
			err := cli.Usagef("--%s would have no effect: %s", f.name, f.why)
			if f.instead != "" {
				return err.WithHint("%s", f.instead)
			}
			return err
		}
	}
	return nil
}

// identified says whether a certificate is to be got with an identity.
func (s *signing) identified() bool { return s.Key == "" || s.IssueCertificate }

// unlogged says whether the flags say that the signature goes into no log.
func (s *signing) unlogged() bool { return s.log.String() == "none" || !s.TlogUpload }

// configured says whether a signing config names the services. A key needs none where the signature is not logged, unless
// one is given.
func (s *signing) configured() bool {
	return s.SigningConfig != "" || s.UseSigningConfig && (s.identified() || !s.unlogged())
}

const leaveOut = "leave the flag out"

// valued are the flags of which an empty value, as an unset variable in a script makes one, would sign in another way than
// was meant: as another identity, or in public.
func (s *signing) valued() map[string]string {
	return map[string]string{
		"key": s.Key, "certificate": s.Certificate, "certificate-chain": s.CertificateChain, "identity-token": s.IdentityToken,
		"oidc-provider": s.Provider, "oidc-client-id": s.ClientID, "oidc-client-secret-file": s.ClientSecretFile,
		"signing-config": s.SigningConfig, "trusted-root": s.TrustedRoot,
	}
}

// checkServices refuses service flags that cannot be followed, and those that have no effect.
func (s *signing) checkServices(c *cli.Call) error {
	if err := checkEmpty(c, s.valued()); err != nil {
		return err
	}
	if err := s.checkMixing(c); err != nil {
		return err
	}
	var ignored []ignoredFlag
	add := func(useless bool, why string, names ...string) {
		for _, name := range names {
			if useless {
				ignored = append(ignored, ignoredFlag{name, why, leaveOut})
			}
		}
	}
	add(!s.identified(), "the signature is made with --key, which needs no identity",
		"identity-token", "fulcio-auth-flow", "fulcio-url", "oidc-client-id", "oidc-client-secret-file", "oidc-redirect-url",
		"oidc-provider", "oidc-disable-ambient-providers", "oidc-issuer", "issue-certificate")
	add(s.Key == "", "there is no --key to issue it for; without one there is always a certificate", "issue-certificate")
	given := s.IdentityToken != ""
	add(given, "the token is given with --identity-token", "fulcio-auth-flow", "oidc-client-secret-file", "oidc-redirect-url", "oidc-provider", "oidc-disable-ambient-providers", "oidc-issuer")
	add(s.unlogged(), "the signature is not logged", "rekor-url", "rekor-api-version")
	add(s.configured(), "the signing config names the logs and their versions", "rekor-api-version")
	add(!s.configured() && s.TSAClient.URL == "", "no timestamp authority is used", "timestamp-client-cacert", "timestamp-client-cert", "timestamp-client-key", "timestamp-server-name")
	add(!s.SecurityKey.Use, "it chooses a key of a PIV token, and --sk was not given", "slot")
	add(!s.deferred(), "signatures wait there with --log=defer only", "spool")
	add(true, "what is signed is always verified", "insecure-skip-verify")
	return refuseIgnored(c, ignored...)
}

// checkMixing refuses service addresses beside a signing config, as cosign does: one of the two would be ignored, and a
// signature could go to a log that nobody meant.
func (s *signing) checkMixing(c *cli.Call) error {
	if s.Provider != "" {
		if _, err := oidc.Name(s.Provider); err != nil {
			return cli.Usagef("--oidc-provider: %w", err)
		}
		if s.DisableAmbient {
			return cli.Usagef("--oidc-provider and --oidc-disable-ambient-providers contradict each other")
		}
	}
	used := map[string]bool{
		"fulcio-url": s.identified(), "oidc-issuer": s.identified() && s.IdentityToken == "", "rekor-url": !s.unlogged(), "timestamp-server-url": true,
	}
	if c.Cosign { // which looks at nothing but the flags
		if !s.UseSigningConfig && s.SigningConfig == "" {
			return nil
		}
	} else if !s.configured() {
		return nil
	}
	for _, name := range []string{"fulcio-url", "oidc-issuer", "rekor-url", "timestamp-server-url"} {
		if c.Changed(name) && (c.Cosign || used[name]) {
			return cli.Usagef("cannot specify service URLs and use signing config").
				WithHint("--%s needs --use-signing-config=false; all services are then named by flags, or are those of Sigstore's public instance", name)
		}
	}
	return nil
}

// withoutLog is cosign's answer to --tlog-upload=false beside a signing config.
const withoutLog = "--tlog-upload=false is not supported with --signing-config or --use-signing-config. Provide a signing config with --signing-config without a transparency log service, which can be created with `%s signing-config create`"

// checkLog refuses contradictions about the log. A signature goes without one only where the user said so, in whichever
// spelling: a signing config without log services, --log=none, or cosign's older --use-signing-config=false with
// --tlog-upload=false.
func (s *signing) checkLog(c *cli.Call) error {
	none := s.log.String() == "none"
	switch {
	case c.Changed("log") && !none && !s.TlogUpload:
		return cli.Usagef("--log=%s and --tlog-upload=false contradict each other", s.log.String())
	case none && c.Changed("tlog-upload") && s.TlogUpload:
		return cli.Usagef("--log=none and --tlog-upload contradict each other")
	case !s.TlogUpload && !none && (s.UseSigningConfig || s.SigningConfig != ""):
		return cli.Usagef(withoutLog, c.Name).WithHint("--log=none says the same in one flag")
	}
	return nil
}

// maxTLSFile bounds the files of the --timestamp-client flags: bundles of authorities have some 200 KiB.
const maxTLSFile = 1 << 20

// timestampTLS makes the TLS settings for the timestamp authority, nil without any.
func (s *signing) timestampTLS(ctx context.Context) (*tls.Config, error) {
	t := s.TSAClient
	if t.CACert == "" && t.ClientCert == "" && t.ClientKey == "" && t.ServerName == "" {
		return nil, nil
	}
	settings := &tls.Config{ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	if (t.ClientCert == "") != (t.ClientKey == "") {
		return nil, cli.Usagef("--timestamp-client-cert and --timestamp-client-key go together")
	}
	if t.CACert != "" {
		data, err := readFileUpTo(ctx, t.CACert, maxTLSFile)
		if err != nil {
			return nil, err
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(data) {
			return nil, cli.Errorf(cli.ExitInput, "--timestamp-client-cacert: %s holds no certificate in PEM", t.CACert)
		}
	}
	if t.ClientCert != "" {
		cert, err := readFileUpTo(ctx, t.ClientCert, maxTLSFile)
		if err != nil {
			return nil, err
		}
		key, err := readFileUpTo(ctx, t.ClientKey, maxTLSFile)
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, cli.Errorf(cli.ExitInput, "--timestamp-client-cert: %w", err)
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	return settings, nil
}
