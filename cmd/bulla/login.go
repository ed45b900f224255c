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
	identity           identityLogin
	username, password string
	passwordStdin      bool
}

func loginCommand() *cli.Command {
	o := &login{}
	return &cli.Command{
		Use: "login [flags] [SERVER]", Short: "Log in to sign with an identity, or to a registry", Group: "Sign",
		Long: `Without SERVER: begin a short session for signing. An identity token is exchanged for a certificate, whose name becomes public; certificate and key are kept as long as the certificate lives (minutes), and commands that sign with an identity at the same services use them without asking again. They lie in a file for the user's eyes only below $XDG_RUNTIME_DIR, or else $XDG_CACHE_HOME or ~/.cache; the key in it is not encrypted, and the token is not kept. "whoami" shows the session, "logout" ends it.

--explain says where a token would be looked for, in order, and what is there.

With SERVER: store the user name and password of a registry in Docker's configuration ($DOCKER_CONFIG/config.json, or the credential helper that it names). They are not tried out.`,
		Example: `# to sign several things with one login
bulla login
bulla sign registry.example.com/app@sha256:...
bulla sign-blob notes.txt

# where would a token come from?
bulla login --explain

# to a registry
echo "$TOKEN" | bulla login ghcr.io --username me --password-stdin`,
		Args:    cobra.MaximumNArgs(1),
		BindEnv: true, Unbound: []string{"username", "password", "password-stdin"},
		Flags: func(fs *pflag.FlagSet) {
			fs.StringVarP(&o.username, "username", "u", "", "`USER` name")
			fs.StringVarP(&o.password, "password", "p", "", "`PASSWORD`; others can see it while the command runs, --password-stdin is better")
			fs.BoolVar(&o.passwordStdin, "password-stdin", false, "read the password from standard input")
			cli.Exclusive(fs, "password", "password-stdin")
			o.identity.register(fs)
		},
		Run: o.run,
	}
}

func (o *login) run(ctx context.Context, c *cli.Call) error {
	const registry, identity = "it is for logging in to a registry, and no SERVER is named", "it is for logging in to sign, and a SERVER is named"
	var useless []ignoredFlag
	switch {
	case len(c.Args) == 0 && c.Cosign:
		return cli.Usagef("accepts 1 arg(s), received 0")
	case len(c.Args) == 0:
		for _, name := range []string{"username", "password", "password-stdin"} {
			useless = append(useless, ignoredFlag{name, registry, leaveOut})
		}
	default:
		for _, name := range identityFlags {
			useless = append(useless, ignoredFlag{name, identity, leaveOut})
		}
	}
	if err := refuseIgnored(c, useless...); err != nil {
		return err
	}
	if len(c.Args) == 0 {
		return o.identity.run(ctx, c)
	}
	return o.registry(c)
}

// registry stores the credentials of a registry.
func (o *login) registry(c *cli.Call) error {
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
