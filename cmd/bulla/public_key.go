package main

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/keys"
)

type publicKey struct {
	key     string
	token   flags.SecurityKey
	outfile string
	output  cli.Choice
}

func publicKeyCommand() *cli.Command {
	o := &publicKey{}
	return &cli.Command{
		Use: "public-key [flags]", Short: "Print the public key of a key", Group: "Keys", BindEnv: true,
		Example: `# of a key pair's private key, for which the password is needed
bulla public-key --key cosign.key

# of a key in a key store
bulla public-key --key awskms:///alias/release --outfile release.pub`,
		Flags: func(fs *pflag.FlagSet) {
			flags.KeyVar(fs, &o.key, "key to print the public half of: a file, env://NAME, a URL or a key store's `REFERENCE`")
			o.token.Register(fs)
			fs.StringVar(&o.outfile, "outfile", "", "write to `FILE` instead of standard output")
			cli.Output(fs, &o.output, "text", "text", "json")
			cli.Own(fs, "output")
			cli.Exclusive(fs, "key", "sk")
			cli.RequireOne(fs, "key", "sk")
		},
		Run: o.run,
	}
}

func (o *publicKey) run(ctx context.Context, c *cli.Call) error {
	if o.token.Use {
		return cli.Usagef("--sk: PIV tokens are not built in").
			WithHint("use a plug-in program for the token: --key NAME://KEY with sigstore-kms-NAME on PATH")
	}
	pub, err := keys.PublicHalf(ctx, o.key, c.KeyEnvironment())
	if err != nil {
		return inputError(err)
	}
	data, err := publicPEM(pub)
	if err != nil {
		return err
	}
	if o.output.String() == "json" {
		out, err := describeKey(pub)
		if err != nil {
			return err
		}
		out.PublicKey = string(data)
		if o.outfile == "" {
			return c.PrintJSON(out)
		}
		out.PublicKey = o.outfile
		if err := replaceFile(o.outfile, data); err != nil {
			return err
		}
		return c.PrintJSON(out)
	}
	if o.outfile != "" {
		return replaceFile(o.outfile, data)
	}
	_, err = c.Out.Write(data)
	return err
}
