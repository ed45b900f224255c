package main

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/identity"
	"github.com/bulla-sign/bulla/internal/blob"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/internal/describe"
	"github.com/bulla-sign/bulla/internal/evidence"
	"github.com/bulla-sign/bulla/keys"
	"github.com/bulla-sign/bulla/timestamp"
	"github.com/bulla-sign/bulla/tlog"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/verify"
)

// bundleCreate are the files that a bundle is made of, and where it goes.
type bundleCreate struct {
	artifact, attestation, bundle, signature string
	certificate, key, timestamp              string
	ignoreTlog                               bool
	rekorURL, out                            string
	token                                    flags.SecurityKey
}

func bundleCreateCommand() *cli.Command {
	o := &bundleCreate{}
	return &cli.Command{
		Use: "create [flags]", Short: "Make a Sigstore bundle of signed material in older forms",
		Long: `Make a Sigstore bundle of a detached signature, an attestation, or one of cosign's older bundles, with the certificate or the public key that it verifies with.

The signature is verified over the artifact before anything is written; that the signer is to be trusted is not asked. A log entry comes from the older bundle, and none is looked up: without one, --ignore-tlog says that the signature was not logged. An older bundle holds a signed entry timestamp and no inclusion proof, which bundles v0.2 and later demand; the result is a bundle v0.1 then, which verifies everywhere.`,
		Example: `# a detached signature made with a key
bulla bundle create --artifact a.txt --signature a.txt.sig --key cosign.pub --ignore-tlog --out a.txt.sigstore.json

# a bundle that an older cosign wrote
bulla bundle create --artifact a.txt --bundle a.txt.bundle --out a.txt.sigstore.json`,
		Flags: o.register, Run: o.run,
	}
}

func (o *bundleCreate) register(fs *pflag.FlagSet) {
	fs.StringVar(&o.artifact, "artifact", "", "what was signed: a `FILE`, - for standard input, a URL, or a digest such as sha256:HEX")
	fs.StringVar(&o.signature, "signature", "", "`FILE` with the signature, in base64 or as it is")
	fs.StringVar(&o.attestation, "attestation", "", "`FILE` with a signed attestation, a DSSE envelope")
	fs.StringVar(&o.bundle, "bundle", "", "`FILE` with a bundle that an older cosign wrote")
	fs.StringVar(&o.certificate, "certificate", "", "`FILE` with the signing certificate, in PEM, base64 of PEM, or DER")
	flags.KeyVar(fs, &o.key, "public key that the signature verifies with: a file, env://NAME, a URL or a key store's `REFERENCE`")
	o.token.Register(fs)
	fs.StringVar(&o.timestamp, "rfc3161-timestamp", "", "`FILE` with a timestamp over the signature")
	fs.BoolVar(&o.ignoreTlog, "ignore-tlog", false, "the signature is not in a transparency log")
	fs.StringVar(&o.rekorURL, "rekor-url", flags.DefaultRekorURL, "`URL` of the log to look the signature up in; not used yet")
	fs.StringVar(&o.out, "out", "", "write to `FILE` instead of standard output")
	cli.Deprecate(fs, "rekor-url", "log entries are not looked up; an older bundle holds its own")
	cli.Exclusive(fs, "bundle", "certificate")
	cli.Exclusive(fs, "bundle", "signature")
	cli.Exclusive(fs, "certificate", "key", "sk")
}

func (o *bundleCreate) run(ctx context.Context, c *cli.Call) error {
	if err := o.check(c); err != nil {
		return err
	}
	b, err := o.assemble(ctx)
	if err != nil {
		return inputError(err)
	}
	if err := o.checkLog(c, b); err != nil {
		return err
	}
	key, err := o.signer(ctx, c, b)
	if err != nil {
		return err
	}
	artifact, err := openBlob(ctx, c, o.artifact)
	if err != nil {
		return err
	}
	if err := verifyWithKey(c, b, artifact, key); err != nil {
		return err
	}
	if err := consistent(b); err != nil {
		return &cli.Error{Code: cli.ExitInput, Err: err}
	}
	out, err := encodeChecked(c, b)
	if err != nil {
		return err
	}
	return writeDocument(c, o.out, out)
}

// check refuses what makes no sense before anything is read.
func (o *bundleCreate) check(c *cli.Call) error {
	switch {
	case o.token.Use:
		return cli.Usagef("keys on PIV tokens (--sk) are not supported").
			WithHint("export the public key from the token and give it as a file with --key")
	case o.artifact == "":
		return cli.Usagef("must supply --artifact")
	case o.bundle == "" && o.signature == "" && o.attestation == "":
		return cli.Usagef("must at least supply signature via --bundle or --signature, or with --attestation")
	}
	if err := ignoredFlags(c, "sk", "slot"); err != nil {
		return err
	}
	return refuseRekorURL(c, "the log is not asked for entries")
}

