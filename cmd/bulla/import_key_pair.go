package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/pipe"
	"github.com/bulla-sign/bulla/keys"
)

// maxImport bounds a key file that is imported; package keys refuses more than this, too.
const maxImport = 64 << 10

type importKeyPair struct {
	key    string
	prefix string
	yes    bool
	output cli.Choice
}

func importKeyPairCommand() *cli.Command {
	o := &importKeyPair{}
	return &cli.Command{
		Use: "import-key-pair [flags]", Short: "Turn a private key of another tool into a key pair to sign with", Group: "Keys", BindEnv: true,
		Long: `Read a PEM private key (PKCS#8, PKCS#1 or SEC 1; RSA of 2048 to 4096 bits, ECDSA P-256, P-384 or P-521, Ed25519) and write it encrypted to PREFIX.key, and its public key to PREFIX.pub.

A key that is already encrypted for signing gets a new password.`,
		Example: `openssl genpkey -algorithm ed25519 -out plain.pem
bulla import-key-pair --key plain.pem`,
		Flags: func(fs *pflag.FlagSet) {
			fs.StringVarP(&o.key, "key", "k", "", "private key to import, a PEM `FILE`")
			fs.StringVarP(&o.prefix, "output-key-prefix", "o", "import-cosign", "`PREFIX` of the names of the files")
			fs.BoolVarP(&o.yes, "yes", "y", false, "overwrite files that exist")
			// cosign has given -o to the prefix.
			cli.ChoiceVar(fs, &o.output, "output", "how the result is printed", "text", "json")
			cli.Own(fs, "output")
			cli.RequireOne(fs, "key")
		},
		Run: o.run,
	}
}

func (o *importKeyPair) run(ctx context.Context, c *cli.Call) error {
	data, err := readKeyFile(ctx, o.key)
	if err != nil {
		return err
	}
	files := keyFilesFor(o.prefix, o.output.String())
	replace, err := confirmOverwrite(c, o.yes, files.private, files.public)
	if err != nil {
		return err
	}
	var password []byte
	if keys.Encrypted(data) {
		if password, err = c.KeyEnvironment().ReadPassword(ctx, false); err != nil {
			return err
		}
	}
	key, err := keys.Import(data, password)
	if err != nil {
		return cli.Errorf(cli.ExitInput, "importing %s: %w", o.key, err)
	}
	return writeKeyPair(ctx, c, key, files, replace)
}

func readKeyFile(ctx context.Context, path string) ([]byte, error) {
	f, err := pipe.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxImport+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxImport {
		return nil, &cli.Error{Code: cli.ExitInput, Err: fmt.Errorf("%s is larger than %d bytes; a key is smaller", path, maxImport)}
	}
	return data, nil
}
