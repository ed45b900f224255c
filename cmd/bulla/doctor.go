package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/internal/describe"
	"github.com/bulla-sign/bulla/oci/doctor"
)

type examination struct {
	registry flags.Registry
	output   cli.Choice
	doctor.Options
}

func doctorCommand() *cli.Command {
	o := &examination{}
	return &cli.Command{
		Use: "doctor [flags] REPOSITORY", Short: "Say what a registry can do, which credential is used, and who sees what is written", Group: "Registry", BindEnv: true,
		Long: `Find out what matters about a registry to whoever signs and verifies there: whether it keeps the list of what is attached to an image, whether it lets writers say what they change, which credential is used and from where it is, what files say about certificates and mirrors, what was asked and how it answered, and which programs will see what is written.

REPOSITORY may have a tag or a digest: then that image is looked at, otherwise the repository's first tag. Nothing is written, unless --write is given: then small images go under a tag of their own, bulla-doctor-..., and are removed again. What cannot be removed is named. Where COSIGN_REPOSITORY is set, that repository is examined.

The status is 20 when the registry left a question unanswered.`,
		Example: `bulla doctor registry.example.com/app

# what only a write shows: conditions, tags that cannot be rewritten, deletion
bulla doctor --write --output json registry.example.com/app`,
		Args: cobra.ExactArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			fs.BoolVar(&o.Write, "write", false, "write small images under a tag of their own, and remove them")
			o.registry.Register(fs)
			cli.Output(fs, &o.output, "text", "text", "json")
		},
		Run: o.run,
	}
}

func (o *examination) run(ctx context.Context, c *cli.Call) error {
	client, err := registryClientOf(c, &o.registry, 0) // which knows mirrors, to tell of them; it asks the registry itself
	if err != nil {
		return err
	}
	img, err := client.Parse(c.Args[0])
	if err != nil {
		return cli.Usagef("%w", err)
	}
	done := c.Progress("asking %s", img.Repository.RegistryStr())
	report, err := client.Doctor(ctx, img, o.Options)
	done()
	if o.output.String() == "json" {
		if printErr := c.PrintJSON(report); printErr != nil {
			return printErr
		}
	} else if printErr := printExamination(c.Out, report); printErr != nil {
		return printErr
	}
	return registryError(err)
}

func printExamination(w io.Writer, r *doctor.Report) error {
	var out strings.Builder
	line := func(name, text string) {
		if text != "" { // what is not known, because nobody answered, is left out
			fmt.Fprintf(&out, "%-26s%s\n", name, describe.Printable(text))
		}
	}
	line("repository", r.Repository)
	line("scheme", r.Scheme)
	challenge := r.Challenge
	if r.Realm != "" {
		challenge += ", tokens from " + r.Realm
	}
	line("asks for credentials", challenge)
	line("credential", r.Credential)
	for _, setting := range r.Settings {
		line("setting", setting)
	}
	if len(r.Abilities) > 0 {
		out.WriteString("\n")
	}
	for _, a := range r.Abilities {
		text := a.State
		if a.Detail != "" {
			text += ": " + a.Detail
		}
		line(a.Name, text)
	}
	out.WriteString("\n")
	for i := range r.Requests {
		q := &r.Requests[i]
		text := fmt.Sprintf("%s %s: %d", q.Method, q.URL, q.Status)
		if q.Status == 0 {
			text = fmt.Sprintf("%s %s: no answer", q.Method, q.URL)
		}
		if q.Code != "" {
			text += " " + q.Code
		}
		text += fmt.Sprintf(", %d ms", q.Milliseconds)
		if q.Error != "" {
			text += ": " + q.Error
		}
		line(q.What, text)
	}
	if len(r.Readers) > 0 {
		fmt.Fprintf(&out, "\n%-26s%-42s%s\n", "who sees", "bundles (what is written)", "older tags")
	}
	for _, reader := range r.Readers {
		fmt.Fprintf(&out, "%-26s%-42s%s\n", reader.Name, reader.Bundles, reader.OlderTags)
		if reader.Note != "" {
			fmt.Fprintf(&out, "%-26s%s\n", "", reader.Note)
		}
	}
	for _, left := range r.Left {
		line("left behind", left)
	}
	_, err := io.WriteString(w, out.String())
	return err
}
