package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/oci/carry"
	"github.com/bulla-sign/bulla/oci/layout"
)

type save struct {
	carrying
	place    layoutPlace
	platform string
}

func saveCommand() *cli.Command {
	o := &save{}
	return &cli.Command{
		Use: "save [flags] IMAGE", Short: "Save an image and its evidence to disk", Group: "Registry", BindEnv: true,
		Long: `Save an image with everything attached to it, for each of its platforms too, as an OCI image layout: a directory, or one tar file. bulla load brings it into a registry, verify --local-image verifies it where it lies, and cosign and other tools read it.

A save that was interrupted goes on where it stopped when it is run again. At the end everything is read back and compared; status 20 says that something could not be saved.`,
		Example: `bulla save --dir app registry.example.com/app:v1
bulla save --file app.tar registry.example.com/app:v1`,
		Args: cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			o.place.register(fs, "to save to")
			fs.StringVar(&o.platform, "platform", "", "save only the image for a `PLATFORM` such as linux/arm64")
			o.registerOnly(fs, "")
			cli.Own(fs, "platform", "only")
			o.register(fs)
		},
		Run: o.run,
	}
}

func (o *save) run(ctx context.Context, c *cli.Call) error {
	if err := o.checkOnly(); err != nil {
		return err
	}
	client, err := registryClient(c, &o.registry)
	if err != nil {
		return err
	}
	img, err := client.Parse(c.Args[0])
	if err != nil {
		return cli.Usagef("%w", err)
	}
	from := client.Store(img.Repository)
	reference := img.Tag
	if img.Digest != "" {
		reference = img.Digest
	}
	m, err := from.Manifest(ctx, reference)
	if err != nil {
		return imageError(c, err)
	}
	if m, err = platform(ctx, c, from, m, o.platform); err != nil {
		return err
	}
	r, err := o.write(ctx, c, carry.Options{From: from, Image: m, Tag: img.Tag, Only: o.only})
	if r != nil && len(r.Items) > 0 {
		if printErr := o.printReport(c, r, c.Args[0], o.place.path()); err == nil {
			err = printErr
		}
	}
	return carryError(c, err)
}

// write makes the layout: in place, or beside the archive, which appears when all is there.
func (o *save) write(ctx context.Context, c *cli.Call, options carry.Options) (*carry.Report, error) {
	dir := o.place.dir
	if o.place.file != "" {
		if _, err := os.Lstat(o.place.file); err == nil {
			return nil, cli.Errorf(cli.ExitIO, "%s exists already", o.place.file)
		}
		dir = o.place.file + ".partial"
	}
	there, err := layout.Committed(dir)
	if err == nil && there != "" && there != options.Image.Digest {
		return nil, cli.Errorf(cli.ExitIO, "%s holds another image, %s", dir, there).WithHint("choose another directory, or empty this one")
	}
	if err != nil {
		return nil, layoutError(err)
	}
	l, err := layout.Create(dir)
	if err != nil {
		return nil, layoutError(err)
	}
	defer func() { _ = l.Close() }() // what was written is checked where it is written
	client, err := layoutClient(c, l)
	if err != nil {
		return nil, err
	}
	options.To = client.Store(layoutRepository())
	var end func()
	options.Progress, end = progress(c, "saving "+c.Args[0])
	r, err := carry.Copy(ctx, options)
	end()
	if err != nil {
		return r, err
	}
	if err := l.Commit(options.Image.Digest); err != nil {
		return r, layoutError(err)
	}
	if o.place.file != "" {
		return r, pack(l, o.place.file, dir)
	}
	return r, nil
}

// pack makes the archive, and removes the directory that it was made of.
func pack(l *layout.Layout, file, dir string) error {
	f, err := durable.New(file, durable.Options{Mode: 0o644})
	if err != nil {
		return layoutError(err)
	}
	defer f.Discard()
	if err := l.Pack(f); err != nil {
		return layoutError(err)
	}
	if err := f.Commit(); err != nil {
		return layoutError(err)
	}
	return layoutError(os.RemoveAll(dir))
}
