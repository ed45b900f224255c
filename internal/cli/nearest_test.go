package cli

import (
	"testing"

	"github.com/spf13/pflag"
)

func TestNearestFlag(t *testing.T) {
	fs := pflag.NewFlagSet("x", pflag.ContinueOnError)
	for _, name := range []string{"key", "sk", "log", "certificate-identity", "certificate-identity-regexp", "old", "secret"} {
		fs.String(name, "", "")
	}
	fs.Lookup("old").Deprecated, fs.Lookup("secret").Hidden = "yes", true
	for name, want := range map[string]string{
		"kye": "key", "keys": "key", "certificate-identiy": "certificate-identity", "certificate-identity-regex": "certificate-identity-regexp",
		"nope": "", "": "", "k": "", "olds": "", "secrets": "", "zz": "",
	} {
		if got := nearestFlag(fs, name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	for pair, want := range map[[2]string]int{{"", ""}: 0, {"", "ab"}: 2, {"kitten", "sitting"}: 3, {"abc", "abc"}: 0, {"key", "kye"}: 2} {
		if got := distance(pair[0], pair[1]); got != want {
			t.Errorf("%q: %d, want %d", pair, got, want)
		}
	}
}
