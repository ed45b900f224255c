package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/internal/describe"
	"github.com/bulla-sign/bulla/oci"
)

// downloadSBOM prints what lies under cosign's older tag for SBOMs.
type downloadSBOM struct {
	registry flags.Registry
	platform string
}

func downloadSBOMCommand() *cli.Command {
	o := &downloadSBOM{}
	return &cli.Command{
		Use: "sbom [flags] IMAGE", Short: "Print the SBOM under an image's older tag", BindEnv: true,
		Long: `Print the SBOM that lies under the tag sha256-DIGEST.sbom, where older versions of cosign attached it. Nobody has signed it: an SBOM that can be trusted is an attestation, see bulla verify-attestation --type spdxjson.

Status 10 says that the image has none, 20 that the registry did not let us find out.`,
		Example: `bulla download sbom registry.example.com/app:v1 > app.spdx`,
		Args:    cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			fs.StringVar(&o.platform, "platform", "", "print that of the image for a `PLATFORM` such as linux/arm64")
			o.registry.Register(fs)
		},
		Run: o.run,
	}
}

func (o *downloadSBOM) run(ctx context.Context, c *cli.Call) error {
	client, err := registryClient(c, &o.registry)
	if err != nil {
		return err
	}
	img, err := platformImage(ctx, c, client, c.Args[0], o.platform)
	if err != nil {
		return err
	}
	ref, err := client.Triangulate(ctx, img, "sbom")
	if err != nil {
		return registryError(err)
	}
	named, err := client.Parse(ref)
	if err != nil {
		return err
	}
	layers, err := client.Layers(ctx, named.Repository, ref[strings.LastIndex(ref, ":")+1:])
	if errors.Is(err, oci.ErrImageNotFound) {
		code := cli.ExitNoSignatures
		if c.Cosign {
			code = cli.ExitFailure
		}
		return cli.Errorf(code, "%s: no SBOM under the older tag", c.Args[0]).
			WithHint("an SBOM may be attached as an attestation: bulla download attestation --predicate-type spdxjson")
	}
	if err != nil {
		return registryError(err)
	}
	if len(layers) != 1 {
		return cli.Errorf(cli.ExitInput, "%s has %d layers, and an SBOM is one", describe.Printable(ref), len(layers))
	}
	c.Warnf("nobody has signed this SBOM")
	c.Infof("Found SBOM of media type: %s", describe.Printable(layers[0].MediaType))
	_, err = c.Out.Write(layers[0].Data)
	return err
}
