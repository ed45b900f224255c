package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/evidence"
	"github.com/bulla-sign/bulla/trust"
)

func signingConfigCommand() *cli.Command {
	return &cli.Command{
		Use: "signing-config", Short: "Make configurations of the services that signing calls", Group: "Trust",
		Example:  `bulla signing-config create --with-default-services --out signing-config.json`,
		Commands: []*cli.Command{signingConfigCreateCommand()},
	}
}

type signingConfigCreate struct {
	base                             string
	fulcio, rekor, oidc, tsa         []string
	rekorConfig, tsaConfig           string
	defaults, defaultRekorV2         bool
	noFulcio, noRekor, noTSA, noOIDC bool
	out                              string
}

func signingConfigCreateCommand() *cli.Command {
	o := &signingConfigCreate{}
	return &cli.Command{
		Use: "create [flags]", Short: "Make a signing config",
		Long: `Make a signing config: the certificate authorities, identity providers, transparency logs and timestamp authorities that a signer calls. Without any flag it names none, which is the way to sign with a key and without a log.

A service is url=URL,api-version=N,start-time=TIME,operator=NAME, and end-time=TIME if it has one. Times are written as 2026-01-02T15:04:05Z. Services that are given replace those of --base-config.`,
		Example: `# sign with a key only: no certificate, no log, no timestamp
bulla signing-config create --out signing-config.json

# log to one of two logs of one's own
bulla signing-config create --rekor-config ANY \
  --rekor url=https://log1.example.com,api-version=2,start-time=2026-01-01T00:00:00Z,operator=example.com \
  --rekor url=https://log2.example.com,api-version=2,start-time=2026-01-01T00:00:00Z,operator=example.com`,
		Flags: o.register, Run: o.run,
	}
}

func (o *signingConfigCreate) register(fs *pflag.FlagSet) {
	fs.StringVar(&o.base, "base-config", "", "`FILE` with the signing config to start from")
	fs.StringArrayVar(&o.fulcio, "fulcio", nil, "certificate authority, as a `SPEC`; repeatable")
	fs.StringArrayVar(&o.rekor, "rekor", nil, "transparency log, as a `SPEC`; repeatable")
	fs.StringVar(&o.rekorConfig, "rekor-config", "", "how many of the logs must be used: `ANY|ALL|EXACT:N`")
	fs.StringArrayVar(&o.oidc, "oidc-provider", nil, "identity provider, as a `SPEC`; repeatable")
	fs.StringArrayVar(&o.tsa, "tsa", nil, "timestamp authority, as a `SPEC`; repeatable")
	fs.StringVar(&o.tsaConfig, "tsa-config", "", "how many of the timestamp authorities must be used: `ANY|ALL|EXACT:N`")
	fs.BoolVar(&o.defaults, "with-default-services", false, "start from the services of Sigstore's public-good instance; not possible yet")
	fs.BoolVar(&o.defaultRekorV2, "with-default-rekor-v2", false, "the same, with the newer log; not possible yet")
	fs.BoolVar(&o.noFulcio, "no-default-fulcio", false, "leave out the certificate authorities of the config to start from")
	fs.BoolVar(&o.noRekor, "no-default-rekor", false, "leave out its transparency logs")
	fs.BoolVar(&o.noTSA, "no-default-tsa", false, "leave out its timestamp authorities")
	fs.BoolVar(&o.noOIDC, "no-default-oidc", false, "leave out its identity providers")
	fs.StringVar(&o.out, "out", "", "write to `FILE` instead of standard output")
	cli.Exclusive(fs, "base-config", "with-default-services")
	cli.Exclusive(fs, "base-config", "with-default-rekor-v2")
}

func (o *signingConfigCreate) run(ctx context.Context, c *cli.Call) error {
	if err := o.check(c); err != nil {
		return err
	}
	var config trust.SigningConfig
	if o.base != "" {
		base, err := o.readBase(ctx)
		if err != nil {
			return inputError(err)
		}
		config = *base
	}
	if err := o.apply(&config); err != nil {
		return err
	}
	made, err := trust.NewSigningConfig(config)
	if err != nil {
		return cli.Usagef("creating signing config: %w", err)
	}
	data, err := made.Encode()
	if err != nil {
		return err
	}
	return writeDocument(c, o.out, data)
}

