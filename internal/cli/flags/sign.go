package flags

import (
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
)

// Fulcio says where a short-lived certificate comes from and by which identity token.
type Fulcio struct {
	IdentityToken      string     // a token, or the path of a file that holds one
	AuthFlow           cli.Choice // empty: as the surroundings allow
	URL                string     // deprecated
	InsecureSkipVerify bool       // deprecated
}

// Register adds the four flags.
func (f *Fulcio) Register(fs *pflag.FlagSet) {
	cli.Topic(fs, topicToken, func(fs *pflag.FlagSet) {
		fs.StringVar(&f.IdentityToken, "identity-token", "", "identity token to get a certificate with: a `TOKEN` or the path of a file with one")
		cli.ChoiceVar(fs, &f.AuthFlow, "fulcio-auth-flow", "how to log in where no token is at hand", "", "normal", "device", "token", "client_credentials")
	})
	cli.Topic(fs, topicCA, func(fs *pflag.FlagSet) {
		fs.StringVar(&f.URL, "fulcio-url", DefaultFulcioURL, "`URL` of the certificate authority")
		fs.BoolVar(&f.InsecureSkipVerify, "insecure-skip-verify", false, "do not check the certificate's SCT while signing")
		cli.Deprecate(fs, "fulcio-url", useSigningConf)
		cli.Deprecate(fs, "insecure-skip-verify", "it has no effect: what is signed is verified as it will be later")
	})
}

// OIDC says how an identity token is obtained.
type OIDC struct {
	ClientID, ClientSecretFile, RedirectURL string
	Provider                                string // one of the providers of the surroundings, by name
	DisableAmbient                          bool
	Issuer                                  string // deprecated
}

// Register adds the six flags.
func (o *OIDC) Register(fs *pflag.FlagSet) {
	cli.Topic(fs, topicToken, func(fs *pflag.FlagSet) {
		fs.StringVar(&o.ClientID, "oidc-client-id", DefaultClientID, "OAuth `CLIENT` to log in as")
		fs.StringVar(&o.ClientSecretFile, "oidc-client-secret-file", "", "`FILE` with the OAuth client's secret")
		fs.StringVar(&o.RedirectURL, "oidc-redirect-url", "", "`URL` that the browser comes back to after logging in")
		fs.StringVar(&o.Provider, "oidc-provider", "", "take the token from the `PROVIDER` of this name only: filesystem, envvar, github-actions, buildkite-agent, circleci, spiffe, google-impersonate or google-workload-identity; without the flag they are tried in this order")
		fs.BoolVar(&o.DisableAmbient, "oidc-disable-ambient-providers", false, "do not look for a token in the surroundings, log in")
		fs.StringVar(&o.Issuer, "oidc-issuer", DefaultOIDCIssuer, "`URL` of the identity provider")
		cli.Deprecate(fs, "oidc-issuer", useSigningConf)
	})
}

// TSAClient says how a timestamp authority is talked to.
type TSAClient struct {
	CACert, ClientCert, ClientKey string // paths
	ServerName                    string
	URL                           string // deprecated
}

// Register adds the five flags.
func (t *TSAClient) Register(fs *pflag.FlagSet) {
	cli.Topic(fs, topicTSA, func(fs *pflag.FlagSet) {
		fs.StringVar(&t.CACert, "timestamp-client-cacert", "", "PEM `FILE` of certificates to check the timestamp server with")
		fs.StringVar(&t.ClientCert, "timestamp-client-cert", "", "PEM `FILE` of the certificate to authenticate with")
		fs.StringVar(&t.ClientKey, "timestamp-client-key", "", "PEM `FILE` of that certificate's key")
		fs.StringVar(&t.ServerName, "timestamp-server-name", "", "`NAME` to expect in the timestamp server's certificate")
		fs.StringVar(&t.URL, "timestamp-server-url", "", "`URL` of the timestamp authority")
		cli.Deprecate(fs, "timestamp-server-url", useSigningConf)
	})
}

// Sign is what all commands that sign have in common.
type Sign struct {
	Fulcio
	OIDC
	TSAClient
	SecurityKey
	Key                           string
	Certificate, CertificateChain string // paths
	Bundle                        string // path of the bundle to write
	Yes                           bool
	UseSigningConfig              bool // take the signing config that comes with the trusted root
	SigningConfig, TrustedRoot    string

	// Deprecated:
	RekorURL         string
	TlogUpload       bool
	IssueCertificate bool // get a certificate although a key is given
	NewBundleFormat  bool
}

// Register adds the 29 flags.
func (s *Sign) Register(fs *pflag.FlagSet) {
	cli.Topic(fs, topicKey, func(fs *pflag.FlagSet) {
		KeyVar(fs, &s.Key, "sign with a key instead of an identity: a file, env://NAME, a URL or a key store's `REFERENCE`")
		fs.StringVar(&s.Certificate, "certificate", "", "certificate of the key to put into the bundle, a PEM or DER `FILE`")
		fs.StringVar(&s.CertificateChain, "certificate-chain", "", "PEM `FILE` of the certificates above it, from its issuer to the root")
	})
	s.SecurityKey.Register(fs)
	fs.StringVar(&s.Bundle, "bundle", "", "write the signature and all that is needed to verify it to `FILE`")
	fs.BoolVarP(&s.Yes, "yes", "y", false, "confirm every question beforehand")
	s.Fulcio.Register(fs)
	s.OIDC.Register(fs)
	s.TSAClient.Register(fs)
	cli.Topic(fs, topicServices, func(fs *pflag.FlagSet) {
		fs.BoolVar(&s.UseSigningConfig, "use-signing-config", true, "use the services that the trusted root's publisher recommends (see \"initialize --help\")")
		fs.StringVar(&s.SigningConfig, "signing-config", "", "use the services that `FILE` names")
		fs.StringVar(&s.TrustedRoot, "trusted-root", "", "check what was signed with the trusted root in `FILE`, which verifiers will use, instead of the one that \"initialize\" set up")
		fs.StringVar(&s.RekorURL, "rekor-url", DefaultRekorURL, "`URL` of the transparency log")
		fs.BoolVar(&s.TlogUpload, "tlog-upload", true, "enter the signature into a transparency log")
		fs.BoolVar(&s.IssueCertificate, "issue-certificate", false, "get a certificate for the given key")
		fs.BoolVar(&s.NewBundleFormat, "new-bundle-format", true, "write a Sigstore bundle")
		cli.Exclusive(fs, "use-signing-config", "signing-config")
		cli.Deprecate(fs, "rekor-url", useSigningConf)
		cli.Deprecate(fs, "tlog-upload", "give a signing config that names no transparency log (--signing-config)")
		cli.Deprecate(fs, "issue-certificate", "it will go away with the formats before the Sigstore bundle")
		cli.Deprecate(fs, "new-bundle-format", "the Sigstore bundle is the format to use; the older ones will always be read")
	})
}
