package main

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/cli"
)

func bundleInspectCommand() *cli.Command {
	o := &inspect{}
	return &cli.Command{
		Use: "inspect [flags] BUNDLE", Short: "Show what a bundle holds, without trusting it",
		Long:    `Show what is in a Sigstore bundle. Nothing is verified, and everything shown is what the bundle's maker put there. The command inspect does the same for every file of evidence.`,
		Example: `bulla bundle inspect a.txt.sigstore.json`,
		Args:    cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			cli.Output(fs, &o.output, "text", "text", "json")
		},
		Run: o.runBundle,
	}
}

// runBundle shows a bundle; in cosign's place with cosign's lines.
func (o *inspect) runBundle(ctx context.Context, c *cli.Call) error {
	if !c.Cosign || c.Changed("output") {
		return o.run(ctx, c)
	}
	c.Infof("WARNING: This command only inspects the contents of the bundle.\nIt does not perform cryptographic verification or verify log inclusion.\n")
	data, err := readEvidence(ctx, c, c.Args[0])
	if err != nil {
		return err
	}
	b, err := bundle.Decode(data)
	if err != nil {
		return cli.Errorf(cli.ExitInput, "unmarshaling bundle: %w", err)
	}
	describer, err := newDescriber()
	if err != nil {
		return err
	}
	return describer.Cosign(c.Out, b)
}
