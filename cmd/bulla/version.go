package main

import (
	"bufio"
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/buildinfo"
)

func versionCommand() *cli.Command {
	var json bool
	var output cli.Choice
	return &cli.Command{
		Use: "version [flags]", Short: "Print which build this is", Group: "More",
		Example: `bulla version --output json`,
		Flags: func(fs *pflag.FlagSet) {
			fs.BoolVar(&json, "json", false, "print JSON; the same as --output json")
			cli.Output(fs, &output, "text", "text", "json")
		},
		Run: func(_ context.Context, c *cli.Call) error {
			info := buildinfo.Read()
			if json || output.String() == "json" {
				return c.PrintJSON(info)
			}
			out := bufio.NewWriter(c.Out)
			fmt.Fprintf(out, "%s: sign and verify container images and other artifacts\n\n", c.Name)
			for _, line := range [][2]string{
				{"GitVersion", info.Version},
				{"GitCommit", info.Commit},
				{"GitTreeState", info.TreeState},
				{"BuildDate", info.Date},
				{"GoVersion", info.GoVersion},
				{"Compiler", info.Compiler},
				{"Platform", info.Platform},
			} {
				fmt.Fprintf(out, "%-14s %s\n", line[0]+":", line[1])
			}
			return out.Flush()
		},
	}
}
