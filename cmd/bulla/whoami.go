package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/describe"
)

func whoamiCommand() *cli.Command {
	var output cli.Choice
	return &cli.Command{
		Use: "whoami [flags]", Short: "Show as whom one is logged in for signing", Group: "Sign",
		Long:    `Show the session that "login" keeps: whose name goes into signatures, who vouches for it, and until when. Without one the status is 1.`,
		Example: `bulla whoami`,
		Flags:   func(fs *pflag.FlagSet) { cli.Output(fs, &output, "text", "text", "json") },
		Run: func(ctx context.Context, c *cli.Call) error {
			kept, err := readSession(ctx, c)
			if err != nil {
				return err
			}
			if kept == nil {
				return cli.Errorf(cli.ExitFailure, "nobody is logged in for signing").WithHint("\"login\" without a server begins a session")
			}
			path, err := sessionPath(c)
			if err != nil {
				return err
			}
			who := kept.shown(path)
			if kept.ended(c.Now()) {
				return cli.Errorf(cli.ExitFailure, "nobody is logged in for signing: the session of %s of %s ended at %s", describe.Printable(who.Identity),
					describe.Printable(who.Issuer), who.Until.Format(time.RFC3339)).WithHint("\"login\" without a server begins another")
			}
			if output.String() == "json" {
				return c.PrintJSON(who)
			}
			_, err = fmt.Fprintf(c.Out, "%s of %s, until %s, certified by %s\n", describe.Printable(who.Identity), describe.Printable(who.Issuer),
				who.Until.Format(time.RFC3339), describe.Printable(who.Authority))
			return err
		},
	}
}

func logoutCommand() *cli.Command {
	return &cli.Command{
		Use: "logout", Short: "End the session that login keeps for signing", Group: "Sign",
		Long:    `Remove the key and the certificate that "login" keeps. Credentials of registries are not touched.`,
		Example: `bulla logout`,
		Run: func(ctx context.Context, c *cli.Call) error {
			path, err := sessionPath(c)
			if err != nil {
				return err
			}
			switch err := os.Remove(path); {
			case errors.Is(err, fs.ErrNotExist):
				c.Infof("nobody is logged in for signing")
			case err != nil:
				return err
			default:
				c.Infof("logged out")
			}
			return nil
		},
	}
}
