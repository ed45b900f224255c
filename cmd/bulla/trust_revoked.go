package main

import (
	"context"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/trustsource"
	"github.com/bulla-sign/bulla/trust"
)

// revoking is the trusted root of the instance that was set up, if it revokes anything: the verdict on a key alone needs no
// other part of it, neither when it signs nor when that is verified. Where nobody has set up any, nobody is asked. Where
// nothing valid is known of the instance, one that has revoked before is an error, since it may have revoked this; of
// another it is said that nobody knows.
func (t *trustFlags) revoking(ctx context.Context, c *cli.Call, source *trustsource.Source) (*trust.Root, error) {
	if source.Assumed() {
		return nil, nil
	}
	root, err := t.root(ctx, c, source)
	switch {
	case err == nil && len(root.Revocations) > 0:
		return root, nil
	case err == nil:
		return nil, nil
	case t.maxAge > 0 || source.HasRevoked() || ctx.Err() != nil:
		return nil, inputError(err)
	}
	c.Warnf("whether the key or the artifact was revoked is not known: %v", err)
	return nil, nil
}