// assemble reads the parts into a bundle of cosign's older form.
func (o *bundleCreate) assemble(ctx context.Context) (*bundle.Bundle, error) {
	var parts bundle.Detached
	for _, part := range []struct {
		name string
		into *[]byte
	}{{o.signature, &parts.Signature}, {o.certificate, &parts.Certificate}, {o.timestamp, &parts.Timestamp}} {
		if part.name == "" {
			continue
		}
		data, err := evidence.Read(ctx, part.name)
		if err != nil {
			return nil, err
		}
		*part.into = data
	}
	var envelope []byte
	if o.attestation != "" {
		var err error
		if envelope, err = evidence.Read(ctx, o.attestation); err != nil {
			return nil, err
		}
	}
	switch {
	case o.bundle != "":
		b, err := o.readOldBundle(ctx, parts)
		if err != nil || envelope == nil {
			return b, err
		}
		return b, o.useAttestation(b, envelope)
	case o.signature != "":
		b, err := bundle.FromDetached(parts)
		if err != nil || envelope == nil {
			return b, named(err, o.signature)
		}
		return b, o.useAttestation(b, envelope)
	}
	if bundle.Sniff(envelope) == "in-toto statement" {
		return nil, fmt.Errorf("%s holds a statement without a signature: give the envelope that signs it with --signature", o.attestation)
	}
	if _, err := bundle.ParseEnvelope(envelope); err != nil {
		return nil, named(err, o.attestation)
	}
	parts.Signature = envelope
	b, err := bundle.FromDetached(parts)
	return b, named(err, o.attestation)
}

func (o *bundleCreate) readOldBundle(ctx context.Context, beside bundle.Detached) (*bundle.Bundle, error) {
	data, err := evidence.Read(ctx, o.bundle)
	if err != nil {
		return nil, err
	}
	if format := bundle.Sniff(data); format == "sigstore bundle" {
		return nil, cli.Errorf(cli.ExitInput, "%s is a sigstore bundle already", o.bundle).
			WithHint("bundle upgrade writes older Sigstore bundles anew")
	}
	b, err := bundle.DecodeCosignBlob(data, beside)
	return b, named(err, o.bundle)
}

// useAttestation puts the envelope of --attestation into a bundle whose signature came from elsewhere. It must be the
// same signature: cosign drops the other one without a word.
func (o *bundleCreate) useAttestation(b *bundle.Bundle, data []byte) error {
	if bundle.Sniff(data) == "in-toto statement" {
		// attest-blob writes the statement to one file and the envelope that signs it to another.
		if b.Envelope == nil || !bytes.Equal(bytes.TrimSpace(b.Envelope.Payload), bytes.TrimSpace(data)) {
			return fmt.Errorf("%s holds a statement that %s does not sign", o.attestation, o.signature+o.bundle)
		}
		return nil
	}
	envelope, err := bundle.ParseEnvelope(data)
	if err != nil {
		return named(err, o.attestation)
	}
	if !bytes.Equal(theSignature(b), envelope.Signatures[0].Sig) {
		return fmt.Errorf("the signature in %s is not that of %s", o.signature+o.bundle, o.attestation)
	}
	b.Message, b.Envelope = nil, envelope
	return nil
}

func theSignature(b *bundle.Bundle) []byte {
	if b.Envelope != nil && len(b.Envelope.Signatures) > 0 {
		return b.Envelope.Signatures[0].Sig
	}
	if b.Message != nil {
		return b.Message.Signature
	}
	return nil
}

// named puts a file's name before what is wrong with it.
func named(err error, file string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", file, err)
}

// checkLog holds --ignore-tlog against what there is.
func (o *bundleCreate) checkLog(c *cli.Call, b *bundle.Bundle) error {
	switch logged := len(b.Material.Entries) > 0; {
	case logged && o.ignoreTlog:
		return cli.Usagef("cannot ignore transparency log when the provided bundle contains a Signed Entry Timestamp").
			WithHint("leave --ignore-tlog out; the entry comes along")
	case !logged && !o.ignoreTlog:
		return cli.Usagef("the signature's entry in the transparency log would have to be looked up, and this program has no client for logs yet").
			WithHint("if the signature is not logged, say so with --ignore-tlog; if it is, %s bundle create --bundle takes the entry from a bundle that cosign wrote", c.Name)
	}
	return nil
}

// signer returns the key that the signature must verify with, and makes the bundle name it.
func (o *bundleCreate) signer(ctx context.Context, c *cli.Call, b *bundle.Bundle) (trust.Key, error) {
	m := &b.Material
	if certs := m.Certificates; len(certs) > 0 {
		if o.key != "" {
			return trust.Key{}, cli.Usagef("--key is not used: the bundle %s holds the signer's certificate", o.bundle)
		}
		cert, err := identity.ParseCertificate(certs[0])
		if err != nil {
			return trust.Key{}, cli.Errorf(cli.ExitInput, "the signing certificate: %w", err)
		}
		key, err := trust.NewKey("the certificate's key", cert.X509.PublicKey, algorithm.Unspecified, trust.Window{})
		return key, inputError(err)
	}
	if o.key == "" {
		return trust.Key{}, cli.Usagef("nothing says what the signature verifies with: give --certificate or --key")
	}
	pub, err := keys.OpenPublic(ctx, o.key, c.KeyEnvironment())
	if err != nil {
		return trust.Key{}, inputError(fmt.Errorf("loading public key: %w", err))
	}
	key, err := trust.NewKey(blob.DisplayName(o.key), pub, algorithm.Unspecified, trust.Window{})
	if err != nil {
		return trust.Key{}, inputError(fmt.Errorf("public key %s: %w", blob.DisplayName(o.key), err))
	}
	m.NoKey, m.KeyHint = false, &key.Hint
	return key, nil
}

