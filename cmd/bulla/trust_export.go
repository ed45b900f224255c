package main

import (
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/blob"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/durable"
	"github.com/bulla-sign/bulla/keys"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/trust/revocation"
)

func trustExportCommand() *cli.Command {
	var out, revocations string
	return &cli.Command{
		Use: "export [flags] [NAME|FILE]", Short: "Write what is trusted to one file, to carry it to where no network is",
		Long: `Write what an instance has trusted to one file: the trusted root, the signing config, what is revoked, when all of that was confirmed, and where it came from. --trust FILE uses it. Without a name it is what commands trust that name nothing.

The file is not signed. Carry it in a way that you trust.`,
		Example: `bulla trust export --out trust.json
bulla trust export ours --out trust.json --revocations revocations.json
bulla verify --offline --trust trust.json --trust-max-age 720h --key release.pub registry.example.com/app:1`,
		Args: cobra.MaximumNArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			fs.StringVar(&out, "out", "", "write it to `FILE` instead of standard output")
			fs.StringVar(&revocations, "revocations", "", "put the revocations of `FILE` into it, which \"trust revoke\" wrote")
		},
		Run: func(ctx context.Context, c *cli.Call) error {
			if err := checkEmpty(c, map[string]string{"out": out, "revocations": revocations}); err != nil {
				return err
			}
			t, err := openTrust(ctx, c, trustNamed(c), expiryAhead)
			if err != nil {
				return inputError(err)
			}
			m := t.material
			if m.Issued.IsZero() {
				return cli.Errorf(cli.ExitInput, "nobody knows when the trust of %s was confirmed, so that its age could not be told later", t.From)
			}
			if revocations != "" {
				if m.Revocations != nil {
					return cli.Usagef("%s has revocations of its own, which --revocations would replace", t.From)
				}
				if m.Revocations, err = readFileUpTo(ctx, revocations, revocation.MaxList); err != nil {
					return err
				}
			}
			data, err := m.Encode()
			if err != nil {
				return inputError(err)
			}
			return writeOut(c, out, data)
		},
	}
}

// writeOut writes a line of JSON to a file, whole or not at all, or to the standard output.
func writeOut(c *cli.Call, name string, data []byte) error {
	data = append(data, '\n')
	if name == "" {
		_, err := c.Out.Write(data)
		return err
	}
	return durable.WriteFile(name, data, 0o644)
}

type trustRevoke struct {
	key, list, reason, from string
	artifact, revokedKey    string
	subject, issuer         string
}

func trustRevokeCommand() *cli.Command {
	o := &trustRevoke{}
	return &cli.Command{
		Use: "revoke [flags]", Short: "Revoke an artifact, a key or an identity", BindEnv: true,
		Long: `Revoke an artifact, a key or an identity: sign a statement and add it to a list, which is begun if there is none. From the given time on, that moment included, signatures of it do not count; without a time they never did.

The list says which keys may revoke: the one that begins it. It takes effect where it is published, as the target revocations.v1.json of a TUF repository or in a file that "trust export --revocations" writes.`,
		Example: `bulla trust revoke --list revocations.json --key security.key --artifact sha256:0123… --reason "CVE-2026-12345"
bulla trust revoke --list revocations.json --key security.key --public-key release.pub --from 2026-11-25T00:00:00Z --reason stolen
bulla trust revoke --list revocations.json --key security.key --identity alice@example.com --issuer https://issuer.example.com --from 2026-11-25T00:00:00Z --reason "left the company"`,
		Flags: func(fs *pflag.FlagSet) {
			fs.StringVar(&o.key, "key", "", "sign with the key that `REFERENCE` names: a file, env://NAME, or one in a key store")
			fs.StringVar(&o.list, "list", "", "add it to the list in `FILE`")
			fs.StringVar(&o.artifact, "artifact", "", "revoke the artifact with this `DIGEST`, sha256:HEX")
			fs.StringVar(&o.revokedKey, "public-key", "", "revoke the public key in `FILE`")
			fs.StringVar(&o.subject, "identity", "", "revoke whoever a certificate was given to with this `NAME`, together with --issuer")
			fs.StringVar(&o.issuer, "issuer", "", "`ISSUER` of the tokens of that identity")
			fs.StringVar(&o.from, "from", "", "`TIME` from which signatures do not count, such as 2026-11-25T00:00:00Z; without it they never did")
			fs.StringVar(&o.reason, "reason", "", "why, in a `SENTENCE` that reports repeat")
			cli.Own(fs, "key", "list", "artifact", "public-key", "identity", "issuer", "from", "reason")
		},
		Run: o.run,
	}
}

