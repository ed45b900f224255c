package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
)

// maxRegistryPassword bounds a password on standard input: cloud registries hand out tokens of some 10 KB.
const maxRegistryPassword = 64 << 10

type login struct {
	username, password string
	passwordStdin      bool
}

func loginCommand() *cli.Command {
	o := &login{}
	return &cli.Command{
		Use: "login [flags] SERVER", Short: "Store the credentials of a registry where docker and others find them", Group: "Registry",
		Long:    `Store the user name and password of a registry in Docker's configuration ($DOCKER_CONFIG/config.json, or the credential helper that it names). They are not tried out.`,
		Example: `echo "$TOKEN" | bulla login ghcr.io --username me --password-stdin`,
		Args:    cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			fs.StringVarP(&o.username, "username", "u", "", "`USER` name")
			fs.StringVarP(&o.password, "password", "p", "", "`PASSWORD`; others can see it while the command runs, --password-stdin is better")
			fs.BoolVar(&o.passwordStdin, "password-stdin", false, "read the password from standard input")
			cli.Exclusive(fs, "password", "password-stdin")
		},
		Run: o.run,
	}
}

func (o *login) run(_ context.Context, c *cli.Call) error {
	registry, err := name.NewRegistry(c.Args[0])
	if err != nil {
		return cli.Usagef("%w", err)
	}
	if o.passwordStdin {
		if o.password, err = passwordFrom(c.In); err != nil {
			return err
		}
	}
	if o.username == "" || o.password == "" {
		return cli.Usagef("a user name and a password are needed").WithHint("give --username and --password-stdin")
	}
	server := registry.Name()
	dir, _ := c.LookupEnv("DOCKER_CONFIG")
	file, err := config.Load(dir)
	if err != nil {
		return fmt.Errorf("reading Docker's configuration: %w", err)
	}
	store := file.GetCredentialsStore(server)
	if server == name.DefaultRegistry {
		server = authn.DefaultAuthKey // what Docker calls its own registry
	}
	if err := store.Store(types.AuthConfig{ServerAddress: server, Username: o.username, Password: o.password}); err != nil {
		return fmt.Errorf("storing the credentials of %s: %w", server, err)
	}
	if err := file.Save(); err != nil {
		return fmt.Errorf("writing %s: %w", file.Filename, err)
	}
	c.Infof("logged in via %s", file.Filename)
	return nil
}

func passwordFrom(r io.Reader) (string, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxRegistryPassword+1))
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	if len(data) > maxRegistryPassword {
		return "", cli.Usagef("the password on standard input is longer than %d bytes", maxRegistryPassword)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), nil
}
