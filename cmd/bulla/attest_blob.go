package main

import (
	"context"
	"crypto"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/blob"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/sign"
)

type attestBlob struct {
	blobSigning
	attesting
	hash   string
	output cli.Choice

	// Of the older formats, deprecated:
	outSignature, outAttestation, outCertificate string
	timestamp                                    string
}

func attestBlobCommand() *cli.Command {
	o := &attestBlob{blobSigning: blobSigning{signing: &signing{deferrable: true}}}
	return &cli.Command{
		Use: "attest-blob [flags] FILE...", Short: "Sign a statement about files", Group: "Sign", BindEnv: true,
		Long: `Sign a statement about a file, such as its provenance or its bill of materials, or the same about each of several.

The statement is made of the predicate and the file's digest, or given whole with --statement; it must be about the file, and is signed as it stands if no file is given. The predicate's JSON goes into it byte for byte.

The signed statement goes into a Sigstore bundle: the file that --bundle names, or else FILE.sigstore.json beside the file. It is signed with an identity or with --key, and logged, as with sign-blob.

With --from, or --skip-signed, a file is left out whose bundle is there already, says the same and verifies, by the same key or identity.`,
		Example: `bulla attest-blob --predicate provenance.json --type slsaprovenance1 a.txt

# with a key, logged nowhere
bulla attest-blob --key cosign.key --log=none --predicate provenance.json \
  --type slsaprovenance1 --bundle a.att.json a.txt`,
		Args:    cobra.ArbitraryArgs,
		Lasting: func(*cli.Call) bool { return o.from != "" },
		Flags: func(fs *pflag.FlagSet) {
			o.attesting.register(fs)
			fs.StringVar(&o.hash, "hash", "", "SHA-256 of the file in `HEX`; the file is then not read, it only lends its name")
			o.signing.register(fs)
			o.batch.register(fs, "files, URLs or digests")
			registerBundleDir(fs, &o.bundleDir)
			cli.Output(fs, &o.output, "text", "text", "json")
			fs.StringVar(&o.outSignature, "output-signature", "", "write the envelope to `FILE`")
			fs.StringVar(&o.outAttestation, "output-attestation", "", "write the statement to `FILE`")
			fs.StringVar(&o.outCertificate, "output-certificate", "", "write the certificate to `FILE`")
			fs.StringVar(&o.timestamp, "rfc3161-timestamp-bundle", "", "write the timestamp to `FILE`")
			for _, name := range []string{"output-signature", "output-attestation", "output-certificate", "rfc3161-timestamp-bundle"} {
				cli.Deprecate(fs, name, "write a bundle instead (--bundle), which holds it")
			}
		},
		Run: o.run,
	}
}

func (o *attestBlob) check(c *cli.Call) error {
	if err := o.signing.check(c); err != nil {
		return err
	}
	if len(c.Args) == 0 && o.hash == "" && o.statement == "" {
		return cli.Usagef("the file that the statement is about is missing: give FILE, or its digest with --hash")
	}
	if len(c.Args) > 1 {
		if err := o.checkMany(c); err != nil {
			return err
		}
	}
	const why, instead = "the bundle holds everything", "say with --bundle FILE where it goes"
	if o.legacy() {
		if err := refuseIgnored(c, ignoredFlag{"skip-signed", "the older format is not looked for", leaveOut}); err != nil {
			return err
		}
		o.skipSigned = false
	}
	if o.older() {
		if err := o.noCertificate(c); err != nil {
			return err
		}
	} else if err := refuseIgnored(c, ignoredFlag{"rfc3161-timestamp-bundle", why, instead}, ignoredFlag{"output-signature", why, instead},
		ignoredFlag{"output-attestation", why, instead}, ignoredFlag{"output-certificate", why, instead}); err != nil {
		return err
	}
	inputs := append([]string{o.Key, o.Certificate, o.CertificateChain, o.predicate, o.statement}, c.Args...)
	return refuseOverwriting(inputs, []string{o.Bundle, o.outSignature, o.outAttestation, o.outCertificate, o.timestamp})
}

// checkMany refuses what is about one file where there are several.
func (o *attestBlob) checkMany(c *cli.Call) error {
	if c.Cosign {
		return cli.Usagef("accepts at most 1 arg(s), received %d", len(c.Args))
	}
	for _, name := range []string{"bundle", "hash", "output-signature", "output-attestation", "output-certificate", "rfc3161-timestamp-bundle"} {
		if c.Changed(name) {
			return cli.Usagef("--%s is for one file, and there are %d", name, len(c.Args)).WithHint("attest them one by one, or leave --%s out", name)
		}
	}
	return nil
}

func (o *attestBlob) run(ctx context.Context, c *cli.Call) error {
	if err := o.batch.load(ctx, c); err != nil {
		return err
	}
	if err := o.check(c); err != nil {
		return err
	}
	if len(c.Args) == 0 {
		c.Args = []string{""} // what --hash or --statement names
	}
	read := c.Args // what is read: with --hash the file is not
	if o.hash != "" {
		read = nil
	}
	stdin, err := oneStdin(append([]string{o.predicate, o.statement}, read...)...)
	if err != nil {
		return err
	}
	paths, err := o.bundlePaths(c)
	if err != nil {
		return err
	}
	claim, err := o.attesting.load(ctx, c)
	if err != nil {
		return err
	}
	opts, err := o.options(ctx, c, stdin)
	if err != nil {
		return err
	}
	return o.waiting(o.each(ctx, c, batchRun{names: c.Args, json: o.output.String() == "json", do: func(ctx context.Context, c *cli.Call, i int) error {
		return o.one(ctx, c, blobStatement{claim: claim, ref: c.Args[i], path: paths[i]}, opts)
	}}))
}

