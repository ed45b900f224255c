package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/imagerefs"
	"github.com/bulla-sign/bulla/internal/pipe"
	"github.com/bulla-sign/bulla/internal/report"
)

// verifyNamed verifies the images that a file names, each as verify does.
type verifyNamed struct {
	verifyImages
	read func(c *cli.Call, data []byte) ([]string, error)

	// Of dockerfile verify:
	baseOnly  bool
	buildArgs []string
}

func (o *verifyNamed) registerNamed(fs *pflag.FlagSet) {
	o.register(fs)
	o.registerAnyPredicate(fs)
	cli.Topic(fs, "Evidence", func(fs *pflag.FlagSet) {
		fs.StringArrayVarP(&o.annotations, "annotations", "a", nil, "what the signatures must be annotated with, as `NAME=VALUE`; repeatable")
	})
	cli.Hide(fs, "local-image")
}

func dockerfileCommand() *cli.Command {
	o := &verifyNamed{}
	o.read = o.dockerfile
	return &cli.Command{
		Use: "dockerfile", Short: "Verify the images that a Dockerfile builds on", Group: "Verify",
		Example: `bulla dockerfile verify --key cosign.pub --log=none Dockerfile`,
		Commands: []*cli.Command{{
			Use: "verify [flags] FILE", Short: "Verify the images that a Dockerfile builds on", BindEnv: true,
			Long: `Verify the signatures of the images that a Dockerfile takes content from: in FROM, COPY --from and RUN --mount. The names of stages and scratch are no images. Signatures of every format are found, as by verify, and all images must verify.

ARGs have the values that --build-arg gives, or their defaults; one without a value is an error, since another image would be verified than is built on.`,
			Example: `bulla dockerfile verify --key cosign.pub --log=none Dockerfile
bulla dockerfile verify --build-arg VERSION=1.26 --certificate-identity me@example.com \
  --certificate-oidc-issuer https://accounts.google.com Dockerfile`,
			Args: cobra.ExactArgs(1),
			Flags: func(fs *pflag.FlagSet) {
				fs.BoolVar(&o.baseOnly, "base-image-only", false, "verify only the image that the last stage is made from")
				fs.StringArrayVar(&o.buildArgs, "build-arg", nil, "value of an ARG, as `NAME=VALUE`; repeatable")
				cli.Own(fs, "build-arg")
				o.registerNamed(fs)
			},
			Run: o.run,
		}},
	}
}

func manifestCommand() *cli.Command {
	o := &verifyNamed{read: workloads}
	return &cli.Command{
		Use: "manifest", Short: "Verify the images that YAML files of workloads name", Group: "Verify",
		Example: `helm template chart | bulla manifest verify --key cosign.pub --log=none -`,
		Commands: []*cli.Command{{
			Use: "verify [flags] FILE", Short: "Verify the images that a YAML file of workloads names", BindEnv: true,
			Long: `Verify the signatures of the images that a YAML or JSON file names: in the containers, initContainers and ephemeralContainers of Kubernetes objects of any kind, however deep their pod template lies, in image volumes, and in the services of a Compose file, whose variables come from the environment. All documents of the file are read; - reads standard input, such as what helm template prints. Signatures of every format are found, as by verify, and all images must verify.

A name that is still a template is an error.`,
			Example: `bulla manifest verify --key cosign.pub --log=none deployment.yaml
helm template chart | bulla manifest verify --key cosign.pub --log=none -`,
			Args:  cobra.ExactArgs(1),
			Flags: o.registerNamed,
			Run:   o.run,
		}},
	}
}

func (o *verifyNamed) run(ctx context.Context, c *cli.Call) error {
	if o.localImage {
		return cli.Usagef("--local-image has no meaning here: the file names images in registries")
	}
	data, err := readNamed(ctx, c, c.Args[0])
	if err != nil {
		return err
	}
	images, err := o.read(c, data)
	if err != nil {
		return cli.Errorf(cli.ExitInput, "%s: %w", c.Args[0], err)
	}
	if len(images) == 0 {
		return cli.Errorf(cli.ExitInput, "%s: no images found", c.Args[0])
	}
	c.Infof("Extracted image(s): %s", report.Clean(strings.Join(images, ", ")))
	of := *c
	of.Args, o.listed = images, true
	return o.verifyImages.run(ctx, &of)
}

func readNamed(ctx context.Context, c *cli.Call, name string) ([]byte, error) {
	in := c.In
	if name != "-" {
		f, err := pipe.Open(ctx, name)
		if err != nil {
			return nil, inputError(err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, imagerefs.MaxFile+1))
	if err == nil && len(data) > imagerefs.MaxFile {
		return nil, cli.Errorf(cli.ExitInput, "%s has more than %d bytes", name, imagerefs.MaxFile)
	}
	return data, inputError(err)
}

// dockerfile reads one. cosign replaces variables from the environment too.
func (o *verifyNamed) dockerfile(c *cli.Call, data []byte) ([]string, error) {
	options := imagerefs.DockerfileOptions{BuildArgs: map[string]string{}, BaseOnly: o.baseOnly}
	for _, arg := range o.buildArgs {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--build-arg %s: want NAME=VALUE", arg)
		}
		options.BuildArgs[name] = value
	}
	if c.Cosign {
		options.Lookup = c.LookupEnv
	}
	return imagerefs.Dockerfile(data, options)
}

func workloads(c *cli.Call, data []byte) ([]string, error) {
	return imagerefs.Workloads(data, c.LookupEnv)
}
