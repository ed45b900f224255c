package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/internal/evidence"
	"github.com/bulla-sign/bulla/internal/report"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/predicate"
	"github.com/bulla-sign/bulla/verify"
)

// verifyImages verifies what is attached to images: signatures (verify) or attestations (verify-attestation).
type verifyImages struct {
	verification
	recursion
	registry     flags.Registry
	annotations  []string
	checkClaims  bool
	localImage   bool
	listed       bool // the arguments come from a file that names images in registries
	attestations bool // verify-attestation
	kind         string
	policies     []string

	// Of verify only, deprecated:
	attachment, signature, payload string
}

func verifyCommand() *cli.Command {
	o := &verifyImages{}
	return &cli.Command{
		Use: "verify [flags] IMAGE...", Short: "Verify the signatures of images", Group: "Verify", BindEnv: true,
		Long: `Verify that images in a registry were signed by the holder of a key or by somebody with a certified identity.

Signatures of every format are found: Sigstore bundles among the image's referrers, and the older ones under the tag sha256-DIGEST.sig. One that satisfies every demand suffices. An image without signatures ends with status 10, one that does not exist with 11, one whose signatures do not match with 12, or 13 if they lack the certificate that is demanded; 20 means that the registry did not let us find out.`,
		Example: `# signed with a key, not logged
bulla verify --key cosign.pub --log=none registry.example.com/app@sha256:...

# signed with an identity
bulla verify --certificate-identity me@example.com \
  --certificate-oidc-issuer https://accounts.google.com registry.example.com/app:v1`,
		Args: cobra.MinimumNArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			o.register(fs)
			o.registerAnyPredicate(fs)
			cli.Topic(fs, "Evidence", func(fs *pflag.FlagSet) {
				fs.StringArrayVarP(&o.annotations, "annotations", "a", nil, "what the signature must be annotated with, as `NAME=VALUE`; repeatable")
				fs.StringVar(&o.attachment, "attachment", "", "verify an attachment of the image instead")
				fs.StringVar(&o.signature, "signature", "", "`FILE` with a detached signature, or the signature itself in base64")
				fs.StringVar(&o.payload, "payload", "", "`FILE` with what the detached signature is over")
				cli.Deprecate(fs, "attachment", "attach things as OCI referrers and verify those")
				cli.Deprecate(fs, "signature", "signatures are found in the registry")
				cli.Deprecate(fs, "payload", "signatures are found in the registry")
			})
		},
		Run: o.run,
	}
}

func verifyAttestationCommand() *cli.Command {
	o := &verifyImages{attestations: true}
	return &cli.Command{
		Use: "verify-attestation [flags] IMAGE...", Short: "Verify the attestations of images", Group: "Verify", BindEnv: true,
		Long: `Verify attestations about images: statements such as provenance, an SBOM or a scan, signed by the holder of a key or by somebody with a certified identity.

--type says which kind of statement is demanded. Attestations are found among the image's referrers and under the older tag sha256-DIGEST.att. The envelopes that were verified are printed as JSON, one on each line.`,
		Example: `bulla verify-attestation --key cosign.pub --log=none --type slsaprovenance1 registry.example.com/app@sha256:...`,
		Args:    cobra.MinimumNArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			o.register(fs)
			cli.Topic(fs, "Evidence", func(fs *pflag.FlagSet) {
				fs.StringVar(&o.kind, "type", predicate.Custom, "`TYPE` of predicate that is demanded: a short name such as slsaprovenance1, spdxjson or cyclonedx, or a URI")
				fs.StringSliceVar(&o.policies, "policy", nil, "`FILE` with a policy in CUE or Rego that the statement must satisfy; not possible yet")
			})
		},
		Run: o.run,
	}
}

func (o *verifyImages) register(fs *pflag.FlagSet) {
	o.verification.register(fs)
	o.recursion.register(fs)
	o.registry.Register(fs)
	cli.Topic(fs, "Evidence", func(fs *pflag.FlagSet) {
		fs.BoolVar(&o.checkClaims, "check-claims", true, "compare the image with what an older signature says of it")
		fs.BoolVar(&o.localImage, "local-image", false, "verify images that were saved: each IMAGE is an OCI layout, a directory or a tar file; oci-layout:PATH as IMAGE says the same")
		cli.LowersSecurity(fs, "check-claims")
	})
	cli.Output(fs, &o.output, "", "text", "json")
}

// verifyPortion is how many signatures are fetched at first: one suffices most of the time, and two take as long as one.
const verifyPortion = 2

// claims says what the signed content may be.
func (o *verifyImages) claims() (verify.Claims, error) {
	if !o.attestations {
		return verify.Claims{SimpleSigning: true, Predicates: []string{verify.SignPredicate}}, nil
	}
	t, err := predicate.Lookup(o.kind)
	if err != nil {
		return verify.Claims{}, cli.Usagef("%w", err)
	}
	return verify.Claims{Predicates: []string{t.URI}}, nil
}

