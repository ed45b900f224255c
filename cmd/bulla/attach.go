package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/internal/describe"
	"github.com/bulla-sign/bulla/internal/evidence"
	"github.com/bulla-sign/bulla/oci"
)

func attachCommand() *cli.Command {
	return &cli.Command{
		Use: "attach", Short: "Attach evidence that was made elsewhere to an image", Group: "Registry",
		Example: `bulla attach signature --bundle app.sigstore.json registry.example.com/app:v1
bulla attach sbom --sbom app.spdx.json registry.example.com/app:v1`,
		Commands: []*cli.Command{attachSignatureCommand(), attachAttestationCommand(), attachSBOMCommand()},
	}
}

// attaching is what the commands below attach have in common.
type attaching struct {
	registry flags.Registry
	output   cli.Choice
}

// attachedPiece is what is printed about a piece of evidence that was attached.
type attachedPiece struct {
	Kind      string `json:"kind"`      // "bundle", "signature", "attestation" or "sbom"
	Reference string `json:"reference"` // where it is now
	Digest    string `json:"digest"`    // of the manifest, or of the layer under one of the older tags
	Subject   string `json:"subject"`   // digest of the image
}

// target asks the registry for the image. A tag may move: what is attached must be about what it names now, and says so.
func (o *attaching) target(ctx context.Context, c *cli.Call, ref string) (*oci.Client, *oci.Image, error) {
	client, err := registryClient(c, &o.registry)
	if err != nil {
		return nil, nil, err
	}
	if _, err := client.Parse(ref); err != nil {
		return nil, nil, cli.Usagef("%w", err)
	}
	img, err := client.Resolve(ctx, ref)
	return client, img, signingRegistryError(c, err)
}

// checkSubject refuses evidence about something else: it would verify nowhere. cosign attaches it, and is followed there
// with a warning.
func checkSubject(c *cli.Call, b *bundle.Bundle, img *oci.Image, from string) error {
	err := about(b, img.Digest)
	if err == nil {
		return nil
	}
	if c.Cosign && (b.Envelope != nil || b.Message.Payload != nil) {
		c.Warnf("%s will not verify for %s: %v", from, img.Ref, err)
		return nil
	}
	return cli.Errorf(cli.ExitInput, "%s is not about %s: %w", from, img.Ref, err)
}

// about says why a signature is not about a digest, as far as it states what it is about. Nothing is verified.
func about(b *bundle.Bundle, digest string) error {
	name, value := splitDigest(digest)
	switch {
	case b.Envelope != nil:
		s, err := bundle.ParseStatement(b.Envelope.Payload)
		if err != nil {
			return err
		}
		var named []string
		for i := range s.Subjects {
			if s.Subjects[i].Digests[name] == value {
				return nil
			}
			named = append(named, name+":"+s.Subjects[i].Digests[name])
		}
		return fmt.Errorf("the statement names %s", describe.Printable(strings.Join(named, ", ")))
	case b.Message.Payload != nil:
		s, err := bundle.ParseSimpleSigning(b.Message.Payload)
		if err == nil && s.ManifestDigest != digest {
			err = fmt.Errorf("the payload names %s", s.ManifestDigest)
		}
		return err
	}
	return errors.New("it signs the bytes of a file; what signs an image is a statement or a simple-signing document that names it")
}

// attachBundle attaches a Sigstore bundle as a referrer.
func (o *attaching) attachBundle(ctx context.Context, c *cli.Call, client *oci.Client, img *oci.Image, b *bundle.Bundle) (attachedPiece, error) {
	piece := attachedPiece{Kind: "bundle", Subject: img.Digest}
	data, err := b.Encode()
	if err != nil {
		return piece, cli.Errorf(cli.ExitInput, "%w", err)
	}
	c.Infof("Pushing bundle to: %s", evidenceRepository(c, img))
	if piece.Digest, err = client.AttachBundle(ctx, img, oci.AttachOptions{
		Bundle: data, ContentKind: oci.ContentDSSE, PredicateType: predicateOf(b), Created: c.Now(),
	}); err != nil {
		return piece, signingRegistryError(c, err)
	}
	piece.Reference = evidenceRepository(c, img) + "@" + piece.Digest
	return piece, nil
}

// attachLayer adds a signature or an attestation to one of cosign's older tags.
func (o *attaching) attachLayer(ctx context.Context, c *cli.Call, client *oci.Client, img *oci.Image, b *bundle.Bundle) (attachedPiece, error) {
	piece := attachedPiece{Kind: "signature", Subject: img.Digest}
	suffix := "sig"
	if b.Envelope != nil {
		piece.Kind, suffix = "attestation", "att"
	}
	payload, mediaType, annotations, err := b.Layer()
	if err != nil {
		return piece, cli.Errorf(cli.ExitInput, "%w", err)
	}
	c.Infof("Pushing %s to: %s", piece.Kind, evidenceRepository(c, img))
	if piece.Digest, err = client.AttachLayer(ctx, img, oci.LayerOptions{
		Suffix: suffix, Payload: payload, MediaType: mediaType, Annotations: annotations,
	}); err != nil {
		return piece, signingRegistryError(c, err)
	}
	piece.Reference, err = client.Triangulate(ctx, img, piece.Kind)
	return piece, err
}

// printAttached prints where evidence is now. cosign prints nothing.
func (o *attaching) printAttached(c *cli.Call, pieces ...attachedPiece) error {
	if o.output.String() == "json" {
		return c.PrintJSON(pieces)
	}
	if c.Cosign {
		return nil
	}
	for i := range pieces {
		if _, err := fmt.Fprintln(c.Out, pieces[i].Reference); err != nil {
			return err
		}
	}
	return nil
}

// readAttachment reads a small file, or standard input for "-".
func readAttachment(ctx context.Context, c *cli.Call, name string) ([]byte, error) {
	if name != "-" {
		data, err := evidence.Read(ctx, name)
		return data, inputError(err)
	}
	data, err := readUpTo(c.In, "standard input", bundle.MaxBytes)
	return data, inputError(err)
}