// one signs the statement about one file.
func (o *attestBlob) one(ctx context.Context, c *cli.Call, a blobStatement, opts sign.Options) error {
	var err error
	if a.ref == "" && o.hash == "" {
		a.artifact, err = a.claim.subject()
	} else {
		a.artifact, err = o.artifact(ctx, c, a.ref)
	}
	if err != nil {
		return err
	}
	return o.attest(ctx, c, a, opts)
}

// blobStatement is one statement to be signed about one artifact, and where its bundle goes.
type blobStatement struct {
	claim     *claim
	artifact  *blob.Blob
	ref, path string
}

func (o *attestBlob) attest(ctx context.Context, c *cli.Call, a blobStatement, opts sign.Options) error {
	digest, err := sha256Of(a.artifact)
	if err != nil {
		return err
	}
	name := ""
	if a.ref != "" {
		name = filepath.Base(blob.DisplayName(a.ref)) // a query, secret or not, is no part of a name
	}
	if err := a.claim.names("sha256", digest); err != nil {
		return err
	}
	payload, err := a.claim.about(name, "sha256", digest)
	if err != nil {
		return err
	}
	if o.skipSigned {
		switch r, err := o.statedBefore(ctx, c, a, &opts, payload); {
		case err != nil:
			return err
		case r != nil:
			return r.skipped(c, o.output.String())
		}
	}
	if err := o.outputs.ready(a.path, o.Bundle, o.outSignature, o.outAttestation, o.outCertificate, o.timestamp); err != nil {
		return err
	}
	if err := o.ready(ctx, c, &opts); err != nil {
		return stop(err)
	}
	announce(c, a.ref, a.claim.from)
	done := c.Progress("signing %s", a.artifact.Name)
	b, err := sign.Statement(ctx, payload, a.artifact, opts)
	done()
	if err != nil {
		return o.failed(ctx, c, err, a.artifact.Name)
	}
	r, err := newSigned(&opts, b, a.artifact.Name, "sha256:"+digest)
	if err != nil {
		return err
	}
	if opts.Defer {
		if err := o.keep(c, &opts, r, spooled{File: a.path, made: b}); err != nil {
			return err
		}
	}
	if err := r.keptAnyway(o.write(c, r, a, fresh{b, &opts})); err != nil {
		return err
	}
	return r.print(c, o.output.String())
}

// write writes the statement in the formats that are asked for, when all of them are known to verify.
func (o *attestBlob) write(c *cli.Call, r *signed, a blobStatement, m fresh) error {
	var old []byte
	var err error
	if o.older() {
		if old, err = olderBlob(m.b, a.artifact, m.opts); err != nil {
			return err
		}
	}
	out := legacyEnvelope{
		bundle: o.Bundle, envelope: o.outSignature, statement: o.outAttestation, certificate: o.outCertificate, json: o.output.String() == "json",
	}
	if o.legacy() {
		if err := writeTimestamp(c, o.timestamp, m.b); err != nil {
			return err
		}
		return out.write(c, r, m.b)
	}
	data, err := m.b.Encode()
	if err != nil {
		return err
	}
	if err := r.writeBundle(c, a.path, data); err != nil || !o.both() {
		return err
	}
	r.Legacy = olderPath(a.path)
	if err := writeFile(c, r.Legacy, old, "Wrote bundle in the older format to file %s"); err != nil {
		return err
	}
	if err := writeTimestamp(c, o.timestamp, m.b); err != nil {
		return err
	}
	out.bundle, out.beside = "", true
	return out.write(c, r, m.b)
}

// artifact hashes the file, or takes its digest from --hash.
func (o *attestBlob) artifact(ctx context.Context, c *cli.Call, ref string) (*blob.Blob, error) {
	if o.hash != "" {
		text := strings.ToLower(strings.TrimPrefix(o.hash, "sha256:"))
		sum, err := hex.DecodeString(text)
		if err != nil || len(sum) != crypto.SHA256.Size() {
			return nil, cli.Usagef("--hash %q is not a SHA-256 digest: it needs 64 hexadecimal digits", o.hash)
		}
		name := ref
		if name == "" {
			name = "sha256:" + text
		}
		return blob.FromDigest(name, crypto.SHA256, sum), nil
	}
	b, err := openBlob(ctx, c, ref)
	if err != nil {
		return nil, err
	}
	// A statement given whole may name the artifact by other digests beside this one.
	needs := []blob.Need{{Hash: crypto.SHA256}}
	if o.statement != "" {
		needs = append(needs, blob.Need{Hash: crypto.SHA384}, blob.Need{Hash: crypto.SHA512})
	}
	if err := b.Hash(needs...); err != nil && b.Readable() {
		return nil, inputError(fmt.Errorf("hashing the artifact: %w", err))
	} else if err != nil {
		if _, known := b.Digest(crypto.SHA256, nil); known != nil {
			return nil, inputError(err)
		}
	}
	return b, nil
}
