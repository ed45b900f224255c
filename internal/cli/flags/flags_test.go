package flags

import (
	"testing"

	"github.com/spf13/pflag"
)

// The sizes are those of cosign 3.1's own groups, as its generate-fig-spec lists them.
func TestGroupSizes(t *testing.T) {
	for name, tt := range map[string]struct {
		register   func(fs *pflag.FlagSet)
		flags      int
		deprecated int
	}{
		"registry":  {new(Registry).Register, 11, 1},
		"referrers": {new(ReferrersMode).Register, 1, 0},
		"token":     {new(SecurityKey).Register, 2, 0},
		"fulcio":    {new(Fulcio).Register, 4, 2},
		"oidc":      {new(OIDC).Register, 6, 1},
		"tsa":       {new(TSAClient).Register, 5, 1},
		"sign":      {new(Sign).Register, 29, 8},
		"certv":     {new(CertVerify).Register, 15, 5},
		"commonv":   {new(CommonVerify).Register, 9, 4},
		"verify":    {new(Verify).Register, 29, 11},
	} {
		fs := pflag.NewFlagSet("", pflag.ContinueOnError)
		tt.register(fs)
		flags, deprecated := 0, 0
		fs.VisitAll(func(f *pflag.Flag) {
			flags++
			if f.Deprecated != "" {
				deprecated++
			}
			if f.Usage == "" || len(f.Annotations) == 0 && f.Name != "bundle" && f.Name != "yes" {
				t.Errorf("%s: --%s has no explanation or no topic", name, f.Name)
			}
		})
		if flags != tt.flags || deprecated != tt.deprecated {
			t.Errorf("%s: %d flags, %d deprecated; want %d and %d", name, flags, deprecated, tt.flags, tt.deprecated)
		}
	}
}

// A command has both groups at once; a name in two of them would panic there.
func TestGroupsGoTogether(t *testing.T) {
	for name, groups := range map[string][]func(fs *pflag.FlagSet){
		"sign":   {new(Sign).Register, new(Registry).Register, new(ReferrersMode).Register},
		"verify": {new(Verify).Register, new(Registry).Register},
	} {
		fs := pflag.NewFlagSet(name, pflag.PanicOnError)
		for _, register := range groups {
			before := 0
			fs.VisitAll(func(*pflag.Flag) { before++ })
			register(fs)
			after := 0
			fs.VisitAll(func(*pflag.Flag) { after++ })
			if after == before {
				t.Errorf("%s: a group added nothing", name)
			}
		}
	}
}
