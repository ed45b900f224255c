package flags

import (
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
)

// CertVerify says which certificates are accepted.
type CertVerify struct {
	Identity, IdentityRegexp     string
	OIDCIssuer, OIDCIssuerRegexp string
	// GitHub's claims, as in the certificate's extensions.
	GitHubTrigger, GitHubSHA, GitHubName, GitHubRepository, GitHubRef string
	IgnoreSCT                                                         bool

	// Deprecated, all of them paths:
	Certificate, CertificateChain string
	CARoots, CAIntermediates      string
	SCT                           string
}

// Register adds the 15 flags.
func (c *CertVerify) Register(fs *pflag.FlagSet) {
	cli.Topic(fs, topicIdentity, func(fs *pflag.FlagSet) {
		fs.StringVar(&c.Identity, "certificate-identity", "", "`NAME` that must be in the certificate: an e-mail address or a URI")
		fs.StringVar(&c.IdentityRegexp, "certificate-identity-regexp", "", "regular `EXPRESSION` that the name must match")
		fs.StringVar(&c.OIDCIssuer, "certificate-oidc-issuer", "", "`ISSUER` of the token that the certificate was given for")
		fs.StringVar(&c.OIDCIssuerRegexp, "certificate-oidc-issuer-regexp", "", "regular `EXPRESSION` that the issuer must match")
		fs.StringVar(&c.GitHubTrigger, "certificate-github-workflow-trigger", "", "`EVENT` that started the GitHub workflow")
		fs.StringVar(&c.GitHubSHA, "certificate-github-workflow-sha", "", "`COMMIT` that the GitHub workflow ran for")
		fs.StringVar(&c.GitHubName, "certificate-github-workflow-name", "", "`NAME` of the GitHub workflow")
		fs.StringVar(&c.GitHubRepository, "certificate-github-workflow-repository", "", "`REPOSITORY` (owner/name) of the GitHub workflow")
		fs.StringVar(&c.GitHubRef, "certificate-github-workflow-ref", "", "git `REF` that the GitHub workflow ran for")
		cli.ChangesTrust(fs, "certificate-identity", "certificate-identity-regexp", "certificate-oidc-issuer", "certificate-oidc-issuer-regexp")
	})
	cli.Topic(fs, topicTrust, func(fs *pflag.FlagSet) {
		fs.BoolVar(&c.IgnoreSCT, "insecure-ignore-sct", false, "do not require that the certificate was entered into a certificate transparency log")
		fs.StringVar(&c.Certificate, "certificate", "", "certificate to verify with, a PEM or DER `FILE`")
		fs.StringVar(&c.CertificateChain, "certificate-chain", "", "PEM `FILE` of the certificates above it, from its issuer to the root")
		fs.StringVar(&c.CARoots, "ca-roots", "", "PEM `FILE` of root certificates to trust")
		fs.StringVar(&c.CAIntermediates, "ca-intermediates", "", "PEM `FILE` of intermediate certificates")
		fs.StringVar(&c.SCT, "sct", "", "`FILE` with the detached signed certificate timestamp")
		cli.LowersSecurity(fs, "insecure-ignore-sct")
		cli.ChangesTrust(fs, "certificate-chain", "ca-roots", "ca-intermediates")
		cli.Exclusive(fs, "ca-roots", "certificate-chain")
		cli.Exclusive(fs, "ca-intermediates", "certificate-chain")
		cli.Deprecate(fs, "certificate", useBundle)
		cli.Deprecate(fs, "certificate-chain", useTrustedRoot)
		cli.Deprecate(fs, "ca-roots", useTrustedRoot)
		cli.Deprecate(fs, "ca-intermediates", useTrustedRoot)
		cli.Deprecate(fs, "sct", useBundle)
	})
}

// CommonVerify says what evidence is demanded and what is trusted.
type CommonVerify struct {
	IgnoreTlog            bool
	UseSignedTimestamps   bool
	TrustedRoot           string // path
	MaxWorkers            int
	AllowCertificateChain bool // accept a chain in a bundle where the format wants one certificate

	// Deprecated:
	PrivateInfrastructure     bool
	ExperimentalOCI11         bool
	TimestampCertificateChain string
	NewBundleFormat           bool
}

// Register adds the nine flags. cosign has --offline here, too, which every command has.
func (c *CommonVerify) Register(fs *pflag.FlagSet) {
	cli.Topic(fs, topicTrust, func(fs *pflag.FlagSet) {
		fs.StringVar(&c.TrustedRoot, "trusted-root", "", "trust the keys and authorities in `FILE` instead of the public ones")
		fs.BoolVar(&c.IgnoreTlog, "insecure-ignore-tlog", false, "do not require that the signature was entered into a transparency log")
		fs.BoolVar(&c.UseSignedTimestamps, "use-signed-timestamps", false, "require a timestamp by a trusted authority")
		fs.BoolVar(&c.AllowCertificateChain, "allow-certificate-chain", false, "accept bundles that carry a chain of certificates")
		fs.IntVar(&c.MaxWorkers, "max-workers", 10, "how many signatures are fetched at the same time")
		fs.BoolVar(&c.PrivateInfrastructure, "private-infrastructure", false, "do not require an entry in a transparency log")
		fs.BoolVar(&c.ExperimentalOCI11, "experimental-oci11", false, "look for signatures among the OCI 1.1 referrers")
		fs.StringVar(&c.TimestampCertificateChain, "timestamp-certificate-chain", "", "PEM `FILE` of the timestamp authority's certificates")
		fs.BoolVar(&c.NewBundleFormat, "new-bundle-format", true, "expect a Sigstore bundle")
		cli.LowersSecurity(fs, "insecure-ignore-tlog", "private-infrastructure")
		cli.ChangesTrust(fs, "trusted-root", "timestamp-certificate-chain")
		cli.Deprecate(fs, "private-infrastructure", "say --insecure-ignore-tlog instead")
		cli.Deprecate(fs, "experimental-oci11", "referrers are always looked at")
		cli.Deprecate(fs, "timestamp-certificate-chain", useTrustedRoot)
		cli.Deprecate(fs, "new-bundle-format", "every format is recognised by itself")
	})
}

// Verify is what all commands that verify have in common.
type Verify struct {
	CertVerify
	CommonVerify
	SecurityKey
	Key string

	// Deprecated:
	RekorURL        string
	DigestAlgorithm cli.Choice // sha224, sha256, sha384 or sha512
}

// Register adds the 30 flags.
func (v *Verify) Register(fs *pflag.FlagSet) {
	cli.Topic(fs, topicKey, func(fs *pflag.FlagSet) {
		KeyVar(fs, &v.Key, "verify with a public key: a file, env://NAME, a URL or a key store's `REFERENCE`")
		cli.ChangesTrust(fs, "key")
	})
	v.CertVerify.Register(fs)
	v.CommonVerify.Register(fs)
	v.SecurityKey.Register(fs)
	cli.Topic(fs, topicTrust, func(fs *pflag.FlagSet) {
		fs.StringVar(&v.RekorURL, "rekor-url", DefaultRekorURL, "`URL` of the transparency log")
		cli.ChoiceVar(fs, &v.DigestAlgorithm, "signature-digest-algorithm", "what the signed message was hashed with", "sha256", "sha224", "sha384", "sha512")
		cli.Deprecate(fs, "rekor-url", useBundle)
		cli.Deprecate(fs, "signature-digest-algorithm", "it is known from the bundle and the key")
	})
}
