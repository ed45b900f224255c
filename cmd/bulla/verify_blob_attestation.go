package main

import (
	"context"
	"encoding/hex"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/predicate"
	"github.com/bulla-sign/bulla/verify"
)

type verifyBlobAttestation struct {
	verification
	blobEvidence
	kind            string
	checkClaims     bool
	digest, digestH string
}

func verifyBlobAttestationCommand() *cli.Command {
	o := &verifyBlobAttestation{}
	return &cli.Command{
		Use: "verify-blob-attestation [flags] [BLOB]", Short: "Verify an attestation about a file", Group: "Verify", BindEnv: true,
		Long: `Verify a statement about a file, such as its provenance: who signed it, that it is of the demanded type, and that it is about this file.

The file may be given by its digest, either as sha256:HEX or with --digest and --digestAlg.`,
		Example: `bulla verify-blob-attestation --key cosign.pub --log=none \
  --type https://example.com/p/v1 --bundle att.json a.txt`,
		Args: cobra.MaximumNArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			o.blobEvidence.register(fs)
			cli.Topic(fs, "Evidence", func(fs *pflag.FlagSet) {
				fs.StringVar(&o.kind, "type", predicate.Custom, "`TYPE` of predicate that is demanded: a short name such as slsaprovenance1, spdxjson or cyclonedx, or a URI")
				fs.BoolVar(&o.checkClaims, "check-claims", true, "compare the file with the statement's subject")
				fs.StringVar(&o.digest, "digest", "", "the file's digest in `HEX`, instead of the file")
				fs.StringVar(&o.digestH, "digestAlg", "", "what --digest was made with: sha256, sha384 or sha512")
				cli.LowersSecurity(fs, "check-claims")
			})
			o.verification.register(fs)
			cli.Output(fs, &o.output, "text", "text", "json")
		},
		Run: o.run,
	}
}

func (o *verifyBlobAttestation) run(ctx context.Context, c *cli.Call) error {
	t, err := predicate.Lookup(o.kind)
	if err != nil {
		return cli.Usagef("%w", err)
	}
	if err := o.blobEvidence.check(c); err != nil {
		return err
	}
	req, err := o.request(ctx, c, verify.Claims{Predicates: []string{t.URI}})
	if err != nil {
		return err
	}
	artifact, err := o.artifact(c)
	if err != nil {
		return err
	}
	req.Policy.NoArtifactUnsafe = !o.checkClaims
	o.warnInsecure(c, "blob attestation")
	return o.verifyArtifact(ctx, c, req, o.files(&o.verification, artifact), o.output.String())
}

// artifact returns what names the artifact: the argument, or the digest flags. It is empty when nothing is compared.
func (o *verifyBlobAttestation) artifact(c *cli.Call) (string, error) {
	switch {
	case (o.digest != "") != (o.digestH != ""):
		return "", cli.Usagef("--digest and --digestAlg go together: the digest in hexadecimal, and what it was made with")
	case len(c.Args) > 0 && o.digest != "":
		return "", cli.Usagef("the file was given twice: as %s, and by --digest", c.Args[0])
	case !o.checkClaims && (len(c.Args) > 0 || o.digest != "") && !c.Cosign:
		return "", cli.Usagef("--check-claims=false says not to look at the file, so leave it out")
	case !o.checkClaims:
		return "", nil
	case len(c.Args) > 0:
		return c.Args[0], nil
	case o.digest != "":
		h, ok := algorithm.Hash(o.digestH)
		if sum, err := hex.DecodeString(o.digest); !ok || err != nil || len(sum) != h.Size() {
			return "", cli.Usagef("--digest %s is not a %s digest in hexadecimal", o.digest, o.digestH)
		}
		return o.digestH + ":" + o.digest, nil
	}
	return "", cli.Usagef("must provide path to blob or digest and digestAlg; run `%s verify-blob-attestation -h` for more help", c.Name)
}
