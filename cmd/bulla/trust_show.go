package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/cli"
	"github.com/bulla-sign/bulla/internal/report"
	"github.com/bulla-sign/bulla/internal/trustsource"
	"github.com/bulla-sign/bulla/trust"
	"github.com/bulla-sign/bulla/trust/portable"
	"github.com/bulla-sign/bulla/tuf"
)

// shownTrust is what "trust show" says.
type shownTrust struct {
	Name      string        `json:"name"`
	From      string        `json:"from"`
	Confirmed *time.Time    `json:"confirmed,omitempty"` // when it was last known to be current
	Roles     []roleSummary `json:"roles,omitempty"`
	Items     []trustItem   `json:"items"`

	material *portable.Trust
}

// trustItem is one thing that is trusted, asked, or revoked.
type trustItem struct {
	Kind   string     `json:"kind"`
	Name   string     `json:"name"`
	SHA256 string     `json:"sha256,omitempty"` // of the key, or of the first certificate of a chain
	Start  *time.Time `json:"start,omitempty"`
	End    *time.Time `json:"end,omitempty"`
	Note   string     `json:"note,omitempty"`
}

// openTrust finds trust by the name of an instance, or in a file.
func openTrust(ctx context.Context, c *cli.Call, name string, ahead time.Duration) (*shownTrust, error) {
	s := trustSource(c)
	s.Instance, s.Ahead = name, ahead
	_, noInstance := trustsource.Instances{Home: tuf.Home(c.LookupEnv)}.HomeOf(name)
	if name != trustsource.Default && name != trustsource.BuiltInName && noInstance != nil {
		if _, err := os.Stat(name); err != nil {
			return nil, fmt.Errorf("%q is neither an instance nor a file: %w", name, err)
		}
		var f trustFlags
		f.file = name
		data, err := readFileUpTo(ctx, name, portable.MaxSize)
		if err != nil {
			return nil, err
		}
		if root, err := trust.DecodeRoot(data); err == nil {
			root.Source.Name = name
			s.File = &portable.Trust{From: name, Root: root}
		} else if s, err = f.source(ctx, c); err != nil {
			return nil, err
		}
	}
	t, err := initializedTrust(ctx, c, s)
	if err != nil {
		return nil, err
	}
	root, err := s.Root(ctx)
	if err != nil {
		return nil, err
	}
	m := &portable.Trust{Issued: root.Source.Date, From: root.Source.Name, Root: root}
	out := &shownTrust{Name: name, material: m}
	switch {
	case s.File != nil:
		m.SigningConfig, m.Revocations, m.From = s.File.SigningConfig, s.File.Revocations, s.File.From
	case t != nil:
		m.Revocations = t.Revocations()
		for _, r := range t.Roles {
			out.Roles = append(out.Roles, roleSummary(r))
		}
		fallthrough
	default:
		if m.SigningConfig, err = s.SigningConfig(ctx); err != nil {
			c.Warnf("there is no signing config to show: %v", err)
			m.SigningConfig = nil
		}
	}
	out.From = m.From
	if !m.Issued.IsZero() {
		at := m.Issued.UTC()
		out.Confirmed = &at
	}
	out.Items = trustItems(m)
	return out, nil
}

