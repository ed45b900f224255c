package main

import (
	"context"
	"strings"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/sign"
)

// blobPrefix begins what is no image among the arguments of "sign": the rest is what "sign-blob" takes.
const blobPrefix = "blob:"

// listedBlobs are the files, URLs and digests that are signed along with images: by the same session, in the same batch.
type listedBlobs struct {
	refs   []string // without the prefix
	dir    string   // --bundle-dir
	paths  []string // where the bundles go
	signer *signBlob
}

// take takes them out of the arguments. In cosign's place there are none: "blob" is the name of an image there.
func (l *listedBlobs) take(c *cli.Call) {
	if c.Cosign {
		return
	}
	c.JSONLines = c.JSONLines || len(c.Args) > 1
	var images []string
	for _, arg := range c.Args {
		if ref, ok := strings.CutPrefix(arg, blobPrefix); ok {
			l.refs = append(l.refs, ref)
		} else {
			images = append(images, arg)
		}
	}
	c.Args = images
}

// prepareBlobs refuses what has no meaning for them, and says where their bundles go.
func (o *signImages) prepareBlobs(c *cli.Call) error {
	l := &o.blobs
	if len(l.refs) == 0 {
		return refuseIgnored(c, ignoredFlag{"bundle-dir", "the bundles of images are attached to them", "list files as " + blobPrefix + "FILE"})
	}
	for _, ref := range l.refs {
		if ref == "" || ref == "-" {
			return cli.Usagef("%s%s is no file, URL or digest", blobPrefix, ref).WithHint("sign-blob signs standard input (-)")
		}
	}
	if o.legacy() {
		return cli.Usagef("--format=legacy writes %s%s to files that only sign-blob names", blobPrefix, l.refs[0]).WithHint("sign it with sign-blob")
	}
	for _, arg := range c.Args {
		if n, ok := parseLocal(arg); ok {
			return cli.Usagef("%s%s is signed alone, where it lies", n.prefix, n.path).WithHint("sign the others with another command")
		}
	}
	if err := refuseIgnored(c, ignoredFlag{"annotations", "the signature of a file says nothing but its digest", "sign the images with another command"}); err != nil {
		return err
	}
	if err := o.onePerFile(c, len(c.Args)+len(l.refs), "bundle"); err != nil {
		return err
	}
	l.signer = &signBlob{blobSigning: blobSigning{signing: &o.signing, batch: o.batch, bundleDir: l.dir}, output: o.output.String()}
	own := *c
	own.Args = l.refs
	var err error
	l.paths, err = l.signer.bundlePaths(&own)
	l.refs = own.Args // each once
	return err
}

// run is what is to be done about them.
func (l *listedBlobs) run(opts sign.Options) batchRun {
	r := batchRun{do: func(ctx context.Context, c *cli.Call, i int) error {
		return l.signer.one(ctx, c, l.refs[i], l.paths[i], opts)
	}}
	for _, ref := range l.refs {
		r.names = append(r.names, artifactName(ref))
	}
	return r
}
