package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/predicate"
)

func downloadCommand() *cli.Command {
	return &cli.Command{
		Use: "download", Short: "Print what is attached to an image", Group: "Registry",
		Example: `bulla download signature registry.example.com/app:v1 > app.jsonl
bulla download sbom registry.example.com/app:v1 > app.spdx.json`,
		Commands: []*cli.Command{downloadSignatureCommand(), downloadAttestationCommand(), downloadSBOMCommand()},
	}
}

// download prints evidence as JSON Lines.
type download struct {
	registry      flags.Registry
	attestations  bool // download attestation
	platform      string
	predicateType string
}

func downloadSignatureCommand() *cli.Command {
	o := &download{}
	return &cli.Command{
		Use: "signature [flags] IMAGE", Short: "Print the signatures of an image", BindEnv: true,
		Long: `Print everything that may sign an image as JSON, one on each line: Sigstore bundles of any kind, and then signatures in cosign's older form. Nothing is verified.

Status 10 says that the image has none, 20 that the registry did not let us find out.`,
		Example: `bulla download signature registry.example.com/app:v1 > app.jsonl`,
		Args:    cobra.ExactArgs(1),
		Flags:   func(fs *pflag.FlagSet) { o.registry.Register(fs) },
		Run:     o.run,
	}
}

func downloadAttestationCommand() *cli.Command {
	o := &download{attestations: true}
	return &cli.Command{
		Use: "attestation [flags] IMAGE", Short: "Print the attestations of an image", BindEnv: true,
		Long: `Print the attestations of an image as JSON, one on each line: Sigstore bundles, and then envelopes in cosign's older form. Nothing is verified.

Status 10 says that the image has none, 20 that the registry did not let us find out.`,
		Example: `bulla download attestation --predicate-type slsaprovenance1 registry.example.com/app:v1 > provenance.jsonl`,
		Args:    cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			fs.StringVar(&o.predicateType, "predicate-type", "", "print only those with the predicate `TYPE`: a short name such as slsaprovenance1, or a URI")
			fs.StringVar(&o.platform, "platform", "", "print those of the image for a `PLATFORM` such as linux/arm64")
			o.registry.Register(fs)
		},
		Run: o.run,
	}
}

func (o *download) run(ctx context.Context, c *cli.Call) error {
	predicateURI := ""
	if o.predicateType != "" {
		t, err := predicate.Lookup(o.predicateType)
		if err != nil {
			return cli.Usagef("%w", err)
		}
		predicateURI = t.URI
	}
	client, err := registryClient(c, &o.registry)
	if err != nil {
		return err
	}
	img, err := platformImage(ctx, c, client, c.Args[0], o.platform)
	if err != nil {
		return err
	}
	done := c.Progress("looking for what is attached to %s", c.Args[0])
	found, err := client.Find(ctx, img, oci.FindOptions{Bundles: true, Signatures: !o.attestations, Attestations: o.attestations, PredicateType: predicateURI, Every: true})
	done()
	printed, incomplete, printErr := o.print(c, found, predicateURI)
	switch {
	case printErr != nil:
		return printErr
	case err != nil:
		return imageError(c, err)
	case incomplete != nil:
		return cli.Errorf(cli.ExitUnknown, "what was printed is not complete: %w", incomplete)
	case printed > 0:
		return nil
	}
	return o.none(c, predicateURI)
}

// none is the error for an image that has nothing of the kind. cosign has no status for that, and says nothing at all
// where there is no attestation of any kind.
func (o *download) none(c *cli.Call, predicateURI string) error {
	code := cli.ExitNoSignatures
	if c.Cosign {
		code = cli.ExitFailure
	}
	switch {
	case !o.attestations:
		return cli.Errorf(code, "%s: no signatures associated", c.Args[0])
	case predicateURI != "":
		return cli.Errorf(code, "no attestations with predicate type '%s' found", predicateURI)
	case c.Cosign:
		return nil
	}
	return cli.Errorf(code, "%s: no attestations found", c.Args[0])
}

// print writes what was found, bundles first, and says how many lines that made and what could not be looked at. What
// cannot be decoded is told and left out. In cosign's place bundles hide older signatures, as they do there.
func (o *download) print(c *cli.Call, found *oci.Evidence, predicateURI string) (printed int, incomplete, err error) {
	bundles := 0
	for _, legacy := range []bool{false, true} {
		if legacy && c.Cosign && !o.attestations && bundles > 0 {
			break
		}
		for i := range found.Items {
			item := &found.Items[i]
			if item.Legacy != legacy {
				continue
			}
			if item.Err != nil {
				c.Warnf("%s (%s) is left out: %v", item.Digest, item.Place, item.Err)
				var unknown *oci.UnknownError
				if errors.As(item.Err, &unknown) {
					incomplete = unknown
				}
				continue
			}
			if predicateURI != "" && predicateOf(item.Bundle) != predicateURI {
				continue
			}
			line, err := o.line(item)
			if err != nil {
				c.Warnf("%s (%s) is left out: %v", item.Digest, item.Place, err)
				continue
			}
			if _, err := fmt.Fprintf(c.Out, "%s\n", line); err != nil {
				return printed, nil, err
			}
			if printed++; !legacy {
				bundles++
			}
		}
	}
	if incomplete == nil {
		incomplete = unansweredPlace(found.Places)
	}
	return printed, incomplete, nil
}

// predicateOf returns the predicate type that an envelope states, whatever the registry's annotations say.
func predicateOf(b *bundle.Bundle) string {
	if b.Envelope == nil {
		return ""
	}
	s, err := bundle.ParseStatement(b.Envelope.Payload)
	if err != nil {
		return ""
	}
	return s.PredicateType
}

func (o *download) line(item *oci.Item) ([]byte, error) {
	switch {
	case !item.Legacy:
		var out bytes.Buffer
		err := json.Compact(&out, item.Raw)
		return out.Bytes(), err
	case o.attestations:
		return attestationLine(item.Bundle)
	}
	return signatureLine(item)
}
