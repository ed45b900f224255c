package flags

import (
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
)

// Registry says how registries are talked to.
type Registry struct {
	AllowHTTP           bool
	AllowInsecure       bool // TLS without checking the certificate
	CloudKeychains      bool // ask the credential programs of clouds, too
	Username, Password  string
	Token               string
	CACert              string // path of PEM certificates that replace the system's
	ClientCert          string
	ClientKey           string
	ServerName          string
	AttachmentTagPrefix string // deprecated
}

// Register adds the 11 flags.
func (r *Registry) Register(fs *pflag.FlagSet) {
	cli.Topic(fs, topicRegistry, func(fs *pflag.FlagSet) {
		fs.BoolVar(&r.AllowHTTP, "allow-http-registry", false, "talk to the registry without TLS")
		fs.BoolVar(&r.AllowInsecure, "allow-insecure-registry", false, "do not check the registry's TLS certificate")
		fs.BoolVar(&r.CloudKeychains, "k8s-keychain", false, "also look for credentials of the cloud that a registry belongs to")
		fs.StringVar(&r.Username, "registry-username", "", "`USER` name, together with --registry-password")
		fs.StringVar(&r.Password, "registry-password", "", "`PASSWORD`, better given as COSIGN_REGISTRY_PASSWORD")
		fs.StringVar(&r.Token, "registry-token", "", "bearer `TOKEN`, better given as COSIGN_REGISTRY_TOKEN")
		fs.StringVar(&r.CACert, "registry-cacert", "", "PEM `FILE` of certificates to check the registry with, instead of the system's")
		fs.StringVar(&r.ClientCert, "registry-client-cert", "", "PEM `FILE` of the certificate to authenticate with")
		fs.StringVar(&r.ClientKey, "registry-client-key", "", "PEM `FILE` of that certificate's key")
		fs.StringVar(&r.ServerName, "registry-server-name", "", "`NAME` to expect in the registry's certificate")
		fs.StringVar(&r.AttachmentTagPrefix, "attachment-tag-prefix", "", "`PREFIX` of the tags that signatures are stored under")
		cli.Deprecate(fs, "attachment-tag-prefix", "signatures are attached as OCI referrers, which need no tags")
		cli.LowersSecurity(fs, "allow-http-registry", "allow-insecure-registry")
	})
}

// ReferrersMode says whether what is attached to an image goes by tag or by the OCI 1.1 referrers.
type ReferrersMode struct {
	Mode cli.Choice // legacy, oci-1-1 or empty: not said
}

// Register adds --registry-referrers-mode.
func (m *ReferrersMode) Register(fs *pflag.FlagSet) {
	cli.Topic(fs, topicRegistry, func(fs *pflag.FlagSet) {
		cli.ChoiceVar(fs, &m.Mode, "registry-referrers-mode", "how attachments are stored: by tag, or as OCI 1.1 referrers", "", "legacy", "oci-1-1")
	})
}

// SecurityKey says that a key is held by a PIV token.
type SecurityKey struct {
	Use  bool
	Slot cli.Choice // empty means signature
}

// Register adds --sk and --slot.
func (s *SecurityKey) Register(fs *pflag.FlagSet) {
	cli.Topic(fs, topicHardware, func(fs *pflag.FlagSet) {
		fs.BoolVar(&s.Use, "sk", false, "use the key of a PIV token")
		cli.ChoiceVar(fs, &s.Slot, "slot", "slot of the token; signature if not given", "", "authentication", "signature", "card-authentication", "key-management")
	})
}
