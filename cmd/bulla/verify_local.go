package main

import (
	"context"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/oci/layout"
)

// inFiles says whether an argument names an image in files. What a file lists names images in registries, whatever lies here
// under the same name: that is where those who use the file get them from.
func (o *verifyImages) inFiles(c *cli.Call, ref string) (localName, bool) {
	switch {
	case o.localImage:
		return localName{path: ref}, true
	case c.Cosign || o.listed:
		return localName{}, false
	}
	return parseLocal(ref)
}

// oneLocal verifies an image that was saved: the same search, asking a layout in place of a registry.
func (o *verifyImages) oneLocal(ctx context.Context, c *cli.Call, s *search, n localName) error {
	s.kept = n.prefix + n.path
	l, err := layout.Open(n.path)
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
	done := c.Progress("reading %s", n.path)
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