func (o *trustRevoke) run(ctx context.Context, c *cli.Call) error {
	r, err := o.revocation(ctx, c)
	if err != nil {
		return err
	}
	signer, err := keys.Open(ctx, o.key, c.KeyEnvironment())
	if err != nil {
		return inputError(fmt.Errorf("loading the key: %w", err))
	}
	unlock, err := durable.Lock(ctx, o.list+".lock", durable.Exclusive)
	if err != nil {
		return err
	}
	defer unlock()
	list, err := o.read(ctx, signer.Public())
	if err != nil {
		return inputError(err)
	}
	statement, err := revocation.Sign(ctx, r, signer)
	if err != nil {
		return inputError(err)
	}
	list.Statements = append(list.Statements, statement)
	data, err := list.Encode()
	if err == nil {
		_, _, err = revocation.Decode(data) // refuses a key that may not revoke
	}
	if err != nil {
		return inputError(fmt.Errorf("nothing was changed: %w", err))
	}
	if err := writeOut(c, o.list, data); err != nil {
		return err
	}
	c.Infof("%s has %d revocations; publish it for it to take effect", o.list, len(list.Statements))
	return nil
}

// revocation makes what the flags say, and refuses what is not clear.
func (o *trustRevoke) revocation(ctx context.Context, c *cli.Call) (trust.Revocation, error) {
	r := trust.Revocation{Subject: o.subject, Issuer: o.issuer, Reason: o.reason}
	if err := checkEmpty(c, map[string]string{"from": o.from}); err != nil {
		return r, err
	}
	things := 0
	for _, s := range []string{o.artifact, o.revokedKey, o.subject} {
		if s != "" {
			things++
		}
	}
	switch {
	case o.key == "" || o.list == "" || o.reason == "":
		return r, cli.Usagef("--key, --list and --reason are needed")
	case things != 1:
		return r, cli.Usagef("one of --artifact, --public-key and --identity is needed")
	case (o.subject == "") != (o.issuer == ""):
		return r, cli.Usagef("--identity and --issuer go together")
	}
	if o.from != "" {
		var err error
		if r.From, err = time.Parse(time.RFC3339, o.from); err != nil {
			return r, cli.Usagef("--from %q is not a time such as 2026-11-25T00:00:00Z", o.from)
		}
	}
	if o.artifact != "" {
		digits, ok := strings.CutPrefix(o.artifact, "sha256:")
		if sum, err := hex.DecodeString(digits); !ok || err != nil || len(sum) != crypto.SHA256.Size() || digits != strings.ToLower(digits) {
			return r, cli.Usagef("--artifact %q is not sha256: and 64 lower-case hexadecimal digits", o.artifact)
		}
		r.Artifact = digits
	}
	if o.revokedKey != "" {
		pub, err := keys.OpenPublic(ctx, o.revokedKey, c.KeyEnvironment())
		if err != nil {
			return r, inputError(fmt.Errorf("loading the public key: %w", err))
		}
		der, err := algorithm.MarshalPublicKey(pub)
		if err != nil {
			return r, inputError(err)
		}
		r.Key = hexSHA256(der)
	}
	return r, nil
}

// read reads the list, or begins one that the key may add to.
func (o *trustRevoke) read(ctx context.Context, pub crypto.PublicKey) (*revocation.List, error) {
	if _, err := os.Stat(o.list); errors.Is(err, fs.ErrNotExist) {
		key, err := trust.NewKey(blob.DisplayName(o.key), pub, algorithm.Unspecified, trust.Window{})
		return &revocation.List{Keys: []trust.Key{key}}, err
	}
	data, err := readFileUpTo(ctx, o.list, revocation.MaxList)
	if err != nil {
		return nil, err
	}
	list, _, err := revocation.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.list, err)
	}
	return list, nil
}
