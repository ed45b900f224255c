package main

import (
	"strings"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/trust"
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

// checkServices refuses the flags of services that cannot be called yet, and those that a key makes pointless.
func (s *signing) checkServices(c *cli.Call) error {
	for _, name := range []string{"fulcio-url", "oidc-issuer", "rekor-url", "timestamp-server-url"} {
		if c.Changed(name) && c.Cosign && (s.UseSigningConfig || s.SigningConfig != "") {
			return cli.Usagef("cannot specify service URLs and use signing config")
		}
	}
	for _, name := range []string{"timestamp-server-url", "timestamp-client-cacert", "timestamp-client-cert", "timestamp-client-key", "timestamp-server-name"} {
		if c.Changed(name) {
			return cli.Usagef("--%s asks for a timestamp, and this build cannot talk to a timestamp authority yet", name).
				WithHint("leave the flag out; a signature with a key needs no timestamp")
		}
	}
	if s.IssueCertificate {
		return cli.Usagef("--issue-certificate asks for a certificate, and this build cannot talk to a certificate authority yet").
			WithHint("sign with the key alone, or give a certificate of the key that you have with --certificate")
	}
	const keyed = "the signature is made with --key, which needs no identity"
	const leaveOut = "leave the flag out"
	ignored := []ignoredFlag{}
	for _, name := range []string{
		"identity-token", "fulcio-auth-flow", "fulcio-url", "oidc-client-id", "oidc-client-secret-file", "oidc-redirect-url",
		"oidc-provider", "oidc-disable-ambient-providers", "oidc-issuer", "issue-certificate",
	} {
		ignored = append(ignored, ignoredFlag{name, keyed, leaveOut})
	}
	if !s.SecurityKey.Use {
		ignored = append(ignored, ignoredFlag{"slot", "it chooses a key of a PIV token, and --sk was not given", leaveOut})
	}
	return refuseIgnored(c, append(ignored,
		ignoredFlag{"rekor-url", "this build cannot talk to a transparency log yet", "leave the flag out, and say with --log=none that the signature is not logged"},
		ignoredFlag{"insecure-skip-verify", "what is signed is always verified", leaveOut})...)
}

// withoutLog is cosign's answer to --tlog-upload=false beside a signing config.
const withoutLog = "--tlog-upload=false is not supported with --signing-config or --use-signing-config. Provide a signing config with --signing-config without a transparency log service, which can be created with `%s signing-config create`"

// checkLog makes sure that a signature goes without a log only where the user said so, in whichever spelling: a signing
// config without log services, --log=none, or cosign's older --use-signing-config=false with --tlog-upload=false.
func (s *signing) checkLog(c *cli.Call) error {
	none := s.log.String() == "none"
	switch {
	case c.Changed("log") && !none && !s.TlogUpload:
		return cli.Usagef("--log=require and --tlog-upload=false contradict each other")
	case none && c.Changed("tlog-upload") && s.TlogUpload:
		return cli.Usagef("--log=none and --tlog-upload contradict each other")
	case !s.TlogUpload && !none && (s.UseSigningConfig || s.SigningConfig != ""):
		return cli.Usagef(withoutLog, c.Name).WithHint("--log=none says the same in one flag")
	case s.SigningConfig != "":
		return s.checkSigningConfig(c)
	case none, !s.UseSigningConfig && !s.TlogUpload:
		return nil
	}
	which := "the transparency log at " + s.RekorURL
	if s.UseSigningConfig {
		which = "the transparency log of Sigstore's public instance"
	}
	if c.Cosign { // which prints no hints
		return cli.Usagef("this signature would need %s; this build cannot talk to one yet: give --signing-config with no log services (%s signing-config create), or --log=none", which, c.Name)
	}
	return cli.Usagef("this signature would need %s; this build cannot talk to one yet", which).
		WithHint("give --signing-config with no log services (%s signing-config create), or --log=none; verifiers then need --log=none too", c.Name)
}

// maxSigningConfig bounds the file: the public instance's has 1 KiB.
const maxSigningConfig = 1 << 20

// checkSigningConfig refuses a signing config whose services would have to be called. Those that only serve signing with
// an identity are not needed for a key.
func (s *signing) checkSigningConfig(c *cli.Call) error {
	data, err := readFileUpTo(s.SigningConfig, maxSigningConfig)
	if err != nil {
		return err
	}
	cfg, err := trust.DecodeSigningConfig(data)
	if err != nil {
		return cli.Errorf(cli.ExitInput, "signing config %s: %w", s.SigningConfig, err)
	}
	var named []string
	for _, l := range cfg.Logs {
		named = append(named, "the transparency log "+l.URL)
	}
	none := s.log.String() == "none"
	switch {
	case none && len(named) > 0:
		return cli.Usagef("--log=none contradicts the signing config %s, which names %s", s.SigningConfig, strings.Join(named, ", ")).
			WithHint("leave --signing-config out, or give one without log services (%s signing-config create)", c.Name)
	case len(named) == 0 && c.Changed("log") && !none:
		return cli.Usagef("--log=require contradicts the signing config %s, which names no transparency log", s.SigningConfig)
	}
	for _, t := range cfg.TSAs {
		named = append(named, "the timestamp authority "+t.URL)
	}
	if len(named) == 0 {
		return nil
	}
	return cli.Usagef("this signature would need %s, as the signing config %s says; this build cannot talk to them yet", strings.Join(named, " and "), s.SigningConfig).
		WithHint("give --signing-config with no log services and no timestamp authorities (%s signing-config create), or --log=none instead of it", c.Name)
}
