package main

import (
	"context"
	"slices"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/oci"
)

// optionalVerification is the flags of verifying for a command that does something else in the first place.
type optionalVerification struct {
	verification
	names []string // of its flags
}

// registerOptional adds the flags, which cosign's command of the same name does not have.
func (v *optionalVerification) registerOptional(fs *pflag.FlagSet) {
	had := map[string]bool{}
	fs.VisitAll(func(f *pflag.Flag) { had[f.Name] = true })
	v.verification.register(fs)
	fs.VisitAll(func(f *pflag.Flag) {
		if !had[f.Name] {
			cli.Own(fs, f.Name)
			v.names = append(v.names, f.Name)
		}
	})
}

// demanded says whether to verify. A key in the environment may be there for signing.
func (v *optionalVerification) demanded(c *cli.Call) bool {
	return slices.ContainsFunc(v.names, c.Typed)
}

// checker returns what verifies an image that was carried, nil when no trust was given.
func (v *optionalVerification) checker(ctx context.Context, c *cli.Call, of *carrying) (func(*oci.Client, string) error, error) {
	if !v.demanded(c) {
		return nil, nil
	}
	images := &verifyImages{verification: v.verification, registry: of.registry, checkClaims: true}
	images.output = of.output
	claims, err := images.claims()
	if err != nil {
		return nil, err
	}
	req, err := images.request(ctx, c, claims)
	if err != nil {
		return nil, err
	}
	return func(client *oci.Client, ref string) error {
		return images.one(ctx, c, &search{client: client, req: *req, finder: images.finder}, ref)
	}, nil
}
