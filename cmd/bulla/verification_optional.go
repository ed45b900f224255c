package main

import (
	"slices"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
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