// verifyWithKey verifies the signature alone: no log, no time, no trust in the signer. It states the digest of the
// artifact in the bundle, by the hash that the signature turned out to use.
func verifyWithKey(c *cli.Call, b *bundle.Bundle, artifact *blob.Blob, key trust.Key) error {
	alone := *b
	alone.Material = bundle.Material{KeyHint: &key.Hint}
	req := &verify.Request{
		Candidates: []verify.Candidate{{Name: "the signature", Bundle: &alone}},
		Artifact:   verify.Artifact{Name: artifact.Name, Message: artifact},
		Policy:     verify.Policy{Keys: []trust.Key{key}, IgnoreLog: true, Claims: verify.Claims{Message: true, AnyPredicate: true}},
		Now:        c.Now(),
	}
	if err := hashOnce(artifact, req); err != nil {
		return inputError(err)
	}
	r := verify.Verify(req)
	if !r.Verified {
		return cli.Errorf(cli.ExitFailure, "no bundle is written, since the signature does not verify: %s", r.Reason)
	}
	if b.Message == nil {
		return nil
	}
	h := crypto.SHA256
	if alg, err := algorithm.ForName(r.Candidates[0].Algorithm); err == nil && alg.Details() != algorithm.Ed25519 {
		h = alg.Hash()
	}
	sum, err := artifact.Digest(h, nil)
	if _, known := algorithm.BundleHashName(h); err == nil && known {
		b.Message.Hash, b.Message.Digest = h, sum
	}
	return nil
}

// consistent compares the log entry and the timestamp with the signature, so that no bundle is made of parts that do not
// belong together. Whether log and authority vouch for them is a matter of trust, and of verifying the bundle.
func consistent(b *bundle.Bundle) error {
	sig := theSignature(b)
	for i := range b.Material.Entries {
		body, err := tlog.ParseBody(b.Material.Entries[i].Body)
		if errors.Is(err, tlog.ErrUnknownKind) {
			continue
		}
		if err != nil {
			return fmt.Errorf("the log entry: %w", err)
		}
		if err := logs(body, sig); err != nil {
			return err
		}
	}
	for _, der := range b.Material.Timestamps {
		token, err := timestamp.Parse(der)
		if err != nil {
			return fmt.Errorf("the timestamp: %w", err)
		}
		if !describe.Imprints(token, sig) {
			return errors.New("the timestamp is of something else than the signature")
		}
	}
	return nil
}

// logs says whether an entry names the signature. The oldest kind names the envelope by the hash of its JSON, which is
// lost with cosign's older form: a Sigstore bundle with such an entry would verify nowhere.
func logs(body *tlog.Body, sig []byte) error {
	for i := range body.Signatures {
		switch s := body.Signatures[i].Signature; {
		case s == nil:
			return fmt.Errorf("the log entry is of the kind %s %s, which cannot be tied to a signature in a sigstore bundle; verify the older bundle as it is", body.Kind, body.Version)
		case bytes.Equal(s, sig):
			return nil
		}
	}
	return errors.New("the log entry is of another signature")
}

// encodeChecked writes the bundle in the newest version that can hold it, and reads it back.
func encodeChecked(c *cli.Call, b *bundle.Bundle) ([]byte, error) {
	b.Version, b.MediaType = bundle.V03, "application/vnd.dev.sigstore.bundle+json;version=0.3"
	for i := range b.Material.Entries {
		if b.Material.Entries[i].Proof == nil {
			b.Version, b.MediaType = bundle.V01, "application/vnd.dev.sigstore.bundle+json;version=0.1"
		}
	}
	if certs := b.Material.Certificates; len(certs) > 0 {
		b.Material.Certificates, b.Material.Chain = certs[:1], b.Version == bundle.V01
	}
	if b.Version == bundle.V01 {
		c.Infof("The bundle is of version 0.1: its log entry has a signed entry timestamp and no inclusion proof, which newer versions demand.")
	}
	out, err := b.Encode()
	if err != nil {
		return nil, err
	}
	again, err := bundle.Decode(out)
	if err == nil {
		err = again.Validate(bundle.ValidateOptions{})
	}
	if err != nil {
		return nil, cli.Errorf(cli.ExitInput, "no bundle can be made of this: %w", err)
	}
	return out, nil
}
