package main

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/blob"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/verify"
)

type signBlob struct {
	blobSigning
	made      onceEach // by the digest of the content
	algorithm string
	output    string // text or json; otherwise, as cosign has it, the file for the signature

	// Of the older formats, deprecated:
	b64                          bool
	outSignature, outCertificate string
	timestamp                    string
}

func signBlobCommand() *cli.Command {
	o := &signBlob{blobSigning: blobSigning{signing: &signing{deferrable: true}}}
	return &cli.Command{
		Use: "sign-blob [flags] FILE...", Short: "Sign files", Group: "Sign", BindEnv: true,
		Long: `Sign files, or whatever else is given as a stream of bytes: - is standard input.

The signature goes into a Sigstore bundle: the file that --bundle names, or else FILE.sigstore.json beside the file, where verify-blob finds it. Files of any size are read as a stream.

Without --key it is made with an identity: an identity token, from the surroundings (CI), from --identity-token or by logging in, is exchanged for a certificate that lives for minutes, and whose name becomes public. Several files are signed with one certificate as long as it lives, and with another one after that.

With --from, or --skip-signed, a file is left out whose bundle is there already and verifies, by the same key or identity. Where one file fails the others are signed all the same; the failures are named at the end. Without --timeout such a list takes as long as it takes.

The signature is time-stamped and entered into a transparency log by the services of the instance that "initialize" set up, or of --signing-config. With --log=none it goes into no log.

Before anything is written the signature is verified, under the trusted root that verifiers will use.`,
		Example: `# with an identity; writes a.txt.sigstore.json and b.txt.sigstore.json
bulla sign-blob a.txt b.txt

# all that a file lists, digests too (sha256:...); run again, it signs what is still missing
bulla sign-blob --from release.txt --bundle-dir signatures

# with a token from elsewhere, to a Sigstore of one's own
bulla sign-blob --signing-config signing_config.json --trusted-root trusted_root.json \
  --identity-token token.jwt a.txt

# with a key, logged nowhere
bulla sign-blob --key cosign.key --log=none a.txt

# from a pipe
tar c src | bulla sign-blob --key cosign.key --log=none --bundle src.sigstore.json -`,
		Args:    o.args,
		Lasting: func(*cli.Call) bool { return o.from != "" },
		Flags: func(fs *pflag.FlagSet) {
			o.signing.register(fs)
			o.batch.register(fs, "files, URLs or digests")
			registerBundleDir(fs, &o.bundleDir)
			fs.StringVarP(&o.output, "output", "o", "text", "how the result is printed, `text|json`")
			cli.Topic(fs, "Key", func(fs *pflag.FlagSet) {
				fs.StringVar(&o.algorithm, "signing-algorithm", "", "how to sign, the `NAME` of an algorithm that fits the key, in place of the key's usual one")
			})
			fs.BoolVar(&o.b64, "b64", true, "write the signature in base64")
			fs.StringVar(&o.outSignature, "output-signature", "", "write the signature to `FILE`")
			fs.StringVar(&o.outCertificate, "output-certificate", "", "write the certificate to `FILE`")
			fs.StringVar(&o.timestamp, "rfc3161-timestamp", "", "write the timestamp to `FILE`")
			for _, name := range []string{"b64", "output-signature", "output-certificate", "rfc3161-timestamp"} {
				cli.Deprecate(fs, name, "write a bundle instead (--bundle), which holds it")
			}
		},
		Run: o.run,
	}
}

func (o *signBlob) run(ctx context.Context, c *cli.Call) error {
	if err := o.load(ctx, c); err != nil {
		return err
	}
	if err := o.check(c); err != nil {
		return err
	}
	stdin, err := oneStdin(c.Args...)
	if err != nil {
		return err
	}
	paths, err := o.bundlePaths(c)
	if err != nil {
		return err
	}
	opts, err := o.options(ctx, c, stdin)
	if err != nil {
		return err
	}
	if err := o.chooseAlgorithm(c, &opts); err != nil {
		return err
	}
	return o.waiting(o.each(ctx, c, batchRun{names: c.Args, json: o.output == "json", do: func(ctx context.Context, c *cli.Call, i int) error {
		return o.one(ctx, c, c.Args[i], paths[i], opts)
	}}))
}

