package main

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/sign"
)

// Words of --format.
const (
	formatBundle = "bundle"
	formatLegacy = "legacy"
	formatBoth   = "both"
)

// legacy says whether cosign's formats from before the Sigstore bundle are written, and nothing else.
func (s *signing) legacy() bool { return !s.NewBundleFormat }

// both says whether they are written beside the Sigstore bundle.
func (s *signing) both() bool { return s.format.String() == formatBoth }

// older says whether they are written at all.
func (s *signing) older() bool { return s.legacy() || s.both() }

// checkFormat makes one of --format and --new-bundle-format, which says the same of two of the three.
func (s *signing) checkFormat(c *cli.Call) error {
	format := s.format.String()
	if format == "" {
		return nil
	}
	if legacy := format == formatLegacy; c.Changed("new-bundle-format") && s.NewBundleFormat == legacy {
		return cli.Usagef("--format=%s and --new-bundle-format=%t contradict each other", format, s.NewBundleFormat).WithHint("say --format alone")
	}
	s.NewBundleFormat = format != formatLegacy
	return nil
}

// checkOlder refuses services whose answers the older formats have no place for, before any of them is asked.
func (s *signing) checkOlder(p *plan) error {
	if !s.older() {
		return nil
	}
	const hint = "give a signing config with one log of version 1 and at most one timestamp authority, or write bundles alone (--format=bundle)"
	for _, l := range p.logs {
		if l.MajorAPIVersion != 1 {
			return cli.Usagef("the older formats have no place for what the log %s signs, whose version is %d", l.URL, l.MajorAPIVersion).WithHint(hint)
		}
	}
	if len(p.logs) > 1 || len(p.tsas) > 1 {
		return cli.Usagef("the older formats have a place for one log entry and one timestamp, and %d logs and %d timestamp authorities are chosen", len(p.logs), len(p.tsas)).WithHint(hint)
	}
	return nil
}

// olderSuffix is how cosign's own bundle of a file is called beside its Sigstore bundle; verify-blob knows it.
const olderSuffix = ".bundle"

// olderPath is where cosign's own bundle goes that is written beside a Sigstore bundle.
func olderPath(path string) string { return strings.TrimSuffix(path, besideSuffix) + olderSuffix }

// olderBlob makes cosign's own bundle of a file's signature, and verifies it as it reads back. It holds no timestamp, which
// cosign kept in a file of its own, so none is demanded of it.
func olderBlob(b *bundle.Bundle, artifact algorithm.Message, o *sign.Options) ([]byte, error) {
	data, err := b.CosignBlob()
	if err != nil {
		return nil, err
	}
	back, err := bundle.DecodeCosignBlob(data, bundle.Detached{})
	if err != nil {
		return nil, err
	}
	checked := *o
	checked.Timestampers = nil
	if err := sign.Check(back, artifact, checked); err != nil {
		return nil, fmt.Errorf("the signature does not verify in the older format, and nothing was written: %w", err)
	}
	return data, nil
}

// layer is what goes under one of cosign's older tags.
type layer struct {
	payload     []byte
	mediaType   string
	annotations map[string]string
}

// olderLayer makes a layer of a bundle and verifies it as it reads back. A layer has a place for the certificates above the
// signer's own, which readers of the time expect there.
func olderLayer(b *bundle.Bundle, artifact algorithm.Message, o *sign.Options) (*layer, error) {
	whole := *b
	chain, err := o.Chain()
	if err != nil {
		return nil, err
	}
	whole.Material.Certificates = chain
	var l layer
	if l.payload, l.mediaType, l.annotations, err = whole.Layer(); err != nil {
		return nil, err
	}
	back, err := bundle.FromLayer(l.payload, l.mediaType, l.annotations)
	if err != nil {
		return nil, err
	}
	if err := sign.Check(back, artifact, *o); err != nil {
		return nil, fmt.Errorf("the signature does not verify in the older format, and nothing was written: %w", err)
	}
	return &l, nil
}

// detached is a signature as the older formats have it in a file of its own.
func detached(signature []byte) []byte {
	return []byte(base64.StdEncoding.EncodeToString(signature))
}
