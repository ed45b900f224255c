package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/blob"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/internal/config"
	"github.com/bulla-sign/bulla/internal/report"
	"github.com/bulla-sign/bulla/internal/trustsource"
	"github.com/bulla-sign/bulla/keys"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/trust/keyset"
	"github.com/bulla-sign/bulla/tuf"
	"github.com/bulla-sign/bulla/verify"
	"github.com/bulla-sign/bulla/verify/reason"
)

// verification is what the commands that verify have in common: the demands and the trust.
type verification struct {
	flags.Verify
	trusting     trustFlags
	log          cli.Choice
	output       cli.Choice
	anyPredicate bool
	extensions   []string // NAME=VALUE
	// How many distinct logs and timestamp authorities must vouch for each signature; 0 where it is not said.
	minLogs, minTimestamps int
	finder                 *finder // set by request; nil where no log is asked
}

// register adds the flags. text says what the text output is.
func (v *verification) register(fs *pflag.FlagSet) {
	v.Verify.Register(fs)
	v.trusting.register(fs, "Trust")
	cli.Topic(fs, "Expected identity", func(fs *pflag.FlagSet) {
		fs.StringArrayVar(&v.extensions, "certificate-extension", nil, "claim that the certificate must make, as `NAME=VALUE` with a name such as sourceRepositoryURI or an OID; repeatable")
	})
	cli.Topic(fs, "Trust", func(fs *pflag.FlagSet) {
		cli.ChoiceVar(fs, &v.log, "log", "whether a transparency log must hold the signature; none is the plain spelling of --insecure-ignore-tlog, online has the log at --rekor-url asked for the entries of older signatures that carry none", "require", "none", "online")
		cli.LowersSecurity(fs, "log")
		fs.IntVar(&v.minLogs, "min-logs", 0, "require entries in `N` transparency logs of different operators; without the flag one suffices")
		fs.IntVar(&v.minTimestamps, "min-timestamps", 0, "require timestamps by `N` trusted authorities of different operators")
		cli.Own(fs, "min-logs", "min-timestamps")
	})
}

// registerAnyPredicate adds the switch back to cosign's wider idea of a signature.
func (v *verification) registerAnyPredicate(fs *pflag.FlagSet) {
	cli.Topic(fs, "Trust", func(fs *pflag.FlagSet) {
		fs.BoolVar(&v.anyPredicate, "any-predicate", false, "take an attestation of any kind for a signature, as cosign 3.1 does")
		cli.LowersSecurity(fs, "any-predicate")
	})
}

// ignoresLog says whether any of the three spellings waives the log.
func (v *verification) ignoresLog() bool {
	return v.IgnoreTlog || v.PrivateInfrastructure || v.log.String() == "none"
}

func (v *verification) identity() config.Identity {
	who := config.Identity{
		Subject: v.Identity, SubjectRegexp: v.IdentityRegexp, Issuer: v.OIDCIssuer, IssuerRegexp: v.OIDCIssuerRegexp,
		Extensions: v.githubClaims(),
	}
	for _, e := range v.extensions {
		name, value, _ := strings.Cut(e, "=")
		if known, ok := identity.LookupExtension(name); ok {
			name = known.Name
		}
		who.Extensions[name] = value
	}
	return who
}

// githubClaims are the claims that have flags of their own, empty where not demanded.
func (v *verification) githubClaims() map[string]string {
	return map[string]string{
		"githubWorkflowTrigger": v.GitHubTrigger, "githubWorkflowSha": v.GitHubSHA, "githubWorkflowName": v.GitHubName,
		"githubWorkflowRepository": v.GitHubRepository, "githubWorkflowRef": v.GitHubRef,
	}
}

// wantsTimestamp says whether a signed timestamp is demanded. Whoever names the authority of one demands it, as in cosign.
func (v *verification) wantsTimestamp() bool {
	return v.UseSignedTimestamps || v.TimestampCertificateChain != "" || v.minTimestamps > 0
}

// request makes everything of a verification but its candidates and its artifact.
func (v *verification) request(ctx context.Context, c *cli.Call, claims verify.Claims) (*verify.Request, error) {
	if err := v.check(c); err != nil {
		return nil, err
	}
	req := &verify.Request{Now: c.Now(), Policy: verify.Policy{
		IgnoreLog: v.ignoresLog(), IgnoreSCT: v.IgnoreSCT, Claims: claims,
		SignedTimestampsOnly: v.wantsTimestamp(), AllowCertificateChain: v.AllowCertificateChain,
		// Without a log and without a timestamp only the present can be asked whether the certificate is valid.
		CurrentTime: v.ignoresLog() && !v.wantsTimestamp(),
	}}
	if req.Policy.Logs = v.minLogs; v.wantsTimestamp() {
		req.Policy.Timestamps = max(v.minTimestamps, 1)
	}
	if v.anyPredicate {
		req.Policy.Claims.AnyPredicate = true
	}
	if c.Changed("signature-digest-algorithm") {
		h, err := config.Hash(v.DigestAlgorithm.String())
		if err != nil {
			return nil, cli.Usagef("%w", err)
		}
		req.Policy.Hash = h
	}
	if err := v.signers(ctx, c, &req.Policy); err != nil {
		return nil, err
	}
	source, err := v.trusting.source(ctx, c)
	if err != nil {
		return nil, err
	}
	// A key without log and timestamps rests on nothing but itself. It may be revoked.
	if v.Key != "" && v.ignoresLog() && !v.wantsTimestamp() && v.TrustedRoot == "" && !v.trusting.named() {
		req.Root, err = v.trusting.revoking(ctx, c, source)
		return req, err
	}
	from := v.trust(ctx, c, source)
	names := from.Variables()
	if mirror, _ := c.LookupEnv("TUF_MIRROR"); mirror != "" && v.TrustedRoot == "" && !v.trusting.named() {
		names = append(names, "TUF_MIRROR")
	}
	if len(names) > 0 {
		c.Warnf("what is trusted comes from the environment: %s", strings.Join(names, ", "))
	}
	root, err := from.Load(ctx)
	if err != nil {
		return nil, inputError(err)
	}
	req.Root = root
	v.finder, err = v.newFinder(c, root)
	return req, err
}