// check refuses flags that do not fit together.
func (o *signBlob) check(c *cli.Call) error {
	if err := o.signing.check(c); err != nil {
		return err
	}
	// cosign's --output is a file; ours is a format, unless it is neither of them.
	if c.Changed("output") && (c.Cosign || o.output != "text" && o.output != "json") {
		if o.outSignature == "" {
			o.outSignature = o.output
		}
		if !o.older() && !c.Cosign {
			return cli.Usagef("--output %s: the result is printed as text or json", o.output).WithHint("--bundle FILE says where the bundle goes")
		}
		o.output = "text"
	}
	if !o.older() {
		const why, instead = "the bundle holds everything", "say with --bundle FILE where it goes"
		if err := refuseIgnored(c, ignoredFlag{"b64", why, instead}, ignoredFlag{"output-signature", why, instead},
			ignoredFlag{"output-certificate", why, instead}, ignoredFlag{"rfc3161-timestamp", why, instead}); err != nil {
			return err
		}
	}
	if o.older() {
		if err := o.noCertificate(c); err != nil {
			return err
		}
	}
	outputs := map[string]string{"bundle": o.Bundle, "output-signature": o.outSignature, "output-certificate": o.outCertificate, "rfc3161-timestamp": o.timestamp}
	for _, name := range []string{"bundle", "output-signature", "output-certificate", "rfc3161-timestamp"} {
		if outputs[name] != "" && len(c.Args) > 1 {
			return cli.Usagef("--%s names one file, and %d files are to be signed: each would overwrite the one before", name, len(c.Args)).
				WithHint("sign them one by one, or leave --%s out to get a bundle beside each", name)
		}
	}
	return refuseOverwriting(append([]string{o.Key, o.Certificate, o.CertificateChain}, c.Args...),
		[]string{o.Bundle, o.outSignature, o.outCertificate, o.timestamp})
}

// chooseAlgorithm applies --signing-algorithm. cosign has it for the keys that it makes, and so ignores it beside --key.
func (o *signBlob) chooseAlgorithm(c *cli.Call, opts *sign.Options) error {
	if !c.Changed("signing-algorithm") {
		return nil
	}
	alg, err := algorithm.ForName(o.algorithm)
	if err != nil {
		return cli.Usagef("invalid signing algorithm: %s", o.algorithm).
			WithHint("the names are those of Sigstore's algorithm registry, such as ecdsa-sha2-384-nistp384 or ed25519-ph")
	}
	if err := alg.CheckKey(opts.Signer.Public()); err != nil {
		if c.Cosign {
			c.Warnf("--signing-algorithm has no effect: %v", err)
			return nil
		}
		return cli.Usagef("--signing-algorithm %s does not fit the key: %w", o.algorithm, err)
	}
	if !c.Cosign {
		opts.Algorithm = alg
	}
	return nil
}

// one signs one artifact. path is where its bundle goes, if it gets one.
func (o *signBlob) one(ctx context.Context, c *cli.Call, ref, path string, opts sign.Options) error {
	artifact, remove, err := openArtifact(ctx, c, ref, &opts)
	if err != nil {
		return err
	}
	defer remove()
	digest, err := sha256Of(artifact)
	if err != nil {
		return err
	}
	to := blobTarget{ref, verify.Artifact{Name: artifact.Name, Message: artifact}, "sha256:" + digest, path}
	if o.skipSigned && !o.legacy() {
		switch r, err := o.bundleBefore(ctx, c, to, &opts); {
		case err != nil:
			return err
		case r != nil:
			return r.skipped(c, o.output)
		}
	}
	if err := o.outputs.ready(path, o.Bundle, o.outSignature, o.outCertificate, o.timestamp); err != nil {
		return err
	}
	b, err := o.sign(ctx, c, to, &opts)
	if err != nil {
		return err
	}
	r, err := newSigned(&opts, b, blob.DisplayName(ref), "sha256:"+digest)
	if err != nil {
		return err
	}
	if opts.Defer {
		if err := o.keep(c, &opts, r, spooled{File: path, made: b}); err != nil {
			return err
		}
	}
	if err := r.keptAnyway(o.write(c, r, to, fresh{b, &opts})); err != nil {
		return err
	}
	return r.print(c, o.output)
}

