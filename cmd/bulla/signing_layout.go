package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/oci/layout"
)

// localKinds are the prefixes of images that lie in files, and whether signatures can be put beside them there.
var localKinds = map[string]bool{"oci-layout:": true, "oci-archive:": false, "docker-archive:": false}

// localName takes the name of an image in files apart: oci-layout:PATH[:NAME] or PATH@DIGEST.
type localName struct {
	prefix, path, image string
	writable            bool
}

// parseLocal reads such a name; false says that the argument is something else. Where a file of the whole name exists that
// is meant.
func parseLocal(arg string) (localName, bool) {
	for prefix, writable := range localKinds {
		rest, ok := strings.CutPrefix(arg, prefix)
		if !ok {
			continue
		}
		n := localName{prefix: prefix, path: rest, writable: writable}
		if _, err := os.Stat(rest); err == nil {
			return n, true
		}
		if path, digest, ok := strings.Cut(rest, "@"); ok {
			n.path, n.image = path, digest
		} else if at := strings.LastIndex(rest, ":"); at > 0 {
			n.path, n.image = rest[:at], rest[at+1:]
		}
		return n, true
	}
	return localName{}, false
}

// local says whether the arguments name an image in files.
func (s *imageSigning) local(c *cli.Call) (localName, bool, error) {
	for _, arg := range c.Args {
		if n, ok := parseLocal(arg); ok && len(c.Args) == 1 {
			return n, true, nil
		} else if ok {
			return n, false, cli.Usagef("%s is signed alone, where it lies", arg).WithHint("sign the others with another command")
		}
	}
	return localName{}, false, nil
}

// checkLocal refuses what has no meaning, or no place, where an image lies in files.
func (s *imageSigning) checkLocal(c *cli.Call, n localName, upload bool) error {
	const why = "the image lies in files"
	var ignored []ignoredFlag
	for _, name := range []string{"registry-username", "registry-password", "registry-token", "registry-cacert", "registry-client-cert", "registry-client-key", "registry-server-name", "allow-http-registry", "allow-insecure-registry"} {
		ignored = append(ignored, ignoredFlag{name, why, leaveOut})
	}
	if err := refuseIgnored(c, ignored...); err != nil {
		return err
	}
	switch {
	case s.legacy() || s.both():
		return cli.Usagef("the older format names the repository, and an image in files is in none").WithHint("sign with --format=bundle, or sign when it has been loaded")
	case s.log.String() == "defer":
		return cli.Usagef("--log=defer needs a registry, from which flush takes the image again").WithHint("sign when it has been loaded")
	case upload && !n.writable:
		return cli.Usagef("nothing is written into an archive").
			WithHint("give --bundle FILE with --upload=false (attest: --no-upload), and attach it when the image has been pushed: bulla attach signature --bundle FILE, bulla attach attestation --attestation FILE")
	}
	return nil
}

// inFiles signs an image in files by what do does with a registry: the same flow, with a layout in its place. What is
// attached is put into it.
func (s *imageSigning) inFiles(ctx context.Context, c *cli.Call, n localName, upload bool, do func(*cli.Call, *oci.Client) error) error {
	open := layout.Open
	if n.writable && upload {
		open = layout.Edit
	}
	l, err := open(n.path)
	if err != nil {
		return layoutError(err)
	}
	defer func() { _ = l.Close() }() // what was written is saved below
	digest, err := l.Root(n.image)
	if err != nil {
		return layoutError(err)
	}
	// A signature is of the manifest, which says what must be there: whether it is decides what is signed.
	if err := l.Check(ctx, digest); err != nil {
		return layoutError(err)
	}
	client, err := layoutClient(c, l)
	if err != nil {
		return err
	}
	s.kept = n.prefix + n.path
	call := *withoutRepository(c)
	call.Args = []string{layout.Repository + "@" + digest}
	if err := do(&call, client); err != nil || !upload {
		return err
	}
	return layoutError(l.Save())
}

// rename calls an image in files by what was given for it.
func (s *imageSigning) rename(img *oci.Image) {
	if s.kept != "" {
		img.Ref = s.kept + "@" + img.Digest
	}
}

// subjectName is what a statement calls an image: its repository, or the last part of the path of its files, since the rest
// says nothing to others. Verifiers go by the digest.
func (s *imageSigning) subjectName(img *oci.Image) string {
	if s.kept == "" {
		return img.Repository.Name()
	}
	_, path, _ := strings.Cut(s.kept, ":")
	return filepath.Base(path)
}

// keptIn is where the evidence about an image is kept, for people.
func (s *imageSigning) keptIn(c *cli.Call, img *oci.Image) string {
	if s.kept != "" {
		return s.kept
	}
	return evidenceRepository(c, img)
}
