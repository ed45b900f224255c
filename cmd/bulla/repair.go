package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/oci/repair"
)

type repairList struct {
	registry flags.Registry
	output   cli.Choice
	repair.Options
}

func repairCommand() *cli.Command {
	o := &repairList{}
	return &cli.Command{
		Use: "repair [flags] IMAGE", Short: "Rebuild the list of what is attached to an image", Group: "Registry", BindEnv: true,
		Long: `Make the list of an image's referrers whole: of the signatures and attestations that are attached as bundles, and of everything else that names the image as its subject.

Registries without the referrers API keep that list in one tag, which every program that attaches something replaces as a whole; programs that do not look what others have written lose entries. repair rebuilds it from what it holds, from the digests that --add names and, with --scan, from what is under the repository's tags. Each entry is made again from its manifest. Where the registry keeps the list itself, manifests that it does not list are pushed once more.

Cosign's older tags with signatures and attestations are made whole where the registry keeps tags as they are, and their list goes on in further tags (sha256-HEX.1.sig, .2.sig and so on): when the first tag is gone, nobody finds the others, and repair puts back what the last one holds. With --scan it also finds what a missing number hides. Elsewhere a tag is all that there is of what it held.

Nothing is taken out but with --prune, of the list of referrers alone; what cannot be taken out, as where the registry keeps tags as they are, makes the command fail. Nothing is verified: who vouches for the image is for verify to say. What is neither listed nor named nor tagged cannot be found, since no registry lists it.`,
		Example: `# after "does not list sha256:..." of a command that signed
bulla repair --add sha256:... registry.example.com/app@sha256:...

# what would be done
bulla repair --scan --prune --dry-run registry.example.com/app:v1`,
		Args: cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			cli.Topic(fs, "Evidence", func(fs *pflag.FlagSet) {
				fs.StringSliceVar(&o.Referrers, "add", nil, "`DIGEST` of a manifest that should be listed; repeatable")
				fs.BoolVar(&o.Scan, "scan", false, "look at what every tag of the repository holds, a request each")
				fs.BoolVar(&o.Prune, "prune", false, "take out what the registry does not have, or what is not about the image")
				fs.BoolVar(&o.DryRun, "dry-run", false, "write nothing")
			})
			o.registry.Register(fs)
			cli.Output(fs, &o.output, "text", "text", "json")
		},
		Run: o.run,
	}
}

func (o *repairList) run(ctx context.Context, c *cli.Call) error {
	client, err := registryClient(c, &o.registry)
	if err != nil {
		return err
	}
	img, err := client.Parse(c.Args[0])
	if err != nil {
		return cli.Usagef("%w", err)
	}
	for _, digest := range o.Referrers {
		if _, err := client.Parse(img.Repository.Name() + "@" + digest); err != nil {
			return cli.Usagef("--add %s: not a digest such as sha256:...", digest)
		}
	}
	done := c.Progress("looking at what is attached to %s", c.Args[0])
	r, err := client.RepairReferrers(ctx, img, o.Options)
	done()
	if err != nil {
		return imageError(c, err)
	}
	if err := o.print(c, img, r); err != nil {
		return err
	}
	return o.left(c, r)
}

// left tells what stays as it is. That is a failure of the command where it was asked to list just that, or to take it out.
func (o *repairList) left(c *cli.Call, r *repair.Result) error {
	var failed error
	for _, list := range append([]*repair.Result{r}, r.Older...) {
		for _, e := range list.Entries {
			if e.State == repair.Stays && failed == nil {
				failed = cli.Errorf(cli.ExitFailure, "%s was not taken out: %s", e.Digest, e.Detail)
				continue
			}
			if e.State != repair.Missing && e.State != repair.Foreign && e.State != repair.Stays {
				continue
			}
			if failed != nil || !slices.Contains(o.Referrers, e.Digest) {
				c.Infof("%s stays as it is: %s", e.Digest, e.Detail)
				continue
			}
			code := cli.ExitUnknown
			if e.State == repair.Foreign {
				code = cli.ExitInput
			}
			failed = cli.Errorf(code, "%s was not added: %s", e.Digest, e.Detail)
		}
	}
	return failed
}

func (o *repairList) print(c *cli.Call, img *oci.Image, r *repair.Result) error {
	if o.output.String() == "json" {
		return c.PrintJSON(struct {
			Image string `json:"image"`
			*repair.Result
		}{img.Name(), r})
	}
	for _, list := range append([]*repair.Result{r}, r.Older...) {
		if err := printRepaired(c, list); err != nil {
			return err
		}
	}
	return nil
}

func printRepaired(c *cli.Call, r *repair.Result) error {
	counts := map[string]int{}
	for _, e := range r.Entries {
		counts[e.State]++
		if _, err := fmt.Fprintf(c.Out, "%-8s %s\n", e.State, e.Digest); err != nil {
			return err
		}
	}
	what := "nothing was written"
	if r.Written {
		what = "written"
	}
	_, err := fmt.Fprintf(c.Out, "%s: %d entries, %d added, %d mended, %d pruned; %s\n", r.Ref, len(r.Entries),
		counts[repair.Added], counts[repair.Mended], counts[repair.Pruned], what)
	return err
}
