package main

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/oci/carry"
)

type copyImage struct {
	carrying
	optionalVerification
	platform       string
	force, sigOnly bool
	dryRun         bool
}

func copyCommand() *cli.Command {
	o := &copyImage{}
	return &cli.Command{
		Use: "copy [flags] SOURCE TARGET", Short: "Copy an image and its evidence to another place", Group: "Registry", BindEnv: true,
		Long: `Copy an image with everything attached to it, for each of its platforms too: bundles and other referrers, signatures, attestations and SBOMs under the older tags, and what is attached to those. Each piece is stored in the form that the target can hold: as a referrer where the target has the API, otherwise in the list under the referrers tag, into which it is merged; what lies under the older tags is merged into those. What is attached is put beside the image; COSIGN_REPOSITORY says where it is at the source.

A copy that was interrupted goes on where it stopped when it is run again. The tag is written last. At the end everything is read back and compared; status 20 says that something is missing. With --key or --certificate-identity, the copy is then verified.`,
		Example: `bulla copy registry.example.com/app:v1 mirror.example.com/app:v1

# what is missing there
bulla copy --dry-run registry.example.com/app:v1 mirror.example.com/app:v1

# and verify the copy
bulla copy --key cosign.pub --log=none registry.example.com/app:v1 mirror.example.com/app:v1`,
		Args: cobra.ExactArgs(2),
		Flags: func(fs *pflag.FlagSet) {
			o.registerOnly(fs, untagged)
			fs.BoolVar(&o.sigOnly, "sig-only", false, "carry only signatures")
			cli.Deprecate(fs, "sig-only", "--only=sig says the same")
			fs.BoolVarP(&o.force, "force", "f", false, "replace what the tag holds now")
			fs.StringVar(&o.platform, "platform", "", "copy only the image for a `PLATFORM` such as linux/arm64")
			fs.BoolVar(&o.dryRun, "dry-run", false, "write nothing, and say what is missing at the target")
			cli.Own(fs, "dry-run")
			o.carrying.registry.Register(fs)
			o.registerOptional(fs)
			cli.Output(fs, &o.carrying.output, "text", "text", "json")
			cli.Own(fs, "output")
		},
		Run: o.run,
	}
}

func (o *copyImage) run(ctx context.Context, c *cli.Call) error {
	if o.sigOnly {
		o.only = append(o.only, "sig")
	}
	if err := o.checkOnly(); err != nil {
		return err
	}
	source, err := registryClient(c, &o.carrying.registry)
	if err != nil {
		return err
	}
	target, err := targetClient(c, &o.carrying.registry)
	if err != nil {
		return err
	}
	src, err := source.Parse(c.Args[0])
	if err != nil {
		return cli.Usagef("%w", err)
	}
	dst, err := target.Parse(c.Args[1])
	if err != nil {
		return cli.Usagef("%w", err)
	}
	o.warnOfBoth(c, src.Repository.RegistryStr(), dst.Repository.RegistryStr())
	from := source.Store(src.Repository)
	reference := src.Tag
	if src.Digest != "" {
		reference = src.Digest
	}
	m, err := from.Manifest(ctx, reference)
	if err != nil {
		return imageError(c, err)
	}
	if m, err = platform(ctx, c, from, m, o.platform); err != nil {
		return err
	}
	if dst.Digest != "" && dst.Digest != m.Digest {
		return cli.Usagef("the target names the digest %s, the image has %s", dst.Digest, m.Digest)
	}
	options := carry.Options{
		From: from, To: target.Store(dst.Repository), Image: m, Tag: dst.Tag, Only: o.only, Force: o.force, DryRun: o.dryRun,
	}
	if len(o.only) > 0 {
		options.Tag = "" // as the image has other evidence there
	}
	check, err := o.checker(ctx, c, &o.carrying)
	if err != nil {
		return err
	}
	var end func()
	options.Progress, end = progress(c, "copying "+c.Args[0])
	r, err := carry.Copy(ctx, options)
	end()
	if len(r.Items) > 0 {
		if printErr := o.printReport(c, r, c.Args[0], c.Args[1]); err == nil {
			err = printErr
		}
	}
	if err != nil || check == nil || o.dryRun {
		return carryError(c, err)
	}
	return check(target, dst.Repository.Name()+"@"+m.Digest)
}

// warnOfBoth says that what was given for one registry goes to the other one as well.
func (o *copyImage) warnOfBoth(c *cli.Call, from, to string) {
	if r := &o.carrying.registry; from != to && (r.Username != "" || r.Token != "") {
		c.Warnf("the credential that was given is sent to both %s and %s; bulla login keeps one for each", from, to)
	}
}