// trust says where the trusted root comes from.
func (v *verification) trust(ctx context.Context, c *cli.Call, source *trustsource.Source) config.Trust {
	return config.Trust{
		Default:     func() (*trust.Root, error) { return v.trusting.root(ctx, c, source) },
		TrustedRoot: v.TrustedRoot, CARoots: v.CARoots, CAIntermediates: v.CAIntermediates,
		TimestampChain: v.TimestampCertificateChain, CertificateChain: v.CertificateChain, LookupEnv: v.trusting.lookupEnv(c),
	}
}

// signers names who must have signed.
func (v *verification) signers(ctx context.Context, c *cli.Call, p *verify.Policy) error {
	if v.Key != "" {
		if set, err := keySet(ctx, v.Key); set != nil || err != nil {
			p.Keys = set
			return inputError(err)
		}
		pub, err := keys.OpenPublic(ctx, v.Key, c.KeyEnvironment())
		if err != nil {
			return inputError(fmt.Errorf("loading public key: %w", err))
		}
		key, err := trust.NewKey(blob.DisplayName(v.Key), pub, algorithm.Unspecified, trust.Window{})
		if err != nil {
			return inputError(fmt.Errorf("public key %s: %w", blob.DisplayName(v.Key), err))
		}
		p.Keys = []trust.Key{key}
		return nil
	}
	m, err := v.identity().Matcher()
	if err != nil {
		return cli.Usagef("%w", err)
	}
	p.Identities = []identity.Matcher{m}
	return nil
}

// maxKeySet bounds a file of keys.
const maxKeySet = 1 << 20

// keySet reads --key where it names a file of keys with their windows; nil if it is something else.
func keySet(ctx context.Context, name string) ([]trust.Key, error) {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxKeySet {
		return nil, nil
	}
	data, err := readFileUpTo(ctx, name, maxKeySet)
	if err != nil || !keyset.Is(data) {
		return nil, err
	}
	set, err := keyset.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return set, nil
}

// inputError gives an error about something that was read its exit status: reading failed, or what was read is malformed.
func inputError(err error) error {
	var coded *cli.Error
	var path *fs.PathError
	switch {
	case err == nil || errors.As(err, &coded) || errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, blob.ErrNoAnswer), errors.Is(err, keys.ErrNoAnswer), errors.Is(err, tuf.ErrNoAnswer), errors.Is(err, context.DeadlineExceeded):
		return &cli.Error{Code: cli.ExitUnknown, Err: err}
	case errors.As(err, &path), errors.Is(err, fs.ErrNotExist):
		return &cli.Error{Code: cli.ExitIO, Err: err}
	}
	return &cli.Error{Code: cli.ExitInput, Err: err}
}

// refusal turns a refused report into the error that the command ends with. The exit statuses 10, 12 and 13 are for
// images; what concerns files ends with 1, and malformed evidence with the status for malformed input.
func refusal(r *verify.Report, image bool) error {
	if r.Verified {
		return nil
	}
	code := cli.ExitFailure
	switch {
	case image && r.Code == reason.NoEvidence:
		code = cli.ExitNoSignatures
	case image && r.Code == reason.NoCertificate:
		code = cli.ExitNoCertificate
	case image:
		code = cli.ExitNoMatching
	case r.Code == reason.Malformed:
		code = cli.ExitInput
	case r.Code == reason.EmptyPolicy:
		code = cli.ExitUsage
	}
	err := cli.Errorf(code, "%s", report.Clean(r.Reason))
	if hint := hintFor(r.Code); hint != "" {
		return err.WithHint("%s", hint)
	}
	return err
}

// hintFor says what to do about a refusal.
func hintFor(code reason.Code) string {
	switch code {
	case reason.NoLog:
		return "if the signature was not logged on purpose, say so with --log=none; a private log's key belongs in the trusted root (--trusted-root)"
	case reason.NoTime:
		return "the signature needs a timestamp of an authority in the trusted root (--trusted-root), or an entry in a v1 log"
	case reason.NoTimestamp:
		return "a timestamp counts when its authority is in the trusted root (--trusted-root)"
	case reason.NoSCT:
		return "if the certificate authority logs no certificates, as a private one may, say so with --insecure-ignore-sct"
	case reason.Signature, reason.LogMismatch, reason.Artifact:
		return "either this is not what was signed, or it was not this signer who signed it"
	case reason.WrongMaterial, reason.NoCertificate:
		return "bulla inspect shows whether a key or a certificate signed"
	case reason.Identity:
		return "bulla inspect shows whom the certificate names; trust that only if you expected it"
	case reason.Predicate, reason.Claim:
		return "attestations are verified with verify-attestation and verify-blob-attestation, and --type names the kind"
	case reason.Certificate, reason.NoTrust:
		return "a certificate of a private authority needs a trusted root that knows it (--trusted-root, bulla trusted-root create)"
	}
	return ""
}
