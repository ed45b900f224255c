package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/keys"
)

type generateKeyPair struct {
	kms       string
	prefix    string
	algorithm string
	yes       bool
	output    cli.Choice
}

func generateKeyPairCommand() *cli.Command {
	o := &generateKeyPair{}
	return &cli.Command{
		Use: "generate-key-pair [flags]", Short: "Make a key pair", Group: "Keys", BindEnv: true,
		Long: `Make a key pair: PREFIX.key holds the private key, encrypted with a password, and PREFIX.pub the public one.

The password is asked for on the terminal. Without a terminal it is COSIGN_PASSWORD, or one line of standard input.

With --kms the private key is made in a key store and stays there; only the public one is written.`,
		Example: `# cosign.key and cosign.pub
bulla generate-key-pair

# another algorithm, another name
bulla generate-key-pair --algorithm ed25519 --output-key-prefix release

# in a key store, by the program sigstore-kms-awskms
bulla generate-key-pair --kms awskms:///alias/release`,
		Args: cobra.MaximumNArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			fs.StringVar(&o.algorithm, "algorithm", "", "`NAME` of the algorithm: "+strings.Join(keys.Algorithms(), ", ")+"; with --kms, one that the key store knows")
			fs.StringVar(&o.prefix, "output-key-prefix", "cosign", "`PREFIX` of the names of the files")
			fs.StringVar(&o.kms, "kms", "", "make the key in a key store, under this `REFERENCE`")
			fs.BoolVarP(&o.yes, "yes", "y", false, "overwrite files that exist")
			cli.Output(fs, &o.output, "text", "text", "json")
			cli.Own(fs, "output")
		},
		Run: o.run,
	}
}

func (o *generateKeyPair) run(ctx context.Context, c *cli.Call) error {
	if len(c.Args) > 0 {
		return cli.Usagef("keys are not written to %s: Kubernetes secrets and the CI variables of GitHub and GitLab are not supported", c.Args[0]).
			WithHint("make the files, then store them with the tool of that service (kubectl, gh, glab)")
	}
	files := keyFilesFor(o.prefix, o.output.String())
	if o.kms != "" {
		return o.inStore(ctx, c, files)
	}
	if o.algorithm == "" {
		o.algorithm = keys.DefaultAlgorithm
	}
	replace, err := confirmOverwrite(c, o.yes, files.private, files.public)
	if err != nil {
		return err
	}
	key, err := keys.Generate(rand.Reader, o.algorithm)
	if err != nil {
		return cli.Usagef("%w", err)
	}
	return writeKeyPair(ctx, c, key, files, replace)
}

func (o *generateKeyPair) inStore(ctx context.Context, c *cli.Call, files keyFiles) error {
	path := files.public
	replace, err := confirmOverwrite(c, o.yes, path)
	if err != nil {
		return err
	}
	pub, err := keys.CreateKey(ctx, o.kms, o.algorithm, c.KeyEnvironment())
	if err != nil {
		return err
	}
	data, err := publicPEM(pub)
	if err != nil {
		return err
	}
	write := durable.CreateFile // as in writeKeyPair: making a key takes a while, and a file may appear meanwhile
	if replace {
		write = durable.WriteFile
	}
	if err := write(path, data, 0o644); err != nil {
		return fmt.Errorf("%w; \"%s public-key --key %s\" prints the public key", err, c.Name, o.kms)
	}
	c.Infof("Public key written to %s", path)
	files.private = ""
	return files.print(c, pub)
}
