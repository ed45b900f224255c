package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/server/internal/instance"
	"github.com/bulla-sign/bulla/trust/revocation"
)

func revokeCommand() *cli.Command {
	d := &deployment{}
	var output cli.Choice
	return &cli.Command{
		Use: "revoke [flags] FILE", Short: "Publish a list of revocations", Group: "Keys",
		Long: `Publish a list of revocations, which "bulla trust revoke" makes and signs, with the trusted root. Clients that follow the TUF repository refuse from then on what it revokes, and check it in every verification.

A list must go on from the one that is published: what is revoked stays revoked. That one lies in the state directory as public/revocations.v1.json.`,
		Example: `bulla trust revoke --list revocations.json --key security.key --artifact sha256:0123… --reason "CVE-2026-12345"
bulla-server revoke revocations.json`,
		Args: cobra.ExactArgs(1),
		Flags: allFlags(d.register, func(fs *pflag.FlagSet) {
			cli.Output(fs, &output, "text", "text", "json")
		}),
		Run: func(ctx context.Context, c *cli.Call) error {
			data, err := readDocument(c.Args[0])
			if err != nil {
				return err
			}
			if _, _, err := revocation.Decode(data); err != nil {
				return cli.Errorf(cli.ExitInput, "%s: %w", c.Args[0], err)
			}
			if err := d.open(c); err != nil {
				return err
			}
			peer, err := publisher(ctx, d.dir.Path())
			if err != nil {
				return err
			}
			var done instance.Revoked
			if err := peer.Call(ctx, instance.PathRevoke, data, &done); err != nil {
				return err
			}
			if output.String() == "json" {
				return c.PrintJSON(&done)
			}
			_, err = fmt.Fprintf(c.Out, "published: %d revocations, %d of them new\n", done.Statements, done.New)
			return err
		},
	}
}
