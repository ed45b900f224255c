package main

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/internal/describe"
	"github.com/bulla-sign/bulla/oci"
)

// downloadSBOM prints an SBOM that nobody has signed.
type downloadSBOM struct {
	registry flags.Registry
	platform string
}

func downloadSBOMCommand() *cli.Command {
	o := &downloadSBOM{}
	return &cli.Command{
		Use: "sbom [flags] IMAGE", Short: "Print the SBOM that is attached to an image", BindEnv: true,
		Long: `Print the SBOM that is attached to an image as it is: as a referrer, or under the tag sha256-DIGEST.sbom, where older versions of cosign attached it. Nobody has signed it: an SBOM that can be trusted is an attestation, see bulla verify-attestation --type spdxjson.

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
	ref, err := o.reference(ctx, c, client, img)
	if err != nil {
		return err
	}
	named, err := client.Parse(ref)
	if err != nil {
		return err
	}
	layers, err := client.Layers(ctx, named.Repository, cmp.Or(named.Digest, named.Tag))
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

// reference finds the SBOM: the last referrer that is one, as cosign does, else what lies under the older tag.
func (o *downloadSBOM) reference(ctx context.Context, c *cli.Call, client *oci.Client, img *oci.Image) (string, error) {
	nodes, places, err := client.Tree(ctx, img)
	if err != nil {
		return "", imageError(c, err)
	}
	if missing := unansweredPlace(places); missing != nil {
		return "", registryError(missing)
	}
	var tag, ref string
	referrers := 0
	for i := range nodes {
		n := &nodes[i]
		switch {
		case n.Place == oci.PlaceSBOMs:
			tag = n.Ref
		case n.Err != nil && (n.ArtifactType == "" || n.ArtifactType == sbomReferrer):
			return "", registryError(n.Err) // it may be the one
		case n.ArtifactType == sbomReferrer:
			ref = n.Ref
			referrers++
		}
	}
	if referrers > 1 {
		c.Warnf("%d SBOMs are attached as referrers; this is the last of them, and bulla tree names all", referrers)
	}
	if ref = cmp.Or(ref, tag); ref != "" {
		return ref, nil
	}
	code := cli.ExitNoSignatures
	if c.Cosign {
		code = cli.ExitFailure
	}
	return "", cli.Errorf(code, "%s: no SBOM is attached, as a referrer or under the older tag", describe.Printable(c.Args[0])).
		WithHint("an SBOM may be attached as an attestation: bulla download attestation --predicate-type spdxjson")
}
