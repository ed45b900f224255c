package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/server/internal/authority"
	"github.com/bulla-sign/bulla/server/internal/founding"
	"github.com/bulla-sign/bulla/server/internal/keyring"
	"github.com/bulla-sign/bulla/server/internal/state"
)

type signingRequest struct {
	deployment
	dir, name, key   string
	generatePassword bool
	output           cli.Choice
}

func csrCommand() *cli.Command {
	o := &signingRequest{}
	return &cli.Command{
		Use: "csr [flags] ca|tsa", Short: "Ask for a certificate below a root that exists", Group: "Keys",
		Long: `Make the key of the certificate authority or of the timestamp authority, and a certificate signing request (PKCS #10) for it, so that a root that your organisation has already can vouch for it. The key stays where it is made, encrypted; the request is printed.

Have the request signed, and give the chain (PEM: the new certificate first, its issuers after it, the self-signed root last) to "init --chain KIND=FILE" or "rotate KIND --chain FILE". There it is checked: the key; for the authority basic constraints, key usage and the extended key usage code signing, alone; for timestamps the extended key usage time stamping, alone and critical; path lengths, name constraints, algorithms and dates.

For a deployment that does not exist yet, --dir is the one that will be given to init, as is --generate-password. Called again before the key is in use, the command prints another request for the same key.`,
		Example: `bulla-server csr --dir /var/lib/bulla --name "Example Inc" ca > ca.csr
bulla-server init --dir /var/lib/bulla --lock /srv/bulla-lock --name "Example Inc" --hostname sigstore.example.com --chain ca=ca-chain.pem

# later
bulla-server csr ca > ca-2.csr
bulla-server rotate ca --chain ca-2-chain.pem`,
		Args: cobra.ExactArgs(1),
		Flags: allFlags(o.deployment.register, func(fs *pflag.FlagSet) {
			fs.StringVar(&o.dir, "dir", "", "the directory `DIR` of a deployment that is to be made")
			cli.Exclusive(fs, "dir", "config")
			fs.StringVar(&o.name, "name", "", "with --dir, the `ORGANISATION` in the request")
			fs.StringVar(&o.key, "key", "", "use a key that exists, a `REFERENCE`, instead of a new one")
			fs.BoolVar(&o.generatePassword, "generate-password", false, "with --dir, make a random password for the key files and keep it beside them")
			cli.Output(fs, &o.output, "text", "text", "json")
		}),
		Run: o.run,
	}
}

// requested is what csr prints as JSON.
type requested struct {
	Key     string `json:"key"` // its reference
	Request string `json:"request"`
}

func (o *signingRequest) run(ctx context.Context, c *cli.Call) error {
	kind := state.Kind(c.Args[0])
	if kind != state.CA && kind != state.TSA {
		return cli.Usagef("%q has no certificate: it is ca or tsa", c.Args[0])
	}
	h, err := o.prepare(c)
	if err != nil {
		return err
	}
	f := &founding.Founder{Ring: o.ring, Now: c.Now}
	if o.key != "" {
		f.Keys = map[founding.Role]string{founding.Role(kind): o.key}
	}
	ref, request, err := f.Request(ctx, h, kind)
	if err != nil {
		return err
	}
	if o.output.String() == "json" {
		return c.PrintJSON(requested{ref, request})
	}
	if _, err := io.WriteString(c.Out, request); err != nil {
		return err
	}
	use := fmt.Sprintf("rotate %s --key %s=%s --chain FILE", kind, kind, quote(ref))
	if o.dir != "" {
		use = fmt.Sprintf("init --dir %s --key %s=%s --chain %s=FILE", quote(o.dir), kind, quote(ref), kind)
	}
	c.Infof("the key is %s. When the request is signed: \"bulla-server %s\", where FILE has the new certificate first and the root last", ref, use)
	return nil
}

// prepare returns the history that the key will be the next of, and opens the keyring.
func (o *signingRequest) prepare(c *cli.Call) (*state.History, error) {
	if o.dir == "" {
		if o.name != "" || o.generatePassword {
			return nil, cli.Usagef("--name and --generate-password go with --dir: a deployment has its name and password")
		}
		if err := o.open(c); err != nil {
			return nil, err
		}
		return o.deployment.dir.Load()
	}
	if o.name == "" {
		return nil, cli.Usagef("--name is needed with --dir: the organisation stands in the certificate")
	}
	dir, err := state.Prepare(o.dir)
	if err != nil {
		return nil, err
	}
	env := c.KeyEnvironment()
	if o.generatePassword {
		if err := generatePassword(dir.Path(passwordName)); err != nil {
			return nil, err
		}
		env = fromFile(env, dir.Path(passwordName))
	}
	o.ring = keyring.New(dir.Path(), env)
	return &state.History{Name: o.name}, nil
}

// readChain reads the file of a chain. What is in it is checked where it is used.
func readChain(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // read only
	data, err := io.ReadAll(io.LimitReader(f, authority.MaxChainBytes+1))
	switch {
	case err != nil:
		return "", err
	case len(data) > authority.MaxChainBytes:
		return "", cli.Errorf(cli.ExitInput, "%s has more than %d bytes", path, authority.MaxChainBytes)
	case len(data) == 0:
		return "", cli.Errorf(cli.ExitInput, "%s is empty", path)
	}
	return string(data), nil
}

// readChains reads those of init, given as KIND=FILE.
func readChains(all []string) (map[state.Kind]string, error) {
	chains := map[state.Kind]string{}
	for _, s := range all {
		name, path, ok := strings.Cut(s, "=")
		kind := state.Kind(name)
		if !ok || path == "" || kind != state.CA && kind != state.TSA {
			return nil, cli.Usagef("--chain %q is not KIND=FILE with ca or tsa", s)
		}
		if chains[kind] != "" {
			return nil, cli.Usagef("--chain is given twice for %s", kind)
		}
		text, err := readChain(path)
		if err != nil {
			return nil, err
		}
		chains[kind] = text
	}
	return chains, nil
}

// chainKind refuses a chain for what has none.
func chainKind(kind state.Kind) error {
	if kind != state.CA && kind != state.TSA {
		return errors.New("--chain is for ca and tsa: nothing else has certificates")
	}
	return nil
}
