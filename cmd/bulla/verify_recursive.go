package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/report"
	"github.com/bulla-sign/bulla/oci"
)

// recursion says what of an index for several platforms is to be verified.
type recursion struct {
	mode     cli.Choice // "all", "any", or empty: the reference itself only
	platform string
}

func (r *recursion) register(fs *pflag.FlagSet) {
	cli.Topic(fs, "Evidence", func(fs *pflag.FlagSet) {
		cli.ChoiceVar(fs, &r.mode, "recursive", "verify an index and what is in it: all demands evidence about each manifest; any is content with evidence about an index that lists it, by its digest", "", "all", "any")
		fs.StringVar(&r.platform, "platform", "", "verify the image for `OS/ARCHITECTURE[/VARIANT]` in the index; with --recursive, the indexes above it too")
		cli.Own(fs, "recursive", "platform")
	})
}

func (r *recursion) used() bool { return r.mode.String() != "" || r.platform != "" }

// recursive is one walk through an index.
type recursive struct {
	o       *verifyImages
	c       *cli.Call
	search  func() *search
	only    string // the digest of the image for the platform; empty: all
	checked int
	good    int   // manifests that are verified or vouched for
	failed  error // the first of what was found wanting
}

// above is what a manifest inherits from the indexes that list it.
type above struct {
	by      *oci.Image // one whose evidence vouches for all that it lists; nil without
	unknown error      // why evidence about one of them could not be looked at; nil when all could
}

// recursively verifies an index and what is in it. Every manifest is known by the digest that the one above it states, down
// from what the reference names; no tag is looked up twice.
func (o *verifyImages) recursively(ctx context.Context, c *cli.Call, search func() *search, ref string) error {
	s := search()
	w := &recursive{o: o, c: c, search: search}
	if err := checkPlatform(o.platform); err != nil {
		return err
	}
	img, err := s.client.Resolve(ctx, ref)
	if err != nil {
		return o.noVerdict(c, err, cmp.Or(s.kept, ref))
	}
	if s.kept != "" {
		img.Ref = s.kept
	}
	if o.platform != "" {
		one, err := platformIn(ctx, c, s.client, img, o.platform)
		if err != nil {
			return o.noVerdict(c, err, img.Ref)
		}
		if o.mode.String() == "" {
			return o.image(ctx, c, s, one)
		}
		w.only = one.Digest
	}
	if err := w.walk(ctx, img, above{}); err != nil {
		return err
	}
	if w.failed == nil && w.good == 0 {
		return cli.Errorf(cli.ExitNoSignatures, "%s: nothing in it was verified", s.name(img))
	}
	return w.failed
}

// walk verifies a manifest and what it lists.
func (w *recursive) walk(ctx context.Context, img *oci.Image, over above) error {
	if w.checked++; w.checked > maxTargets {
		return cli.Errorf(cli.ExitInput, "--recursive leads to more than %d manifests", maxTargets)
	}
	over, err := w.judge(ctx, img, over)
	if err != nil {
		return err
	}
	if ctx.Err() != nil || !img.IsIndex() {
		return ctx.Err()
	}
	s := w.search()
	children, err := s.client.Children(ctx, img)
	if err != nil {
		return w.o.noVerdict(w.c, err, s.name(img))
	}
	for _, child := range children {
		if w.only != "" && child.Digest != w.only && !child.IsIndex() {
			continue
		}
		if err := w.walk(ctx, child, over); err != nil {
			return err
		}
	}
	return nil
}

// judge decides about one manifest, and what those that it lists inherit.
func (w *recursive) judge(ctx context.Context, img *oci.Image, over above) (above, error) {
	if over.by != nil {
		w.good++
		return over, w.vouch(img, over.by)
	}
	err := w.one(ctx, img)
	anyOf := w.o.mode.String() == "any"
	var coded *cli.Error
	switch {
	case err == nil:
		w.good++
		if anyOf {
			over.by = img
		}
	case anyOf && img.IsIndex():
		// It need not be signed when everything in it is. Evidence about it that is out of reach might have sufficed.
		if errors.As(err, &coded) && coded.Code == cli.ExitUnknown && over.unknown == nil {
			over.unknown = err
		}
	case w.failed == nil && over.unknown != nil:
		w.failed = over.unknown
	case w.failed == nil:
		w.failed = err
	}
	return over, nil
}

// one verifies a manifest by evidence about itself.
func (w *recursive) one(ctx context.Context, img *oci.Image) error {
	s := w.search()
	err := w.o.image(ctx, w.c, s, img)
	if err != nil {
		w.c.Infof("%s: %v", report.Clean(s.name(img)), err)
	}
	return err
}

// vouched is the report, in JSON, about a manifest that needs no evidence of its own.
type vouched struct {
	Verified  bool   `json:"verified"`
	Artifact  string `json:"artifact"`
	Digest    string `json:"digest"`
	Platform  string `json:"platform,omitempty"`
	VouchedBy string `json:"vouchedBy"`
}

// vouch says that a manifest needs no evidence of its own.
func (w *recursive) vouch(img, by *oci.Image) error {
	s := w.search()
	if w.o.output.String() == "json" {
		return w.c.PrintJSON(vouched{true, s.name(img), img.Digest, img.Platform, s.name(by)})
	}
	_, err := fmt.Fprintf(w.c.Out, "Vouched for: %s\n  listed by its digest in the verified index %s\n", s.name(img), s.name(by))
	return err
}

// checkRecursion refuses what does not go together.
func (o *verifyImages) checkRecursion() error {
	switch {
	case !o.used():
		return nil
	case o.signature != "":
		return cli.Usagef("--signature is about one manifest: it cannot be given with --recursive or --platform")
	case o.attestations && o.mode.String() == "any":
		return cli.Usagef("--recursive=any is for signatures: an attestation about an index states nothing about an image in it").
			WithHint("use --recursive=all, or --platform")
	}
	return nil
}
