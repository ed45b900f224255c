package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/internal/describe"
	"github.com/bulla-sign/bulla/keys"
	"github.com/bulla-sign/bulla/sign"
)

// identityLogin is "login" without a server: a short session for signing.
type identityLogin struct {
	signing
	explain bool
	output  cli.Choice
}

// identityFlags are those of [identityLogin]; with a server they have no effect.
var identityFlags = []string{
	"explain", "output", "yes", "patience", "signing-config", "trusted-root", "use-signing-config", "identity-token", "fulcio-auth-flow", "fulcio-url",
	"oidc-client-id", "oidc-client-secret-file", "oidc-redirect-url", "oidc-provider", "oidc-disable-ambient-providers", "oidc-issuer",
	"timestamp-server-url", "rekor-url", "instance", "trust", "trust-max-age", "trust-expiry-warning",
}

func (o *identityLogin) register(fs *pflag.FlagSet) {
	o.TlogUpload, o.NewBundleFormat = true, true
	fs.BoolVar(&o.explain, "explain", false, "say where identity tokens are looked for, in which order, and what is there; and do nothing")
	cli.Output(fs, &o.output, "text", "text", "json")
	fs.BoolVarP(&o.Yes, "yes", "y", false, "confirm every question beforehand")
	fs.DurationVar(&o.patience, "patience", defaultPatience, "how long to go on asking a service that does not answer; 0 asks once")
	o.Fulcio.Register(fs)
	o.OIDC.Register(fs)
	cli.Topic(fs, "Services and trust", func(fs *pflag.FlagSet) {
		fs.BoolVar(&o.UseSigningConfig, "use-signing-config", true, "use the services that the trusted root's publisher recommends (see \"initialize --help\")")
		fs.StringVar(&o.SigningConfig, "signing-config", "", "use the services that `FILE` names")
		fs.StringVar(&o.TrustedRoot, "trusted-root", "", "check the certificate with the trusted root in `FILE` instead of the one that \"initialize\" set up")
		fs.StringVar(&o.RekorURL, "rekor-url", flags.DefaultRekorURL, "`URL` of the transparency log that signatures will be entered into")
		fs.StringVar(&o.TSAClient.URL, "timestamp-server-url", "", "`URL` of the timestamp authority that signatures will be stamped by")
		cli.Exclusive(fs, "use-signing-config", "signing-config")
	})
	o.trusting.register(fs, "Services and trust")
}

func (o *identityLogin) run(ctx context.Context, c *cli.Call) error {
	if err := o.check(c); err != nil {
		return err
	}
	if o.explain {
		return o.runExplain(ctx, c)
	}
	path, err := sessionPath(c)
	if err != nil {
		return err
	}
	if err := tryKeeping(path); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if o.loggingIn, err = keys.FromSigner(key); err != nil {
		return err
	}
	opts := sign.Options{Now: c.Now(), Clock: c.Now}
	source, err := o.trusting.source(ctx, c)
	if err != nil {
		return err
	}
	p, err := o.plan(ctx, c, source)
	if err != nil {
		return err
	}
	if err := o.connect(ctx, c, source, p, &opts); err != nil {
		return signingError(err, "")
	}
	if err := o.ready(ctx, c, &opts); err != nil {
		return err
	}
	kept := &stored{Version: storedVersion, Authority: p.ca, Logs: strings.Join(p.eligible, logBetween), Chain: opts.Certificates}
	if kept.Key, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		return err
	}
	if err := kept.write(path); err != nil {
		return err
	}
	if kept, err = readSession(ctx, c); err != nil || kept == nil {
		return fmt.Errorf("reading back %s: %w", path, err)
	}
	who := kept.shown(path)
	if o.output.String() == "json" {
		return c.PrintJSON(who)
	}
	c.Infof("logged in as %s of %s until %s; kept in %s", describe.Printable(who.Identity), describe.Printable(who.Issuer), who.Until.Format(time.RFC3339), path)
	return nil
}