func (o *signingConfigCreate) check(c *cli.Call) error {
	switch {
	case o.defaults || o.defaultRekorV2:
		return cli.Usagef("the services of the public-good instance are not built in, and this program cannot fetch them from its TUF repository yet").
			WithHint("download signing_config.v0.2.json from github.com/sigstore/root-signing and give it with --base-config")
	case len(o.rekor) > 0 && o.rekorConfig == "":
		return cli.Usagef("--rekor-config must be provided when --rekor is specified")
	case len(o.tsa) > 0 && o.tsaConfig == "":
		return cli.Usagef("--tsa-config must be provided when --tsa is specified")
	case o.base == "":
		return ignoredFlags(c, "base-config", "no-default-fulcio", "no-default-rekor", "no-default-tsa", "no-default-oidc")
	}
	return nil
}

func (o *signingConfigCreate) readBase(ctx context.Context) (*trust.SigningConfig, error) {
	data, err := evidence.Read(ctx, o.base)
	if err != nil {
		return nil, fmt.Errorf("loading base config: %w", err)
	}
	config, err := trust.DecodeSigningConfig(data)
	if err != nil {
		return nil, fmt.Errorf("loading base config from %s: %w", o.base, err)
	}
	return config, nil
}

// apply replaces what the flags name.
func (o *signingConfigCreate) apply(config *trust.SigningConfig) error {
	for _, kind := range []struct {
		name  string
		specs []string
		none  bool
		into  *[]trust.Service
	}{
		{"fulcio", o.fulcio, o.noFulcio, &config.CAs},
		{"rekor", o.rekor, o.noRekor, &config.Logs},
		{"oidc-provider", o.oidc, o.noOIDC, &config.OIDC},
		{"tsa", o.tsa, o.noTSA, &config.TSAs},
	} {
		if kind.none || len(kind.specs) > 0 {
			*kind.into = nil
		}
		for _, spec := range kind.specs {
			s, err := parseService(spec)
			if err != nil {
				return cli.Usagef("parsing %s spec: %w", kind.name, err)
			}
			*kind.into = append(*kind.into, s)
		}
	}
	if o.noRekor || len(o.rekor) > 0 {
		config.LogConfig = trust.Selection{}
	}
	if o.noTSA || len(o.tsa) > 0 {
		config.TSAConfig = trust.Selection{}
	}
	if err := setSelection(&config.LogConfig, "rekor-config", o.rekorConfig, len(config.Logs)); err != nil {
		return err
	}
	return setSelection(&config.TSAConfig, "tsa-config", o.tsaConfig, len(config.TSAs))
}

// setSelection reads --rekor-config or --tsa-config, in any case as cosign has it.
func setSelection(into *trust.Selection, flag, text string, services int) error {
	if text == "" {
		return nil
	}
	mode, _, _ := strings.Cut(strings.ToUpper(text), ":")
	s, err := trust.ParseSelection(strings.ToUpper(text))
	switch {
	case mode != "ANY" && mode != "ALL" && mode != "EXACT":
		return cli.Usagef("parsing %s: invalid service config mode: %s; known are ANY, ALL and EXACT:N", flag, mode)
	case err != nil:
		return cli.Usagef("parsing %s: %w", flag, err)
	case s.Selector == trust.SelectExact && int(s.Count) > services:
		return cli.Usagef("parsing %s: %s asks for more services than there are (%d)", flag, text, services)
	}
	*into = s
	return nil
}

func parseService(text string) (trust.Service, error) {
	syntax := specSyntax{noun: "service", required: []string{"url", "api-version", "start-time", "operator"}, optional: []string{"end-time"}}
	spec, err := syntax.parse(text)
	if err != nil {
		return trust.Service{}, err
	}
	version, err := strconv.ParseUint(spec["api-version"], 10, 32)
	if err != nil {
		return trust.Service{}, errors.New("parsing api-version: " + strconv.Quote(spec["api-version"]) + " is not a number")
	}
	w, err := spec.window()
	return trust.Service{URL: spec["url"], MajorAPIVersion: uint32(version), Operator: spec["operator"], Window: w}, err
}
