package main

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/sign"
)

type attestImages struct {
	imageSigning
	batch
	attesting
	noUpload bool

	// Of the older format, deprecated:
	replace bool
}

func attestCommand() *cli.Command {
	o := &attestImages{}
	o.deferrable = true
	return &cli.Command{
		Use: "attest [flags] IMAGE...", Short: "Sign a statement about images", Group: "Sign", BindEnv: true,
		Long: `Sign a statement about images in a registry, such as their provenance or their bill of materials.

The statement is made of the predicate and the image's digest, or given whole with --statement; it must be about the image. The predicate's JSON goes into it byte for byte.

The signed statement is a Sigstore bundle that is attached to the image as a referrer. It is signed with an identity or with --key, and logged, as with sign. An image may also lie in files, as with sign: oci-layout:DIR, or an archive with --no-upload and --bundle FILE.

Where the image has this very predicate by the same key or identity already, and that verifies, nothing is stored, and --bundle gets what is there. Only the first of what is attached is looked at, and what cannot be read is no obstacle; with --from, or --skip-signed, everything is looked at. --skip-signed=false attests in any case. Where one image fails the others are attested all the same.`,
		Example: `bulla attest --predicate sbom.cdx.json --type cyclonedx registry.example.com/app@sha256:...

# with a key, logged nowhere
bulla attest --key cosign.key --log=none --predicate sbom.cdx.json --type cyclonedx \
  registry.example.com/app@sha256:...

# about all images that a file lists; run again, it attests what is still missing
bulla attest --from images.txt --predicate scan.json --type vuln`,
		Args:    o.args,
		Lasting: func(*cli.Call) bool { return o.from != "" },
		Flags: func(fs *pflag.FlagSet) {
			o.attesting.register(fs)
			fs.BoolVar(&o.noUpload, "no-upload", false, "do not attach the statement to the image")
			o.signing.register(fs)
			o.batch.register(fs, "images")
			o.registry.Register(fs)
			cli.Output(fs, &o.output, "text", "text", "json")
			fs.BoolVar(&o.replace, "replace", false, "take out older attestations with the same predicate type")
			fs.BoolVar(&o.recordTime, "record-creation-timestamp", false, "record the time in the attestation's image")
			cli.Deprecate(fs, "replace", "bundles are attached one by one and none replaces another")
			cli.Deprecate(fs, "record-creation-timestamp", "a bundle's manifest always says when it was attached")
		},
		Run: o.run,
	}
}

// check refuses flags that do not fit together.
func (o *attestImages) check(c *cli.Call) error {
	if err := o.signing.check(c); err != nil {
		return err
	}
	if err := o.checkTime(c); err != nil {
		return err
	}
	var err error
	o.lookFirst = o.lookFirst && !o.older() // which is looked for only where that is asked for
	switch {
	case o.legacy():
		err = refuseIgnored(c, ignoredFlag{"bundle", "the older format of attestations has no bundle", "leave --new-bundle-format=false out"})
		if err == nil && o.noUpload {
			err = refuseIgnored(c, ignoredFlag{"replace", "nothing is uploaded", "leave the flag out"})
		}
	case o.both() && o.noUpload:
		err = cli.Usagef("--format=both and --no-upload contradict each other: the older format of attestations lies in the registry only")
	case o.noUpload && o.Bundle == "":
		err = cli.Usagef("must enable upload to the OCI registry or specify a local --bundle path with --new-bundle-format").
			WithHint("--bundle FILE says where the signature is to be kept")
	case o.both():
		err = o.refuseTagPrefix(c)
	default:
		err = refuseIgnored(c, ignoredFlag{"replace", "bundles are attached one by one and none replaces another", "remove the older one from the registry"})
		if err == nil {
			err = o.refuseTagPrefix(c)
		}
	}
	if err != nil {
		return err
	}
	return refuseOverwriting([]string{o.Key, o.Certificate, o.CertificateChain, o.predicate, o.statement}, []string{o.Bundle})
}

