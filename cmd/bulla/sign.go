package main

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/sign"
	"github.com/bulla-sign/bulla/verify"
)

const signPredicate = verify.SignPredicate

type signImages struct {
	imageSigning
	batch
	mode        flags.ReferrersMode
	annotations []string
	recursive   bool
	upload      bool
	blobs       listedBlobs
	stated      onceEach // by digest, see sameStatement

	// Deprecated, mostly of the older format:
	outSignature, outPayload, outCertificate string
	payload, attachment                      string
	identities                               []string
}

func signCommand() *cli.Command {
	o := &signImages{}
	o.deferrable = true
	return &cli.Command{
		Use: "sign [flags] IMAGE...", Short: "Sign images", Group: "Sign", BindEnv: true,
		Long: `Sign images in a registry.

The signature is a Sigstore bundle that is attached to the image as a referrer, in the image's repository or in the one that COSIGN_REPOSITORY names. What is signed is the digest that the reference had when the command looked; give the digest itself to be sure of it.

Without --key it is made with an identity: an identity token, from the surroundings (CI), from --identity-token or by logging in, is exchanged for a certificate that lives for minutes, and whose name becomes public. Several images are signed with one certificate as long as it lives, and with another one after that.

Where the same key or identity has signed the image already, with the same annotations, and that verifies, nothing is stored, and --bundle gets what is there. Only the first of what is attached is looked at, and what cannot be read is no obstacle; with --from, or --skip-signed, everything is looked at, and any signature by the same key or identity counts that has these annotations. --skip-signed=false signs in any case. Where one image fails the others are signed all the same; the failures are named at the end. Without --timeout such a list takes as long as it takes.

The signature is time-stamped and entered into a transparency log by the services of the instance that "initialize" set up, or of --signing-config. With --log=none it goes into no log.

Before anything is stored the signature is verified, under the trusted root that verifiers will use.

An image that is not in a registry yet is signed where it lies: oci-layout:DIRECTORY gets the signature beside the image, and load brings both into a registry, the evidence before the tag. What lies in an archive (oci-archive:FILE or docker-archive:FILE) can be signed into a file; load pushes it with the digest that was signed.

blob:FILE is signed in the same run as sign-blob signs FILE, which may also be a URL or a digest (blob:sha256:...): the bundle lies beside the file, or in --bundle-dir. What is the same, by its digest, is signed once, however many files or repositories have it.`,
		Example: `# with an identity: in CI with the job's own, elsewhere by logging in
bulla sign registry.example.com/app@sha256:...

# an image for several platforms, and each of them
bulla sign --recursive registry.example.com/app@sha256:...

# with a key, logged nowhere
bulla sign --key cosign.key --log=none registry.example.com/app@sha256:...

# all that a file lists, eight at a time; run again, it signs what is still missing
bulla sign --from images.txt --jobs 8

# a release: images and files with one certificate
bulla sign registry.example.com/app@sha256:... blob:app.tar.gz blob:app.spdx.json

# now, and into the log later
bulla sign --log=defer registry.example.com/app@sha256:... ; bulla flush

# for verifiers that know bundles and for those that do not, with one certificate
bulla sign --format=both registry.example.com/app@sha256:...

# before it is pushed
bulla sign oci-layout:build/app ; bulla load --dir build/app registry.example.com/app:v1

# into a file only
bulla sign --upload=false --bundle app.sigstore.json registry.example.com/app@sha256:...`,
		Args:    o.args,
		Flags:   o.register,
		Lasting: func(*cli.Call) bool { return o.from != "" },
		Run:     o.run,
	}
}

func (o *signImages) register(fs *pflag.FlagSet) {
	fs.StringArrayVarP(&o.annotations, "annotations", "a", nil, "what to say in the signature beside the digest, as `NAME=VALUE`; repeatable")
	fs.BoolVarP(&o.recursive, "recursive", "r", false, "sign an index and every manifest in it")
	fs.BoolVar(&o.upload, "upload", true, "attach the signature to the image")
	o.signing.register(fs)
	o.batch.register(fs, "images")
	registerBundleDir(fs, &o.blobs.dir)
	o.registry.Register(fs)
	o.mode.Register(fs)
	cli.Output(fs, &o.output, "text", "text", "json")
	fs.StringVar(&o.outSignature, "output-signature", "", "write the signature to `FILE`")
	fs.StringVar(&o.outPayload, "output-payload", "", "write what was signed to `FILE`")
	fs.StringVar(&o.outCertificate, "output-certificate", "", "write the certificate to `FILE`")
	fs.StringVar(&o.payload, "payload", "", "sign the simple-signing document in `FILE`")
	fs.StringVar(&o.attachment, "attachment", "", "sign an attachment of the image instead")
	fs.StringSliceVar(&o.identities, "sign-container-identity", nil, "name the image as `REFERENCE` in the signature")
	fs.BoolVar(&o.recordTime, "record-creation-timestamp", false, "record the time in the signature's image")
	for _, name := range []string{"output-signature", "output-payload", "output-certificate"} {
		cli.Deprecate(fs, name, "write a bundle instead (--bundle), which holds it")
	}
	cli.Deprecate(fs, "payload", "what is signed is made from the image")
	cli.Deprecate(fs, "attachment", "attach things as OCI referrers and sign those by their digest")
	cli.Deprecate(fs, "sign-container-identity", "a bundle names an image by its digest only")
	cli.Deprecate(fs, "record-creation-timestamp", "a bundle's manifest always says when it was attached")
}

