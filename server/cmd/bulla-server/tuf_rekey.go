package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/server/internal/founding"
	"github.com/bulla-sign/bulla/server/internal/instance"
)

func tufRekeyCommand() *cli.Command {
	d := &deployment{}
	var key, public string
	var output cli.Choice
	return &cli.Command{
		Use: "rekey [flags] root|targets", Short: "Replace the key of the root or of the targets",
		Long: `Replace the key of the root or of the targets. (The online key, for snapshots and timestamps, is replaced by "rotate tuf".)

A new root names the new key. It is signed by the old root key and the new one, so that every client follows, whatever root it has. Where one of them is kept offline the new root waits for it ("tuf pending", "tuf sign", "tuf import"), and the old one serves until then. After that, the old key signs nothing more and can be destroyed.`,
		Example: `bulla-server tuf rekey targets
bulla-server tuf rekey root --public /media/stick/root-2.pub`,
		Args: cobra.ExactArgs(1),
		Flags: allFlags(d.register, func(fs *pflag.FlagSet) {
			fs.StringVar(&key, "key", "", "use a key that exists, a `REFERENCE`, instead of a new one")
			fs.StringVar(&public, "public", "", "use a key that is kept elsewhere; its public half lies in `FILE` (PEM)")
			cli.Output(fs, &output, "text", "text", "json")
		}),
		Run: func(ctx context.Context, c *cli.Call) error {
			request := instance.Rekey{Role: founding.Role("tuf-" + c.Args[0]), Key: key}
			if request.Role != founding.TUFRoot && request.Role != founding.TUFTargets {
				return cli.Usagef("%q has no key of its own to replace here: it is root or targets", c.Args[0])
			}
			if key != "" && public != "" {
				return cli.Usagef("--key and --public are two keys; give one")
			}
			if public != "" {
				data, err := readDocument(public)
				if err != nil {
					return err
				}
				request.Public = string(data)
			}
			if err := d.open(c); err != nil {
				return err
			}
			peer, err := publisher(ctx, d.dir.Path())
			if err != nil {
				return err
			}
			var done instance.Rekeyed
			if err := peer.Call(ctx, instance.PathRekey, request, &done); err != nil {
				return err
			}
			if output.String() == "json" {
				return c.PrintJSON(&done)
			}
			if _, err := fmt.Fprintf(c.Out, "the key of %s is %s, in place of %s\n", c.Args[0], done.Key, strings.Join(done.Former, ", ")); err != nil {
				return err
			}
			if done.Pending {
				c.Infof(`the new root waits for signatures of keys that are kept offline: see "bulla-server tuf pending"`)
			}
			return nil
		},
	}
}