// fresh is a bundle that was just made, and with what it was made.
type fresh struct {
	b    *bundle.Bundle
	opts *sign.Options
}

// write writes the signature in the formats that are asked for, when all of them are known to verify.
func (o *signBlob) write(c *cli.Call, r *signed, to blobTarget, m fresh) error {
	var old, data []byte
	var err error
	if o.older() {
		if old, err = olderBlob(m.b, to.artifact.Message, m.opts); err != nil {
			return err
		}
	}
	if o.legacy() {
		return o.writeLegacy(c, r, m.b, old)
	}
	if data, err = m.b.Encode(); err != nil {
		return err
	}
	if err := r.writeBundle(c, to.path, data); err != nil || !o.both() {
		return err
	}
	r.Legacy = olderPath(to.path)
	if err := writeFile(c, r.Legacy, old, "Wrote bundle in the older format to file %s"); err != nil {
		return err
	}
	return o.writeLegacy(c, r, m.b, nil)
}

// sign makes one signature for each content, however many files hold it. The options become those that were used.
func (o *signBlob) sign(ctx context.Context, c *cli.Call, to blobTarget, opts *sign.Options) (*bundle.Bundle, error) {
	m, err := o.made.get(c, to.digest, func() (fresh, error) {
		used := *opts
		if err := o.ready(ctx, c, &used); err != nil {
			return fresh{}, stop(err)
		}
		announce(c, to.ref)
		done := c.Progress("signing %s", to.artifact.Name)
		b, err := sign.Blob(ctx, to.artifact.Message, used)
		done()
		return fresh{b, &used}, o.failed(ctx, c, err, to.artifact.Name)
	})
	if err != nil {
		return nil, err
	}
	*opts = *m.opts
	return m.b, nil
}

// writeLegacy writes what cosign wrote before there were Sigstore bundles: its own bundle, the signature, the certificate.
//
// old is its bundle; nil where that is written already, and then nothing goes to standard output.
func (o *signBlob) writeLegacy(c *cli.Call, r *signed, b *bundle.Bundle, old []byte) error {
	if o.Bundle != "" && old != nil {
		if err := r.writeBundle(c, o.Bundle, old); err != nil {
			return err
		}
	}
	if err := writeTimestamp(c, o.timestamp, b); err != nil {
		return err
	}
	sig := b.Message.Signature
	text := detached(sig)
	switch {
	case o.outSignature != "" && o.b64:
		if err := writeFile(c, o.outSignature, text, "Wrote signature to file %s"); err != nil {
			return err
		}
	case o.outSignature != "":
		if err := writeFile(c, o.outSignature, sig, "Wrote signature to file %s"); err != nil {
			return err
		}
	case old == nil:
	case o.output == "json":
		r.Signature = string(text)
	case o.b64:
		fmt.Fprintf(c.Out, "%s\n", text)
	default:
		if _, err := c.Out.Write(sig); err != nil {
			return err
		}
	}
	if o.outCertificate == "" || len(b.Material.Certificates) == 0 {
		return nil
	}
	cert := certificatePEM(b.Material.Certificates[0])
	if o.b64 {
		cert = []byte(base64.StdEncoding.EncodeToString(cert))
	}
	return writeFile(c, o.outCertificate, cert, "Wrote certificate to file %s")
}
