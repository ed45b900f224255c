package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/oci"
)

// maxAttestations bounds what one command attaches: a build that attests to a hundred scans is still below.
const maxAttestations = 1000

// attachAttestation attaches attestations from files.
type attachAttestation struct {
	attaching
	files []string
}

func attachAttestationCommand() *cli.Command {
	o := &attachAttestation{}
	return &cli.Command{
		Use: "attestation [flags] IMAGE", Short: "Attach attestations that were made elsewhere", BindEnv: true,
		Long: `Attach attestations that were made elsewhere to an image. A file holds one or several: Sigstore bundles, which become referrers, or DSSE envelopes, which are added to the tag sha256-DIGEST.att.

The statements must be about the image, and all files are read before the first is attached. Nothing is verified: bulla verify-attestation does that. What is attached already is not attached again.`,
		Example: `bulla attach attestation --attestation provenance.sigstore.json registry.example.com/app@sha256:...

# all that another image has
bulla download attestation registry.example.com/app:v1 > all.jsonl
bulla attach attestation --attestation all.jsonl mirror.example.com/app:v1`,
		Args: cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			fs.StringArrayVar(&o.files, "attestation", nil, "`FILE` with attestations, - for standard input; repeatable")
			cli.RequireOne(fs, "attestation")
			o.registry.Register(fs)
			cli.Output(fs, &o.output, "text", "text", "json")
			cli.Own(fs, "output")
		},
		Run: o.run,
	}
}

func (o *attachAttestation) run(ctx context.Context, c *cli.Call) error {
	if _, err := oneStdin(o.files...); err != nil {
		return err
	}
	var all []*bundle.Bundle
	var from []string
	for _, name := range o.files {
		data, err := readAttachment(ctx, c, name)
		if err != nil {
			return err
		}
		read, err := attestations(data)
		if err != nil {
			return cli.Errorf(cli.ExitInput, "%s: %w", name, err)
		}
		for i, b := range read {
			all, from = append(all, b), append(from, name)
			if len(read) > 1 {
				from[len(from)-1] = fmt.Sprintf("%s, document %d", name, i+1)
			}
		}
	}
	if len(all) > maxAttestations {
		return cli.Errorf(cli.ExitInput, "these are %d attestations; at most %d are attached at once", len(all), maxAttestations)
	}
	client, img, err := o.target(ctx, c, c.Args[0])
	if err != nil {
		return err
	}
	for i, b := range all {
		if err := checkSubject(c, b, img, from[i]); err != nil {
			return err
		}
	}
	return o.all(ctx, c, client, img, all)
}

func (o *attachAttestation) all(ctx context.Context, c *cli.Call, client *oci.Client, img *oci.Image, all []*bundle.Bundle) error {
	var pieces []attachedPiece
	for _, b := range all {
		attach := o.attachBundle
		if b.Version == bundle.Cosign {
			attach = o.attachLayer
		}
		piece, err := attach(ctx, c, client, img, b)
		if err != nil {
			return err
		}
		pieces = append(pieces, piece)
	}
	return o.printAttached(c, pieces...)
}

// attestations reads the JSON documents of a file, one after the other, each a bundle or an envelope.
func attestations(data []byte) ([]*bundle.Bundle, error) {
	var all []*bundle.Bundle
	dec := jsontext.NewDecoder(bytes.NewReader(data))
	for {
		doc, err := dec.ReadValue()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", len(all)+1, err)
		}
		if len(all) == maxAttestations {
			return nil, fmt.Errorf("it holds more than %d documents", maxAttestations)
		}
		b, err := oneAttestation(doc)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", len(all)+1, err)
		}
		all = append(all, b)
	}
	if len(all) == 0 {
		return nil, errors.New("there is nothing in it")
	}
	return all, nil
}

func oneAttestation(doc []byte) (*bundle.Bundle, error) {
	switch format := bundle.Sniff(doc); format {
	case "sigstore bundle":
		b, err := bundle.Decode(doc)
		if err == nil && b.Envelope == nil {
			err = errors.New("it is a signature of a file, not an attestation")
		}
		return b, err
	case "in-toto statement":
		return nil, errors.New("it is a statement that nobody has signed; attest signs it")
	}
	if _, err := bundle.ParseEnvelope(doc); err != nil {
		return nil, err
	}
	return bundle.FromLayer(bytes.Clone(doc), "application/vnd.dsse.envelope.v1+json", nil)
}
