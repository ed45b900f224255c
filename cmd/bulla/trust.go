package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/buildinfo"
	"github.com/bulla-sign/bulla/internal/report"
	"github.com/bulla-sign/bulla/internal/trustsource"
	"github.com/bulla-sign/bulla/trust/publicgood"
	"github.com/bulla-sign/bulla/tuf"
)

func trustCommand() *cli.Command {
	return &cli.Command{
		Use: "trust", Short: "Manage what is trusted: instances, files to carry, revocations", Group: "Trust",
		Example: `bulla trust list
bulla trust add ours --mirror https://sigstore.example.com/tuf --root root.json`,
		Long: `Manage what is trusted. An instance is a Sigstore that publishes its keys in a TUF repository. "initialize" sets up the default one, which is the public-good instance otherwise; others have names, and --instance says which one a command trusts.`,
		Commands: []*cli.Command{
			trustListCommand(), trustAddCommand(), trustRemoveCommand(), trustShowCommand(), trustDiffCommand(), trustExportCommand(), trustRevokeCommand(),
		},
	}
}

// instancesOf finds where instances are kept.
func instancesOf(c *cli.Call) (trustsource.Instances, error) {
	home := tuf.Home(c.LookupEnv)
	if home == "" {
		return trustsource.Instances{}, cli.Usagef("there is no home directory to keep what is trusted in").WithHint("name a directory in TUF_ROOT")
	}
	return trustsource.Instances{Home: home}, nil
}

type listedInstance struct {
	Name   string `json:"name"`
	Mirror string `json:"mirror,omitempty"` // empty for what is built in, and where nobody can tell
	Note   string `json:"note,omitempty"`   // what is to be known of it, for people
}

func trustListCommand() *cli.Command {
	var output cli.Choice
	return &cli.Command{
		Use: "list [flags]", Short: "List the instances that can be trusted",
		Long: `List the instances that --instance takes: the default one, which "initialize" set up and which is the public-good instance otherwise, those that were added, and the public-good instance as it is built in. No network is used.`,
		Example: `bulla trust list
bulla trust list --output json`,
		Flags: func(fs *pflag.FlagSet) { cli.Output(fs, &output, "text", "text", "json") },
		Run: func(_ context.Context, c *cli.Call) error {
			all, err := listInstances(c)
			if err != nil {
				return inputError(err)
			}
			if output.String() == "json" {
				return c.PrintJSON(all)
			}
			for _, i := range all {
				line := i.Mirror
				if i.Note != "" {
					line = strings.TrimSpace(line + " (" + i.Note + ")")
				}
				if _, err := fmt.Fprintf(c.Out, "%-20s %s\n", i.Name, report.Clean(line)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// listInstances lists all instances. One whose files are broken is listed with what is wrong: it can be removed or replaced.
func listInstances(c *cli.Call) ([]listedInstance, error) {
	instances, err := instancesOf(c)
	if err != nil {
		return nil, err
	}
	names, err := instances.List()
	if err != nil {
		return nil, err
	}
	all := []listedInstance{defaultInstance(c, instances.Home)}
	for _, name := range names {
		i := listedInstance{Name: name}
		home, err := instances.HomeOf(name)
		if err == nil {
			i.Mirror, err = tuf.Initialized(home)
		}
		if err != nil {
			i.Note = "broken: " + err.Error()
		}
		all = append(all, i)
	}
	return append(all, listedInstance{Name: trustsource.BuiltInName, Note: "the public-good instance as of " + publicgood.Date + ", when this program was built"}), nil
}

// defaultInstance is what commands trust that name nothing.
func defaultInstance(c *cli.Call, home string) listedInstance {
	i := listedInstance{Name: trustsource.Default}
	if i.Mirror, _ = c.LookupEnv("TUF_MIRROR"); i.Mirror != "" {
		i.Note = "from TUF_MIRROR"
		return i
	}
	var err error
	switch i.Mirror, err = tuf.Initialized(home); {
	case err != nil:
		i.Note = "broken: " + err.Error()
	case i.Mirror == "":
		i.Mirror, i.Note = trustsource.PublicMirror, "the public-good instance, since nothing was initialized"
	}
	return i
}

type trustAdd struct {
	initialize
	replace bool
}

func trustAddCommand() *cli.Command {
	o := &trustAdd{}
	return &cli.Command{
		Use: "add [flags] NAME", Short: "Add an instance under a name",
		Long: `Add an instance under a name, which --instance takes from then on. The flags are those of "initialize", whose instance stays as it is.

Nothing is changed unless the repository was read and verified to its end.`,
		Example: `bulla trust add staging --staging
bulla trust add ours --mirror https://sigstore.example.com/tuf --root root.json
bulla verify --instance ours --certificate-identity ci@example.com --certificate-oidc-issuer https://issuer.example.com registry.example.com/app:1`,
		Args: cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			o.register(fs)
			fs.BoolVar(&o.replace, "replace", false, "replace the instance that has the name")
		},
		Run: o.run,
	}
}

func (o *trustAdd) run(ctx context.Context, c *cli.Call) error {
	if err := o.check(c); err != nil {
		return err
	}
	name := c.Args[0]
	if err := trustsource.CheckName(name); err != nil {
		return cli.Usagef("%w", err)
	}
	instances, err := instancesOf(c)
	if err != nil {
		return err
	}
	root, err := o.readRoot(ctx, c)
	if err != nil {
		return err
	}
	done := c.Progress("reading %s", o.mirror)
	t, err := instances.Add(ctx, name, tuf.Config{
		Mirror: o.mirror, Root: root, HTTP: &http.Client{Transport: c.Net.Transport()}, UserAgent: buildinfo.UserAgent("bulla"), Now: c.Now,
	}, o.replace)
	done()
	if err != nil {
		return inputError(fmt.Errorf("nothing was changed: %w", err))
	}
	return o.print(c, name, instances.Home, t)
}

func trustRemoveCommand() *cli.Command {
	return &cli.Command{
		Use: "remove NAME...", Short: "Remove instances that were added",
		Long: `Remove instances that were added. The default one is replaced with "initialize".`, Example: `bulla trust remove staging`,
		Args: cobra.MinimumNArgs(1),
		Run: func(ctx context.Context, c *cli.Call) error {
			instances, err := instancesOf(c)
			if err != nil {
				return err
			}
			var removed []string
			for _, name := range c.Args {
				if err := instances.Remove(ctx, name); err != nil {
					return inputError(err)
				}
				removed = append(removed, name)
			}
			c.Infof("removed %s", strings.Join(removed, ", "))
			return nil
		},
	}
}
