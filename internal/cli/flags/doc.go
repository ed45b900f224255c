// Package flags holds the groups of flags that several commands share. Each group is a struct with a Register method: a
// command embeds or names the group in its options and registers it in its Flags function.
//
//	var o struct {
//		verify   flags.Verify
//		registry flags.Registry
//	}
//	Flags: func(fs *pflag.FlagSet) {
//		o.verify.Register(fs)
//		o.registry.Register(fs)
//	}
//
// The names, defaults and groups are cosign's (version 3.1), so that its command lines keep working. Flags that cosign
// deprecates are accepted, hidden from help, and say what to use instead. Whether a flag was given at all, which matters
// where a default is a value, is asked of [cli.Call.Changed].
package flags

import "github.com/spf13/pflag"

// The services of Sigstore's public-good instance, which stand in where no service is named.
const (
	DefaultFulcioURL  = "https://fulcio.sigstore.dev"
	DefaultRekorURL   = "https://rekor.sigstore.dev"
	DefaultOIDCIssuer = "https://oauth2.sigstore.dev/auth"
	DefaultClientID   = "sigstore"
)

// Titles of flag groups in help texts. What has no effect yet says so: the flags are refused when they are given.
const (
	topicKey       = "Key"
	topicRegistry  = "Registry"
	topicToken     = "Identity token"
	topicCA        = "Certificate authority"
	topicTSA       = "Timestamp authority"
	topicServices  = "Services and trust"
	topicIdentity  = "Expected identity"
	topicTrust     = "Trust"
	topicHardware  = "Hardware token (not possible yet)"
	useSigningConf = "name the service in a signing config instead (--signing-config, see \"signing-config create --help\")"
	useTrustedRoot = "put it into a trusted root instead (--trusted-root, see \"trusted-root create --help\")"
	useBundle      = "give a bundle instead (--bundle), which holds it"
)

// KeyVar registers --key, which many commands have.
func KeyVar(fs *pflag.FlagSet, key *string, usage string) {
	fs.StringVar(key, "key", "", usage)
}
