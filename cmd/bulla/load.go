package main

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/oci/carry"
	"github.com/bulla-sign/bulla/oci/layout"
)

type load struct {
	carrying
	optionalVerification
	place   layoutPlace
	name    string
	bundles []string
	force   bool
}

func loadCommand() *cli.Command {
	o := &load{}
	return &cli.Command{
		Use: "load [flags] IMAGE", Short: "Load a saved image and its evidence into a registry", Group: "Registry", BindEnv: true,
		Long: `Load an image that bulla save or cosign save has written, any OCI image layout, or an archive of docker save, into a registry, with everything attached to it. Each piece is stored in the form that the registry can hold: as a referrer where it has the API, otherwise in the list under the referrers tag, into which it is merged; what lies under the older tags is merged into those.

With --bundle, evidence about the image that lies in files, as sign --upload=false --bundle FILE leaves it, is attached in the same step. The tag comes last: who finds the image by it finds all of this.

A load that was interrupted goes on where it stopped when it is run again. At the end everything is read back and compared; status 20 says that something is missing. With --key or --certificate-identity, what was loaded is then verified.`,
		Example: `bulla load --dir app registry.example.com/app:v1
bulla load --file app.tar registry.example.com/app:v1

# an archive that was signed before there was a registry for it
bulla sign --upload=false --bundle app.sigstore.json docker-archive:app.tar
bulla load --file app.tar --bundle app.sigstore.json registry.example.com/app:v1`,
		Args: cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			o.place.register(fs, "to load from")
			fs.StringVar(&o.name, "image", "", "`NAME` or digest of the image, when the layout holds several")
			fs.BoolVarP(&o.force, "force", "f", false, "replace what the tag holds now")
			fs.StringSliceVar(&o.bundles, "bundle", nil, "attach the Sigstore bundle in `FILE`, before the image gets its tag; repeatable")
			o.registerOnly(fs, untagged)
			cli.Own(fs, "image", "force", "only", "bundle")
			o.carrying.registry.Register(fs)
			o.registerOptional(fs)
			cli.Output(fs, &o.carrying.output, "text", "text", "json")
			cli.Own(fs, "output")
		},
		Run: o.run,
	}
}

func (o *load) run(ctx context.Context, c *cli.Call) error {
	if err := o.checkOnly(); err != nil {
		return err
	}
	l, err := layout.Open(o.place.path())
	if err != nil {
		return layoutError(err)
	}
	defer func() { _ = l.Close() }() // read only
	digest, err := l.Root(o.name)
	if err != nil {
		return layoutError(err)
	}
	source, err := layoutClient(c, l)
	if err != nil {
		return err
	}
	target, err := registryClient(c, &o.carrying.registry)
	if err != nil {
		return err
	}
	img, err := target.Parse(c.Args[0])
	if err != nil {
		return cli.Usagef("%w", err)
	}
	if img.Digest != "" && img.Digest != digest {
		return cli.Errorf(cli.ExitInput, "%s holds the image %s, not %s", o.place.path(), digest, img.Digest)
	}
	more, err := o.evidence(ctx, c, *img, digest)
	if err != nil {
		return err
	}
	from := source.Store(layoutRepository())
	m, err := from.Manifest(ctx, digest)
	if err != nil {
		return imageError(c, err)
	}
	check, err := o.checker(ctx, c, &o.carrying)
	if err != nil {
		return err
	}
	options := carry.Options{From: from, To: target.Store(img.Repository), Image: m, Tag: img.Tag, Force: o.force || c.Cosign, Only: o.only}
	if len(o.only) > 0 {
		options.Tag = ""
	}
	var end func()
	options.Progress, end = progress(c, "loading "+c.Args[0])
	if img.Digest = digest; len(more) > 0 {
		options.Before = func(ctx context.Context) error {
			end()
			return o.attach(ctx, c, target, img, more)
		}
	}
	r, err := carry.Copy(ctx, options)
	end()
	if len(r.Items) > 0 {
		if printErr := o.printReport(c, r, o.place.path(), c.Args[0]); err == nil {
			err = printErr
		}
	}
	if err != nil || check == nil {
		return carryError(c, err)
	}
	return check(target, img.Repository.Name()+"@"+digest)
}

// attach attaches what --bundle names to the image, which is there by then.
func (o *load) attach(ctx context.Context, c *cli.Call, target *oci.Client, img *oci.Image, more []*bundle.Bundle) error {
	to := &attaching{registry: o.carrying.registry}
	for _, b := range more {
		if _, err := to.attachBundle(ctx, c, target, img, b); err != nil {
			return err
		}
	}
	return nil
}

// evidence reads the bundles of --bundle. Each must be about the image, and all are read before anything is written.
func (o *load) evidence(ctx context.Context, c *cli.Call, img oci.Image, digest string) ([]*bundle.Bundle, error) {
	img.Digest = digest
	var out []*bundle.Bundle
	for _, name := range o.bundles {
		data, err := readAttachment(ctx, c, name)
		if err != nil {
			return nil, err
		}
		b, err := bundle.Decode(data)
		if err != nil {
			return nil, cli.Errorf(cli.ExitInput, "%s: %w", name, err)
		}
		if err := checkSubject(c, b, &img, name); err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}