// check refuses flags that do not fit together.
func (o *signImages) check(c *cli.Call) error {
	if err := o.signing.check(c); err != nil {
		return err
	}
	if o.attachment != "" {
		return cli.Usagef("--attachment is not supported").WithHint("sign the digest of the attachment, which bulla tree shows")
	}
	if err := o.checkTime(c); err != nil {
		return err
	}
	var err error
	if o.legacy() {
		o.lookFirst = false
		err = o.checkLegacy(c)
	} else if o.both() {
		err = o.checkBoth(c)
	} else {
		err = o.checkBundle(c)
	}
	if err != nil {
		return err
	}
	return refuseOverwriting([]string{o.Key, o.Certificate, o.CertificateChain, o.payload},
		[]string{o.Bundle, o.outSignature, o.outPayload, o.outCertificate})
}

func (o *signImages) checkBundle(c *cli.Call) error {
	if !o.upload && o.Bundle == "" {
		return cli.Usagef("must enable upload to the OCI registry or specify a local --bundle path with --new-bundle-format").
			WithHint("--bundle FILE says where the signature is to be kept")
	}
	if err := o.refuseTagPrefix(c); err != nil {
		return err
	}
	if o.mode.Mode.String() == "legacy" {
		if err := refuseIgnored(c, ignoredFlag{"registry-referrers-mode", "a bundle is attached as a referrer", "leave the flag out"}); err != nil {
			return err
		}
	}
	const why, instead = "the bundle holds everything", "say with --bundle FILE where a copy goes"
	return refuseIgnored(c, ignoredFlag{"output-signature", why, instead}, ignoredFlag{"output-payload", why, instead},
		ignoredFlag{"output-certificate", why, instead},
		ignoredFlag{"payload", "what is signed in a bundle is made from the image", "leave the flag out"},
		ignoredFlag{"sign-container-identity", "a bundle names an image by its digest only", "annotate the signature with -a NAME=VALUE"})
}

func (o *signImages) run(ctx context.Context, c *cli.Call) error {
	c.JSONLines = o.recursive
	if err := o.load(ctx, c); err != nil {
		return err
	}
	o.blobs.take(c)
	if err := o.check(c); err != nil {
		return err
	}
	annotations, err := parseAnnotations(o.annotations)
	if err != nil {
		return err
	}
	raw, err := rawTexts(annotations)
	if err != nil {
		return err
	}
	n, local, err := o.local(c)
	if err == nil {
		err = o.prepareBlobs(c)
	}
	if err != nil {
		return err
	}
	var client *oci.Client
	if local {
		err = o.checkLocal(c, n, o.upload)
	}
	if err != nil {
		return err
	}
	if !local {
		if client, err = o.registryFor(c, o.upload && !o.skipSigned); err != nil {
			return err
		}
		where, _ := bundlesOf(signPredicate)
		defer o.lookAhead(ctx, c, client, ahead{must: o.upload || o.recursive, again: o.lookFirst && o.upload, where: where})()
	}
	opts, err := o.options(ctx, c, false)
	if err != nil {
		return err
	}
	if local {
		return o.inFiles(ctx, c, n, o.upload, func(c *cli.Call, client *oci.Client) error {
			return o.runBundles(ctx, c, client, raw, opts)
		})
	}
	if !o.legacy() {
		return o.runBundles(ctx, c, client, raw, opts)
	}
	return o.runLegacy(ctx, c, imageRun{storage{client: client, upload: o.upload}, raw, opts})
}

// runBundles signs the images that the arguments name.
func (o *signImages) runBundles(ctx context.Context, c *cli.Call, client *oci.Client, raw map[string][]byte, opts sign.Options) error {
	return o.forEach(ctx, c, imageList{
		blobs: o.blobs.run(opts), client: client, batch: &o.batch, must: o.upload || o.recursive, recursive: o.recursive,
		do: func(ctx context.Context, c *cli.Call, img *oci.Image) error {
			o.rename(img)
			return o.one(ctx, c, imageRun{storage{client: client, img: img, upload: o.upload, predicateType: signPredicate}, raw, opts})
		},
	})
}