// trustItems lists what trust is made of.
func trustItems(m *portable.Trust) []trustItem {
	items := []trustItem{}
	logs := func(kind string, all []trust.Log) {
		for _, l := range all {
			item := trustItem{Kind: kind, Name: l.BaseURL}
			if der, err := algorithm.MarshalPublicKey(l.Key); err == nil {
				item.SHA256 = hexSHA256(der)
			}
			if err := l.Usable(); err != nil {
				item.Note = "cannot be used: " + err.Error()
			}
			items = append(items, item.within(l.Window))
		}
	}
	authorities := func(kind string, all []trust.Authority) {
		for _, a := range all {
			item := trustItem{Kind: kind, Name: a.URI}
			if len(a.Chain) > 0 {
				item.SHA256 = hexSHA256(a.Chain[0].Raw)
			}
			items = append(items, item.within(a.Window))
		}
	}
	services := func(kind string, all []trust.Service) {
		for _, s := range all {
			items = append(items, trustItem{Kind: kind, Name: s.URL, Note: fmt.Sprintf("API version %d", s.MajorAPIVersion)}.within(s.Window))
		}
	}
	authorities("certificate authority", m.Root.CAs)
	logs("CT log", m.Root.CTLogs)
	logs("transparency log", m.Root.Logs)
	authorities("timestamp authority", m.Root.TSAs)
	if cfg := m.SigningConfig; cfg != nil {
		services("signs with certificate authority", cfg.CAs)
		services("signs with identity provider", cfg.OIDC)
		services("signs with transparency log", cfg.Logs)
		services("signs with timestamp authority", cfg.TSAs)
	}
	for _, r := range m.Root.Revocations {
		item := trustItem{Kind: "revoked artifact", Name: "sha256:" + r.Artifact, Note: r.Reason}
		switch {
		case r.Key != "":
			item.Kind, item.Name = "revoked key", "sha256:"+r.Key
		case r.Subject != "":
			item.Kind, item.Name = "revoked identity", r.Subject+" certified by "+r.Issuer
		}
		items = append(items, item.within(trust.Window{Start: r.From}))
	}
	return items
}

func (i trustItem) within(w trust.Window) trustItem {
	if start := w.Start.UTC(); !w.Start.IsZero() {
		i.Start = &start
	}
	if end := w.End.UTC(); !w.End.IsZero() {
		i.End = &end
	}
	return i
}

func hexSHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// String is one line for people.
func (i trustItem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", i.Kind, i.Name)
	if i.SHA256 != "" {
		fmt.Fprintf(&b, ", sha256:%.16s", i.SHA256)
	}
	if i.Start != nil {
		fmt.Fprintf(&b, ", from %s", i.Start.Format(time.RFC3339))
	}
	if i.End != nil {
		fmt.Fprintf(&b, ", until %s", i.End.Format(time.RFC3339))
	}
	if i.Note != "" {
		fmt.Fprintf(&b, " (%s)", i.Note)
	}
	return report.Clean(b.String())
}

func trustShowCommand() *cli.Command {
	var output cli.Choice
	var expiry expiryFlag
	return &cli.Command{
		Use: "show [flags] [NAME|FILE]", Short: "Show what an instance or a file has trusted",
		Long: `Show what an instance or a file has trusted: the TUF roles with versions and expiries, every key and authority with the time it is trusted in, the services that signing calls, and what is revoked. Without a name it is what commands trust that name nothing.`,
		Example: `bulla trust show
bulla trust show staging --output json
bulla trust show trust.json`,
		Args: cobra.MaximumNArgs(1),
		Flags: func(fs *pflag.FlagSet) {
			cli.Output(fs, &output, "text", "text", "json")
			expiry.register(fs)
		},
		Run: func(ctx context.Context, c *cli.Call) error {
			if err := expiry.check(); err != nil {
				return err
			}
			t, err := openTrust(ctx, c, trustNamed(c), expiry.ahead)
			if err != nil {
				return inputError(err)
			}
			if output.String() == "json" {
				return c.PrintJSON(t)
			}
			return t.print(c)
		},
	}
}

// trustNamed is the name that a command was given, or that of what is trusted without one.
func trustNamed(c *cli.Call) string {
	if len(c.Args) > 0 {
		return c.Args[0]
	}
	return trustsource.Default
}

