package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	defaultWidth = 80  // where there is no terminal, as in a file or a pipe
	maxWidth     = 100 // longer lines are hard to read
	minWidth     = 40
)

// help prints what a command is for. It is written by hand because cobra's templates cost the program 2 MB.
func (a *App) help(cc *cobra.Command, _ []string) {
	a.register(cc)
	width := a.System.Width()
	if width == 0 {
		width = defaultWidth
	}
	h := &helpText{width: min(max(width, minWidth), maxWidth)}
	c := a.commands[cc]
	h.intro(cc)
	if cc == a.root {
		h.groups(a)
	} else {
		h.subcommands(cc)
	}
	h.flags(cc)
	if c != nil && c.BindEnv {
		h.paragraph("Flags can also be given by environment variables: BULLA_ or COSIGN_ and the flag in capitals, as in COSIGN_OUTPUT_FILE.")
	}
	if cc.HasAvailableSubCommands() {
		h.paragraph(fmt.Sprintf("\"%s COMMAND --help\" explains a command.", cc.CommandPath()))
	}
	a.System.Out.Write(bytes.TrimLeft(h.buf.Bytes(), "\n"))
}

type helpText struct {
	buf   bytes.Buffer
	width int
}

func (h *helpText) heading(s string) { fmt.Fprintf(&h.buf, "\n%s:\n", s) }

func (h *helpText) paragraph(s string) {
	h.buf.WriteByte('\n')
	wrap(&h.buf, s, h.width, "")
}

func (h *helpText) intro(cc *cobra.Command) {
	text := cc.Long
	if text == "" {
		text = cc.Short
	}
	for p := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		h.paragraph(p)
	}
	h.heading("Usage")
	use := cc.UseLine()
	if cc.HasAvailableSubCommands() {
		use = cc.CommandPath() + " COMMAND [flags]"
	}
	fmt.Fprintf(&h.buf, "  %s\n", use)
	if len(cc.Aliases) > 0 {
		fmt.Fprintf(&h.buf, "\nAlso called: %s\n", strings.Join(cc.Aliases, ", "))
	}
	if cc.Example != "" {
		h.heading("Examples")
		for line := range strings.SplitSeq(strings.Trim(cc.Example, "\n"), "\n") {
			fmt.Fprintf(&h.buf, "%s\n", strings.TrimRight("  "+line, " "))
		}
	}
}

// groups lists the program's commands under their groups' titles.
func (h *helpText) groups(a *App) {
	titles := slices.Clone(a.Groups)
	for _, c := range a.Commands {
		if !slices.Contains(titles, c.Group) {
			titles = append(titles, c.Group)
		}
	}
	for _, title := range titles {
		var rows [][2]string
		for _, cc := range a.root.Commands() {
			if c := a.commands[cc]; c != nil && c.Group == title && !cc.Hidden && cc.Deprecated == "" {
				rows = append(rows, [2]string{cc.Name(), cc.Short})
			}
		}
		if len(rows) > 0 {
			h.heading(title)
			h.table(rows)
		}
	}
}

func (h *helpText) subcommands(cc *cobra.Command) {
	var rows [][2]string
	for _, sub := range cc.Commands() {
		if !sub.Hidden && sub.Deprecated == "" {
			rows = append(rows, [2]string{sub.Name(), sub.Short})
		}
	}
	if len(rows) > 0 {
		h.heading("Commands")
		h.table(rows)
	}
}

// table prints names and explanations in two columns.
func (h *helpText) table(rows [][2]string) {
	widest := 0
	for _, r := range rows {
		widest = max(widest, len(r[0]))
	}
	for _, r := range rows {
		fmt.Fprintf(&h.buf, "  %-*s", widest, r[0])
		var text bytes.Buffer
		wrap(&text, r[1], h.width-widest-4, "")
		h.buf.WriteString("  " + strings.ReplaceAll(strings.TrimRight(text.String(), "\n"), "\n", "\n"+strings.Repeat(" ", widest+4)) + "\n")
	}
}

// flags lists the flags, each topic under its title, the command's own first and the global ones last.
func (h *helpText) flags(cc *cobra.Command) {
	const own, global = "Flags", "Global flags"
	titles := []string{own}
	byTopic := make(map[string][]*pflag.Flag)
	cc.Flags().VisitAll(func(f *pflag.Flag) {
		if cc.Root().PersistentFlags().Lookup(f.Name) != nil {
			return
		}
		topic := own
		if t := f.Annotations[annotationTopic]; len(t) > 0 {
			topic = t[0]
		}
		if !f.Hidden && f.Deprecated == "" {
			if !slices.Contains(titles, topic) {
				titles = append(titles, topic)
			}
			byTopic[topic] = append(byTopic[topic], f)
		}
	})
	titles = append(titles, global)
	cc.Root().PersistentFlags().VisitAll(func(f *pflag.Flag) { byTopic[global] = append(byTopic[global], f) })
	for _, title := range titles {
		if len(byTopic[title]) == 0 {
			continue
		}
		h.heading(title)
		for _, f := range byTopic[title] {
			h.flag(f)
		}
	}
}

// flag prints one flag in a line of its own and its explanation below, which stays readable with long names.
func (h *helpText) flag(f *pflag.Flag) {
	name, usage := pflag.UnquoteUsage(f)
	h.buf.WriteString("  ")
	if f.Shorthand != "" {
		fmt.Fprintf(&h.buf, "-%s, ", f.Shorthand)
	}
	fmt.Fprintf(&h.buf, "--%s", f.Name)
	if name != "" && f.Value.Type() != "bool" {
		fmt.Fprintf(&h.buf, " %s", name)
	}
	h.buf.WriteByte('\n')
	if def := shownDefault(f); def != "" {
		usage += " (default " + def + ")"
	}
	wrap(&h.buf, usage, h.width, "      ")
}

// shownDefault returns a default that is worth knowing.
func shownDefault(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "false", "0", "[]", "0s", "<nil>":
		return ""
	}
	return f.DefValue
}

// wrap writes the words of s in lines of at most width columns, each after the indent. A word that does not fit gets a
// line of its own.
func wrap(w io.Writer, s string, width int, indent string) {
	column := 0
	for _, word := range strings.Fields(s) {
		switch {
		case column == 0:
			fmt.Fprint(w, indent, word)
			column = len(indent) + len(word)
		case column+1+len(word) > width:
			fmt.Fprint(w, "\n", indent, word)
			column = len(indent) + len(word)
		default:
			fmt.Fprint(w, " ", word)
			column += 1 + len(word)
		}
	}
	fmt.Fprintln(w)
}

func helpCommand(a *App) *Command {
	return &Command{
		Use: "help [COMMAND]", Short: "Explain a command", Group: "More", Args: cobra.ArbitraryArgs,
		Run: func(_ context.Context, c *Call) error {
			cc, rest, err := a.root.Find(c.Args)
			if err != nil || cc == nil || len(rest) > 0 {
				return a.unknownCommand(a.root, strings.Join(c.Args, " "))
			}
			a.help(cc, nil)
			return nil
		},
	}
}
