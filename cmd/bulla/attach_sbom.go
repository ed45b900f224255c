package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/internal/describe"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/oci/artifact"
	"github.com/bulla-sign/bulla/oci/carry"
)

// attachSBOM attaches an SBOM that nobody signs.
type attachSBOM struct {
	attaching
	mode   flags.ReferrersMode
	file   string
	kind   cli.Choice
	format cli.Choice
	force  bool
}

func attachSBOMCommand() *cli.Command {
	o := &attachSBOM{}
	return &cli.Command{
		Use: "sbom [flags] IMAGE", Short: "Attach an SBOM that nobody signs", BindEnv: true,
		Long: `Attach an SBOM to an image, unsigned: under the tag sha256-DIGEST.sbom, or with --registry-referrers-mode=oci-1-1 as a referrer. An SBOM that can be trusted is an attestation: bulla attest --type spdxjson.

Under the tag there is one SBOM, and another one is replaced with -f only.`,
		Example: `bulla attach sbom --sbom app.spdx.json registry.example.com/app@sha256:...`,
		Args:    cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			fs.StringVar(&o.file, "sbom", "", "`FILE` with the SBOM, - for standard input")
			cli.ChoiceVar(fs, &o.kind, "type", "what kind of SBOM it is", "spdx", "cyclonedx", "syft")
			cli.ChoiceVar(fs, &o.format, "input-format", "in which form it is; JSON where the file's name ends in .json", "", "json", "xml", "text")
			fs.BoolVarP(&o.force, "force", "f", false, "replace another SBOM under the tag")
			cli.Own(fs, "force")
			cli.RequireOne(fs, "sbom")
			o.registry.Register(fs)
			o.mode.Register(fs)
			cli.Output(fs, &o.output, "text", "text", "json")
			cli.Own(fs, "output")
		},
		Run: o.run,
	}
}

// sbomType is a kind of SBOM in a form; the empty form is what cosign takes it for.
type sbomType struct{ kind, format string }

// sbomTypes are the media types of SBOMs, as cosign has them.
var sbomTypes = map[sbomType]string{
	{"spdx", ""}: "text/spdx", {"spdx", "text"}: "text/spdx", {"spdx", "json"}: "text/spdx+json",
	{"cyclonedx", ""}: "application/vnd.cyclonedx+xml", {"cyclonedx", "xml"}: "application/vnd.cyclonedx+xml",
	{"cyclonedx", "json"}: "application/vnd.cyclonedx+json",
	{"syft", ""}:          "application/vnd.syft+json", {"syft", "json"}: "application/vnd.syft+json",
}

// mediaType is that of the SBOM. A name in .json says more than a missing --input-format; against one that is given, it
// says nothing.
func (o *attachSBOM) mediaType() (string, error) {
	format := o.format.String()
	if format == "" && strings.HasSuffix(o.file, ".json") {
		format = "json"
	}
	mediaType, ok := sbomTypes[sbomType{o.kind.String(), format}]
	if !ok {
		return "", cli.Usagef("--type %s has no form %s", o.kind.String(), format)
	}
	return mediaType, nil
}

func (o *attachSBOM) run(ctx context.Context, c *cli.Call) error {
	mediaType, err := o.mediaType()
	if err != nil {
		return err
	}
	data, err := readAttachment(ctx, c, o.file)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return cli.Errorf(cli.ExitInput, "%s is empty, which is no SBOM", o.file)
	}
	client, img, err := o.target(ctx, c, c.Args[0])
	if err != nil {
		return err
	}
	c.Warnf("nobody signs an SBOM that is attached this way; attest --type spdxjson --predicate %s does", describe.Printable(o.file))
	layer := artifact.Image{Content: artifact.FromBytes(data), MediaType: mediaType}
	piece := attachedPiece{Kind: "sbom", Subject: img.Digest}
	if o.mode.Mode.String() == "oci-1-1" {
		piece.Reference, piece.Digest, err = o.referrer(ctx, c, client, img, layer)
	} else {
		piece.Reference, piece.Digest, err = o.tag(ctx, c, client, img, layer)
	}
	if err != nil {
		return err
	}
	return o.printAttached(c, piece)
}

