package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/oci"
)

// attachSignature attaches a signature whose parts lie in files.
type attachSignature struct {
	attaching
	signature, payload, bundle    string
	certificate, chain, timestamp string
	rekor                         string
}

func attachSignatureCommand() *cli.Command {
	o := &attachSignature{}
	return &cli.Command{
		Use: "signature [flags] IMAGE", Short: "Attach a signature that was made elsewhere", BindEnv: true,
		Long: `Attach a signature that was made elsewhere to an image: a Sigstore bundle (--bundle), which becomes a referrer, or a signature of cosign's older form, which is added to the tag sha256-DIGEST.sig: --signature and --payload, with a certificate, a timestamp and a log entry where there are some.

The signature must be about the image. Nothing is verified: bulla verify does that. What is attached already is not attached again.`,
		Example: `bulla attach signature --bundle app.sigstore.json registry.example.com/app@sha256:...

# made by something that signs files
bulla attach signature --payload app.payload.json --signature app.sig registry.example.com/app@sha256:...`,
		Args: cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			fs.StringVar(&o.signature, "signature", "", "`FILE` with the signature in base64, - for standard input")
			fs.StringVar(&o.payload, "payload", "", "`FILE` with the simple-signing document that was signed, or a Sigstore bundle")
			fs.StringVar(&o.bundle, "bundle", "", "`FILE` with a Sigstore bundle")
			fs.StringVar(&o.certificate, "certificate", "", "PEM `FILE` with the signing certificate")
			fs.StringVar(&o.chain, "certificate-chain", "", "PEM `FILE` with the certificates above it")
			fs.StringVar(&o.timestamp, "tsr", "", "`FILE` with the response of a timestamp authority (RFC 3161)")
			fs.StringVar(&o.rekor, "rekor-response", "", "`FILE` with the log entry, as cosign sign-blob --bundle wrote it")
			cli.Exclusive(fs, "bundle", "payload")
			o.registry.Register(fs)
			cli.Output(fs, &o.output, "text", "text", "json")
			cli.Own(fs, "output")
		},
		Run: o.run,
	}
}

func (o *attachSignature) run(ctx context.Context, c *cli.Call) error {
	name := o.bundle + o.payload
	var payload []byte
	var err error
	if name != "" {
		if payload, err = readAttachment(ctx, c, name); err != nil {
			return err
		}
	}
	if o.bundle != "" || bundle.Sniff(payload) == "sigstore bundle" {
		return o.runBundle(ctx, c, name, payload)
	}
	if o.signature == "" {
		return cli.Usagef("there is no signature to attach").WithHint("give --bundle FILE, or --signature FILE with --payload FILE")
	}
	parts, err := o.parts(ctx, c)
	if err != nil {
		return err
	}
	client, img, err := o.target(ctx, c, c.Args[0])
	if err != nil {
		return err
	}
	if parts.Payload = payload; payload == nil {
		if parts.Payload, err = o.impliedPayload(c, img); err != nil {
			return err
		}
	}
	b, err := bundle.FromDetached(parts)
	if err != nil {
		return cli.Errorf(cli.ExitInput, "%s: %w", o.signature, err)
	}
	if b.Message == nil {
		return cli.Errorf(cli.ExitInput, "%s is an attestation", o.signature).WithHint("bulla attach attestation --attestation FILE attaches it")
	}
	if err := checkSubject(c, b, img, o.signature); err != nil {
		return err
	}
	piece, err := o.attachLayer(ctx, c, client, img, b)
	if err != nil {
		return err
	}
	return o.printAttached(c, piece)
}

// runBundle attaches a bundle, which has all parts in it.
func (o *attachSignature) runBundle(ctx context.Context, c *cli.Call, name string, data []byte) error {
	const why, instead = "the bundle holds all that there is", "leave it out"
	var ignored []ignoredFlag
	for _, flag := range []string{"signature", "certificate", "certificate-chain", "tsr", "rekor-response"} {
		ignored = append(ignored, ignoredFlag{flag, why, instead})
	}
	if err := refuseIgnored(c, ignored...); err != nil {
		return err
	}
	b, err := bundle.Decode(data)
	if err != nil {
		return cli.Errorf(cli.ExitInput, "%s: %w", name, err)
	}
	client, img, err := o.target(ctx, c, c.Args[0])
	if err != nil {
		return err
	}
	if err := checkSubject(c, b, img, name); err != nil {
		return err
	}
	piece, err := o.attachBundle(ctx, c, client, img, b)
	if err != nil {
		return err
	}
	return o.printAttached(c, piece)
}

// impliedPayload is what old versions of cosign signed when nobody gave a payload.
func (o *attachSignature) impliedPayload(c *cli.Call, img *oci.Image) ([]byte, error) {
	c.Warnf("without --payload, the signature is taken to be over the document that sign would make for %s", img.Name())
	return (&bundle.SimpleSigning{DockerReference: img.Repository.Name(), ManifestDigest: img.Digest, Type: bundle.SimpleSigningType}).Encode()
}

// parts reads the files beside the payload.
func (o *attachSignature) parts(ctx context.Context, c *cli.Call) (bundle.Detached, error) {
	var parts bundle.Detached
	for _, part := range []struct {
		name string
		into *[]byte
	}{
		{o.signature, &parts.Signature},
		{o.certificate, &parts.Certificate},
		{o.chain, &parts.Chain},
		{o.timestamp, &parts.Timestamp},
		{o.rekor, &parts.RekorBundle},
	} {
		if part.name == "" {
			continue
		}
		data, err := readAttachment(ctx, c, part.name)
		if err != nil {
			return parts, err
		}
		*part.into = data
	}
	if o.rekor != "" {
		entry, err := rekorBundle(parts.RekorBundle)
		if err != nil {
			return parts, cli.Errorf(cli.ExitInput, "%s: %w", o.rekor, err)
		}
		parts.RekorBundle = entry
	}
	return parts, nil
}

// rekorBundle takes the log entry out of cosign's older bundle of a file; a log entry alone is taken as it is.
func rekorBundle(data []byte) ([]byte, error) {
	var doc struct {
		Bundle jsontext.Value `json:"rekorBundle"`
		Signed jsontext.Value `json:"SignedEntryTimestamp"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("it is no JSON object with a log entry: %w", err)
	}
	switch {
	case doc.Bundle != nil && doc.Signed != nil:
		return nil, errors.New("it has rekorBundle and SignedEntryTimestamp, and one log entry is wanted")
	case doc.Bundle != nil:
		return doc.Bundle, nil
	case doc.Signed != nil:
		return data, nil
	}
	return nil, errors.New("it has neither rekorBundle nor SignedEntryTimestamp, so there is no log entry in it")
}
