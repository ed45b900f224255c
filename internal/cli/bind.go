package cli

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// variables returns the environment variables that can stand in for a flag, the strongest first.
func variables(flag string) [2]string {
	name := strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
	return [2]string{"BULLA_" + name, "COSIGN_" + name}
}

// bound is a flag whose value came from the environment.
type bound struct {
	flag, variable string
	lowers         bool // it turns a check off
	trusts         bool // it changes who or what is trusted
}

// bindEnv sets every flag that was not given on the command line from BULLA_<FLAG> or COSIGN_<FLAG>, where one is set
// to something, and tells which. Values are not told: some are secrets. The flags in unbound are left alone.
func bindEnv(fs *pflag.FlagSet, lookup func(string) (string, bool), unbound []string) ([]bound, error) {
	var out []bound
	var failed error
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Changed || failed != nil || f.Name == "help" || slices.Contains(unbound, f.Name) {
			return
		}
		for _, variable := range variables(f.Name) {
			value, ok := lookup(variable)
			if !ok || value == "" || len(f.Annotations[annotationOwn]) > 0 && strings.HasPrefix(variable, "COSIGN_") {
				continue
			}
			before := f.Value.String()
			if err := fs.Set(f.Name, value); err != nil {
				failed = Usagef("the environment variable %s does not fit --%s: %s", variable, f.Name, reason(err)).
					WithHint("unset %s, or give --%s on the command line", variable, f.Name)
				return
			}
			marked := func(annotation string) bool { return len(f.Annotations[annotation]) > 0 && f.Value.String() != before }
			out = append(out, bound{f.Name, variable, marked(annotationLowers), marked(annotationTrust)})
			return
		}
	})
	return out, failed
}

// reason strips what pflag puts before the cause: the value, which may be a secret.
func reason(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		return text[i+2:]
	}
	return "it is not a valid value"
}
