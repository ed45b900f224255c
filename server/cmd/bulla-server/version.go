package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/buildinfo"
)

func versionCommand() *cli.Command {
	var output cli.Choice
	return &cli.Command{
		Use: "version [flags]", Short: "Print which build this is", Group: "More",
		Flags: func(fs *pflag.FlagSet) { cli.Output(fs, &output, "text", "text", "json") },
		Run: func(_ context.Context, c *cli.Call) error {
			info := buildinfo.Read()
			if output.String() == "json" {
				return c.PrintJSON(info)
			}
			_, err := fmt.Fprintf(c.Out, "bulla-server %s (%s, %s), %s, %s\n", info.Version, info.Commit, info.Date, info.GoVersion, info.Platform)
			return err
		},
	}
}
