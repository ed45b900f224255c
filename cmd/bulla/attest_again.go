package main

import (
	"bytes"
	"context"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/predicate"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/verify"
)

// attested is what says already of an image what is about to be said: a bundle, nil without one, and a layer under cosign's
// older tag, with the tag.
type attested struct {
	bundle, layer *signed
	tag           string
}

// all returns the outcome where nothing is missing of what is to be written, nil where something is.
func (a *attested) all(s *signing) *signed {
	switch {
	case s.both() && (a.bundle == nil || a.layer == nil):
		return nil
	case s.both():
		a.bundle.Legacy = a.tag
	case s.legacy():
		return a.layer
	}
	return a.bundle
}

// before looks for what is there already, in the formats that are to be written.
func (o *attestImages) before(ctx context.Context, c *cli.Call, to *storage, opts *sign.Options, payload []byte) (there attested, err error) {
	if !o.again(*to) {
		return there, nil
	}
	if !o.legacy() {
		if there.bundle, err = o.attestedBefore(ctx, c, to, opts, payload); err != nil {
			return there, err
		}
	}
	if !o.older() {
		return there, nil
	}
	older := *to
	older.older = true
	if there.layer, err = o.attestedBefore(ctx, c, &older, opts, payload); err != nil || there.layer == nil {
		return there, err
	}
	there.tag, err = to.client.Triangulate(ctx, to.img, "attestation")
	there.layer.Reference = there.tag
	return there, err
}

// attestedBefore looks for earlier evidence about an image that says the same.
func (o *attestImages) attestedBefore(ctx context.Context, c *cli.Call, to *storage, opts *sign.Options, payload []byte) (*signed, error) {
	where, claims := bundlesOf(to.predicateType)
	if to.older {
		where = oci.FindOptions{Attestations: true}
	}
	return o.foundBefore(ctx, c, opts, sought{to, where, &verify.Request{Policy: verify.Policy{Claims: claims}}, func(b *bundle.Bundle) bool {
		return b.Envelope != nil && sameClaim(b.Envelope.Payload, payload)
	}, o.skipSigned})
}

// sameClaim says whether two statements claim the same with the same predicate, byte for byte. When a predicate of cosign's
// own type was made stands in it, and does not count.
func sameClaim(a, b []byte) bool {
	x, err := bundle.ParseStatement(a)
	if err != nil {
		return false
	}
	y, err := bundle.ParseStatement(b)
	if err != nil || x.PredicateType != y.PredicateType {
		return false
	}
	return bytes.Equal(predicate.Undated(x.PredicateType, x.Predicate), predicate.Undated(y.PredicateType, y.Predicate))
}
