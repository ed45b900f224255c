package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
)

type triangulate struct {
	registry flags.Registry
	kind     cli.Choice
	output   cli.Choice
}

func triangulateCommand() *cli.Command {
	o := &triangulate{}
	return &cli.Command{
		Use: "triangulate [flags] IMAGE", Short: "Print the tag at which an image's older signatures are", Group: "Registry", BindEnv: true,
		Long: `Print where cosign's older formats keep what belongs to an image: a tag made of the image's digest. Nothing need be there. Bundles have no such place, they are the image's referrers; tree shows everything.`,
		Example: `bulla triangulate registry.example.com/app:v1
bulla triangulate --type digest registry.example.com/app:v1`,
		Args: cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			cli.ChoiceVar(fs, &o.kind, "type", "what the place is of; digest prints the image by its digest", "signature", "attestation", "sbom", "digest")
			o.registry.Register(fs)
			cli.Output(fs, &o.output, "text", "text", "json")
			cli.Own(fs, "output")
		},
		Run: o.run,
	}
}

func (o *triangulate) run(ctx context.Context, c *cli.Call) error {
	client, err := registryClient(c, &o.registry)
	if err != nil {
		return err
	}
	img, err := resolveImage(ctx, c, client, c.Args[0])
	if err != nil {
		return err
	}
	place, err := client.Triangulate(ctx, img, o.kind.String())
	if err != nil {
		return registryError(err)
	}
	if o.output.String() == "json" {
		return c.PrintJSON(map[string]string{"image": img.Name(), "type": o.kind.String(), "reference": place})
	}
	_, err = fmt.Fprintln(c.Out, place)
	return err
}
