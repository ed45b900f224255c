package main

import (
	"context"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/evidence"
	"github.com/bulla-sign/bulla/internal/report"
	"github.com/bulla-sign/bulla/oci/layout"
	"github.com/bulla-sign/bulla/verify"
)

// local verifies images that were saved: the same search, asking a layout in place of a registry.
func (o *verifyImages) local(ctx context.Context, c *cli.Call, req *verify.Request, beside evidence.Beside) error {
	var failed error
	for _, path := range c.Args {
		err := o.oneLocal(ctx, c, &search{req: *req, beside: beside, attestations: o.attestations, finder: o.finder, kept: path}, localName{path: path})
		if err == nil {
			continue
		}
		if len(c.Args) > 1 {
			c.Infof("%s: %v", report.Clean(path), err)
		}
		if failed == nil {
			failed = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return failed
}

// oneLocal verifies one layout, or the image in it that is named.
func (o *verifyImages) oneLocal(ctx context.Context, c *cli.Call, s *search, n localName) error {
	path := n.path
	l, err := layout.Open(path)
	if err != nil {
		return layoutError(err)
	}
	defer func() { _ = l.Close() }() // read only
	digest, err := l.Root(n.image)
	if err != nil {
		return layoutError(err)
	}
	if s.client, err = layoutClient(c, l); err != nil {
		return err
	}
	done := c.Progress("reading %s", path)
	err = l.Check(ctx, digest)
	done()
	if err != nil {
		return layoutError(err)
	}
	if o.used() {
		return o.recursively(ctx, c, func() *search { fresh := *s; return &fresh }, layout.Repository+"@"+digest)
	}
	img, err := s.client.Parse(layout.Repository + "@" + digest)
	if err != nil {
		return err
	}
	img.Ref = s.kept
	return o.image(ctx, c, s, img)
}
