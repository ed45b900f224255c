package cli

import (
	"path/filepath"
	"strings"
)

// calledCosign reports whether the program was started by the name cosign, and so stands in its place.
func calledCosign(argv0 string) bool {
	name := strings.TrimSuffix(strings.ToLower(filepath.Base(argv0)), ".exe")
	return name == "cosign" || strings.HasPrefix(name, "cosign-")
}

// cosignArgs rewrites arguments as cosign does before it looks at them: long flags with one dash get two, one-letter
// flags with two dashes lose one, -version becomes the command version. Each change is told to warn. Arguments after a
// lone "--" are left alone; cosign mangles those too, which helps nobody.
func cosignArgs(args []string, warn func(format string, args ...any)) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		out[i] = arg
		switch {
		case arg == "--":
			copy(out[i:], args[i:])
			return out
		case !strings.HasPrefix(arg, "-"), len(arg) <= 2, strings.HasPrefix(arg, "--") && len(arg) >= 4:
		case strings.HasPrefix(arg, "--"):
			out[i] = arg[1:]
			warn("%s is read as %s; write it with one dash", arg, out[i])
		case arg == "-version":
			out[i] = "version"
			warn("-version is read as the command version")
		default:
			out[i] = "-" + arg
			warn("%s is read as %s; write it with two dashes", arg, out[i])
		}
	}
	return out
}

// alias resolves the shorter names that cosign has for some flags, in whatever command they occur.
func alias(name string) string {
	switch name {
	case "cert":
		return "certificate"
	case "cert-chain":
		return "certificate-chain"
	case "cert-email":
		return "certificate-email"
	case "cert-identity":
		return "certificate-identity"
	case "cert-oidc-issuer":
		return "certificate-oidc-issuer"
	case "output-cert":
		return "output-certificate"
	}
	return name
}
