package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/cli/buildinfo"
	"github.com/bulla-sign/bulla/internal/cli/flags"
	"github.com/bulla-sign/bulla/internal/describe"
	"github.com/bulla-sign/bulla/oci"
	"github.com/bulla-sign/bulla/oci/carry"
	"github.com/bulla-sign/bulla/oci/layout"
)

// carrying is what copy, save and load have in common.
type carrying struct {
	registry flags.Registry
	only     []string
	output   cli.Choice
}

func (o *carrying) register(fs *pflag.FlagSet) {
	o.registry.Register(fs)
	cli.Output(fs, &o.output, "text", "text", "json")
	cli.Own(fs, "output")
}

// untagged is what becomes of the tag in a registry: the image has other evidence there than where it comes from.
const untagged = "; the image is then not tagged"

func (o *carrying) registerOnly(fs *pflag.FlagSet, effect string) {
	fs.StringSliceVar(&o.only, "only", nil, "carry only this evidence: `KINDS` out of sig,att,sbom"+effect)
}

func (o *carrying) checkOnly() error {
	if err := carry.CheckOnly(o.only); err != nil {
		return cli.Usagef("--only: %w", err)
	}
	return nil
}

// layoutPlace is where a layout lies: a directory or an archive.
type layoutPlace struct{ dir, file string }

func (p *layoutPlace) register(fs *pflag.FlagSet, what string) {
	fs.StringVar(&p.dir, "dir", "", "`DIRECTORY` "+what)
	fs.StringVar(&p.file, "file", "", "tar `FILE` "+what)
	cli.Own(fs, "file")
	cli.Exclusive(fs, "dir", "file")
	cli.RequireOne(fs, "dir", "file")
}

func (p *layoutPlace) path() string {
	if p.dir != "" {
		return p.dir
	}
	return p.file
}

// layoutClient makes a client that asks a layout in place of registries.
func layoutClient(c *cli.Call, l *layout.Layout) (*oci.Client, error) {
	o := oci.Options{
		Transport: l, Keychain: authn.NewMultiKeychain(), Settle: time.Millisecond,
		UserAgent: buildinfo.UserAgent("bulla"), Now: c.Now, Log: c.Debugf,
	}
	if size, ok := c.LookupEnv("COSIGN_MAX_ATTACHMENT_SIZE"); ok && size != "" {
		n, err := oci.ParseSize(size)
		if err != nil {
			return nil, cli.Usagef("COSIGN_MAX_ATTACHMENT_SIZE: %w", err)
		}
		o.Limits.Attachment = n
	}
	return oci.New(o)
}

// layoutRepository is the name under which a layout answers.
func layoutRepository() name.Repository {
	repo, err := name.NewRepository(layout.Repository)
	if err != nil {
		panic(err) // a constant
	}
	return repo
}

// layoutError gives an error about a layout's files its exit status.
func layoutError(err error) error {
	var path *fs.PathError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &path):
		return &cli.Error{Code: cli.ExitIO, Err: err}
	}
	return &cli.Error{Code: cli.ExitInput, Err: err}
}

// targetClient makes a client that keeps what is attached beside the image: COSIGN_REPOSITORY says where the source's
// evidence is.
func targetClient(c *cli.Call, r *flags.Registry) (*oci.Client, error) {
	return registryClient(withoutRepository(c), r)
}

// withoutRepository is a call for which COSIGN_REPOSITORY is not set.
func withoutRepository(c *cli.Call) *cli.Call {
	without := *c
	lookup := c.LookupEnv
	without.LookupEnv = func(name string) (string, bool) {
		if name == "COSIGN_REPOSITORY" {
			return "", false
		}
		return lookup(name)
	}
	return &without
}

// platform finds the image for a platform, if one is given.
func platform(ctx context.Context, c *cli.Call, from carry.Source, m *carry.Manifest, wanted string) (*carry.Manifest, error) {
	if wanted == "" {
		return m, nil
	}
	m, err := carry.Platform(ctx, from, m, wanted)
	var none *carry.PlatformError
	switch {
	case errors.As(err, &none) && len(none.Have) > 0 && none.Fit == 0:
		return nil, imageError(c, fmt.Errorf("%w: %w", oci.ErrImageNotFound, err))
	case errors.As(err, &none):
		return nil, cli.Usagef("--platform: %w", err)
	}
	return m, imageError(c, err)
}

// progress shows how far the carrying is, on a terminal only.
func progress(c *cli.Call, what string) (step func(done, known int), end func()) {
	if !c.IsTerminal(c.Err) {
		return nil, func() {}
	}
	return func(done, known int) { fmt.Fprintf(c.Err, "\r\x1b[K%s: %d of %d", what, done, known) },
		func() { fmt.Fprint(c.Err, "\r\x1b[K") }
}

// carryError gives the end of a copy its exit status.
func carryError(c *cli.Call, err error) error {
	var loss *carry.LossError
	switch {
	case errors.As(err, &loss):
		return (&cli.Error{Code: cli.ExitUnknown, Err: err}).
			WithHint("run it again; if the source itself lists what it does not have, repair --prune takes that out of a list under a tag")
	case errors.Is(err, carry.ErrTaken):
		return cli.Errorf(cli.ExitFailure, "%w", err).WithHint("-f replaces it")
	}
	return imageError(c, err)
}

// printReport prints what a carrying came to. In cosign's place nothing is printed on standard output.
func (o *carrying) printReport(c *cli.Call, r *carry.Report, from, to string) error {
	if o.output.String() == "json" {
		return c.PrintJSON(struct {
			From string `json:"from"`
			To   string `json:"to"`
			*carry.Report
		}{from, to, r})
	}
	var out strings.Builder
	verb := "carried"
	if r.DryRun {
		verb = "would carry"
	}
	fmt.Fprintf(&out, "%s %s from %s to %s\n", verb, r.Digest, describe.Printable(from), describe.Printable(to))
	for _, kind := range []string{"index", "image", "blob", "referrer", "sig", "att", "sbom"} {
		counts := map[string]int{}
		for i := range r.Items {
			if r.Items[i].Kind == kind {
				counts[r.Items[i].State]++
			}
		}
		for _, state := range []string{carry.StateEqual, carry.StateMerged, carry.StateForeign, carry.StateLeftOut, carry.StateMissing} {
			if counts[state] > 0 {
				fmt.Fprintf(&out, "  %-9s %4d %s\n", kind, counts[state], state)
			}
		}
	}
	for i := range r.Items {
		if it := &r.Items[i]; it.Note != "" {
			fmt.Fprintf(&out, "  %s %s: %s: %s\n", it.Kind, it.Digest, it.State, describe.Printable(it.Note))
		}
	}
	w := c.Out
	if c.Cosign {
		w = c.Err
	}
	_, err := fmt.Fprint(w, out.String())
	return err
}
