package main

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/oci"
)

type generate struct {
	registry    flags.Registry
	annotations []string
}

func generateCommand() *cli.Command {
	o := &generate{}
	return &cli.Command{
		Use: "generate [flags] IMAGE", Short: "Print what a signature of the older format is over, unsigned", Group: "Sign", BindEnv: true,
		Long: `Print the simple-signing document of an image, without a newline at its end: what sign --new-bundle-format=false signs, for whom another program makes the signature. attach signature stores that beside the image.

The document names the repository and the digest, which is that of the reference when the command looked, and holds the annotations. Nothing is signed or stored.`,
		Example: `bulla generate registry.example.com/app:v1 > payload.json
bulla generate -a stage=test registry.example.com/app@sha256:...

# signed by another program
openssl dgst -sha256 -sign key.pem payload.json | base64 -w0 > payload.sig
bulla attach signature --payload payload.json --signature payload.sig registry.example.com/app@sha256:...`,
		Args: cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			fs.StringArrayVarP(&o.annotations, "annotations", "a", nil, "what to say in the document beside the digest, as `NAME=VALUE`; repeatable")
			o.registry.Register(fs)
		},
		Run: o.run,
	}
}

func (o *generate) run(ctx context.Context, c *cli.Call) error {
	annotations, err := parseAnnotations(o.annotations)
	if err != nil {
		return err
	}
	raw, err := rawTexts(annotations)
	if err != nil {
		return err
	}
	client, err := registryClient(c, &o.registry)
	if err != nil {
		return err
	}
	img, err := resolveImage(ctx, c, client, c.Args[0])
	if err != nil {
		return err
	}
	data, err := simpleSigning(img.Repository.Name(), img, raw)
	if err != nil {
		return err
	}
	_, err = c.Out.Write(data)
	return err
}

// simpleSigning makes the document that a signature of the older format is over, as cosign writes it, which takes <, > and &
// apart in annotations.
func simpleSigning(name string, img *oci.Image, annotations map[string][]byte) ([]byte, error) {
	doc := &bundle.SimpleSigning{DockerReference: name, ManifestDigest: img.Digest, Optional: make(map[string][]byte, len(annotations))}
	for key, raw := range annotations {
		var escaped bytes.Buffer
		json.HTMLEscape(&escaped, raw)
		doc.Optional[key] = escaped.Bytes()
	}
	return doc.Encode()
}