// sbomReferrer is the artifact type of an SBOM among the referrers (cosign, "experimental OCI 1.1").
const sbomReferrer = "application/vnd.dev.cosign.artifact.sbom.v1+json"

// referrer attaches the SBOM as cosign's experimental OCI 1.1 mode does.
func (o *attachSBOM) referrer(ctx context.Context, c *cli.Call, client *oci.Client, img *oci.Image, layer artifact.Image) (ref, digest string, err error) {
	if err := refuseIgnored(c, ignoredFlag{"force", "referrers are attached one by one and none replaces another", leaveOut}); err != nil {
		return "", "", err
	}
	layer.ConfigType = sbomReferrer
	layer.Subject = &carry.Descriptor{MediaType: img.MediaType, Digest: img.Digest, Size: img.Size}
	set := artifact.NewSet()
	m, err := set.Image(layer)
	if err != nil {
		return "", "", err
	}
	repo, err := client.Parse(evidenceRepository(c, img) + "@" + m.Digest)
	if err != nil {
		return "", "", cli.Usagef("%w", err)
	}
	c.Infof("Uploading SBOM file for [%s] to [%s] with media type [%s]", img.Ref, repo.Name(), layer.MediaType)
	to := client.Store(repo.Repository)
	for _, d := range set.Named(m) {
		if err := to.PutBlob(ctx, set, m, d); err != nil {
			return "", "", signingRegistryError(c, err)
		}
	}
	subject := &carry.Manifest{Descriptor: *layer.Subject, Body: img.Manifest(), Repository: img.Repository.Name()}
	err = to.Put(ctx, m, carry.Where{Subject: subject})
	return repo.Name(), m.Digest, signingRegistryError(c, err)
}

// tag puts the SBOM under the older tag.
func (o *attachSBOM) tag(ctx context.Context, c *cli.Call, client *oci.Client, img *oci.Image, layer artifact.Image) (ref, digest string, err error) {
	if ref, err = client.Triangulate(ctx, img, "sbom"); err != nil {
		return "", "", signingRegistryError(c, err)
	}
	set := artifact.NewSet()
	m, err := set.Image(layer)
	if err != nil {
		return "", "", err
	}
	c.Infof("Uploading SBOM file for [%s] to [%s] with mediaType [%s].", img.Ref, ref, layer.MediaType)
	return ref, m.Digest, putMade(ctx, c, client, madeImage{set: set, image: m, ref: ref, force: o.force || c.Cosign})
}

// madeImage is an image of files, and where it goes.
type madeImage struct {
	set   *artifact.Set
	image *carry.Manifest
	ref   string
	force bool
}

// putMade uploads an image that was made of files and reads it back.
func putMade(ctx context.Context, c *cli.Call, client *oci.Client, m madeImage) error {
	named, err := client.Parse(m.ref)
	if err != nil {
		return cli.Usagef("%w", err)
	}
	if named.Digest != "" && named.Digest != m.image.Digest {
		return cli.Usagef("%s names a digest, and these files make %s", m.ref, m.image.Digest).WithHint("name a tag")
	}
	options := carry.Options{From: m.set, To: client.Store(named.Repository), Image: m.image, Tag: named.Tag, Force: m.force}
	var end func()
	options.Progress, end = progress(c, "uploading to "+m.ref)
	_, err = carry.Copy(ctx, options)
	end()
	if errors.Is(err, carry.ErrTaken) {
		return carryError(c, fmt.Errorf("%s: %w", named.Repository.Name(), err)) // which names the tag
	}
	if err != nil {
		return carryError(c, fmt.Errorf("%s: %w", m.ref, err))
	}
	return nil
}
