package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/describe"
	"github.com/bulla-sign/bulla/internal/evidence"
	"github.com/bulla-sign/bulla/trust/publicgood"
)

type inspect struct {
	output cli.Choice
}

func inspectCommand() *cli.Command {
	o := &inspect{}
	return &cli.Command{
		Use: "inspect [flags] FILE...", Short: "Show what a file of evidence holds, without trusting it", Group: "Verify",
		Long: `Show what is in files that travel with signatures: bundles of every format, also several as JSON Lines, envelopes, statements, detached signatures, certificates, keys, timestamps, checkpoints, trusted roots and signing configs. What a file is, its content says; - is standard input.

Nothing is verified, and everything shown is what the file's maker put there. Logs and authorities that the built-in trusted root knows are named by their IDs, which anybody can copy.`,
		Example: `bulla inspect a.txt.sigstore.json
bulla inspect -o json trusted_root.json | jq .items`,
		Args: cobra.MinimumNArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			cli.Output(fs, &o.output, "text", "text", "json")
		},
		Run: o.run,
	}
}

// nothingVerified is said whenever evidence is shown.
const nothingVerified = "nothing was verified: this only shows what the file says"

// inspected is one file of the JSON output.
type inspected struct {
	File string `json:"file"`
	*describe.Document
}

func (o *inspect) run(ctx context.Context, c *cli.Call) error {
	describer, err := newDescriber()
	if err != nil {
		return err
	}
	var all []inspected
	var malformed error
	for i, name := range c.Args {
		doc, err := describeFile(ctx, c, describer, name)
		if err != nil {
			return err
		}
		all = append(all, inspected{name, doc})
		if err := doc.Malformed(); err != nil && malformed == nil {
			malformed = cli.Errorf(cli.ExitInput, "%s is a malformed %s: %w", name, doc.Format, err)
		}
		if o.output.String() == "json" {
			continue
		}
		if i > 0 {
			io.WriteString(c.Out, "\n")
		}
		io.WriteString(c.Out, describe.Printable(name)+": "+doc.Format+"\n")
		if err := doc.Text(c.Out); err != nil {
			return err
		}
	}
	if o.output.String() == "json" {
		// One file is one document, several are a list.
		var v any = all
		if len(all) == 1 {
			v = all[0]
		}
		if err := c.PrintJSON(v); err != nil {
			return err
		}
	}
	c.Infof(nothingVerified)
	return malformed
}

func newDescriber() (*describe.Describer, error) {
	root, err := publicgood.Root()
	if err != nil {
		return nil, err
	}
	return &describe.Describer{Root: root}, nil
}

func describeFile(ctx context.Context, c *cli.Call, describer *describe.Describer, name string) (*describe.Document, error) {
	data, err := readEvidence(ctx, c, name)
	if err != nil {
		return nil, err
	}
	doc, err := describer.File(data)
	if errors.Is(err, describe.ErrUnknown) {
		return nil, cli.Errorf(cli.ExitInput, "%s: %w", name, err)
	}
	return doc, err
}

// maxStdin bounds evidence on standard input as evidence.Read bounds files.
const maxStdin = 128 << 20

// readEvidence reads a file of evidence; - is standard input.
func readEvidence(ctx context.Context, c *cli.Call, name string) ([]byte, error) {
	if name != "-" {
		data, err := evidence.Read(ctx, name)
		return data, inputError(err)
	}
	data, err := io.ReadAll(io.LimitReader(c.In, maxStdin+1))
	if err == nil && len(data) > maxStdin {
		return nil, cli.Errorf(cli.ExitInput, "standard input has more than %d bytes, too many for evidence", maxStdin)
	}
	return data, err
}
