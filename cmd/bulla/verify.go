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
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/internal/evidence"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/predicate"
	"github.com/bulla-sign/bulla/verify"
)

// verifyImages verifies what is attached to images: signatures (verify) or attestations (verify-attestation).
type verifyImages struct {
	verification
	registry     flags.Registry
	annotations  []string
	checkClaims  bool
	localImage   bool
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

Signatures of every format are found: Sigstore bundles among the image's referrers, and the older ones under the tag sha256-DIGEST.sig. One that satisfies every demand suffices. An image without signatures ends with status 10, one that does not exist with 11, one whose signatures do not match with 12; 20 means that the registry did not let us find out.`,
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
				fs.StringSliceVar(&o.policies, "policy", nil, "`FILE` with a policy in CUE or Rego that the statement must satisfy")
			})
		},
		Run: o.run,
	}
}

func (o *verifyImages) register(fs *pflag.FlagSet) {
	o.verification.register(fs)
	o.registry.Register(fs)
	cli.Topic(fs, "Evidence", func(fs *pflag.FlagSet) {
		fs.BoolVar(&o.checkClaims, "check-claims", true, "compare the image with what an older signature says of it")
		fs.BoolVar(&o.localImage, "local-image", false, "verify an image saved to a local directory")
		cli.LowersSecurity(fs, "check-claims")
	})
	cli.Output(fs, &o.output, "", "text", "json")
}

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
	claims, err := o.claims()
	if err != nil {
		return err
	}
	req, err := o.request(ctx, c, claims)
	if err != nil {
		return err
	}
	if o.checkClaims {
		req.Policy.Annotations, err = parseAnnotations(o.annotations)
		if err != nil {
			return err
		}
	}
	req.Policy.NoImageUnsafe = !o.checkClaims
	client, err := registryClient(c, &o.registry)
	if err != nil {
		return err
	}
	o.warnInsecure(c, map[bool]string{false: "signature", true: "attestation"}[o.attestations])
	var failed error
	// Every image is judged for itself and by its own evidence; the first failure is what the command ends with.
	for _, ref := range c.Args {
		if err := o.one(ctx, c, client, *req, ref); err != nil {
			if len(c.Args) > 1 {
				c.Infof("%s: %v", ref, err)
			}
			if failed == nil {
				failed = err
			}
		}
	}
	return failed
}

func (o *verifyImages) refuseUnsupported() error {
	switch {
	case o.localImage:
		return cli.Usagef("--local-image is not supported").WithHint("push the image to a registry, or verify its bundle with verify-blob and the image's digest")
	case len(o.policies) > 0:
		return cli.Usagef("--policy is not supported").WithHint("verify without it, and check the printed statement with the policy engine's own program")
	case o.attachment != "":
		return cli.Usagef("--attachment is not supported").WithHint("verify the digest of the attachment, which bulla tree shows")
	}
	return nil
}

// one verifies one image and prints the outcome.
func (o *verifyImages) one(ctx context.Context, c *cli.Call, client *oci.Client, req verify.Request, ref string) error {
	img, err := client.Parse(ref)
	if err == nil && img.Digest == "" {
		img, err = client.Resolve(ctx, ref)
	}
	if err != nil {
		return o.notFound(err, ref)
	}
	if req.Artifact, err = imageArtifact(img); err != nil {
		return err
	}
	done := c.Progress("looking for signatures of %s", ref)
	search := &search{client: client, img: img, req: &req, attestations: o.attestations}
	r, err := search.run(ctx, o.detached)
	done()
	if err != nil {
		return o.notFound(err, ref)
	}
	return o.print(c, img, search.items, r)
}

// notFound words that an image does not exist as cosign does.
func (o *verifyImages) notFound(err error, ref string) error {
	if errors.Is(err, oci.ErrImageNotFound) && !strings.Contains(ref, "@") {
		err = fmt.Errorf("image tag not found: %w", err)
	}
	return registryError(err)
}

// detached returns the candidate that --signature names, nil without.
func (o *verifyImages) detached() (*verify.Candidate, error) {
	if o.signature == "" {
		return nil, nil
	}
	if o.payload == "" {
		return nil, cli.Usagef("--signature needs --payload, the document that the signature is over")
	}
	found, err := evidence.Files{Signature: o.signature, Certificate: o.Certificate, SCT: o.SCT, Payload: o.payload}.Load()
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

// parseAnnotations reads -a NAME=VALUE. A comma separates two of them, as in cosign, where another NAME= follows it;
// otherwise it belongs to the value.
func parseAnnotations(args []string) (map[string]string, error) {
	if len(args) == 0 {
		return nil, nil
	}
	out := map[string]string{}
	for _, arg := range args {
		last := ""
		for i, piece := range strings.Split(arg, ",") {
			name, value, ok := strings.Cut(piece, "=")
			switch {
			case ok && name != "":
				out[name], last = value, name
			case i > 0 && last != "":
				out[last] += "," + piece
			default:
				return nil, cli.Usagef("unable to parse annotation: %q is not NAME=VALUE", arg)
			}
		}
	}
	return out, nil
}

// search finds an image's evidence place by place and stops once the policy is met.
type search struct {
	client       *oci.Client
	img          *oci.Image
	req          *verify.Request
	attestations bool
	items        []oci.Item // by the index of their candidate
	places       []oci.Place
}

// run verifies what is found: first the referrers, and only if they do not suffice the older tags. "Not signed" is said
// only when every place has answered so.
func (s *search) run(ctx context.Context, detached func() (*verify.Candidate, error)) (*verify.Report, error) {
	if given, err := detached(); err != nil || given != nil {
		if err != nil {
			return nil, err
		}
		s.items = []oci.Item{{Bundle: given.Bundle, Legacy: true}}
		s.req.Candidates = []verify.Candidate{*given}
		return verify.Verify(s.req), nil
	}
	first := oci.FindOptions{Bundles: true}
	if p := s.req.Policy.Claims; !p.AnyPredicate && len(p.Predicates) == 1 {
		first.PredicateType = p.Predicates[0]
	}
	var missing error
	for _, where := range []oci.FindOptions{first, {Signatures: !s.attestations, Attestations: s.attestations}} {
		found, err := s.client.Find(ctx, s.img, where)
		if err != nil && missing == nil {
			missing = err
		}
		s.add(found)
		if r := verify.Verify(s.req); r.Verified {
			return r, nil
		}
	}
	if missing == nil {
		missing = s.unanswered()
	}
	if missing != nil {
		return nil, missing
	}
	return verify.Verify(s.req), nil
}

func (s *search) add(found *oci.Evidence) {
	for _, item := range found.Items {
		s.items = append(s.items, item)
		s.req.Candidates = append(s.req.Candidates, verify.Candidate{
			Name: fmt.Sprintf("%s (%s)", item.Digest, item.Place), Bundle: item.Bundle, Err: item.Err,
		})
	}
	s.places = append(s.places, found.Places...)
}

// unanswered returns why some evidence could not be looked at: then what was seen decides nothing against the image.
func (s *search) unanswered() error {
	for i := range s.places {
		if s.places[i].Outcome == oci.Unknown && s.places[i].Err != nil {
			return s.places[i].Err
		}
	}
	var unknown *oci.UnknownError
	for i := range s.items {
		if errors.As(s.items[i].Err, &unknown) {
			return unknown
		}
	}
	return nil
}

// envelopeOf returns the DSSE envelope of a candidate as JSON.
func envelopeOf(b *bundle.Bundle) ([]byte, error) {
	if b.Envelope == nil {
		return nil, errors.New("the attestation has no envelope")
	}
	return b.Envelope.Encode()
}
