package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
)

type bundleUpgrade struct {
	out, rekorURL string
}

func bundleUpgradeCommand() *cli.Command {
	o := &bundleUpgrade{}
	return &cli.Command{
		Use: "upgrade [flags] BUNDLE", Short: "Write an older Sigstore bundle anew as v0.3",
		Long: `Write a Sigstore bundle of v0.1 or v0.2 as v0.3. Nothing that was signed changes. Of a certificate chain the signing certificate stays, since its issuers come from the trusted root.

v0.3 needs an inclusion proof for every log entry. Bundles of v0.1 may hold a signed entry timestamp alone; the proof would have to be fetched from the log, which this program cannot do yet. Such a bundle verifies as it is.`,
		Example: `bulla bundle upgrade old.sigstore --out new.sigstore.json`,
		Args:    cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			fs.StringVar(&o.out, "out", "", "write to `FILE` instead of standard output")
			fs.StringVar(&o.rekorURL, "rekor-url", flags.DefaultRekorURL, "`URL` of the log to fetch proofs from; not used yet")
		},
		Run: o.run,
	}
}

func (o *bundleUpgrade) run(ctx context.Context, c *cli.Call) error {
	if err := refuseRekorURL(c, "proofs are taken from the bundle, not fetched"); err != nil {
		return err
	}
	data, err := readEvidence(ctx, c, c.Args[0])
	if err != nil {
		return err
	}
	b, err := bundle.Decode(data)
	if err != nil {
		refused := cli.Errorf(cli.ExitInput, "upgrading bundle: %s: %w", c.Args[0], err)
		if errors.Is(err, bundle.ErrNotBundle) {
			return refused.WithHint("%s bundle create makes a Sigstore bundle of cosign's older files", c.Name)
		}
		return refused
	}
	if b.Version == bundle.V03 {
		c.Infof("Bundle is already at v0.3, no upgrade needed.")
		return writeDocument(c, o.out, trimNewline(data))
	}
	for i := range b.Material.Entries {
		if e := &b.Material.Entries[i]; e.Proof == nil {
			return cli.Errorf(cli.ExitInput, "upgrading bundle: %s: log entry %d (index %d) has a signed entry timestamp only; its inclusion proof must be fetched from the log, and this program has no client for logs yet", c.Args[0], i, e.LogIndex).
				WithHint("the bundle verifies as it is")
		}
	}
	c.Infof("Upgrading from %s to v0.3...", b.Version)
	tellDropped(c, b)
	up, err := b.Upgrade()
	if err != nil {
		return cli.Errorf(cli.ExitInput, "upgrading bundle: %s: %w", c.Args[0], err)
	}
	out, err := up.Encode()
	if err != nil {
		return err
	}
	if err := writeDocument(c, o.out, out); err != nil {
		return err
	}
	if o.out != "" {
		c.Infof("Successfully upgraded bundle written to %s", o.out)
	}
	return nil
}

// tellDropped says which certificates do not come along.
func tellDropped(c *cli.Call, b *bundle.Bundle) {
	for i, der := range b.Material.Certificates[min(1, len(b.Material.Certificates)):] {
		what := "an unreadable certificate"
		if cert, err := identity.ParseCertificate(der); err == nil {
			what = cert.X509.Subject.String()
		}
		c.Infof("Leaving out certificate %d of the chain: %q", i+2, what)
	}
}

// refuseRekorURL refuses --rekor-url where it has no effect; in cosign's place it warns.
func refuseRekorURL(c *cli.Call, why string) error {
	switch {
	case !c.Typed("rekor-url"):
		return nil
	case c.Cosign:
		c.Warnf("--rekor-url is not used: %s", why)
		return nil
	}
	return cli.Usagef("--rekor-url is not used: %s", why).WithHint("leave the flag out; this program has no client for logs yet")
}

func trimNewline(data []byte) []byte {
	for len(data) > 0 && (data[len(data)-1] == '\n' || data[len(data)-1] == '\r') {
		data = data[:len(data)-1]
	}
	return data
}