func (t *shownTrust) print(c *cli.Call) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", report.Clean(t.Name), report.Clean(t.From))
	if t.Confirmed != nil {
		fmt.Fprintf(&b, "  confirmed %s (%s)\n", ago(c.Now(), *t.Confirmed), t.Confirmed.Format(time.RFC3339))
	}
	for _, r := range t.Roles {
		fmt.Fprintf(&b, "  %s version %d, expires %s (%s)\n", r.Name, r.Version, r.Expires.UTC().Format(time.RFC3339), until(r.Expires.Sub(c.Now())))
	}
	for _, i := range t.Items {
		fmt.Fprintf(&b, "  %s\n", i)
	}
	_, err := fmt.Fprint(c.Out, b.String())
	return err
}

// trustDiff is what "trust diff" says.
type trustDiff struct {
	Before  string      `json:"before"`
	After   string      `json:"after"`
	Same    bool        `json:"same"`
	Removed []trustItem `json:"removed"`
	Added   []trustItem `json:"added"`
	Changed [][2]string `json:"changed"` // the same thing with other times or another note, in words
}

func trustDiffCommand() *cli.Command {
	var output cli.Choice
	return &cli.Command{
		Use: "diff [flags] BEFORE AFTER", Short: "Show how two instances or files differ in what they trust",
		Long: `Show how two of instances, files and built-in differ: keys, authorities and services that one has and the other has not, those whose times differ, and what is revoked.`,
		Example: `bulla trust diff built-in default
bulla trust diff trust-2026-10.json ours --output json`,
		Args: cobra.ExactArgs(2), Flags: func(fs *pflag.FlagSet) { cli.Output(fs, &output, "text", "text", "json") },
		Run: func(ctx context.Context, c *cli.Call) error {
			var both [2]*shownTrust
			for i, name := range c.Args {
				var err error
				if both[i], err = openTrust(ctx, c, name, expiryAhead); err != nil {
					return inputError(err)
				}
			}
			d := diffTrust(both[0], both[1])
			if output.String() == "json" {
				c.JSONLines, c.Args = false, nil
				return c.PrintJSON(d)
			}
			return d.print(c)
		},
	}
}

func diffTrust(a, b *shownTrust) trustDiff {
	d := trustDiff{Before: a.Name, After: b.Name, Removed: []trustItem{}, Added: []trustItem{}, Changed: [][2]string{}}
	left := slices.Clone(b.Items)
	take := func(match func(trustItem) bool) (trustItem, bool) {
		i := slices.IndexFunc(left, match)
		if i < 0 {
			return trustItem{}, false
		}
		item := left[i]
		left = slices.Delete(left, i, i+1)
		return item, true
	}
	var open []trustItem
	for _, i := range a.Items {
		if _, ok := take(func(j trustItem) bool { return i.same(j) && i.String() == j.String() }); !ok {
			open = append(open, i)
		}
	}
	for _, i := range open {
		if j, ok := take(i.same); ok {
			d.Changed = append(d.Changed, [2]string{i.String(), j.String()})
		} else {
			d.Removed = append(d.Removed, i)
		}
	}
	d.Added = append(d.Added, left...)
	d.Same = len(d.Added)+len(d.Removed)+len(d.Changed) == 0
	return d
}

// same says whether two items are one thing, perhaps at other times.
func (i trustItem) same(j trustItem) bool {
	return i.Kind == j.Kind && i.Name == j.Name && i.SHA256 == j.SHA256
}

func (d *trustDiff) print(c *cli.Call) error {
	var b strings.Builder
	if d.Same {
		fmt.Fprintf(&b, "%s and %s trust the same\n", report.Clean(d.Before), report.Clean(d.After))
	}
	for _, i := range d.Removed {
		fmt.Fprintf(&b, "- %s\n", i)
	}
	for _, i := range d.Added {
		fmt.Fprintf(&b, "+ %s\n", i)
	}
	for _, i := range d.Changed {
		fmt.Fprintf(&b, "- %s\n+ %s\n", i[0], i[1])
	}
	_, err := fmt.Fprint(c.Out, b.String())
	return err
}
