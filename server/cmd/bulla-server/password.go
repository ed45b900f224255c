package main

import (
	"context"
	"fmt"

	"golang.org/x/crypto/bcrypt"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/keys"
	"github.com/bulla-sign/bulla/server/internal/keyring"
)

const (
	// hashCost makes a guess take a quarter of a second.
	hashCost = 12
	// minPassword is what NIST SP 800-63B asks of passwords at least, in bytes.
	minPassword = 8
)

func hashPasswordCommand() *cli.Command {
	return &cli.Command{
		Use: "hash-password", Short: "Print the hash of a password, for the issuer's users and clients", Group: "Keys",
		Long: `Print the hash of a password, which is asked for or read from standard input, for issuer.users and issuer.clients in the configuration.`,
		Run: func(ctx context.Context, c *cli.Call) error {
			password, err := c.Password(ctx, true)
			if err != nil {
				return err
			}
			if len(password) < minPassword {
				return cli.Errorf(cli.ExitInput, "the password is shorter than %d bytes", minPassword)
			}
			hash, err := bcrypt.GenerateFromPassword(password, hashCost)
			if err != nil {
				return cli.Errorf(cli.ExitInput, "%w", err)
			}
			_, err = fmt.Fprintln(c.Out, string(hash))
			return err
		},
	}
}

// fromFile is an environment whose password is in a file. Variables that hold another, of a key of somebody's own, do not
// come before what the configuration names.
func fromFile(env keys.Environment, path string) keys.Environment {
	lookup := env.LookupEnv
	env.LookupEnv = func(name string) (string, bool) {
		if lookup == nil || name == "BULLA_PASSWORD" || name == "COSIGN_PASSWORD" {
			return "", false
		}
		return lookup(name)
	}
	env.Password = keyring.PasswordFile(path)
	return env
}