func (o *verifyImages) run(ctx context.Context, c *cli.Call) error {
	if err := o.refuseUnsupported(); err != nil {
		return err
	}
	if err := o.checkRecursion(); err != nil {
		return err
	}
	c.JSONLines = o.mode.String() != ""
	claims, err := o.claims()
	if err != nil {
		return err
	}
	req, err := o.request(ctx, c, claims)
	if err != nil {
		return err
	}
	if req.Policy.Annotations, err = o.demandedAnnotations(c); err != nil {
		return err
	}
	req.Policy.NoImageUnsafe = !o.checkClaims && !o.attestations
	beside, err := evidence.Files{Certificate: o.Certificate, SCT: o.SCT}.Beside(ctx)
	if err != nil {
		return inputError(err)
	}
	o.warnInsecure(c, map[bool]string{false: "signature", true: "attestation"}[o.attestations])
	var client *oci.Client
	if !o.localImage {
		if client, err = registryClientOf(c, &o.registry, o.MaxWorkers); err != nil {
			return err
		}
	}
	var failed error
	// Every image is judged for itself and by its own evidence; the first failure is what the command ends with.
	for _, ref := range c.Args {
		search := func() *search {
			s := &search{client: client, req: *req, beside: beside, attestations: o.attestations, finder: o.finder}
			if !c.Cosign && !o.attestations { // those show everything that verifies
				s.portion = verifyPortion
			}
			return s
		}
		var err error
		if n, ok := o.inFiles(c, ref); ok {
			err = o.oneLocal(ctx, c, search(), n)
		} else if o.used() {
			err = o.recursively(ctx, c, search, ref)
		} else {
			err = o.one(ctx, c, search(), ref)
		}
		if err == nil {
			continue
		}
		if len(c.Args) > 1 {
			c.Infof("%s: %v", report.Clean(ref), err)
		}
		if failed == nil {
			failed = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return failed
}

// demandedAnnotations reads -a. Without the comparison of claims nothing is demanded, which must not be a surprise.
func (o *verifyImages) demandedAnnotations(c *cli.Call) (map[string]string, error) {
	switch {
	case o.checkClaims:
		return parseAnnotations(o.annotations)
	case o.attestations && c.Cosign:
		c.Warnf("--check-claims=false changes nothing here: an attestation is always compared with the image")
	case o.attestations && !c.Typed("check-claims"):
		c.Debugf("--check-claims=false from the environment changes nothing here: an attestation is always compared with the image")
	case o.attestations:
		return nil, cli.Usagef("--check-claims=false has no effect: an attestation is always compared with the image")
	case len(o.annotations) > 0 && c.Cosign:
		c.Warnf("--check-claims=false: the annotations are not looked at")
	case len(o.annotations) > 0:
		return nil, cli.Usagef("--annotations demands something that --check-claims=false says not to look at")
	}
	return nil, nil
}

func (o *verifyImages) refuseUnsupported() error {
	switch {
	case len(o.policies) > 0:
		return cli.Usagef("--policy is not supported").WithHint("verify without it, and check the printed statement with the policy engine's own program")
	case o.payload != "" && o.signature == "":
		return cli.Usagef("--payload needs --signature, the signature over that document")
	case o.attachment != "":
		return cli.Usagef("--attachment is not supported").WithHint("verify the digest of the attachment, which bulla tree shows")
	}
	return nil
}

// one verifies one image and prints the outcome.
func (o *verifyImages) one(ctx context.Context, c *cli.Call, s *search, ref string) error {
	img, err := s.client.Parse(ref)
	if err != nil {
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	if img.Digest == "" {
		if img, err = s.client.Resolve(ctx, ref); err != nil {
			return o.noVerdict(c, err, ref)
		}
	}
	return o.image(ctx, c, s, img)
}

// image verifies one manifest, known by its digest, and prints the outcome.
func (o *verifyImages) image(ctx context.Context, c *cli.Call, s *search, img *oci.Image) error {
	var err error
	if s.req.Artifact, err = imageArtifact(img); err != nil {
		return err
	}
	s.img, s.req.Artifact.Name = img, s.name(img)
	if s.kept != "" && img.Ref != s.kept {
		img.Ref = s.name(img)
	}
	what := "signatures"
	if o.attestations {
		what = "attestations"
	}
	done := c.Progress("looking for %s of %s", what, img.Ref)
	r, err := s.run(ctx, o.detached)
	done()
	if err != nil {
		return o.noVerdict(c, err, s.name(img))
	}
	return o.print(c, s, r)
}

// notFound words in cosign's place that an image does not exist as cosign does, which gives it a status of its own for
// signatures only.
func (o *verifyImages) notFound(c *cli.Call, err error, ref string) error {
	missing := errors.Is(err, oci.ErrImageNotFound)
	if missing && c.Cosign && !strings.Contains(ref, "@") {
		err = fmt.Errorf("image tag not found: %w", err)
	}
	if missing && o.attestations && c.Cosign {
		return &cli.Error{Code: cli.ExitFailure, Err: err}
	}
	return registryError(err)
}

// detached returns the candidate that --signature names, nil without.
func (o *verifyImages) detached(ctx context.Context) (*verify.Candidate, error) {
	if o.signature == "" {
		return nil, nil
	}
	if o.payload == "" {
		return nil, cli.Usagef("--signature needs --payload, the document that the signature is over")
	}
	found, err := evidence.Files{Signature: o.signature, Certificate: o.Certificate, SCT: o.SCT, Payload: o.payload}.Load(ctx)
	if err != nil {
		return nil, inputError(err)
	}
	return &found.Candidates[0], nil
}

// imageArtifact makes the artifact of an image: its manifest, known by digest.
func imageArtifact(img *oci.Image) (verify.Artifact, error) {
	name, value, _ := strings.Cut(img.Digest, ":")
	h, known := algorithm.Hash(name)
	sum, err := hex.DecodeString(value)
	if !known || err != nil || len(sum) != h.Size() {
		return verify.Artifact{}, cli.Errorf(cli.ExitInput, "the image's digest %s is not one that can be verified", img.Digest)
	}
	return verify.Artifact{Name: img.Name(), Message: algorithm.Precomputed(h, sum), Image: true}, nil
}