func (o *attestImages) run(ctx context.Context, c *cli.Call) error {
	if err := o.batch.load(ctx, c); err != nil {
		return err
	}
	if err := o.check(c); err != nil {
		return err
	}
	stdin, err := oneStdin(o.predicate, o.statement)
	if err != nil {
		return err
	}
	claim, err := o.attesting.load(ctx, c)
	if err != nil {
		return err
	}
	n, local, err := o.local(c)
	if err == nil && local {
		err = o.checkLocal(c, n, !o.noUpload)
	}
	if err != nil {
		return err
	}
	var client *oci.Client
	if !local {
		if client, err = o.registryFor(c, !o.noUpload && !o.skipSigned); err != nil {
			return err
		}
		where, _ := bundlesOf(claim.kind)
		defer o.lookAhead(ctx, c, client, ahead{must: !o.noUpload, again: o.lookFirst && !o.noUpload, where: where})()
	}
	opts, err := o.options(ctx, c, stdin)
	if err != nil {
		return err
	}
	if local {
		return o.inFiles(ctx, c, n, !o.noUpload, func(c *cli.Call, client *oci.Client) error { return o.each(ctx, c, client, claim, opts) })
	}
	return o.each(ctx, c, client, claim, opts)
}

// each attests the images that the arguments name.
func (o *attestImages) each(ctx context.Context, c *cli.Call, client *oci.Client, claim *claim, opts sign.Options) error {
	return o.forEach(ctx, c, imageList{
		client: client, batch: &o.batch, must: !o.noUpload,
		// A statement about another image is refused before anything about the first one is stored.
		check: func(img *oci.Image) error {
			algorithm, digest := splitDigest(img.Digest)
			return claim.names(algorithm, digest)
		},
		do: func(ctx context.Context, c *cli.Call, img *oci.Image) error {
			o.rename(img)
			return o.one(ctx, c, storage{client: client, img: img, upload: !o.noUpload, predicateType: claim.kind}, claim, opts)
		},
	})
}

// one signs the statement about one image.
func (o *attestImages) one(ctx context.Context, c *cli.Call, to storage, claim *claim, opts sign.Options) error {
	artifact, err := imageArtifact(to.img)
	if err != nil {
		return err
	}
	algorithm, digest := splitDigest(to.img.Digest)
	payload, err := claim.about(o.subjectName(to.img), algorithm, digest)
	if err != nil {
		return err
	}
	there, err := o.before(ctx, c, &to, &opts, payload)
	if err != nil {
		return err
	}
	if r := there.all(&o.signing); r != nil {
		return r.skipped(c, o.output.String())
	}
	if err := o.outputs.ready(o.Bundle); err != nil {
		return err
	}
	if err := o.ready(ctx, c, &opts); err != nil {
		return stop(err)
	}
	announce(c, claim.from)
	done := c.Progress("signing %s", artifact.Name)
	to.bundle, err = sign.Statement(ctx, payload, artifact.Message, opts)
	done()
	if err != nil {
		return o.failed(ctx, c, err, artifact.Name)
	}
	to.fresh = to.bare || o.unique(to.bundle, &opts)
	r, err := newSigned(&opts, to.bundle, to.img.Ref, to.img.Digest)
	if err != nil {
		return err
	}
	if opts.Defer {
		if err := o.keep(c, &opts, r, spooled{
			Repository: to.img.Repository.Name(), Evidence: evidenceRepository(c, to.img), Attached: to.upload, File: o.Bundle,
			PredicateType: to.predicateType, made: to.bundle,
		}); err != nil {
			return err
		}
	}
	if err := r.keptAnyway(o.put(ctx, c, r, attestation{to, there, &opts})); err != nil {
		return err
	}
	return r.print(c, o.output.String())
}

// attestation is a statement to be stored, and what is there already that says the same.
type attestation struct {
	storage
	there attested
	opts  *sign.Options
}

// put stores the statement in the formats that are asked for and not there yet, when all of them are known to verify: it is
// one signature, with one log entry.
func (o *attestImages) put(ctx context.Context, c *cli.Call, r *signed, to attestation) error {
	artifact, err := imageArtifact(to.img)
	if err != nil {
		return err
	}
	var old *layer
	if o.older() {
		if old, err = olderLayer(to.bundle, artifact.Message, to.opts); err != nil {
			return err
		}
	}
	switch {
	case o.both():
		r.Legacy = to.there.tag
		if to.there.bundle != nil {
			r.Reference = to.there.bundle.Reference
		} else if err := o.store(ctx, c, r, to.storage); err != nil {
			return err
		}
		if r.Legacy == "" {
			r.Legacy, err = o.storeLayer(ctx, c, old, to.storage, o.replace)
		}
	case !o.legacy():
		err = o.store(ctx, c, r, to.storage)
	case to.upload:
		r.Reference, err = o.storeLayer(ctx, c, old, to.storage, o.replace)
	case !c.Cosign: // cosign throws the attestation away
		out := legacyEnvelope{json: o.output.String() == "json"}
		err = out.write(c, r, to.bundle)
	}
	return err
}
